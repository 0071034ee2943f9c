//! Collects datagrams and sends them 64 at a time.
//!
//! For whoever speaks for many nodes: the fake fleet and the load generator. The datagrams stand in one buffer, one
//! after the other, which is used again. Nothing is sent before [`Outbox::flush`], and nothing is thrown away because
//! the socket happens to be full.

use std::io;
use std::net::UdpSocket;

use super::sys;

/// Datagrams waiting to be sent over a connected socket, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    refused: u64,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a datagram.
    pub fn push(&mut self, datagram: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(datagram));
    }

    /// Adds the datagram that `write` appends.
    ///
    /// # Panics
    /// If `write` takes away what stood there before.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let length = self.bytes.len().checked_sub(start).expect("a datagram is appended to those that wait");
        self.lengths.push(length);
    }

    /// How many wait.
    pub const fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// How often the other side said that nobody listens there. That is about datagrams sent earlier and doesn't hold
    /// up those that wait.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Sends what waits, and returns how many went out.
    ///
    /// A blocking socket sends all. A non-blocking one may fill up; the rest waits for the next call.
    ///
    /// # Errors
    /// If the datagram at the front can't be sent at all: too long, no route, the socket not connected. None was sent
    /// by this call and that one was taken out, so that calling again goes on behind it.
    pub fn flush(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let (mut sent, mut start) = (0, 0);
        let outcome = loop {
            let waiting = &self.lengths[sent..];
            if waiting.is_empty() {
                break Ok(sent);
            }
            match sys::send(socket, &self.bytes[start..], waiting) {
                Ok(count) => {
                    start += waiting[..count].iter().sum::<usize>();
                    sent += count;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    // Each of these answers a datagram that did go out, so there can't be one for ever.
                    io::ErrorKind::ConnectionRefused => self.refused += 1,
                    io::ErrorKind::WouldBlock => break Ok(sent),
                    // It will be met again by the next call, at the front.
                    _ if sent > 0 => break Ok(sent),
                    _ => {
                        (sent, start) = (1, waiting[0]);
                        break Err(error);
                    }
                },
            }
        };
        self.lengths.drain(..sent);
        self.bytes.drain(..start);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        (sender, receiver)
    }

    #[test]
    fn datagrams_leave_in_order_with_their_borders() {
        let (sender, receiver) = pair();
        let mut outbox = Outbox::new();
        let lengths = (0..150).map(|i| i * 7 % 100);
        for length in lengths.clone() {
            outbox.push_with(|bytes| bytes.resize(bytes.len() + length, length as u8));
        }
        assert_eq!(outbox.len(), 150);
        assert_eq!(outbox.flush(&sender).unwrap(), 150);
        assert!(outbox.is_empty());
        for length in lengths {
            let mut buffer = [0; 200];
            let received = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..received], &vec![length as u8; length]);
        }
    }

    #[test]
    fn nobody_listening_is_counted_and_holds_nothing_up() {
        let (sender, receiver) = pair();
        let port = receiver.local_addr().unwrap();
        drop(receiver);
        let mut outbox = Outbox::new();
        let mut sent = 0;
        // The answer to one datagram is met by a later one.
        for _ in 0..100 {
            outbox.push(b"is anyone there?");
            sent += outbox.flush(&sender).unwrap();
            if outbox.refused() > 0 {
                break;
            }
        }
        assert!(outbox.refused() > 0, "nothing listens on {port}, and nobody said so");
        outbox.push(b"still going");
        assert_eq!(outbox.flush(&sender).unwrap(), 1);
        assert!(sent > 0 && outbox.is_empty());
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_is_an_error_once_and_not_a_dam() {
        let (sender, receiver) = pair();
        let mut outbox = Outbox::new();
        outbox.push(b"before");
        outbox.push(&[0; 70_000]);
        outbox.push(b"after");
        assert_eq!(outbox.flush(&sender).unwrap(), 1);
        assert!(outbox.flush(&sender).is_err());
        assert_eq!(outbox.flush(&sender).unwrap(), 1);
        assert!(outbox.is_empty());
        for expected in [&b"before"[..], b"after"] {
            let mut buffer = [0; 100];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }

    #[test]
    fn a_full_socket_keeps_the_rest_for_later() {
        // A socket pair of the local kind pushes back, which UDP on loopback never does.
        #[cfg(unix)]
        {
            use std::os::fd::OwnedFd;
            use std::os::unix::net::UnixDatagram;

            let (ours, theirs) = UnixDatagram::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            theirs.set_nonblocking(true).unwrap();
            let sender = UdpSocket::from(OwnedFd::from(ours));
            let mut outbox = Outbox::new();
            for i in 0..5_000u32 {
                outbox.push(&i.to_be_bytes());
            }
            let mut next = 0u32;
            let mut flushes = 0;
            while next < 5_000 {
                let waiting = outbox.len();
                let sent = outbox.flush(&sender).unwrap();
                assert_eq!(outbox.len(), waiting - sent);
                flushes += 1;
                let mut buffer = [0; 8];
                while let Ok(length) = theirs.recv(&mut buffer) {
                    assert_eq!(buffer[..length], next.to_be_bytes());
                    next += 1;
                }
            }
            assert!(outbox.is_empty());
            assert!(flushes > 1, "the socket was never full");
        }
    }
}
