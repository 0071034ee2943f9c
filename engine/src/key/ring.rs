//! From the keys that a configuration names to the ring that a monitor holds.
//!
//! What the configuration says of a key must be what its file says, so that a file which was swapped is
//! noticed before it is trusted.

use std::path::PathBuf;

use systole_core::auth::{KeyId, KeyRing, Mode, NotAdded, Suite};

use super::file::{self, Unusable};
use super::line::Key;

/// A key that a monitor is told to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: KeyId,
    /// Its suite.
    pub suite: Suite,
    /// Where it lies.
    pub file: PathBuf,
}

/// A key can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Its file can't be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It is the key of one node, which makes no other.
    #[error("key file {} is the key of {of} alone; a monitor takes the master key of a fleet", file.display())]
    OfOne {
        /// Which file.
        file: PathBuf,
        /// Whose key it is.
        of: Box<str>,
    },
    /// The file says otherwise.
    #[error(
        "key file {} holds key {id} of suite {suite}, not what is asked for; correct id and suite, or name another file",
        file.display()
    )]
    Other {
        /// Which file.
        file: PathBuf,
        /// The id that it says.
        id: KeyId,
        /// The suite that it says.
        suite: Suite,
    },
    /// The ring has it already.
    #[error("key file {}: {error}", file.display())]
    NotAdded {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: NotAdded,
    },
}

/// The ring that these entries make.
///
/// # Errors
/// One of them can't be taken: the first.
pub fn ring(mode: Mode, entries: &[Entry]) -> Result<KeyRing, NotTaken> {
    let mut ring = KeyRing::new(mode);
    entries.iter().try_for_each(|entry| add(&mut ring, entry)).map(|()| ring)
}

/// Reads the key of an entry and adds it.
///
/// # Errors
/// It can't be taken; the ring is as before.
pub fn add(ring: &mut KeyRing, entry: &Entry) -> Result<(), NotTaken> {
    let file = || entry.file.clone();
    let key = match file::read(&entry.file)? {
        Key::Master(key) => key,
        Key::Node(of, _) => return Err(NotTaken::OfOne { file: file(), of }),
    };
    if (key.id(), key.suite()) != (entry.id, entry.suite) {
        return Err(NotTaken::Other { file: file(), id: key.id(), suite: key.suite() });
    }
    ring.add(key).map_err(|error| NotTaken::NotAdded { file: file(), error })
}

#[cfg(test)]
mod tests {
    use systole_core::NodeId;

    use super::*;
    use crate::key::line::{master_line, node_line};

    fn entry(folder: &tempfile::TempDir, id: u8, suite: Suite, line: &str) -> Entry {
        let file = folder.path().join(format!("{id}-{suite}-{}", line.len()));
        file::write(&file, line).expect("written");
        Entry { id: KeyId::new(id).expect("not 0"), suite, file }
    }

    fn master(id: u8, suite: Suite, fill: u8) -> String {
        master_line(KeyId::new(id).expect("not 0"), suite, &[fill; 32][..suite.key_length()]).to_string()
    }

    #[test]
    fn a_ring_holds_the_keys_that_were_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let entries = [
            entry(&folder, 1, Suite::SipHash, &master(1, Suite::SipHash, 1)),
            entry(&folder, 2, Suite::Hmac, &master(2, Suite::Hmac, 2)),
        ];
        let ring = ring(Mode::Enforce, &entries).expect("two keys");
        let held: Vec<_> = ring.uses().map(|one| (one.key.number(), one.suite)).collect();
        assert_eq!((ring.mode(), held), (Mode::Enforce, vec![(1, Suite::SipHash), (2, Suite::Hmac)]));
    }

    #[test]
    fn a_key_that_is_not_what_was_named_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = |entries: &[Entry]| ring(Mode::Enforce, entries).expect_err("not taken").to_string();
        let good = entry(&folder, 1, Suite::SipHash, &master(1, Suite::SipHash, 1));
        let other_id = Entry { id: KeyId::new(2).expect("not 0"), ..good.clone() };
        assert!(said(&[other_id]).contains("holds key 1 of suite siphash"));
        let other_suite = Entry { suite: Suite::Hmac, ..good.clone() };
        assert!(said(&[other_suite]).contains("holds key 1 of suite siphash"));
        let same = entry(&folder, 3, Suite::SipHash, &master(3, Suite::SipHash, 1));
        assert!(said(&[good, same]).contains("the secret of key 1"));
        let key = systole_core::auth::MasterKey::new(KeyId::new(4).expect("not 0"), Suite::SipHash, &[4; 16]);
        let line = node_line("web-1", &key.expect("as long").node(NodeId::of("web-1")));
        assert!(said(&[entry(&folder, 4, Suite::SipHash, &line)]).contains("the key of web-1 alone"));
        let gone = Entry { id: KeyId::new(1).expect("not 0"), suite: Suite::SipHash, file: "/nowhere/1.key".into() };
        assert!(said(&[gone]).contains("/nowhere/1.key"));
    }
}
