//! Suite 1: SipHash-2-4 with its 128-bit result. Two passes over 100 bytes, less than 100 ns, are a heartbeat.
//!
//! Key and result are 16 bytes. The first pass makes the node's key: it is over 32 bytes, label and
//! node id, and costs less than it would to look the key up among a million.

use alloc::vec::Vec;

use siphasher::sip128::{Hash128, SipHasher24};
use zeroize::Zeroizing;

use super::Tag;
use crate::NodeId;

/// The length of a key, in bytes.
pub(super) const LENGTH: usize = 16;

/// What stands before the node id when a node's key is made.
const LABEL: [u8; 16] = *b"systole nodekey1";

/// A key of this suite, a fleet's or a node's: two words, so that wiping one takes two writes.
#[derive(Clone)]
pub(super) struct Key(Zeroizing<[u64; 2]>);

impl Key {
    pub(super) fn new(bytes: &[u8; LENGTH]) -> Self {
        let bytes = u128::from_le_bytes(*bytes);
        Self(Zeroizing::new([bytes as u64, (bytes >> 64) as u64]))
    }

    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.map(u64::to_le_bytes).concat())
    }

    /// The key of a node, made from the fleet's.
    pub(super) fn derive(&self, node: &NodeId) -> Self {
        let mut input = [0; 32];
        input[..16].copy_from_slice(&LABEL);
        input[16..].copy_from_slice(node.bytes());
        let Hash128 { h1, h2 } = self.hash(&input);
        Self(Zeroizing::new([h1, h2]))
    }

    /// The tag that a node's key makes over `bytes`, in the order in which the reference implementation writes it.
    pub(super) fn tag(&self, bytes: &[u8]) -> Tag {
        u128::from(self.hash(bytes)).to_le_bytes()
    }

    fn hash(&self, bytes: &[u8]) -> Hash128 {
        let [low, high] = *self.0;
        SipHasher24::new_with_keys(low, high).hash(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_siphash_of_the_reference_implementation() {
        // vectors_sip128 of the reference implementation: the key is 00 01 .. 0f, the input 00 01 .. of each length.
        let key = Key::new(&core::array::from_fn(|i| i as u8));
        let input: Vec<u8> = (0..64).collect();
        for (length, expected) in [
            (0, 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128),
            (1, 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45),
            (8, 0x3b62_a9ba_6258_f561_0f83_e264_f314_97b4),
            (63, 0x5150_d177_2f50_834a_503e_069a_973f_bd7c),
        ] {
            assert_eq!(key.tag(&input[..length]), expected.to_be_bytes(), "{length} bytes");
        }
    }
}
