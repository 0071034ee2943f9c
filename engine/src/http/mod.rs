//! The HTTP face, reading side: what is believed, why, and how the monitor itself is doing.
//!
//! ```text
//!   clients ──► systole-http: one thread, one small runtime ──questions──► shards (bounded queues, 2 s)
//!                                                           ──pages──────► journal (a lock held for microseconds)
//! ```
//!
//! Everything that a client can make it do is bounded: connections, request time, page size, walks
//! at once, open streams, what one stream holds. So a client that is slow, stuck or greedy gets slow
//! answers itself and delays no heartbeat. Who is let in is decided before anything else (`door.rs`).

mod ask;
mod connections;
mod cursor;
mod door;
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
mod serve;
mod status;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use systole_core::{Instant, Span};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::Access;
use crate::query::ShardHandle;
use crate::reload::Loads;
use crate::store::Journal;
use connections::{Asker, Connections};
pub use door::Door;
use door::Refusals;
use problem::Refused;

/// How long one request may take until its answer begins.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// The longest body of a request that changes something, in bytes, and how long it may take to arrive.
const BODY_MAX: usize = 64 << 10;
const BODY_WITHIN: Duration = Duration::from_secs(5);

/// How long open requests have to end when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// How many looks at all groups are taken at once.
const SURVEYS: usize = 2;

/// How many pages of nodes are gathered at once.
const WALKS: usize = 4;

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
    /// When its configuration was loaded.
    pub loads: Loads,
}

/// A running server. Stops when dropped.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    door: watch::Sender<Arc<Door>>,
    stopping: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What every request handler shares.
#[derive(Debug)]
struct App {
    control: Control,
    walks: Semaphore,
    /// Of looks at all groups: each copies what was heard from them.
    surveys: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    door: watch::Receiver<Arc<Door>>,
    refusals: Arc<Refusals>,
    stopping: watch::Receiver<bool>,
}

/// Serves on `listener` from a thread of its own, to whom `door` lets in and as many as `access` says.
///
/// # Errors
/// The thread, its runtime or the listener can't be set up.
pub fn start(listener: std::net::TcpListener, control: Control, access: &Access, door: Door) -> io::Result<Server> {
    let addr = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _in = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stopping, stop) = watch::channel(false);
    let (door, let_in) = watch::channel(Arc::new(door));
    let refusals = Arc::new(Refusals::default());
    let (most, per_address) = (access.connections, access.connections_per_address);
    let connections = Connections::new(listener, most, per_address, Arc::clone(&refusals));
    let app = App {
        control,
        walks: Semaphore::new(WALKS),
        surveys: Arc::new(Semaphore::new(SURVEYS)),
        streams: Arc::new(Semaphore::new(most.div_ceil(2))),
        door: let_in,
        refusals,
        stopping: stop,
    };
    let serve = move || serve(runtime, connections, Arc::new(app));
    let thread = std::thread::Builder::new().name("systole-http".into()).spawn(serve)?;
    Ok(Server { addr, door, stopping, thread: Some(thread) })
}

impl Server {
    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether it speaks TLS.
    pub fn speaks_tls(&self) -> bool {
        self.door.borrow().speaks_tls()
    }

    /// From now on `door` says who is let in. Streams that it doesn't let in end.
    pub fn set_door(&self, door: Door) {
        self.door.send_replace(Arc::new(door));
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

fn serve(runtime: Runtime, connections: Connections, app: Arc<App>) {
    let (door, stopping, mut too_late) = (app.door.clone(), app.stopping.clone(), app.stopping.clone());
    runtime.block_on(async {
        tokio::select! {
            () = serve::serve(connections, router(app), door, stopping) => {}
            () = async {
                let _ = too_late.wait_for(|stopping| *stopping).await;
                tokio::time::sleep(STOP_WITHIN).await;
            } => {}
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
        .layer(from_fn_with_state(Arc::clone(&app), door::admit))
        .layer(from_fn(hold))
        .with_state(app)
}

/// Keeps the connection from counting as idle until the answer is ready, whole. A stream sees to itself.
async fn hold(ConnectInfo(asker): ConnectInfo<Asker>, request: Request, next: Next) -> Response {
    let _answering = asker.answer();
    next.run(request).await
}

/// Takes in the body where there may be one, and gives up on what takes too long.
async fn guard(request: Request, next: Next) -> Response {
    let request = match with_body(request).await {
        Ok(request) => request,
        Err(refused) => return refused.into_response(),
    };
    let late = |_| {
        let error = format!("the answer took longer than {} s", REQUEST_WITHIN.as_secs());
        Refused::unavailable(error, "ask for less at once, or again later").into_response()
    };
    timeout(REQUEST_WITHIN, next.run(request)).await.unwrap_or_else(late)
}

/// The request with all of its body, so that no answer waits for what a slow client may send.
async fn with_body(request: Request) -> Result<Request, Refused> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    if [Method::GET, Method::HEAD].contains(request.method()) {
        let hint = "send the request without a body; parameters stand in the URL";
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "a question takes no body", hint));
    }
    let too_long = || {
        let error = format!("the body is longer than {} KiB, or broke off", BODY_MAX >> 10);
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, error, "no request here needs as much")
    };
    if request.body().size_hint().lower() > BODY_MAX as u64 {
        return Err(too_long());
    }
    let (head, body) = request.into_parts();
    match timeout(BODY_WITHIN, to_bytes(body, BODY_MAX)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, Body::from(bytes))),
        Ok(Err(_)) => Err(too_long()),
        Err(_) => {
            let error = format!("the body took longer than {} s", BODY_WITHIN.as_secs());
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, error, "send it at once"))
        }
    }
}
