//! Suite 2: HMAC-SHA256, for those who need what everybody knows; six blocks of SHA-256 are a heartbeat.
//!
//! Keys are 32 bytes, a tag is the first 16 of the result (RFC 2104, section 5). A key is kept with
//! its two padded blocks already taken in, so that making a node's key costs two blocks and not four.

use alloc::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{TAG, Tag};
use crate::NodeId;

/// The length of a key, in bytes.
pub(super) const LENGTH: usize = 32;

/// What stands before the node id when a node's key is made.
const LABEL: [u8; 16] = *b"systole nodekey2";

/// A key of this suite, a fleet's or a node's.
#[derive(Clone)]
pub(super) struct Key {
    bytes: Zeroizing<[u8; LENGTH]>,
    keyed: Hmac<Sha256>,
}

impl Key {
    pub(super) fn new(bytes: &[u8; LENGTH]) -> Self {
        let keyed = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        Self { bytes: Zeroizing::new(*bytes), keyed }
    }

    pub(super) fn bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.bytes.to_vec())
    }

    /// The key of a node, made from the fleet's.
    pub(super) fn derive(&self, node: &NodeId) -> Self {
        let mac = self.keyed.clone().chain_update(LABEL).chain_update(node.bytes());
        Self::new(&Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    /// The tag that a node's key makes over `bytes`.
    pub(super) fn tag(&self, bytes: &[u8]) -> Tag {
        let result = self.keyed.clone().chain_update(bytes).finalize().into_bytes();
        core::array::from_fn(|i| result[i])
    }
}

const _: () = assert!(TAG <= LENGTH, "a tag is cut from a result");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hmac_of_the_rfc() {
        // RFC 4231, test case 1 has a key of 20 bytes; HMAC fills every key up with zeros, so 32 bytes say the same.
        let mut bytes = [0; LENGTH];
        bytes[..20].fill(0x0b);
        let key = Key::new(&bytes);
        assert_eq!(key.tag(b"Hi There"), 0xb034_4c61_d8db_3853_5ca8_afce_af0b_f12b_u128.to_be_bytes());
    }
}
