//! What the kernel says beside a datagram: when it came, and how many were lost before it.
//!
//! It writes a chain of notes into the buffer that was lent for them, each a header, then data, padded to a word:
//!
//! ```text
//! |<--------------- length --------------->|
//! +-----------------+-------+------+-------+---------+-----------------+----
//! | length (1 word) | level | kind | data  | padding | length (1 word) | ...
//! +-----------------+-------+------+-------+---------+-----------------+----
//! ```
//!
//! The C macros for this walk raw pointers and trust each length. Here it is a slice of bytes, so a chain that is cut
//! short or makes no sense ends the reading and is nothing worse.

use std::mem::{offset_of, size_of};

/// What was said about one datagram. Nothing, where the kernel said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// When the kernel received it: nanoseconds of Unix time.
    pub(super) stamp: Option<u64>,
    /// Datagrams that this socket has lost so far, modulo 2^32. Not said before the first loss.
    pub(super) lost: Option<u32>,
}

/// Room for both notes.
pub(super) const SPACE: usize = padded(HEADER) + padded(2 * size_of::<i64>()) + padded(HEADER) + padded(LOST);

/// Reads a chain of notes.
pub(super) fn parse(mut chain: &[u8]) -> Control {
    let mut control = Control::default();
    while let Some((length, rest)) = chain.split_first_chunk() {
        let length = usize::from_ne_bytes(*length);
        let (Some((level, rest)), true) = (rest.split_first_chunk(), length <= chain.len()) else { break };
        let Some((kind, _)) = rest.split_first_chunk() else { break };
        let Some(data) = chain.get(HEADER..length) else { break };
        match (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind)) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => control.stamp = stamp(data),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => control.lost = data.try_into().ok().map(u32::from_ne_bytes),
            _ => {} // Nobody asked for it.
        }
        chain = chain.get(padded(length)..).unwrap_or_default();
    }
    control
}

/// Seconds and nanoseconds as the kernel writes them, which is two words of 64 bits, or of 32 on some 32-bit machines.
fn stamp(data: &[u8]) -> Option<u64> {
    let (secs, nanos) = match data.len() {
        16 => {
            let (secs, nanos) = data.split_at(8);
            (i64::from_ne_bytes(secs.try_into().ok()?), i64::from_ne_bytes(nanos.try_into().ok()?))
        }
        8 => {
            let (secs, nanos) = data.split_at(4);
            (i32::from_ne_bytes(secs.try_into().ok()?).into(), i32::from_ne_bytes(nanos.try_into().ok()?).into())
        }
        _ => return None,
    };
    u64::try_from(secs).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(nanos).ok()?)
}

const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 4 + 4;
const LOST: usize = size_of::<u32>();

const fn padded(length: usize) -> usize {
    length.saturating_add(WORD - 1) / WORD * WORD
}

// The drawing above is the kernel's `cmsghdr`.
const _: () = assert!(HEADER == size_of::<libc::cmsghdr>() && HEADER == padded(HEADER));
const _: () = assert!(offset_of!(libc::cmsghdr, cmsg_level) == WORD);
const _: () = assert!(offset_of!(libc::cmsghdr, cmsg_type) == WORD + 4);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(padded(bytes.len()), 0xAA);
        bytes
    }

    fn time(secs: i64, nanos: i64) -> Vec<u8> {
        note(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &[secs.to_ne_bytes(), nanos.to_ne_bytes()].concat())
    }

    fn lost(count: u32) -> Vec<u8> {
        note(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &count.to_ne_bytes())
    }

    #[test]
    fn both_notes_are_read_in_either_order_and_past_a_strange_one() {
        let both = Control { stamp: Some(1_700_000_000_000_000_007), lost: Some(9) };
        let strange = note(libc::SOL_IP, 8, b"sixteen bytes...");
        for chain in [[lost(9), time(1_700_000_000, 7)], [time(1_700_000_000, 7), lost(9)]] {
            assert_eq!(parse(&chain.concat()), both);
            assert_eq!(parse(&[strange.clone(), chain.concat()].concat()), both);
            assert!(chain.concat().len() <= SPACE);
        }
        // The kernel's count of bytes leaves out the padding of the last note.
        assert_eq!(parse(&lost(9)[..HEADER + 4]).lost, Some(9));
        assert_eq!(parse(&[]), Control::default());
    }

    #[test]
    fn a_chain_cut_anywhere_gives_what_was_whole_and_nothing_else() {
        let chain = [time(5, 6), lost(7)].concat();
        for cut in 0..chain.len() {
            let control = parse(&chain[..cut]);
            assert_eq!(control.stamp, (cut >= HEADER + 16).then_some(5_000_000_006), "cut at {cut}");
            assert_eq!(control.lost, (cut >= time(5, 6).len() + HEADER + 4).then_some(7), "cut at {cut}");
        }
    }

    #[test]
    fn a_time_before_1970_or_beyond_64_bits_is_no_stamp() {
        assert_eq!(parse(&time(-1, 0)).stamp, None);
        assert_eq!(parse(&time(1, -1)).stamp, None);
        assert_eq!(parse(&time(i64::MAX, 0)).stamp, None);
    }

    #[test]
    fn a_length_shorter_than_its_own_header_ends_the_reading() {
        for length in [0, 1, HEADER - 1, usize::MAX] {
            let mut chain = [time(5, 6), lost(7)].concat();
            chain[..WORD].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(parse(&chain), Control::default(), "length {length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_the_reading_ends(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(16), Just(35), any::<u8>()], 0..200)
        ) {
            let _ = parse(&bytes);
        }
    }
}
