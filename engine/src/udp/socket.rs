//! The sockets that heartbeats come in by: one per shard, all on one address.
//!
//! With several shards the kernel reads the first bytes of each datagram and picks the socket, so that a node always
//! meets the same thread and shards need share nothing:
//!
//! ```text
//! byte   0          8            12           24
//!        +----------+------------+------------+----
//!        | F5  ...  | start of id, 16 bytes   | ...     socket = big-endian u32 at 8, modulo shards
//!        +----------+------------+------------+----
//!        anything else                                  socket = hash of addresses and ports
//! ```
//!
//! This file decides nothing about datagrams; receiving is `receive.rs`.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Type};

use super::sys;

/// What to ask of the kernel for each socket.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of receive buffer to ask for. Linux grants twice that, and without `CAP_NET_ADMIN` no more than twice
    /// `net.core.rmem_max`: what came of it is [`Socket::receive_buffer`].
    pub receive_buffer: usize,
    /// Bytes of send buffer to ask for, or what the system gives by itself.
    pub send_buffer: Option<usize>,
}

/// Memory for 80 ms of a million heartbeats a second.
impl Default for Options {
    fn default() -> Self {
        Self { receive_buffer: 32 << 20, send_buffer: None }
    }
}

/// One bound, non-blocking socket; register it with a [`mio::Poll`] and read it through a [`Receiver`].
///
/// mio tells of readiness once: read until [`Received::drained`] before waiting again.
///
/// [`Receiver`]: super::Receiver
/// [`Received::drained`]: super::Received::drained
#[derive(Debug)]
pub struct Socket {
    inner: mio::net::UdpSocket,
    local: SocketAddr,
    receive_buffer: usize,
    steered: bool,
    /// The kernel's count of lost datagrams when it last told us. It belongs to the socket and not to who reads it, and
    /// a socket is read by one thread.
    lost: Cell<u32>,
}

/// Binds one socket for each shard to one address; socket `i` is that of share `i` of `shards`.
///
/// Port 0 lets the kernel choose, the same port for all. `[::]` takes IPv4 as well where the system is set up so, as
/// Linux is. Start and stop a group as a whole: closing one socket renumbers the others. A datagram that comes while
/// the group is only half bound may land on a socket that isn't its node's, so a shard still looks whose it is.
///
/// # Errors
/// If the address is taken (by a group of the same user too), isn't this machine's or isn't allowed; the message names
/// the address and the way out. `shards` must be at least 1. Nothing stays bound.
pub fn bind_group(address: SocketAddr, shards: usize, options: &Options) -> io::Result<Vec<Socket>> {
    let count = u32::try_from(shards).ok().filter(|count| *count > 0).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{shards} shards can't listen; use one per core, at least 1"),
        )
    })?;
    let (sockets, steered) = bind(address, count, options).map_err(|error| explain(address, &error))?;
    sockets.into_iter().map(|socket| Socket::new(socket, steered)).collect()
}

/// Takes over sockets that somebody else bound to one address, in the order in which they were bound; socket `i`
/// becomes that of share `i`. What waits in them is received as if it had come now.
///
/// # Errors
/// One of them can't be set up as [`bind_group`] does it.
pub fn adopt_group(sockets: Vec<UdpSocket>, options: &Options) -> io::Result<Vec<Socket>> {
    let sockets: Vec<socket2::Socket> = sockets.into_iter().map(Into::into).collect();
    sockets.iter().try_for_each(|socket| prepare(socket, options))?;
    let steered = sys::steer_group(&sockets);
    let adopt = |socket| {
        let socket = Socket::new(socket, steered)?;
        // What others lost with it is theirs.
        socket.dropped();
        Ok(socket)
    };
    sockets.into_iter().map(adopt).collect()
}

/// One socket is bound alone, so that nobody can join it. It needs no steering: every node meets it.
fn bind(address: SocketAddr, shards: u32, options: &Options) -> io::Result<(Vec<socket2::Socket>, bool)> {
    let open = || open(address, options);
    if shards > 1 {
        return sys::bind_group(address, shards, open);
    }
    let socket = open()?;
    socket.bind(&address.into())?;
    Ok((vec![socket], true))
}

fn open(address: SocketAddr, options: &Options) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, options)?;
    Ok(socket)
}

fn prepare(socket: &socket2::Socket, options: &Options) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    sys::receive_buffer(socket, options.receive_buffer)?;
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    sys::watch(socket)
}

fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "it is taken; stop the process that has it (ss -ulnp names it) or choose another port".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has it; choose one that does, or 0.0.0.0 or [::] for all".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "that isn't allowed to this user; choose a port above 1023 or grant CAP_NET_BIND_SERVICE".to_owned()
        }
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("can't listen on UDP address {address}: {reason}"))
}

impl Socket {
    fn new(socket: socket2::Socket, steered: bool) -> io::Result<Self> {
        let receive_buffer = socket.recv_buffer_size()?;
        let inner = mio::net::UdpSocket::from_std(socket.into());
        let local = inner.local_addr()?;
        Ok(Self { inner, local, receive_buffer, steered, lost: Cell::new(0) })
    }

    /// The address it is bound to, with the port that the kernel chose.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Bytes of receive buffer that the kernel granted, by its own account; [`capacity`] says what that holds.
    ///
    /// [`capacity`]: super::capacity
    pub const fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }

    /// Whether every binary heartbeat comes in by the socket of its node's share. If not, which some old kernels and
    /// sandboxes cause, each shard has to hand over what isn't its own.
    pub const fn steered(&self) -> bool {
        self.steered
    }

    /// Datagrams that the kernel dropped since that was last told, here or with a batch: 0 where it doesn't tell.
    pub fn dropped(&self) -> u64 {
        sys::lost(&self.inner).map_or(0, |count| self.lost_since(count))
    }

    pub(super) const fn inner(&self) -> &mio::net::UdpSocket {
        &self.inner
    }

    /// Notes the kernel's count of lost datagrams, and says how many more these are than at the last call.
    ///
    /// The count is 32 bits and wraps. It is read without a lock in the kernel; should a reading lag behind the one
    /// before it, that isn't taken for four thousand million losses.
    pub(super) fn lost_since(&self, count: u32) -> u64 {
        let more = count.wrapping_sub(self.lost.get());
        if more > u32::MAX / 2 {
            return 0;
        }
        self.lost.set(count);
        u64::from(more)
    }
}

/// Waiting is done as with mio's own sockets.
impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.inner.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.inner.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.inner.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> Socket {
        bind_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1, &Options::default()).unwrap().remove(0)
    }

    #[test]
    fn losses_are_counted_across_the_wrap_of_the_kernels_32_bits() {
        let socket = socket();
        assert_eq!(socket.lost_since(0x7000_0000), 0x7000_0000);
        assert_eq!(socket.lost_since(0xE000_0000), 0x7000_0000);
        assert_eq!(socket.lost_since(0xFFFF_FFFF), 0x1FFF_FFFF);
        assert_eq!(socket.lost_since(4), 5);
        assert_eq!(socket.lost_since(4), 0);
    }

    #[test]
    #[cfg(all(target_os = "linux", not(systole_portable)))]
    fn what_was_lost_before_a_socket_was_taken_over_is_not_ours() {
        let options = Options { receive_buffer: 1, ..Options::default() };
        let full = bind_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1, &options).unwrap().remove(0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let flood = || (0..1_000).for_each(|_| _ = sender.send_to(b"hb a", full.local_addr()));
        flood();
        let taken = std::os::fd::AsFd::as_fd(&full.inner).try_clone_to_owned().unwrap();
        let adopted = adopt_group(vec![taken.into()], &options).unwrap().remove(0);
        assert!(full.dropped() > 0);
        assert_eq!(adopted.dropped(), 0);
        flood();
        assert!(adopted.dropped() >= 1_000, "those are");
    }

    #[test]
    fn a_count_that_lags_behind_is_no_loss_and_is_not_counted_twice() {
        let socket = socket();
        assert_eq!(socket.lost_since(10), 10);
        assert_eq!(socket.lost_since(9), 0);
        assert_eq!(socket.lost_since(12), 2);
    }

    #[test]
    fn no_shards_are_refused_with_a_reason() {
        let error = bind_group(SocketAddr::from(([127, 0, 0, 1], 0)), 0, &Options::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at least 1"), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_a_way_out() {
        // TEST-NET-1 (RFC 5737) is no machine's.
        let error = bind_group("192.0.2.1:4000".parse().unwrap(), 2, &Options::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("192.0.2.1:4000") && error.to_string().contains("0.0.0.0"), "{error}");
    }
}
