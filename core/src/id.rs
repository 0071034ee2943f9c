//! Who is spoken of: a node's id on the wire, its place in the table, its life and its beat.
//!
//! A node is named by a text of 1 to 128 bytes. On the wire and in the table it is the first 128
//! bits of the SHA-256 of that name: one fixed width, the same in every language, and nobody can
//! find two names that meet. Everything here is a number with a meaning and private insides, so
//! that two of them can't be swapped by mistake.

use core::fmt;

use sha2::{Digest, Sha256};

/// The longest name of a node, in bytes.
pub const NAME_MAX: usize = 128;

/// A node on the wire: the first 16 bytes of the SHA-256 of its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId([u8; 16]);

/// A node's place in one monitor's table. Reused after the node was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIx(u32);

/// A group's place in one monitor's list of groups. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupIx(u16);

/// One life of a node. A restart has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Incarnation(u64);

/// The number of a heartbeat within one incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(u64);

/// Which nodes one monitor is responsible for: those of share `index` out of `count`.
///
/// The first four bytes of the id, read big-endian, modulo `count`, choose the share. A packet
/// filter of three instructions computes the same thing before a datagram reaches a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    count: u32,
}

impl NodeId {
    /// The id of the node called `name`.
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// The id with these bytes, as they stand on the wire.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand on the wire.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl NodeIx {
    /// The place number `index`.
    ///
    /// # Panics
    /// Beyond `u32::MAX` nodes; the table's maximum is checked long before.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("a table holds fewer than 2^32 nodes"))
    }

    /// The place as an index into an array.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl GroupIx {
    /// The first group: the one that nodes fall into which declare none.
    pub const FIRST: Self = Self(0);

    /// The place number `index`.
    ///
    /// # Panics
    /// Beyond `u16::MAX` groups; the configured maximum is checked long before.
    pub fn new(index: usize) -> Self {
        Self(u16::try_from(index).expect("there are fewer than 2^16 groups"))
    }

    /// The place as an index into an array.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Incarnation {
    /// The incarnation with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Seq {
    /// The heartbeat with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Share {
    /// All nodes: the only share there is.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// Share `index` of `count`; nothing unless `index < count`.
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index < count { Some(Self { index, count }) } else { None }
    }

    /// The index of the share that `node` belongs to.
    pub const fn owner(self, node: NodeId) -> u32 {
        let [a, b, c, d, ..] = node.0;
        u32::from_be_bytes([a, b, c, d]) % self.count
    }

    /// Whether `node` belongs to this share.
    pub const fn holds(self, node: NodeId) -> bool {
        self.count == 1 || self.owner(node) == self.index
    }
}

/// Whether `text` may name a node or a group: 1 to 128 bytes of `A-Z a-z 0-9 . _ : / @ -`.
pub fn is_name(text: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'@' | b'-'))
}

/// 32 hexadecimal digits.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_node_id_is_the_start_of_the_sha_256_of_its_name() {
        // printf %s web-1 | sha256sum
        let id = NodeId::of("web-1").to_string();
        assert_eq!(id.len(), 32);
        assert_eq!(NodeId::of("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223"); // FIPS 180-2, appendix B.1
    }

    #[test]
    fn a_name_has_1_to_128_bytes_of_its_alphabet() {
        assert!(is_name(b"eu-1/rack_7:web@a.b"));
        assert!(is_name(&[b'x'; 128]));
        for bad in [&b""[..], &[b'x'; 129], b"a b", b"a#b", "ä".as_bytes(), b"a\n"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn every_node_belongs_to_exactly_one_share() {
        for name in ["a", "b", "c", "d"] {
            let node = NodeId::of(name);
            let owners = (0..7).filter(|i| Share::new(*i, 7).is_some_and(|s| s.holds(node))).count();
            assert_eq!(owners, 1);
        }
        assert_eq!(Share::new(7, 7), None);
    }
}
