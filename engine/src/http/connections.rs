//! At most 256 connections at once, and none that only takes up room.
//!
//! Whoever comes beyond that waits in the kernel's queue until somebody goes. So that nobody has to
//! wait forever, a connection on which not one byte moves for a minute is closed: a client that
//! sends no request, or one that doesn't read its answer. An event stream says something every 15 s.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

const CONNECTIONS: usize = 256;
const QUIET_MAX: Duration = Duration::from_secs(60);

/// Accepts as long as there is room.
#[derive(Debug)]
pub(super) struct Connections {
    listener: TcpListener,
    room: Arc<Semaphore>,
    quiet_max: Duration,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    quiet_max: Duration,
    too_quiet: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(CONNECTIONS)), quiet_max: QUIET_MAX }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let room = Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed");
        // Retries whatever goes wrong while accepting.
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        // Answers are written in one piece; waiting for more would only delay them. Harmless if refused.
        let _ = stream.set_nodelay(true);
        let quiet_max = self.quiet_max;
        (Connection { stream, quiet_max, too_quiet: Box::pin(sleep(quiet_max)), _room: room }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connection {
    /// Passes on what the socket said, unless it has had nothing to say for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, said: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if said.is_ready() {
            self.too_quiet.as_mut().reset(Instant::now() + self.quiet_max);
            return said;
        }
        ready!(self.too_quiet.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
        self.watch(cx, said)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, said)
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
    use tokio::time::timeout;

    async fn connections(room: usize, quiet_max: Duration) -> Connections {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Connections { listener, room: Arc::new(Semaphore::new(room)), quiet_max }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(30), future).await.expect("in time")
    }

    #[tokio::test]
    async fn one_too_many_waits_until_somebody_goes() {
        let mut connections = connections(1, QUIET_MAX).await;
        let addr = connections.local_addr().unwrap();
        let _clients = (net::TcpStream::connect(addr).unwrap(), net::TcpStream::connect(addr).unwrap());
        let (first, _) = within(connections.accept()).await;
        assert!(futures_util::poll!(std::pin::pin!(connections.accept())).is_pending());
        drop(first);
        within(connections.accept()).await;
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_is_closed() {
        let mut connections = connections(1, Duration::from_millis(30)).await;
        let mut client = net::TcpStream::connect(connections.local_addr().unwrap()).unwrap();
        let (mut connection, _) = within(connections.accept()).await;
        client.write_all(b"a").unwrap();
        let mut buffer = [0; 8];
        let mut read = async || {
            let mut buffer = ReadBuf::new(&mut buffer);
            poll_fn(|cx| Pin::new(&mut connection).poll_read(cx, &mut buffer)).await.map(|()| buffer.filled().len())
        };
        assert_eq!(within(read()).await.unwrap(), 1);
        assert_eq!(within(read()).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_whose_other_end_reads_nothing_is_closed() {
        let mut connections = connections(1, Duration::from_millis(30)).await;
        let _client = net::TcpStream::connect(connections.local_addr().unwrap()).unwrap();
        let (mut connection, _) = within(connections.accept()).await;
        let flood = [0; 65_536];
        let error = loop {
            match within(poll_fn(|cx| Pin::new(&mut connection).poll_write(cx, &flood))).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
