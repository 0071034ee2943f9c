//! The HTTP face, reading side: what is believed, why, and how the monitor itself is doing.
//!
//! ```text
//!   clients ──► systole-http: one thread, one small runtime ──questions──► shards (bounded queues, 2 s)
//!                                                           ──pages──────► journal (a lock held for microseconds)
//! ```
//!
//! Everything that a client can make it do is bounded: connections, request time, page size, walks
//! at once, open streams, what one stream holds. So a client that is slow, stuck or greedy gets slow
//! answers itself and delays no heartbeat. It takes no bodies: what is to be done stands in the URL.

mod ask;
mod connections;
mod cursor;
mod events;
mod groups;
mod health;
mod holds;
mod metrics;
mod nodes;
mod openapi;
mod order;
mod page;
mod params;
mod problem;
mod profile;
mod status;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use systole_core::{Instant, Span};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::query::ShardHandle;
use crate::store::Journal;
use connections::{Asker, Connections};
use problem::Refused;

/// How long one request may take until its answer begins.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// How long open requests have to end when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How many pages of nodes are gathered at once.
const WALKS: usize = 4;

/// How many event streams there may be. Half of all connections, so that the rest of the interface stays reachable.
const STREAMS: usize = 128;

/// What the interface speaks about.
#[derive(Clone, Debug)]
pub struct Control {
    /// The shards, in the order of their numbers.
    pub shards: Vec<ShardHandle>,
    /// The events.
    pub journal: Journal,
    /// The engine's clock.
    pub clock: Clock,
    /// When the monitor started.
    pub started: Instant,
}

/// A running server. Stops when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stopping: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What every request handler shares.
#[derive(Debug)]
struct App {
    control: Control,
    walks: Semaphore,
    streams: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// Serves on `listener` from a thread of its own.
///
/// # Errors
/// The thread, its runtime or the listener can't be set up.
pub fn start(listener: std::net::TcpListener, control: Control) -> io::Result<Server> {
    let addr = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _in = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stopping, stop) = watch::channel(false);
    let app = App { control, walks: Semaphore::new(WALKS), streams: Arc::new(Semaphore::new(STREAMS)), stopping: stop };
    let serve = move || serve(runtime, Connections::new(listener), Arc::new(app));
    let thread = std::thread::Builder::new().name("systole-http".into()).spawn(serve)?;
    Ok(Server { addr, stopping, thread: Some(thread) })
}

impl Server {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends streams, lets requests finish for two seconds, and returns when the thread has ended.
    pub fn stop(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been said on its own behalf.
            let _ = thread.join();
        }
    }
}

impl App {
    fn uptime(&self) -> Span {
        self.control.clock.now().since(self.control.started)
    }
}

fn serve(runtime: Runtime, listener: Connections, app: Arc<App>) {
    let stopped = |mut stopping: watch::Receiver<bool>| async move {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let (stop, too_late) = (stopped(app.stopping.clone()), stopped(app.stopping.clone()));
    runtime.block_on(async {
        let server = axum::serve(listener, router(app).into_make_service_with_connect_info::<Asker>())
            .with_graceful_shutdown(stop);
        tokio::select! {
            _ = server => {}
            () = async { too_late.await; tokio::time::sleep(STOP_WITHIN).await } => {}
        }
    });
    runtime.shutdown_background();
}

/// Every path that there is.
fn routes() -> [(&'static str, MethodRouter<Arc<App>>); 16] {
    [
        ("/", get(page::index)),
        ("/v1/status", get(status::status)),
        ("/v1/groups", get(groups::list)),
        ("/v1/groups/{group}", get(groups::one)),
        ("/v1/groups/{group}/profile", get(profile::profile)),
        ("/v1/holds", get(holds::list)),
        ("/v1/holds/dead", post(holds::dead)),
        ("/v1/holds/longer", post(holds::longer)),
        ("/v1/nodes", get(nodes::list)),
        ("/v1/nodes/{node}", get(nodes::one)),
        ("/v1/events", get(events::list)),
        ("/v1/events/stream", get(stream::stream)),
        ("/v1/openapi.json", get(openapi::document)),
        ("/metrics", get(metrics::metrics)),
        ("/healthz", get(health::live)),
        ("/readyz", get(health::ready)),
    ]
}

fn router(app: Arc<App>) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(from_fn(guard))
        .layer(from_fn(hold))
        .with_state(app)
}

/// Keeps the connection from counting as idle until the answer is ready, whole. A stream sees to itself.
async fn hold(ConnectInfo(asker): ConnectInfo<Asker>, request: Request, next: Next) -> Response {
    let _answering = asker.answer();
    next.run(request).await
}

/// Refuses bodies, and gives up on what takes too long.
async fn guard(request: Request, next: Next) -> Response {
    if !request.body().is_end_stream() {
        let hint = "send the request without a body; parameters stand in the URL";
        return Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "no request here takes a body", hint).into_response();
    }
    let late = |_| {
        let error = format!("the answer took longer than {} s", REQUEST_WITHIN.as_secs());
        Refused::unavailable(error, "ask for less at once, or again later").into_response()
    };
    timeout(REQUEST_WITHIN, next.run(request)).await.unwrap_or_else(late)
}
