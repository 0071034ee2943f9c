//! One task for each connection: the handshake, then one request after the other until it ends.
//!
//! What a request may be stands here: 64 headers, 16 KiB of them, five seconds from its first byte
//! to the last of its head. How long a connection may wait or stand still is `connections.rs`'s.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::connections::{Asker, Connection, Connections};
use super::door::Door;

/// How long the head of a request, or the handshake before the first, may take.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

const HEADERS: usize = 64;

const HEADERS_SIZE: usize = 16 << 10;

/// Answers until it is told to stop and the last answer has ended.
pub(super) async fn serve(
    mut connections: Connections,
    router: Router,
    door: watch::Receiver<Arc<Door>>,
    stopping: watch::Receiver<bool>,
) {
    // Closed when every task has dropped its end.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    let mut stop = stopping.clone();
    loop {
        let connection = tokio::select! {
            connection = connections.accept() => connection,
            _ = stop.wait_for(|stopping| *stopping) => break,
        };
        let door = Arc::clone(&door.borrow());
        let (router, stopping, open) = (router.clone(), stopping.clone(), open.clone());
        tokio::spawn(async move {
            answer(connection, &door, router, stopping).await;
            drop(open);
        });
    }
    drop((open, connections));
    let _ = all_closed.recv().await;
}

async fn answer(connection: Connection, door: &Door, router: Router, stopping: watch::Receiver<bool>) {
    let asker = connection.asker();
    let Some(tls) = door.tls() else { return converse(connection, asker, router, stopping).await };
    // Whoever doesn't finish, or speaks plain HTTP, has no answer that could be read.
    if let Ok(Ok(wrapped)) = timeout(HEAD_WITHIN, TlsAcceptor::from(tls).accept(connection)).await {
        converse(wrapped, asker, router, stopping).await;
    }
}

/// Ends with the connection; when the server stops, with the answer that is under way.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    asker: Asker,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(asker.clone()));
        router.clone().oneshot(request.map(Body::new))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_headers(HEADERS).max_header_size(HEADERS_SIZE);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(stream), service));
    // That the other side broke it off, or was too slow, is its own affair.
    tokio::select! {
        _ = conversation.as_mut() => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    conversation.as_mut().graceful_shutdown();
    let _ = conversation.await;
}
