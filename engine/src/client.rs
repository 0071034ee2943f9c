//! A client of a running monitor's HTTP interface: what the commands and the load generator look through.
//!
//! Blocking, over HTTP or HTTPS, without proxies. An answer other than a good one becomes an error
//! that says what the monitor said, and an unreachable monitor one that names its URL and the way out.

use std::fmt;
use std::io::{BufRead, BufReader, Lines};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, BodyReader, Error, RequestBuilder};

use systole_core::Span;

use crate::model::{Event, EventPage, Group, Groups, Holds, Node, NodePage, Problem, Profile, State, Status};
use crate::token::Token;

/// The monitor itself gives up on a request after 30 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// A stream says something every 15 s.
const SILENT_MAX: Duration = Duration::from_secs(45);

/// The largest answer: 10,000 events with long names.
const ANSWER_MAX: u64 = 64 << 20;

/// What needs no escape in a path or a query.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One monitor, seen from outside.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    token: Option<Token>,
}

/// What a monitor is shown, and what it has to show.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The token that it asks for.
    pub token: Option<Token>,
    /// Certificates in PEM that vouch for its own. None: the public authorities.
    pub ca: Option<Vec<u8>>,
}

/// Which nodes are wanted, in which order, how many and from where on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeQuery {
    /// Only of this group.
    pub group: Option<String>,
    /// Only in these states; empty for all.
    pub states: Vec<State>,
    /// Only with a name that starts so.
    pub prefix: Option<String>,
    /// Only with all of these labels, as `name=text`.
    pub labels: Vec<String>,
    /// In this order.
    pub sort: Option<String>,
    /// How many at most.
    pub limit: Option<u64>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Only with a greater number. One from another life of the monitor (greater than its latest) counts as 0.
    pub since: Option<u64>,
    /// How many at most. Streams have no such bound.
    pub limit: Option<u64>,
    /// Only changes to these states; empty for all.
    pub to: Vec<State>,
    /// Only of this group.
    pub group: Option<String>,
    /// Only of this node.
    pub node: Option<String>,
}

/// Events as they happen. Ends when the monitor closes the stream.
pub struct Follow {
    lines: Lines<BufReader<BodyReader<'static>>>,
}

/// What a stream of events tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// One change of belief.
    Event(Box<Event>),
    /// So many were gone before they could be sent.
    Missed(u64),
}

impl Client {
    /// For the monitor at `http://HOST:PORT`; a path behind it is cut off.
    ///
    /// # Errors
    /// Anything but such a URL.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Self::with(url, Credentials::default())
    }

    /// For the monitor at `http://HOST:PORT` or `https://HOST:PORT`, with what it takes to be let in.
    ///
    /// # Errors
    /// Anything but such a URL, or certificates that can't be read or are of no use.
    pub fn with(url: &str, credentials: Credentials) -> anyhow::Result<Self> {
        let wrong = || {
            format!(
                "{url:?} isn't the URL of a monitor; expected http://HOST:PORT, such as http://127.0.0.1:2329, or https"
            )
        };
        let (scheme, rest) = url.split_once("://").with_context(wrong)?;
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => bail!(wrong()),
        };
        let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty());
        let base = format!("{scheme}://{}", authority.with_context(wrong)?);
        if credentials.ca.is_some() && !secure {
            bail!("{base} shows no certificate; write https:// or leave out --ca");
        }
        let roots = credentials.ca.as_deref().map(roots).transpose()?.unwrap_or(RootCerts::WebPki);
        base.parse::<ureq::http::Uri>().ok().filter(|uri| uri.host().is_some()).with_context(wrong)?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(ANSWER_WITHIN))
            .timeout_per_read(Some(SILENT_MAX));
        Ok(Self { agent: config.build().into(), base, token: credentials.token })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The monitor as a whole.
    ///
    /// # Errors
    /// The monitor can't be reached or refuses, as with every question here.
    pub fn status(&self) -> anyhow::Result<Status> {
        self.get("/v1/status")
    }

    /// All groups.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn groups(&self) -> anyhow::Result<Groups> {
        self.get("/v1/groups")
    }

    /// One group; none if there's none of that name.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn group(&self, name: &str) -> anyhow::Result<Option<Group>> {
        self.find(&format!("/v1/groups/{}", escape(name)))
    }

    /// How the heartbeats of one group arrive; none if there's none of that name.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn profile(&self, group: &str) -> anyhow::Result<Option<Profile>> {
        self.find(&format!("/v1/groups/{}/profile", escape(group)))
    }

    /// A page of nodes.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn nodes(&self, query: &NodeQuery) -> anyhow::Result<NodePage> {
        self.get(&format!("/v1/nodes{}", query.text()))
    }

    /// One node; none if it's unknown.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn node(&self, name: &str) -> anyhow::Result<Option<Node>> {
        self.find(&format!("/v1/nodes/{}", escape(name)))
    }

    /// The events after number `since` that lead to one of the states `to` (none: to any).
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn events(&self, since: u64, limit: usize, to: &[State]) -> anyhow::Result<EventPage> {
        let (since, limit) = (Some(since), Some(limit as u64));
        self.event_page(&EventQuery { since, limit, to: to.to_vec(), ..EventQuery::default() })
    }

    /// A page of events.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn event_page(&self, query: &EventQuery) -> anyhow::Result<EventPage> {
        self.get(&format!("/v1/events{}", query.text()))
    }

    /// Events as they happen: those after `query.since`, or from now on.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn follow(&self, query: &EventQuery) -> anyhow::Result<Follow> {
        let stream = EventQuery { limit: None, ..query.clone() };
        let path = format!("/v1/events/stream{}", stream.text());
        let response = self.call(&path)?;
        let response = self.good(&path, response)?;
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Follow { lines: BufReader::new(reader).lines() })
    }

    /// What is held.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn holds(&self) -> anyhow::Result<Holds> {
        self.get("/v1/holds")
    }

    /// Says that those of a hold are dead; none if there is no such hold.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn hold_dead(&self, scope: &str) -> anyhow::Result<Option<Holds>> {
        self.say(&format!("/v1/holds/dead{}", query(&[("scope", Some(scope))])))
    }

    /// Has a hold last for longer; none if there is no such hold.
    ///
    /// # Errors
    /// See [`Client::status`].
    pub fn hold_longer(&self, scope: &str, longer: Span) -> anyhow::Result<Option<Holds>> {
        let longer = longer.compact().to_string();
        self.say(&format!("/v1/holds/longer{}", query(&[("scope", Some(scope)), ("for", Some(&longer))])))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.call(path)?;
        self.read(path, response)
    }

    /// Like `get`, but what doesn't exist is no error.
    fn find<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let response = self.call(path)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read(path, response).map(Some)
    }

    /// Asks for something to be done; nothing if what it is to be done to doesn't exist.
    fn say<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let response = self.answered(self.shown(self.agent.post(format!("{}{path}", self.base))).send_empty())?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read(path, response).map(Some)
    }

    fn call(&self, path: &str) -> anyhow::Result<Response<Body>> {
        self.answered(self.shown(self.agent.get(format!("{}{path}", self.base))).call())
    }

    /// With the token, if there is one.
    fn shown<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {}", token.text())),
            None => request,
        }
    }

    fn answered(&self, answer: Result<Response<Body>, Error>) -> anyhow::Result<Response<Body>> {
        answer.map_err(|error| {
            let base = &self.base;
            let distrusted = match &error {
                Error::Rustls(_) | Error::Tls(_) => true,
                Error::Io(io) => io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
                _ => false,
            };
            let said = if distrusted {
                format!("no trust in {base}; name the certificates that vouch for it with --ca FILE")
            } else {
                format!(
                    "no monitor answers at {base}; is `systole run` running? If it is elsewhere, say where with --http URL"
                )
            };
            anyhow!(error).context(said)
        })
    }

    fn read<T: DeserializeOwned>(&self, path: &str, response: Response<Body>) -> anyhow::Result<T> {
        let text = text(self.good(path, response)?).with_context(|| format!("{}{path} broke off", self.base))?;
        serde_json::from_str(&text).with_context(|| format!("{}{path} isn't what a monitor says", self.base))
    }

    fn good(&self, path: &str, response: Response<Body>) -> anyhow::Result<Response<Body>> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match serde_json::from_str::<Problem>(&text(response)?) {
            Ok(Problem { error, hint }) => bail!("{error}; {hint}"),
            Err(_) => bail!("{}{path} answers {status}, which isn't what a monitor says; check the URL", self.base),
        }
    }
}

impl NodeQuery {
    fn text(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let mut pairs = vec![
            ("group", self.group.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("sort", self.sort.as_deref()),
            ("limit", limit.as_deref()),
            ("cursor", self.cursor.as_deref()),
        ];
        let states = list(&self.states);
        pairs.push(("state", states.as_deref()));
        pairs.extend(self.labels.iter().map(|label| ("label", Some(&**label))));
        query(&pairs)
    }
}

impl EventQuery {
    fn text(&self) -> String {
        let [since, limit] = [self.since, self.limit].map(|number| number.map(|number| number.to_string()));
        query(&[
            ("since", since.as_deref()),
            ("limit", limit.as_deref()),
            ("to", list(&self.to).as_deref()),
            ("group", self.group.as_deref()),
            ("node", self.node.as_deref()),
        ])
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").finish_non_exhaustive()
    }
}

impl Iterator for Follow {
    type Item = anyhow::Result<Followed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut kind, mut data) = (String::new(), String::new());
        loop {
            let line = match self.lines.next()? {
                Ok(line) => line,
                Err(error) => return Some(Err(anyhow!(error).context("the stream of events broke off"))),
            };
            // A field, or a comment that only shows that the stream is alive, or the end of an event.
            if let Some(text) = line.strip_prefix("event:") {
                text.trim_start().clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("data:") {
                data.push_str(text.trim_start());
            } else if line.is_empty() {
                if let Some(followed) = followed(&kind, &data) {
                    return Some(followed);
                }
                (kind, data) = (String::new(), String::new());
            }
        }
    }
}

#[derive(Deserialize)]
struct Missed {
    missed: u64,
}

/// Nothing for a kind that a later monitor may have.
fn followed(kind: &str, data: &str) -> Option<anyhow::Result<Followed>> {
    let told = match kind {
        "missed" => serde_json::from_str(data).map(|Missed { missed }| Followed::Missed(missed)),
        "transition" | "note" => serde_json::from_str(data).map(Followed::Event),
        _ => return None,
    };
    Some(told.with_context(|| format!("the stream says {kind} {data:?}, which isn't what a monitor says")))
}

/// The certificates in a PEM file.
fn roots(pem: &[u8]) -> anyhow::Result<RootCerts> {
    let mut certs: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(cert) = item.context("--ca isn't PEM")? {
            certs.push(cert);
        }
    }
    if certs.is_empty() {
        bail!("--ca holds no certificate; it should begin with -----BEGIN CERTIFICATE-----");
    }
    Ok(RootCerts::new_with_certs(&certs))
}

fn text(response: Response<Body>) -> Result<String, Error> {
    response.into_body().into_with_config().limit(ANSWER_MAX).read_to_string()
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn list(states: &[State]) -> Option<String> {
    let states: Vec<String> = states.iter().map(State::to_string).collect();
    (!states.is_empty()).then(|| states.join(","))
}

/// `?a=1&b=2`, or nothing.
fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={}", escape(value))));
    let text = given.collect::<Vec<_>>().join("&");
    if text.is_empty() { text } else { format!("?{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_with_or_without_a_path() {
        for url in ["http://127.0.0.1:2329", "http://127.0.0.1:2329/", "http://127.0.0.1:2329/v1/events?since=3"] {
            assert_eq!(Client::new(url).unwrap().url(), "http://127.0.0.1:2329");
        }
        assert_eq!(Client::new("http://[::1]:80/x").unwrap().url(), "http://[::1]:80");
        assert_eq!(Client::new("https://monitor.example:2329/").unwrap().url(), "https://monitor.example:2329");
    }

    #[test]
    fn certificates_that_vouch_for_nothing_are_refused() {
        let with = |url: &str, ca: &[u8]| {
            Client::with(url, Credentials { ca: Some(ca.to_vec()), token: None }).unwrap_err().to_string()
        };
        assert!(with("http://a:1", b"").contains("leave out --ca"));
        assert!(with("https://a:1", b"no PEM").contains("holds no certificate"));
    }

    #[test]
    fn anything_but_http_is_refused_with_the_way_out() {
        for url in ["", "127.0.0.1:2329", "https://", "httpss://a:1", "http://", "http:///v1", "http://a b", "ftp://a"]
        {
            let error = Client::new(url).unwrap_err().to_string();
            assert!(error.contains("expected http://HOST:PORT"), "{url}: {error}");
        }
    }

    #[test]
    fn what_stands_in_a_query_is_escaped() {
        let query = NodeQuery {
            states: vec![State::Failed, State::Left],
            prefix: Some("a/b&c".into()),
            labels: vec!["zone=eu 1".into(), "rack=7".into()],
            limit: Some(7),
            ..NodeQuery::default()
        };
        assert_eq!(query.text(), "?prefix=a%2Fb%26c&limit=7&state=failed%2Cleft&label=zone%3Deu%201&label=rack%3D7");
        assert_eq!(NodeQuery::default().text(), "");
    }

    #[test]
    fn what_a_later_monitor_may_say_in_a_stream_is_skipped() {
        assert!(followed("", "").is_none() && followed("hold", "{}").is_none());
        assert_eq!(followed("missed", r#"{"missed":7,"new":1}"#).unwrap().unwrap(), Followed::Missed(7));
        assert!(followed("transition", "{}").unwrap().is_err());
    }

    #[test]
    fn nobody_at_home_is_said_with_the_url_and_the_way_out() {
        // A port that was free a moment ago and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = Client::new(&format!("http://127.0.0.1:{port}")).unwrap().status().unwrap_err().to_string();
        assert!(error.contains(&format!("http://127.0.0.1:{port}")) && error.contains("systole run"), "{error}");
    }
}
