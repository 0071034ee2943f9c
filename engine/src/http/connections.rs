//! At most 256 connections at once, 64 from one address, and none that only takes up room.
//!
//! ```text
//!   accepted ──► waits for a request ──whole head──► answers ──last byte sent──► waits again
//!                 5 s, then closed;                   60 s without a byte that
//!                 sooner if all places are taken      moves, then closed
//! ```
//!
//! When all places are taken, the connection that has waited longest for a request makes way for
//! the new one: whoever opens connections and says nothing shuts nobody out. Nor does whoever asks and
//! then hardly reads: an answer that its reader has kept waiting for ten seconds makes way like an idle
//! one. If all of them are being answered, the new one waits until somebody goes. An event stream is an
//! answer that goes on and says something every 15 s, so it is never taken for idle.
//!
//! An address that has all it may have is treated alike, but its new connection isn't kept waiting. This
//! machine's own is excepted: a proxy speaks for everybody from there.

use std::io;
#[cfg(test)]
use std::net::SocketAddr;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::door::Refusals;

/// How long a request may take to arrive, from the connection's beginning or the answer before.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// How long an answer may stand still.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// How long an answer may be kept waiting by its reader while others wait for a place.
const KEPT_MAX: Duration = Duration::from_secs(10);

/// A reader that took everything for so long isn't the slow one any more that it was before.
const FLOWING: Duration = Duration::from_secs(1);

/// How often somebody is looked for who can make way.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Accepts as long as there is room, and makes room where nothing is asked.
#[derive(Debug)]
pub(super) struct Connections {
    listener: TcpListener,
    room: Arc<Semaphore>,
    lines: Vec<Weak<Line>>,
    /// How many may come from one address.
    per_address: usize,
    /// Whether this machine's own address counts like any other.
    own_counts: bool,
    refusals: Arc<Refusals>,
    request_max: Duration,
    quiet_max: Duration,
    kept_max: Duration,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    line: Arc<Line>,
    moved: Instant,
    request_max: Duration,
    quiet_max: Duration,
    too_quiet: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

/// What a connection is doing, as those know who answer on it.
#[derive(Debug)]
struct Line {
    from: IpAddr,
    doing: Mutex<Doing>,
    wake: AtomicWaker,
}

#[derive(Clone, Copy, Debug)]
struct Doing {
    /// Answers that aren't handed to the socket yet.
    answers: u32,
    /// Whether the socket refused the last bytes of an answer for now.
    unsent: bool,
    /// When it was accepted, or sent something last.
    sent: Instant,
    /// Since when its reader takes less than there is.
    slow: Option<Instant>,
    /// Has to make way.
    unwanted: bool,
}

/// The way from a request to its connection.
#[derive(Clone, Debug)]
pub(super) struct Asker(Arc<Line>);

/// An answer that isn't handed to the socket yet. While there is one its connection isn't idle.
#[derive(Debug)]
pub(super) struct Answering(Arc<Line>);

impl Connections {
    /// At most `most` at once on `listener`, and `per_address` of them from one address.
    pub(super) fn new(listener: TcpListener, most: usize, per_address: usize, refusals: Arc<Refusals>) -> Self {
        Self {
            listener,
            room: Arc::new(Semaphore::new(most)),
            lines: Vec::new(),
            per_address,
            own_counts: false,
            refusals,
            request_max: REQUEST_MAX,
            quiet_max: QUIET_MAX,
            kept_max: KEPT_MAX,
        }
    }

    /// The next connection for which there is room.
    pub(super) async fn accept(&mut self) -> Connection {
        loop {
            // Retries whatever goes wrong while accepting.
            let (stream, addr) = Listener::accept(&mut self.listener).await;
            self.lines.retain(|line| line.strong_count() > 0);
            let from = who(addr.ip());
            if !self.has_room_for(from) {
                self.refusals.connections.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let room = self.room().await;
            return self.connection(stream, from, room);
        }
    }

    #[cfg(test)]
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn connection(&mut self, stream: TcpStream, from: IpAddr, room: OwnedSemaphorePermit) -> Connection {
        // Answers are written in one piece; waiting for more would only delay them. Harmless if refused.
        let _ = stream.set_nodelay(true);
        let line = Arc::new(Line::new(from));
        self.lines.push(Arc::downgrade(&line));
        Connection {
            stream,
            line,
            moved: Instant::now(),
            request_max: self.request_max,
            quiet_max: self.quiet_max,
            too_quiet: Box::pin(sleep(self.request_max)),
            _room: room,
        }
    }

    /// Whether an address may have one more, at the cost of its idlest if it has all it may have.
    fn has_room_for(&self, from: IpAddr) -> bool {
        if from.is_loopback() && !self.own_counts {
            return true;
        }
        let own =
            || self.lines.iter().filter_map(Weak::upgrade).filter(|line| line.from == from && !line.doing().unwanted);
        own().count() < self.per_address || close_idlest(own(), self.kept_max)
    }

    /// A free place, at the cost of the idlest if there is none.
    async fn room(&mut self) -> OwnedSemaphorePermit {
        while self.room.available_permits() == 0 {
            close_idlest(self.lines.iter().filter_map(Weak::upgrade), self.kept_max);
            let free = timeout(LOOK_AGAIN, Arc::clone(&self.room).acquire_owned()).await;
            if let Ok(Ok(room)) = free {
                return room;
            }
        }
        Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed")
    }
}

/// Closes the connection that has waited longest for a request, or for its reader. Says whether one does.
fn close_idlest(lines: impl Iterator<Item = Arc<Line>>, kept_max: Duration) -> bool {
    let waiting = lines.filter_map(|line| {
        let doing = *line.doing();
        let since = doing.waits_since().or(doing.kept_since(kept_max))?;
        Some((since, line))
    });
    let Some((_, line)) = waiting.min_by_key(|(since, _)| *since) else { return false };
    line.doing().unwanted = true;
    line.wake.wake();
    true
}

/// Whom an address stands for: of IPv6 one network of 64 bits, as whoever has one address there has them all.
fn who(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    }
}

impl Connection {
    /// The way from its requests to it.
    pub(super) fn asker(&self) -> Asker {
        Asker(Arc::clone(&self.line))
    }

    /// Passes on what the socket said, unless it has had nothing to say for too long or has to make way.
    fn watch<T>(&mut self, cx: &mut Context<'_>, said: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let doing = *self.line.doing();
        if doing.unwanted {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if said.is_ready() {
            self.moved = Instant::now();
            return said;
        }
        self.line.wake.register(cx.waker());
        let until = doing.waits_since().map_or(self.moved + self.quiet_max, |since| since + self.request_max);
        if self.too_quiet.deadline() != until {
            self.too_quiet.as_mut().reset(until);
        }
        ready!(self.too_quiet.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn wrote(&mut self, cx: &mut Context<'_>, said: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.line.sent(said.is_ready());
        self.watch(cx, said)
    }
}

impl Line {
    fn new(from: IpAddr) -> Self {
        let doing = Doing { answers: 0, unsent: false, sent: Instant::now(), slow: None, unwanted: false };
        Self { from, doing: Mutex::new(doing), wake: AtomicWaker::new() }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, taken: bool) {
        let mut doing = self.doing();
        let now = Instant::now();
        if taken {
            doing.sent = now;
        } else if !doing.unsent {
            // A byte taken now and then buys no time.
            let flowed = now - doing.sent > FLOWING;
            doing.slow = doing.slow.filter(|_| !flowed).or(Some(now));
        }
        doing.unsent = !taken;
    }
}

impl Doing {
    /// Since when it has waited for a request; nothing while it answers one.
    fn waits_since(self) -> Option<Instant> {
        (self.answers == 0 && !self.unsent).then_some(self.sent)
    }

    /// Since when its reader has kept it waiting, if that is longer than `most`.
    fn kept_since(self, most: Duration) -> Option<Instant> {
        self.slow.filter(|slow| self.unsent && slow.elapsed() >= most)
    }
}

impl Asker {
    /// Whether whoever asks is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.0.from.is_loopback()
    }

    /// A request is here; its answer begins.
    pub(super) fn answer(&self) -> Answering {
        self.0.doing().answers += 1;
        Answering(Arc::clone(&self.0))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        doing.answers -= 1;
        // The answer goes to the socket next, and `unsent` says if that doesn't take all of it.
        doing.sent = Instant::now();
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch(cx, said)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, said)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::Write;
    use std::net;

    const SHORT: Duration = Duration::from_millis(30);

    async fn connections(room: usize, request_max: Duration, quiet_max: Duration) -> Connections {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Connections { request_max, quiet_max, ..Connections::new(listener, room, room, Arc::default()) }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(30), future).await.expect("in time")
    }

    async fn read(connection: &mut Connection) -> io::Result<usize> {
        let mut buffer = [0; 8];
        let mut buffer = ReadBuf::new(&mut buffer);
        within(poll_fn(|cx| Pin::new(&mut *connection).poll_read(cx, &mut buffer))).await?;
        Ok(buffer.filled().len())
    }

    fn error(read: io::Result<usize>) -> io::ErrorKind {
        read.unwrap_err().kind()
    }

    #[tokio::test]
    async fn the_one_that_waited_longest_makes_way_for_a_new_one() {
        let mut connections = connections(2, REQUEST_MAX, QUIET_MAX).await;
        let addr = connections.local_addr().unwrap();
        let _clients = [(); 3].map(|()| net::TcpStream::connect(addr).unwrap());
        let mut first = within(connections.accept()).await;
        let mut second = within(connections.accept()).await;
        let answering = Asker(Arc::clone(&first.line)).answer();
        // The first is older, but it answers.
        let closed = async {
            let closed = error(read(&mut second).await);
            drop(second);
            closed
        };
        let (closed, _third) = within(async { tokio::join!(closed, connections.accept()) }).await;
        assert_eq!(closed, io::ErrorKind::ConnectionAborted);
        let mut buffer = [0; 8];
        let mut buffer = ReadBuf::new(&mut buffer);
        let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll_read(cx, &mut buffer).is_pending())).await;
        assert!(first, "it stays open");
        drop(answering);
    }

    #[tokio::test]
    async fn whoever_asks_and_hardly_reads_makes_way_too() {
        let mut connections = connections(1, REQUEST_MAX, QUIET_MAX).await;
        connections.kept_max = SHORT;
        let addr = connections.local_addr().unwrap();
        let mut client = net::TcpStream::connect(addr).unwrap();
        let mut connection = within(connections.accept()).await;
        let answering = connection.asker().answer();
        let flood = vec![0; 1 << 20];
        let write = |connection: &mut Connection, cx: &mut Context<'_>| Pin::new(connection).poll_write(cx, &flood);
        while poll_fn(|cx| Poll::Ready(write(&mut connection, cx).is_ready())).await {}
        // It reads a little, and some more is sent.
        for _ in 0..3 {
            sleep(SHORT).await;
            io::Read::read_exact(&mut client, &mut vec![0; 1 << 20]).unwrap();
            while poll_fn(|cx| Poll::Ready(write(&mut connection, cx).is_ready())).await {}
        }
        let _second = net::TcpStream::connect(addr).unwrap();
        let closed = async {
            let closed = within(poll_fn(|cx| write(&mut connection, cx))).await.unwrap_err().kind();
            drop((connection, answering));
            closed
        };
        let (closed, _) = within(async { tokio::join!(closed, connections.accept()) }).await;
        assert_eq!(closed, io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn one_too_many_waits_until_somebody_goes_if_all_are_answered() {
        let mut connections = connections(1, REQUEST_MAX, QUIET_MAX).await;
        let addr = connections.local_addr().unwrap();
        let _clients = [(); 2].map(|()| net::TcpStream::connect(addr).unwrap());
        let first = within(connections.accept()).await;
        let _answering = Asker(Arc::clone(&first.line)).answer();
        let mut second = std::pin::pin!(connections.accept());
        assert!(timeout(2 * LOOK_AGAIN, &mut second).await.is_err());
        assert!(!first.line.doing().unwanted);
        drop(first);
        within(second).await;
    }

    #[tokio::test]
    async fn a_request_that_does_not_come_whole_is_not_waited_for() {
        let mut connections = connections(1, SHORT, QUIET_MAX).await;
        let mut client = net::TcpStream::connect(connections.local_addr().unwrap()).unwrap();
        let mut connection = within(connections.accept()).await;
        client.write_all(b"a").unwrap();
        let since = connection.line.doing().waits_since();
        assert_eq!(read(&mut connection).await.unwrap(), 1);
        assert_eq!(connection.line.doing().waits_since(), since, "a byte buys no time");
        assert_eq!(error(read(&mut connection).await), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_answer_may_take_longer_than_a_request_and_its_end_starts_the_wait_anew() {
        let mut connections = connections(1, SHORT, 10 * SHORT).await;
        let _client = net::TcpStream::connect(connections.local_addr().unwrap()).unwrap();
        let mut connection = within(connections.accept()).await;
        let (line, start) = (Arc::clone(&connection.line), Instant::now());
        let answering = Asker(Arc::clone(&line)).answer();
        assert_eq!(error(read(&mut connection).await), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= 9 * SHORT, "as long as an answer may stand still");
        drop(answering);
        assert!(line.doing().waits_since().is_some_and(|since| since >= start + 9 * SHORT));
    }

    #[tokio::test]
    async fn a_connection_whose_other_end_reads_nothing_is_closed() {
        let mut connections = connections(1, REQUEST_MAX, SHORT).await;
        let _client = net::TcpStream::connect(connections.local_addr().unwrap()).unwrap();
        let mut connection = within(connections.accept()).await;
        let flood = [0; 65_536];
        let error = loop {
            match within(poll_fn(|cx| Pin::new(&mut connection).poll_write(cx, &flood))).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_address_that_has_all_it_may_have_gets_one_only_for_one_that_waits() {
        let mut connections = connections(100, REQUEST_MAX, QUIET_MAX).await;
        (connections.per_address, connections.own_counts) = (2, true);
        let addr = connections.local_addr().unwrap();
        let clients = [(); 3].map(|()| net::TcpStream::connect(addr).unwrap());
        let first = within(connections.accept()).await;
        let mut second = within(connections.accept()).await;
        let answers = [first.asker().answer()];
        let third = within(connections.accept()).await;
        assert_eq!(error(read(&mut second).await), io::ErrorKind::ConnectionAborted);
        drop(second);

        // Now both that it has are being answered.
        let also = third.asker().answer();
        let mut fourth = net::TcpStream::connect(addr).unwrap();
        assert!(timeout(2 * LOOK_AGAIN, connections.accept()).await.is_err());
        assert_eq!(connections.refusals.connections.load(Ordering::Relaxed), 1);
        let closed = tokio::task::spawn_blocking(move || io::Read::read(&mut fourth, &mut [0; 8]));
        assert!(within(closed).await.unwrap().is_ok_and(|bytes| bytes == 0), "it is closed at once");
        drop((clients, answers, also));
    }

    #[test]
    fn a_network_of_ipv6_is_one_asker_and_so_is_an_address_of_ipv4_however_written() {
        let who = |text: &str| who(text.parse().unwrap()).to_string();
        assert_eq!(who("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((who("192.0.2.7"), who("::ffff:192.0.2.7")), ("192.0.2.7".into(), "192.0.2.7".into()));
        assert_eq!((who("::1"), who("::ffff:127.0.0.1")), ("::1".into(), "127.0.0.1".into()));
    }
}
