//! Sockets that were open before we were: a service manager holds them while nobody runs.
//!
//! ```text
//!   systemd  ──binds──► udp 0.0.0.0:2328 ──┬──► systole 1 ─ stops
//!            (systole.socket)              │      datagrams wait in the kernel
//!                                          └──► systole 2 ─ starts, reads them
//! ```
//!
//! Which socket is which is told by its address: the configuration says where to listen as ever, and what
//! is open already isn't opened again. A socket that nothing was configured for is refused, as heartbeats
//! would wait in it for ever.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, bail};
use listenfd::ListenFd;

use crate::config::Listen;

/// Sockets that were handed to this process.
#[derive(Debug, Default)]
pub struct Inherited {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Inherited {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those that the environment speaks of (`LISTEN_FDS`). To be called once, before there are other threads.
    ///
    /// # Errors
    /// One of them is neither for datagrams nor for connections over IP.
    pub fn from_environment() -> anyhow::Result<Self> {
        let mut handed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..handed.len() {
            if let Ok(Some(udp)) = handed.take_udp_socket(index) {
                inherited.udp.push(udp);
            } else if let Ok(Some(tcp)) = handed.take_tcp_listener(index) {
                inherited.tcp.push(tcp);
            } else {
                bail!(
                    "socket number {} of those handed over (LISTEN_FDS) is neither UDP nor TCP; \
                     name no others in the socket unit",
                    index + 1
                );
            }
        }
        Ok(inherited)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.udp.len() + self.tcp.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many shards they are made for: as many as there are sockets on one address. Nothing if none is for heartbeats.
    ///
    /// # Errors
    /// That isn't what was configured, differs from address to address, or there is a socket that nothing was
    /// configured for.
    pub fn shards(&self, listen: &Listen) -> anyhow::Result<Option<usize>> {
        for socket in &self.udp {
            let local = socket.local_addr().context("a socket that was handed over has no address")?;
            if !listen.udp.contains(&local) {
                bail!(
                    "a socket for heartbeats on {local} was handed over, but the configuration listens on {}; \
                     set udp under [listen] to it, or take it out of the socket unit",
                    list(&listen.udp)
                );
            }
        }
        for socket in &self.tcp {
            let local = socket.local_addr().context("a socket that was handed over has no address")?;
            if listen.http != Some(local) {
                bail!(
                    "a socket for questions on {local} was handed over, but http under [listen] is {}; \
                     set it to that address, or take the socket out of the socket unit",
                    listen.http.map_or_else(|| "off".to_owned(), |address| address.to_string())
                );
            }
        }
        let mut shards = listen.shards;
        let counts = listen.udp.iter().map(|address| (address, self.count(*address)));
        for (address, count) in counts.filter(|(_, count)| *count > 0) {
            match shards {
                Some(wanted) if wanted != count => bail!(
                    "{count} of the sockets handed over {} for heartbeats on {address}, but {wanted} shards are wanted, \
                     which takes {wanted}; set shards = {count} under [listen], or name the address {wanted} times in the \
                     socket unit, with ReusePort=yes",
                    if count == 1 { "is" } else { "are" }
                ),
                Some(_) | None => shards = Some(count),
            }
        }
        Ok(shards.filter(|_| !self.udp.is_empty()))
    }

    /// Those for heartbeats on `address`, in the order in which they were handed over.
    pub fn take_udp(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        let (taken, left) = std::mem::take(&mut self.udp).into_iter().partition(|socket| is_on(socket, address));
        self.udp = left;
        taken
    }

    /// The one for questions.
    pub fn take_http(&mut self) -> Option<TcpListener> {
        self.tcp.pop()
    }

    fn count(&self, address: SocketAddr) -> usize {
        self.udp.iter().filter(|socket| is_on(socket, address)).count()
    }
}

fn is_on(socket: &UdpSocket, address: SocketAddr) -> bool {
    socket.local_addr().is_ok_and(|local| local == address)
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(udp: usize) -> (Inherited, Listen) {
        let udp: Vec<UdpSocket> = (0..udp).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let listen =
            Listen { udp: udp.iter().map(|socket| socket.local_addr().unwrap()).collect(), ..Listen::default() };
        (Inherited { udp, tcp: Vec::new() }, listen)
    }

    #[test]
    fn as_many_shards_as_sockets_of_one_address_unless_others_are_wanted() {
        let (inherited, mut listen) = handed(2);
        assert_eq!(inherited.shards(&listen).unwrap(), Some(1), "one on each address");
        listen.shards = Some(3);
        let error = inherited.shards(&listen).unwrap_err().to_string();
        assert!(error.contains("set shards = 1") && error.contains("ReusePort=yes"), "{error}");
        assert_eq!(Inherited::none().shards(&listen).unwrap(), None);
    }

    #[test]
    fn a_socket_that_nothing_was_configured_for_is_named() {
        let (mut inherited, listen) = handed(1);
        let stray = TcpListener::bind("127.0.0.1:0").unwrap();
        let named = stray.local_addr().unwrap().to_string();
        inherited.tcp.push(stray);
        let error = inherited.shards(&listen).unwrap_err().to_string();
        assert!(error.contains(&named) && error.contains("http under [listen]"), "{error}");
        let (inherited, _) = handed(1);
        let error = inherited.shards(&listen).unwrap_err().to_string();
        assert!(error.contains(&inherited.udp[0].local_addr().unwrap().to_string()), "{error}");
    }

    #[test]
    fn each_socket_is_taken_by_its_address_and_once() {
        let (mut inherited, listen) = handed(2);
        assert_eq!(inherited.take_udp(listen.udp[1]).len(), 1);
        assert_eq!((inherited.take_udp(listen.udp[1]).len(), inherited.len()), (0, 1));
        assert!(inherited.take_http().is_none());
    }
}
