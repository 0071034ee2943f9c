//! Who may be believed: a tag of 16 bytes that only the node itself, or who holds the fleet's key, can make.
//!
//! A [`KeyRing`] holds the fleet's keys, the current and maybe the previous one, and says what becomes of
//! messages without a good tag. It looks at a message before anything else does, and only what it has
//! opened comes to the table: [`Opened`] can be made nowhere else. It keeps no nodes and no windows;
//! that a good message isn't an old one is seen by incarnation and seq.

mod hmac;
mod key;
mod siphash;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Deref;

use subtle::ConstantTimeEq;

pub use key::{KeyId, MasterKey, NodeKey, Suite, WrongLength};

use crate::Reject;
use crate::wire::{Message, TAG};

/// The end of a message that was sealed.
type Tag = [u8; TAG];

/// What becomes of messages without a good tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nobody looks at tags.
    #[default]
    Off,
    /// They are counted, and believed: to see whether it is time to enforce.
    Permissive,
    /// They are refused.
    Enforce,
}

/// The keys of a fleet, what they are for, and how often they were.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    mode: Mode,
    #[expect(clippy::vec_box, reason = "a vector that grows would leave copies of its secrets behind")]
    keys: Vec<Box<Held>>,
    /// Messages that were let pass though enforcing would have refused them, by reason.
    waived: [u64; REASONS.len()],
}

/// A message that may be believed: what it says is what its node said, as far as the mode asks for that.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    message: &'a Message<'a>,
    key: Option<KeyId>,
}

/// How often a key was of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which key.
    pub key: KeyId,
    /// Its suite.
    pub suite: Suite,
    /// Messages with its tag that were believed.
    pub accepted: u64,
}

/// Why a key can't be added to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// There is a key with this id already.
    Twice(KeyId),
    /// The key with this id is the same secret, so that changing from one to the other changes nothing.
    SameSecret(KeyId),
}

#[derive(Clone, Debug)]
struct Held {
    key: MasterKey,
    accepted: u64,
}

/// The reasons for which a ring refuses.
pub const REASONS: [Reject; 3] = [Reject::Unsigned, Reject::UnknownKey, Reject::BadTag];

impl Mode {
    /// Every mode, from the most trusting on.
    pub const ALL: [Self; 3] = [Self::Off, Self::Permissive, Self::Enforce];

    /// The word for it, everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Permissive => "permissive",
            Self::Enforce => "enforce",
        }
    }
}

impl KeyRing {
    /// A ring without keys. One that enforces refuses everything until it has some.
    pub const fn new(mode: Mode) -> Self {
        Self { mode, keys: Vec::new(), waived: [0; REASONS.len()] }
    }

    /// Adds a key of the fleet.
    ///
    /// # Errors
    /// Its id or its secret is there already; nothing was changed.
    pub fn add(&mut self, key: MasterKey) -> Result<(), NotAdded> {
        if self.held(key.id().number()).is_some() {
            return Err(NotAdded::Twice(key.id()));
        }
        if let Some(same) = self.keys.iter().find(|held| held.key.is_same_secret(&key)) {
            return Err(NotAdded::SameSecret(same.key.id()));
        }
        self.keys.push(Box::new(Held { key, accepted: 0 }));
        Ok(())
    }

    /// What becomes of messages without a good tag.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Each key, in the order in which they were added.
    pub fn uses(&self) -> impl Iterator<Item = Use> {
        self.keys.iter().map(|held| Use { key: held.key.id(), suite: held.key.suite(), accepted: held.accepted })
    }

    /// How many messages were let pass that enforcing would have refused for this reason.
    pub fn waived(&self, reason: Reject) -> u64 {
        REASONS.iter().position(|known| *known == reason).map_or(0, |at| self.waived[at])
    }

    /// Takes a message apart from its seal. `bytes` are those that `message` was parsed from.
    ///
    /// # Errors
    /// It isn't to be believed, with the reason.
    pub fn open<'m>(&mut self, message: &'m Message<'m>, bytes: &[u8]) -> Result<Opened<'m>, Reject> {
        let checked = match self.mode {
            Mode::Off => return Ok(Opened { message, key: None }),
            Mode::Permissive | Mode::Enforce => self.verify(message, bytes),
        };
        match (checked, self.mode) {
            (Ok(key), _) => Ok(Opened { message, key: Some(key) }),
            (Err(reason), Mode::Enforce) => Err(reason),
            (Err(reason), Mode::Permissive | Mode::Off) => {
                self.waive(reason);
                Ok(Opened { message, key: None })
            }
        }
    }

    /// Whether it is worth handing a message to whoever will open it: what has no tag, or that of an
    /// unknown key, isn't if it would be refused there anyway.
    ///
    /// # Errors
    /// It would, with the reason.
    pub fn admit(&self, message: &Message<'_>) -> Result<(), Reject> {
        match self.mode {
            Mode::Off | Mode::Permissive => Ok(()),
            Mode::Enforce => self.find(message).map(drop),
        }
    }

    /// Counts a message that was opened and then believed.
    pub fn accept(&mut self, opened: Opened<'_>) {
        let Some(id) = opened.key else { return };
        if let Some(held) = self.keys.iter_mut().find(|held| held.key.id() == id) {
            held.accepted += 1;
        }
    }

    /// Goes on counting where `former`, which this ring takes the place of, has stopped.
    pub(crate) fn succeed(&mut self, former: &Self) {
        self.waived = former.waived;
        for held in &mut self.keys {
            held.accepted = former.held(held.key.id().number()).map_or(0, |held| held.accepted);
        }
    }

    fn verify(&self, message: &Message<'_>, bytes: &[u8]) -> Result<KeyId, Reject> {
        let key = self.find(message)?;
        let (said, tag) = bytes.split_last_chunk::<TAG>().ok_or(Reject::Malformed)?;
        let right = key.tag(&message.node, said).ct_eq(tag);
        if right.into() { Ok(key.id()) } else { Err(Reject::BadTag) }
    }

    /// The key that a message says it was sealed with.
    fn find(&self, message: &Message<'_>) -> Result<&MasterKey, Reject> {
        match message.key {
            0 => Err(Reject::Unsigned),
            id => self.held(id).map(|held| &held.key).ok_or(Reject::UnknownKey),
        }
    }

    /// One or two keys are searched sooner than looked up.
    fn held(&self, id: u8) -> Option<&Held> {
        self.keys.iter().map(|held| &**held).find(|held| held.key.id().number() == id)
    }

    fn waive(&mut self, reason: Reject) {
        if let Some(at) = REASONS.iter().position(|known| *known == reason) {
            self.waived[at] += 1;
        }
    }
}

impl<'a> Deref for Opened<'a> {
    type Target = Message<'a>;

    fn deref(&self) -> &Message<'a> {
        self.message
    }
}

impl core::fmt::Display for NotAdded {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Twice(id) => write!(f, "key {id} is there already; give each key an id of its own"),
            Self::SameSecret(id) => write!(f, "this is the secret of key {id}; make a new one"),
        }
    }
}

impl core::error::Error for NotAdded {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages;
    use crate::{NodeId, Seq};

    fn master(id: u8, suite: Suite, fill: u8) -> MasterKey {
        let id = KeyId::new(id).expect("not 0");
        MasterKey::new(id, suite, &[fill; 32][..suite.key_length()]).expect("the right length")
    }

    fn ring(mode: Mode) -> KeyRing {
        let mut ring = KeyRing::new(mode);
        ring.add(master(1, Suite::SipHash, 1)).expect("the first");
        ring.add(master(2, Suite::Hmac, 2)).expect("another");
        ring
    }

    fn sealed(key: &MasterKey) -> Vec<u8> {
        let mut out = Vec::new();
        key.seal(&Message { seq: Some(Seq::new(1)), ..Message::heartbeat("web-1") }, &mut out).expect("it can be sent");
        out
    }

    /// What a ring makes of the only message of a datagram: the key that opened it, or the reason.
    fn opened(ring: &mut KeyRing, datagram: &[u8]) -> Result<Option<u8>, Reject> {
        let (message, bytes) = messages(datagram).next().expect("one")?;
        let opened = ring.open(&message, bytes)?;
        assert_eq!(opened.node, NodeId::of("web-1"));
        ring.accept(opened);
        Ok(opened.key.map(KeyId::number))
    }

    fn accepted(ring: &KeyRing) -> Vec<u64> {
        ring.uses().map(|one| one.accepted).collect()
    }

    #[test]
    fn the_current_key_and_the_previous_one_open_and_no_other_does() {
        let mut ring = ring(Mode::Enforce);
        assert_eq!(opened(&mut ring, &sealed(&master(1, Suite::SipHash, 1))), Ok(Some(1)));
        assert_eq!(opened(&mut ring, &sealed(&master(2, Suite::Hmac, 2))), Ok(Some(2)));
        assert_eq!(opened(&mut ring, &sealed(&master(3, Suite::SipHash, 1))), Err(Reject::UnknownKey));
        assert_eq!(opened(&mut ring, &sealed(&master(1, Suite::SipHash, 9))), Err(Reject::BadTag));
        assert_eq!(opened(&mut ring, &sealed(&master(1, Suite::Hmac, 1))), Err(Reject::BadTag));
        assert_eq!(opened(&mut ring, b"hb web-1"), Err(Reject::Unsigned));
        assert_eq!(accepted(&ring), [1, 1]);
        assert_eq!(REASONS.map(|reason| ring.waived(reason)), [0, 0, 0]);
    }

    #[test]
    fn a_permissive_ring_believes_everything_and_counts_what_enforcing_would_refuse() {
        let mut ring = ring(Mode::Permissive);
        for (datagram, key) in [
            (&sealed(&master(1, Suite::SipHash, 1))[..], Some(1)),
            (&sealed(&master(3, Suite::SipHash, 1)), None),
            (&sealed(&master(1, Suite::SipHash, 9)), None),
            (&sealed(&master(2, Suite::Hmac, 9)), None),
            (b"hb web-1", None),
        ] {
            assert_eq!(opened(&mut ring, datagram), Ok(key));
        }
        assert_eq!(accepted(&ring), [1, 0], "a bad tag isn't one of the key that it names");
        assert_eq!(REASONS.map(|reason| ring.waived(reason)), [1, 1, 2]);
    }

    #[test]
    fn a_ring_that_is_off_looks_at_nothing() {
        let mut ring = ring(Mode::Off);
        for datagram in
            [&b"hb web-1"[..], &sealed(&master(1, Suite::SipHash, 9)), &sealed(&master(1, Suite::SipHash, 1))]
        {
            assert_eq!(opened(&mut ring, datagram), Ok(None));
        }
        assert_eq!((accepted(&ring), ring.waived(Reject::Unsigned)), (alloc::vec![0, 0], 0));
    }

    #[test]
    fn a_ring_that_enforces_admits_what_it_might_open() {
        let admits = |mode, datagram: &[u8]| {
            let (message, _) = messages(datagram).next().expect("one").expect("sound");
            ring(mode).admit(&message)
        };
        let forged = sealed(&master(1, Suite::SipHash, 9));
        let unknown = sealed(&master(3, Suite::SipHash, 1));
        assert_eq!(admits(Mode::Enforce, &forged), Ok(()), "who opens it will see");
        assert_eq!(admits(Mode::Enforce, &unknown), Err(Reject::UnknownKey));
        assert_eq!(admits(Mode::Enforce, b"hb web-1"), Err(Reject::Unsigned));
        for mode in [Mode::Off, Mode::Permissive] {
            assert_eq!((admits(mode, &unknown), admits(mode, b"hb web-1")), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn a_key_is_in_a_ring_once() {
        let mut ring = ring(Mode::Enforce);
        let id = |number| KeyId::new(number).expect("not 0");
        assert_eq!(ring.add(master(1, Suite::Hmac, 7)), Err(NotAdded::Twice(id(1))));
        assert_eq!(ring.add(master(3, Suite::Hmac, 2)), Err(NotAdded::SameSecret(id(2))));
        assert_eq!(ring.uses().count(), 2);
    }

    #[test]
    fn a_ring_goes_on_counting_where_the_former_one_stopped() {
        let mut former = ring(Mode::Permissive);
        let (first, second) = (master(1, Suite::SipHash, 1), master(2, Suite::Hmac, 2));
        for datagram in [&sealed(&first)[..], &sealed(&second), &sealed(&second), b"hb web-1"] {
            opened(&mut former, datagram).expect("permissive");
        }
        let mut ring = KeyRing::new(Mode::Enforce);
        ring.add(second).expect("the first");
        ring.add(master(3, Suite::SipHash, 3)).expect("another");
        ring.succeed(&former);
        assert_eq!(accepted(&ring), [2, 0]);
        assert_eq!(ring.waived(Reject::Unsigned), 1);
    }
}
