//! The same as `linux.rs` for every other system: one plain receive per datagram, no kernel time, no count of losses.
//!
//! Good enough to develop on, and to run a small fleet. Arrivals are then the moments at which we looked, so a pause of
//! this process looks like a pause of every node. Shards share one socket instead of owning one each: whichever reads
//! first gets the datagram, and hands it to the shard of its node.
//!
//! On Linux it is built with `RUSTFLAGS="--cfg systole_portable"`, so that it can't rot unseen.

use std::io;
use std::net::SocketAddr;

use systole_core::Source;

use super::receive::{Buffer, Haul, Note};
use super::source::source;
use super::{BATCH, DATAGRAM_MAX};

/// Bytes of room for one datagram: one more than may come, as only a full buffer tells of a longer one.
pub(super) const ROOM: usize = DATAGRAM_MAX + 1;

/// Receives what is there, at most [`BATCH`]. Never waits.
///
/// # Errors
/// `WouldBlock` when nothing is there. On any error no buffer holds a datagram.
pub(super) fn receive(
    socket: &mio::net::UdpSocket,
    buffers: &mut [Buffer; BATCH],
    notes: &mut [Note; BATCH],
) -> io::Result<Haul> {
    for (count, (buffer, note)) in buffers.iter_mut().zip(&mut *notes).enumerate() {
        let (length, source) = match socket.recv_from(buffer) {
            Ok((length, from)) => (length, source(from.ip())),
            // Windows cuts as well, but calls it an error.
            Err(error) if cfg!(windows) && error.raw_os_error() == Some(WSAEMSGSIZE) => (ROOM, Source::LOCAL),
            Err(error) if count == 0 => return Err(error),
            Err(_) => return Ok(Haul { count, lost: None }),
        };
        *note = Note { length: length.min(DATAGRAM_MAX), stamp: None, truncated: length > DATAGRAM_MAX, source };
    }
    Ok(Haul { count: BATCH, lost: None })
}

/// Not told.
///
/// # Errors
/// Always.
pub(super) fn lost(_: &mio::net::UdpSocket) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Sends datagrams that stand in `bytes` one after the other, of these lengths: the first [`BATCH`] at most. Returns
/// how many went out.
///
/// # Errors
/// Those of the first datagram; then none was sent.
///
/// # Panics
/// If `lengths` add up to more than there are `bytes`.
pub(super) fn send(socket: &std::net::UdpSocket, bytes: &[u8], lengths: &[usize]) -> io::Result<usize> {
    let mut rest = bytes;
    for (sent, length) in lengths.iter().take(BATCH).enumerate() {
        let (datagram, after) = rest.split_at(*length);
        match socket.send(datagram) {
            Ok(_) => rest = after,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => return Ok(sent),
        }
    }
    Ok(lengths.len().min(BATCH))
}

/// There is nothing to switch on.
pub(super) fn watch(_: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

/// Asks for a receive buffer.
pub(super) fn receive_buffer(socket: &socket2::Socket, bytes: usize) -> io::Result<()> {
    socket.set_recv_buffer_size(bytes)
}

/// Binds one socket and gives every shard a handle to it. Never steered.
pub(super) fn bind_group(
    address: SocketAddr,
    shards: u32,
    open: impl Fn() -> io::Result<socket2::Socket>,
) -> io::Result<(Vec<socket2::Socket>, bool)> {
    let first = open()?;
    first.bind(&address.into())?;
    let mut sockets = (1..shards).map(|_| first.try_clone()).collect::<io::Result<Vec<_>>>()?;
    sockets.push(first);
    Ok((sockets, false))
}

/// Never steered, unless there is nothing to choose from.
pub(super) fn steer_group(sockets: &[socket2::Socket]) -> bool {
    sockets.len() < 2
}

const WSAEMSGSIZE: i32 = 10_040;
