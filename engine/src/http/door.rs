//! Who is let in, and for what: to see needs the scope `read`, to change anything `operate`.
//!
//! ```text
//!   request ──► GET, HEAD: read     ──► a token with that scope, or none asked for ──► answered
//!               all others: operate  └► no such token: 401; its scope is too small: 403
//! ```
//!
//! A layer, so that no route can be forgotten; `/healthz` and `/readyz` alone stay open, as those who
//! start and restart the monitor can't keep secrets. When the tokens change, a stream whose token isn't
//! among them any more ends. A request that changes something and that a web page of elsewhere sent is
//! refused even where no token is asked for: a browser would send it on behalf of whoever looks at that page.
//! Nor is such a page answered at all that has this machine's address given to its own name (DNS rebinding):
//! where no token is asked for, this machine calls the monitor by its address or a name of one word.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use rustls::ServerConfig;
use tokio::sync::watch;

use super::App;
use super::connections::Asker;
use super::problem::Refused;
use super::tls;
use crate::config::Access;
use crate::token::{Scope, Tokens};

/// What is open without a token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Who is let in, and in which wrapping.
#[derive(Clone, Default)]
pub struct Door {
    tokens: Option<Tokens>,
    tls: Option<Arc<ServerConfig>>,
}

/// Requests and connections that weren't let in since the start, by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// No token, or one that isn't accepted.
    pub(super) token: AtomicU64,
    /// A token for less than was asked.
    pub(super) scope: AtomicU64,
    /// Sent by a web page of elsewhere.
    pub(super) origin: AtomicU64,
    /// Asked by a name that isn't the monitor's.
    pub(super) host: AtomicU64,
    /// As many connections from one address as there may be.
    pub(super) connections: AtomicU64,
}

/// Why somebody isn't let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    NoToken,
    UnknownToken,
    Scope,
    Origin,
    Host,
}

impl Door {
    /// Opens the files that `access` names.
    ///
    /// # Errors
    /// One of them can't be used; the message names it.
    pub fn load(access: &Access) -> anyhow::Result<Self> {
        let tokens = access.tokens.as_deref().map(Tokens::load).transpose()?;
        let tls = access.tls.as_ref().map(tls::load).transpose()?;
        Ok(Self { tokens, tls })
    }

    /// How many tokens are accepted; nothing if none is asked for.
    pub fn tokens(&self) -> Option<usize> {
        self.tokens.as_ref().map(Tokens::len)
    }

    /// Whether TLS is spoken.
    pub const fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }

    fn admit(&self, shown: Option<&str>, needed: Scope) -> Result<(), Shut> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let entry = tokens.find(shown.ok_or(Shut::NoToken)?).ok_or(Shut::UnknownToken)?;
        if entry.scope >= needed { Ok(()) } else { Err(Shut::Scope) }
    }
}

/// Tokens aren't shown, not even their hashes.
impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("tokens", &self.tokens()).field("tls", &self.speaks_tls()).finish()
    }
}

/// Lets a request pass, or says why not.
pub(super) async fn admit(
    State(app): State<Arc<App>>,
    ConnectInfo(asker): ConnectInfo<Asker>,
    request: Request,
    next: Next,
) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let needed = scope(request.method());
    let shown = shown(request.headers()).map(str::to_owned);
    let mut door = app.door.clone();
    let (admitted, asks) = {
        let door = door.borrow_and_update();
        (door.admit(shown.as_deref(), needed), door.tokens.is_some())
    };
    let admitted = admitted.and_then(|()| match request.headers() {
        headers if foreign(headers, needed) => Err(Shut::Origin),
        headers if !asks && asker.is_local() && rebound(headers) => Err(Shut::Host),
        _ => Ok(()),
    });
    if let Err(shut) = admitted {
        app.refusals.count(shut);
        return shut.into_response();
    }
    let response = next.run(request).await;
    if !response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    let (head, body) = response.into_parts();
    let until_shut = body.into_data_stream().take_until(Box::pin(shut(door, shown, needed)));
    Response::from_parts(head, Body::from_stream(until_shut))
}

/// What a method is for.
fn scope(method: &Method) -> Scope {
    if [Method::GET, Method::HEAD].contains(method) { Scope::Read } else { Scope::Operate }
}

/// The token in `Authorization: Bearer TOKEN`.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let (kind, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a web page sent this that isn't ours. Browsers say which page it was; nobody else does.
fn foreign(headers: &HeaderMap, needed: Scope) -> bool {
    let Some(origin) = headers.get(ORIGIN).filter(|_| needed == Scope::Operate) else { return false };
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    page.is_none() || page != headers.get(HOST).and_then(|host| host.to_str().ok())
}

/// Whether the monitor is called by a name that somebody else may have given it. A name of one word, such as `localhost`,
/// is of this network: nobody owns one in the world's.
fn rebound(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return false };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<Authority>() else { return true };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_err() && (host.is_empty() || host.contains('.'))
}

/// Ends when the door no longer opens to what was shown.
async fn shut(mut door: watch::Receiver<Arc<Door>>, shown: Option<String>, needed: Scope) {
    while door.changed().await.is_ok() {
        if door.borrow_and_update().admit(shown.as_deref(), needed).is_err() {
            return;
        }
    }
    // The server stops, and ends streams itself.
    std::future::pending::<()>().await;
}

impl Refusals {
    fn count(&self, shut: Shut) {
        let counter = match shut {
            Shut::NoToken | Shut::UnknownToken => &self.token,
            Shut::Scope => &self.scope,
            Shut::Origin => &self.origin,
            Shut::Host => &self.host,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them with the names that metrics give them.
    pub(super) fn counts(&self) -> [(&'static str, u64); 5] {
        let Self { token, scope, origin, host, connections } = self;
        [("token", token), ("scope", scope), ("origin", origin), ("host", host), ("connections", connections)]
            .map(|(reason, counter)| (reason, counter.load(Ordering::Relaxed)))
    }
}

impl IntoResponse for Shut {
    fn into_response(self) -> Response {
        let (status, error, hint) = match self {
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "this monitor asks for a token",
                "send `Authorization: Bearer TOKEN`; commands take --token-file FILE or SYSTOLE_TOKEN",
            ),
            Self::UnknownToken => (
                StatusCode::UNAUTHORIZED,
                "this token isn't accepted here",
                "make one with `systole token new NAME --scope read`, put its line into the monitor's file of tokens, \
                 and reload the monitor (SIGHUP)",
            ),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "this token is for reading only",
                "to change anything takes a token with the scope operate",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "a web page of elsewhere asked for this",
                "ask from the monitor's own page, or with a command",
            ),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "a monitor that asks for no token isn't answered for by a name that a web page may have given it",
                "ask by its address or `localhost`, or name a file of tokens under [http]",
            ),
        };
        let mut response = Refused::new(status, error, hint).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_get_and_head_are_for_reading() {
        for (method, needed) in [
            (Method::GET, Scope::Read),
            (Method::HEAD, Scope::Read),
            (Method::POST, Scope::Operate),
            (Method::DELETE, Scope::Operate),
            (Method::OPTIONS, Scope::Operate),
        ] {
            assert_eq!(scope(&method), needed, "{method}");
        }
    }

    #[test]
    fn a_token_is_what_stands_behind_bearer() {
        for (text, token) in
            [("Bearer abc", Some("abc")), ("bearer  abc ", Some("abc")), ("Basic abc", None), ("abc", None), ("", None)]
        {
            assert_eq!(shown(&headers(&[("authorization", text)])), token, "{text:?}");
        }
        assert_eq!(shown(&HeaderMap::new()), None);
    }

    #[test]
    fn an_address_and_a_name_of_one_word_are_names_that_nobody_can_take() {
        for (host, taken) in [
            ("127.0.0.1:2329", false),
            ("[::1]:2329", false),
            ("[::1]", false),
            ("localhost:2329", false),
            ("LOCALHOST", false),
            ("monitor:2329", false),
            ("evil.example:2329", true),
            ("127.0.0.1.evil.example", true),
            ("localhost.evil.example", true),
            ("", true),
        ] {
            assert_eq!(rebound(&headers(&[("host", host)])), taken, "{host}");
        }
        assert!(!rebound(&HeaderMap::new()), "no browser leaves it out");
    }

    #[test]
    fn a_page_of_elsewhere_may_look_and_not_touch() {
        let own = headers(&[("host", "127.0.0.1:2329"), ("origin", "http://127.0.0.1:2329")]);
        let other = headers(&[("host", "127.0.0.1:2329"), ("origin", "http://evil.example")]);
        let hidden = headers(&[("host", "127.0.0.1:2329"), ("origin", "null")]);
        let command = headers(&[("host", "127.0.0.1:2329")]);
        let foreign = |scope| [&own, &other, &hidden, &command].map(|headers| foreign(headers, scope));
        assert_eq!(foreign(Scope::Read), [false; 4]);
        assert_eq!(foreign(Scope::Operate), [false, true, true, false]);
    }
}
