//! Stories of real sockets on loopback, through the public face only.
//!
//! Every wait is for an event, and gives up after ten seconds. Datagrams are sent in rounds that fit the smallest
//! receive buffer a system gives by itself, except where an overflow is the point.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use systole::udp::{BATCH, DATAGRAM_MAX, Datagram, Options, Outbox, Receiver, Socket, bind_group};
#[cfg(all(target_os = "linux", not(systole_portable)))]
use systole::{clock, udp::capacity};
use systole_core::{NodeId, Share};

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
/// An address of which no other test takes a port, where the system has more than one for itself.
const APART: &str = if cfg!(target_os = "linux") { "127.0.0.7:0" } else { V4 };

/// A bound group and the means to wait for it.
struct Ear {
    poll: Poll,
    sockets: Vec<Socket>,
    receiver: Receiver,
}

/// What one round of listening came to.
#[derive(Debug, Default)]
struct Heard {
    received: usize,
    dropped: u64,
    calls: usize,
    largest: usize,
}

impl Ear {
    fn new(address: &str, shards: usize, options: Options) -> Self {
        let mut sockets = bind_group(address.parse().unwrap(), shards, &options).unwrap();
        let poll = Poll::new().unwrap();
        for (i, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(i), Interest::READABLE).unwrap();
        }
        Self { poll, sockets, receiver: Receiver::new() }
    }

    fn address(&self) -> SocketAddr {
        self.sockets[0].local_addr()
    }

    /// Takes what is there, from every socket, and adds it to `heard`.
    fn take(&mut self, heard: &mut Heard, mut each: impl FnMut(usize, Datagram<'_>)) {
        for (i, socket) in self.sockets.iter().enumerate() {
            loop {
                let received = self.receiver.receive(socket).unwrap();
                heard.received += received.len();
                heard.dropped += received.dropped;
                heard.calls += usize::from(!received.is_empty());
                heard.largest = heard.largest.max(received.len());
                received.iter().for_each(|datagram| each(i, datagram));
                if received.drained() {
                    break;
                }
            }
        }
    }

    /// Listens until `enough`, or until ten seconds are over.
    fn listen(&mut self, mut enough: impl FnMut(&Heard) -> bool, mut each: impl FnMut(usize, Datagram<'_>)) -> Heard {
        let mut heard = Heard::default();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            self.take(&mut heard, &mut each);
            if enough(&heard) {
                return heard;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited ten seconds, and this is all: {heard:?}");
            match self.poll.poll(&mut Events::with_capacity(8), Some(left)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn listen_for(&mut self, count: usize, each: impl FnMut(usize, Datagram<'_>)) -> Heard {
        let heard = self.listen(|heard| heard.received >= count, each);
        assert_eq!(heard.received, count, "more came than were sent");
        heard
    }
}

fn sender(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if to.is_ipv6() { V6 } else { V4 }).unwrap();
    socket.connect(to).unwrap();
    socket
}

/// Bytes that begin like a binary heartbeat of this node.
fn heartbeat(node: NodeId) -> [u8; 64] {
    let mut bytes = [0x5A; 64];
    bytes[0] = 0xF5;
    bytes[8..24].copy_from_slice(node.bytes());
    bytes
}

fn node_of(bytes: &[u8]) -> NodeId {
    NodeId::from_bytes(bytes[8..24].try_into().unwrap())
}

#[cfg(all(target_os = "linux", not(systole_portable)))]
#[test]
fn twenty_thousand_nodes_each_meet_their_own_shard_whatever_port_they_send_from() {
    let mut ear = Ear::new(V4, 4, Options::default());
    assert!(ear.sockets.iter().all(Socket::steered));
    assert!(ear.sockets.iter().all(|socket| socket.local_addr() == ear.address()));
    let senders: Vec<_> = (0..7).map(|_| sender(ear.address())).collect();
    let mut met = [0; 4];
    for round in 0..200 {
        for i in 0..100 {
            let node = NodeId::of(&format!("node-{}", round * 100 + i));
            senders[i % 7].send(&heartbeat(node)).unwrap();
        }
        ear.listen_for(100, |socket, datagram| {
            let share = Share::new(socket as u32, 4).unwrap();
            let node = node_of(datagram.bytes);
            assert!(share.holds(node), "node {node} of share {} came in by socket {socket}", share.owner(node));
            met[socket] += 1;
        });
    }
    assert_eq!(met.iter().sum::<u32>(), 20_000);
    assert!(met.iter().all(|count| *count > 4_000), "{met:?}");
}

#[test]
fn what_the_steering_cannot_read_is_not_lost() {
    let mut ear = Ear::new(V4, 4, Options::default());
    let mut sent = BTreeSet::new();
    for i in 0..50 {
        // The line form, empty lines, a lone magic byte and a binary heartbeat that ends within the id.
        let sender = sender(ear.address());
        for bytes in [format!("web-{i} seq={i}\n").as_bytes(), b"", &[0xF5], &[0xF5, i, 0, 0, 0, 0, 0, 0, 1, 2]] {
            sender.send(bytes).unwrap();
            sent.insert(bytes.to_vec());
        }
    }
    let mut came = BTreeSet::new();
    ear.listen_for(200, |_, datagram| {
        came.insert(datagram.bytes.to_vec());
    });
    assert_eq!(came, sent);
}

#[cfg(all(target_os = "linux", not(systole_portable)))]
#[test]
fn the_line_form_goes_by_who_sends_it_and_not_by_what_it_says() {
    let mut ear = Ear::new(V4, 4, Options::default());
    let mut met = BTreeSet::new();
    for _ in 0..40 {
        let sender = sender(ear.address());
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            sender.send(format!("{name}-with-more-bytes-than-twelve seq=1").as_bytes()).unwrap();
        }
        let mut sockets = BTreeSet::new();
        ear.listen_for(7, |socket, _| {
            sockets.insert(socket);
        });
        assert_eq!(sockets.len(), 1, "one sender, several sockets: {sockets:?}");
        met.append(&mut sockets);
    }
    assert!(met.len() > 1, "forty senders, one socket: {met:?}");
}

#[cfg(all(target_os = "linux", not(systole_portable)))]
#[test]
fn every_datagram_is_stamped_between_its_sending_and_our_reading() {
    let clock = clock::Clock::start();
    let mut arrivals = clock::Arrivals::new(clock.read());
    let mut ear = Ear::new(V4, 1, Options::default());
    let sender = sender(ear.address());
    let before = clock.read();
    for _ in 0..100 {
        sender.send(b"web-1").unwrap();
    }
    let mut stamps = Vec::new();
    ear.listen_for(100, |_, datagram| stamps.push(datagram.stamp));
    let after = clock.read();

    let mut batch = arrivals.batch(after, true);
    for stamp in stamps {
        let nanos = stamp.expect("a stamp");
        assert!((before.unix_nanos..=after.unix_nanos).contains(&nanos));
        let arrival = batch.arrival(stamp);
        assert!(arrival <= after.now && arrival + systole_core::Span::from_millis(1) >= before.now);
    }
    assert_eq!((arrivals.clamped(), arrivals.clock_steps()), (0, 0));
}

#[cfg(all(target_os = "linux", not(systole_portable)))]
#[test]
fn every_datagram_sent_was_either_received_or_counted_as_dropped() {
    let mut ear = Ear::new(V4, 1, Options { receive_buffer: 64 << 10, ..Options::default() });
    let sender = sender(ear.address());
    let (mut total, mut sent) = (Heard::default(), 0);
    for _ in 0..3 {
        // Three times as many as fit; then there is room again.
        for _ in 0..3 * capacity(ear.sockets[0].receive_buffer()) {
            sender.send(&[7; 64]).unwrap();
            sent += 1;
        }
        ear.take(&mut total, |_, _| {});
    }
    // Losses are told with the next datagram that is kept. One is enough, unless the kernel was late with some.
    for _ in 0..1_000 {
        sender.send(&[7; 64]).unwrap();
        sent += 1;
        let heard = ear.listen(|heard| heard.received > 0, |_, _| {});
        total.received += heard.received;
        total.dropped += heard.dropped;
        if total.received as u64 + total.dropped >= sent {
            break;
        }
    }
    assert_eq!(total.dropped, sent - total.received as u64);
    assert!(total.dropped > 0, "nothing overflowed: {total:?}");
}

#[cfg(all(target_os = "linux", not(systole_portable)))]
#[test]
fn a_receive_buffer_holds_about_what_its_capacity_says() {
    let mut ear = Ear::new(V4, 1, Options { receive_buffer: 200 << 10, ..Options::default() });
    let sender = sender(ear.address());
    let capacity = capacity(ear.sockets[0].receive_buffer());
    for _ in 0..4 * capacity {
        sender.send(&[7; 64]).unwrap();
    }
    let mut heard = Heard::default();
    ear.take(&mut heard, |_, _| {});
    // Exact on 64-bit machines with cache lines of 64 bytes; others charge differently.
    assert!((capacity / 2..=capacity * 2).contains(&heard.received), "{capacity} should fit, {heard:?}");
}

#[test]
fn a_datagram_that_is_too_long_is_marked_and_harms_no_neighbour() {
    let mut ear = Ear::new(V4, 1, Options::default());
    let sender = sender(ear.address());
    let lengths = [64, 3_000, 65, DATAGRAM_MAX, DATAGRAM_MAX + 1, 66, 9_000, 67];
    for (i, length) in lengths.iter().enumerate() {
        sender.send(&vec![i as u8 + 1; *length]).unwrap();
    }
    let mut came = Vec::new();
    ear.listen_for(lengths.len(), |_, datagram| came.push((datagram.bytes.to_vec(), datagram.truncated)));
    came.sort();
    for (i, (length, (bytes, truncated))) in lengths.iter().zip(came).enumerate() {
        assert_eq!(bytes, vec![i as u8 + 1; DATAGRAM_MAX.min(*length)], "sent with {length} bytes");
        assert_eq!(truncated, *length > DATAGRAM_MAX, "sent with {length} bytes");
    }
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    let mut ear = Ear::new(V4, 1, Options::default());
    sender(ear.address()).send(&[]).unwrap();
    ear.listen_for(1, |_, datagram| {
        assert_eq!(datagram.bytes, b"");
        assert!(!datagram.truncated);
    });
}

#[test]
fn ipv6_is_steered_like_ipv4() {
    let mut ear = Ear::new(V6, 3, Options::default());
    assert!(ear.address().is_ipv6());
    let senders = [sender(ear.address()), sender(ear.address())];
    for i in 0..120 {
        senders[i % 2].send(&heartbeat(NodeId::of(&i.to_string()))).unwrap();
    }
    let steered = ear.sockets[0].steered();
    let mut nodes = BTreeSet::new();
    ear.listen_for(120, |socket, datagram| {
        let node = node_of(datagram.bytes);
        assert!(!steered || Share::new(socket as u32, 3).unwrap().holds(node));
        nodes.insert(node);
    });
    assert_eq!(nodes.len(), 120);
}

#[test]
fn a_taken_port_is_refused_with_its_name_and_a_way_out() {
    for (shards, more) in [(1, 1), (1, 4), (4, 1), (4, 4)] {
        let group = bind_group(APART.parse().unwrap(), shards, &Options::default()).unwrap();
        let address = group[0].local_addr();
        let error = bind_group(address, more, &Options::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{shards} sockets, then {more}");
        let message = error.to_string();
        assert!(message.contains(&address.to_string()) && message.contains("another port"), "{message}");

        // The failed attempt left nothing behind, and the group takes its port with it when it goes.
        drop(group);
        drop(UdpSocket::bind(address).unwrap());
        assert_eq!(bind_group(address, more, &Options::default()).unwrap().len(), more);
    }
}

#[test]
fn a_burst_arrives_complete_and_is_drained_a_batch_at_a_time() {
    let mut ear = Ear::new(V4, 1, Options::default());
    let mut outbox = Outbox::new();
    for i in 0..300u32 {
        outbox.push(&i.to_be_bytes());
    }
    assert_eq!(outbox.flush(&sender(ear.address())).unwrap(), 300);
    let mut came = BTreeSet::new();
    let heard = ear.listen_for(300, |_, datagram| {
        came.insert(u32::from_be_bytes(datagram.bytes.try_into().unwrap()));
    });
    assert_eq!(came, (0..300).collect());
    assert!(heard.calls >= 300usize.div_ceil(BATCH) && heard.largest <= BATCH, "{heard:?}");
    assert_eq!(heard.dropped, 0);
}

#[test]
fn a_silent_socket_gives_an_empty_batch_at_once() {
    let ear = Ear::new(V4, 1, Options::default());
    let mut receiver = Receiver::new();
    let received = receiver.receive(&ear.sockets[0]).unwrap();
    assert!(received.is_empty() && received.drained());
    assert_eq!((received.iter().len(), received.dropped), (0, 0));
}

#[test]
fn a_receive_buffer_is_granted_at_least_as_asked() {
    let socket =
        &bind_group(V4.parse().unwrap(), 1, &Options { receive_buffer: 100 << 10, send_buffer: Some(50 << 10) })
            .unwrap()[0];
    assert!(socket.receive_buffer() >= 100 << 10, "{}", socket.receive_buffer());
}
