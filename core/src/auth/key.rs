//! The key of a fleet, and the key of one node that is made from it.
//!
//! ```text
//!   fleet's master key ──(label, node id)──► the node's key ──(message)──► tag
//! ```
//! A tag comes from a node's key alone and a node's key from the master key alone, so nobody gets from
//! tags to keys, or from one node's key to another's: a stolen node speaks for itself and for nobody
//! else. Suites share nothing: their keys differ in length, and their labels too.
//! What is dropped is wiped, and nothing here is ever shown; copies that a computation leaves on the
//! stack are overwritten by what comes next, not by us.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU8;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Tag, hmac, siphash};
use crate::wire::{Message, TAG, emit_binary};
use crate::{NodeId, Reject};

/// Which of a fleet's keys is meant, 1 to 255: a byte of every message that has a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(NonZeroU8);

/// How keys and tags are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// SipHash-2-4 with a 128-bit tag: the quick one.
    SipHash,
    /// HMAC-SHA256 cut to 128 bits: the one that everybody knows.
    Hmac,
}

/// A fleet's key: it makes the key of every node, and so can speak for all of them.
#[derive(Clone)]
pub struct MasterKey {
    id: KeyId,
    secret: Secret,
}

/// One node's key: it can speak for this node and no other.
#[derive(Clone)]
pub struct NodeKey {
    id: KeyId,
    node: NodeId,
    secret: Secret,
}

/// A key has the wrong number of bytes for its suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongLength {
    /// The suite.
    pub suite: Suite,
    /// How many bytes there are.
    pub bytes: usize,
}

#[derive(Clone)]
enum Secret {
    SipHash(siphash::Key),
    Hmac(hmac::Key),
}

impl KeyId {
    /// The id with this number; nothing for 0, which on the wire says that there is no tag.
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0.get()
    }
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::SipHash, Self::Hmac];

    /// The word for it, everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SipHash => "siphash",
            Self::Hmac => "hmac",
        }
    }

    /// The length of its keys, in bytes.
    pub const fn key_length(self) -> usize {
        match self {
            Self::SipHash => siphash::LENGTH,
            Self::Hmac => hmac::LENGTH,
        }
    }
}

impl MasterKey {
    /// The fleet's key with this id, from its bytes: random ones, as many as the suite wants.
    ///
    /// # Errors
    /// There are more or fewer.
    pub fn new(id: KeyId, suite: Suite, bytes: &[u8]) -> Result<Self, WrongLength> {
        Secret::new(suite, bytes).map(|secret| Self { id, secret })
    }

    /// Its id.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Its suite.
    pub const fn suite(&self) -> Suite {
        self.secret.suite()
    }

    /// The key of `node`.
    pub fn node(&self, node: NodeId) -> NodeKey {
        NodeKey { id: self.id, node, secret: self.secret.derive(&node) }
    }

    /// Appends `message` to `out` with the tag of its node: see [`NodeKey::seal`].
    ///
    /// # Errors
    /// If a receiver would refuse it, with the reason; `out` is unchanged then.
    pub fn seal(&self, message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        self.node(message.node).seal(message, out)
    }

    /// The tag that the key of `node` makes over the bytes of a message before its tag. Here the
    /// node's key isn't handed around: its copies would cost as much as the tag.
    pub(super) fn tag(&self, node: &NodeId, bytes: &[u8]) -> Tag {
        match &self.secret {
            Secret::SipHash(key) => key.derive(node).tag(bytes),
            Secret::Hmac(key) => key.derive(node).tag(bytes),
        }
    }

    /// Whether this is the same secret under whatever id.
    pub fn is_same_secret(&self, other: &Self) -> bool {
        self.secret.bytes().ct_eq(&other.secret.bytes()).into()
    }
}

impl NodeKey {
    /// The key of `node` that belongs to the fleet's key with this id, from its bytes.
    ///
    /// # Errors
    /// There are more or fewer bytes than the suite wants.
    pub fn new(id: KeyId, suite: Suite, node: NodeId, bytes: &[u8]) -> Result<Self, WrongLength> {
        Secret::new(suite, bytes).map(|secret| Self { id, node, secret })
    }

    /// The id of the fleet's key that it belongs to.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whose key it is.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Its suite.
    pub const fn suite(&self) -> Suite {
        self.secret.suite()
    }

    /// The secret itself, to be written where only the node can read it.
    pub fn secret(&self) -> Zeroizing<Vec<u8>> {
        self.secret.bytes()
    }

    /// Appends `message` to `out`, after any that are there already, with this key's id and tag. For
    /// the rest it is written as [`emit_binary`] says.
    ///
    /// # Errors
    /// If a receiver would refuse it, with the reason ([`Reject::BadTag`] for the message of another
    /// node); `out` is unchanged then.
    pub fn seal(&self, message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), Reject> {
        if message.node != self.node {
            return Err(Reject::BadTag);
        }
        let start = out.len();
        emit_binary(&Message { key: self.id.number(), ..*message }, out)?;
        let end = out.len() - TAG;
        let tag = self.tag(&out[start..end]);
        out[end..].copy_from_slice(&tag);
        Ok(())
    }

    /// The tag over the bytes of a message before its tag.
    fn tag(&self, bytes: &[u8]) -> Tag {
        self.secret.tag(bytes)
    }
}

impl Secret {
    fn new(suite: Suite, bytes: &[u8]) -> Result<Self, WrongLength> {
        let wrong = |_| WrongLength { suite, bytes: bytes.len() };
        Ok(match suite {
            Suite::SipHash => Self::SipHash(siphash::Key::new(bytes.try_into().map_err(wrong)?)),
            Suite::Hmac => Self::Hmac(hmac::Key::new(bytes.try_into().map_err(wrong)?)),
        })
    }

    const fn suite(&self) -> Suite {
        match self {
            Self::SipHash(_) => Suite::SipHash,
            Self::Hmac(_) => Suite::Hmac,
        }
    }

    fn derive(&self, node: &NodeId) -> Self {
        match self {
            Self::SipHash(key) => Self::SipHash(key.derive(node)),
            Self::Hmac(key) => Self::Hmac(key.derive(node)),
        }
    }

    fn tag(&self, bytes: &[u8]) -> Tag {
        match self {
            Self::SipHash(key) => key.tag(bytes),
            Self::Hmac(key) => key.tag(bytes),
        }
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::SipHash(key) => key.bytes(),
            Self::Hmac(key) => key.bytes(),
        }
    }
}

/// Its number.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All but the secret.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).field("suite", &self.suite()).finish_non_exhaustive()
    }
}

/// All but the secret.
impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, node, secret } = self;
        let mut show = f.debug_struct("NodeKey");
        show.field("id", id).field("node", node).field("suite", &secret.suite()).finish_non_exhaustive()
    }
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, bytes } = self;
        write!(f, "a key for {suite} has {} bytes, not {bytes}", suite.key_length())
    }
}

impl core::error::Error for WrongLength {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const ID: KeyId = KeyId::new(1).expect("not 0");

    fn master(suite: Suite) -> MasterKey {
        MasterKey::new(ID, suite, &[0xAB; 32][..suite.key_length()]).expect("the right length")
    }

    #[test]
    fn every_node_has_its_own_key_and_every_suite_its_own_keys() {
        let nodes = ["web-1", "web-2"].map(NodeId::of);
        let keys = Suite::ALL.map(|suite| nodes.map(|node| master(suite).node(node)));
        let secrets = keys.each_ref().map(|keys| keys.each_ref().map(NodeKey::secret));
        assert_ne!(secrets[0][0], secrets[0][1]);
        assert_ne!(secrets[1][0], secrets[1][1]);
        assert_ne!(secrets[0][0][..], secrets[1][0][..16]);
    }

    #[test]
    fn no_tag_is_a_key_even_over_what_a_key_is_made_of() {
        let (thief, victim) = (NodeId::of("web-1"), NodeId::of("web-2"));
        for (suite, label) in Suite::ALL.into_iter().zip([b"systole nodekey1", b"systole nodekey2"]) {
            let input = [&label[..], victim.bytes()].concat();
            let key = master(suite).node(victim);
            assert_eq!(master(suite).secret.tag(&input), key.secret()[..TAG], "so the victim's key is made");
            assert_ne!(master(suite).node(thief).tag(&input), key.secret()[..TAG]);
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        for suite in Suite::ALL {
            let right = suite.key_length();
            for bytes in [0, 1, right - 1, right + 1, 48] {
                let error = MasterKey::new(ID, suite, &[1; 48][..bytes]).expect_err("the wrong length");
                assert_eq!(error, WrongLength { suite, bytes });
                assert!(NodeKey::new(ID, suite, NodeId::of("a"), &[1; 48][..bytes]).is_err());
            }
        }
    }

    #[test]
    fn nothing_that_is_shown_of_a_key_is_its_secret() {
        for suite in Suite::ALL {
            let node = NodeKey::new(ID, suite, NodeId::of("a"), &[0xAB; 32][..suite.key_length()]).expect("a key");
            for shown in [format!("{:?}", master(suite)), format!("{node:?}")] {
                assert!(shown.contains(&format!("{suite:?}")), "{shown}");
                assert!(!["171", "ab, ab", "abab", "AB"].iter().any(|part| shown.contains(part)), "{shown}");
            }
        }
    }

    #[test]
    fn a_node_seals_for_itself_alone() {
        let key = master(Suite::SipHash).node(NodeId::of("web-1"));
        let mut out = Vec::from(*b"before");
        assert_eq!(key.seal(&Message::heartbeat("web-2"), &mut out), Err(Reject::BadTag));
        assert_eq!(
            key.seal(&Message { load: Some(-1.0), ..Message::heartbeat("web-1") }, &mut out),
            Err(Reject::BadValue)
        );
        assert_eq!(out, b"before");
    }
}
