//! One system call, 64 datagrams: each with the moment the kernel received it, and all with a count of those it lost.
//!
//! This is where heartbeats come in and where a load generator sends them out. A group of sockets shares one address,
//! one socket per shard, and the kernel itself puts a node's heartbeats on the socket of the node's shard. Nothing here
//! blocks, allocates per datagram, reads a clock, or knows what the bytes mean: they are handed up as they came.
//!
//! ```text
//!             bind_group          Receiver                       Outbox
//! network --> Socket 0..n  -----> Received: bytes, stamp --> ... bytes -----> network
//!             (steered)           64 at a time                   64 at a time
//! ```
//!
//! What the operating system is asked directly stands in `linux.rs`, all the unsafe code of the project with it;
//! `portable.rs` says the same with one plain receive per datagram, and is used elsewhere.

#[cfg(all(target_os = "linux", not(systole_portable)))]
mod control;
#[cfg(all(target_os = "linux", not(systole_portable)))]
mod name;
#[cfg(all(target_os = "linux", not(systole_portable)))]
#[path = "linux.rs"]
mod sys;

#[cfg(not(all(target_os = "linux", not(systole_portable))))]
#[path = "portable.rs"]
mod sys;

mod outbox;
mod receive;
mod socket;
mod source;

pub use outbox::Outbox;
pub use receive::{Datagram, Received, Receiver};
pub use socket::{Options, Socket, adopt_group, bind_group};
/// The longest datagram received whole, in bytes. Longer ones are cut there and marked.
pub use systole_core::wire::DATAGRAM_MAX;

use systole_core::Span;

/// The most datagrams that one system call receives or sends.
pub const BATCH: usize = 64;

/// How many short datagrams a receive buffer holds while nobody reads it.
///
/// `receive_buffer` is the size as [`Socket::receive_buffer`] tells it. Linux charges not the bytes sent but the memory
/// taken: 832 for any datagram up to some 200 bytes, on 64-bit machines.
pub const fn capacity(receive_buffer: usize) -> usize {
    receive_buffer / DATAGRAM_CHARGE
}

/// How long a receive buffer lasts, unread, when `datagrams_per_second` short datagrams come in: the longest pause that
/// costs no heartbeat.
pub const fn lasts(receive_buffer: usize, datagrams_per_second: u64) -> Span {
    if datagrams_per_second == 0 {
        return Span::MAX;
    }
    let nanos = capacity(receive_buffer) as u128 * 1_000_000_000 / datagrams_per_second as u128;
    Span::from_nanos(if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 })
}

/// Bytes of receive buffer that one datagram of 64 bytes is charged on Linux: its 256-byte header in the kernel and its
/// 576 bytes of data space.
const DATAGRAM_CHARGE: usize = 832;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_mebibytes_asked_for_last_ten_milliseconds_at_a_million_a_second() {
        let granted = 2 * (4 << 20);
        assert_eq!(capacity(granted), 10_082);
        assert_eq!(lasts(granted, 1_000_000), Span::from_nanos(10_082_000));
    }

    #[test]
    fn a_buffer_that_nothing_fills_lasts_for_ever() {
        assert_eq!(lasts(1 << 20, 0), Span::MAX);
        assert_eq!(lasts(usize::MAX, 1), Span::MAX);
        assert_eq!(lasts(0, 1_000), Span::ZERO);
    }
}
