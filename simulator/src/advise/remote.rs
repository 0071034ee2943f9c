//! What a running monitor has measured of its own traffic: `GET /v1/groups/{group}/profile`.
//!
//! Plain HTTP, as the monitor speaks it on its own network, with ten seconds of patience. Whatever it
//! answers that isn't what was asked for is told with the address and the answer's own words.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use systole_core::Span;

/// How heartbeats of one group arrive.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Profile {
    pub(super) group: String,
    pub(super) interval_ms: Option<f64>,
    pub(super) nodes: u64,
    pub(super) heartbeats: u64,
    pub(super) lost: u64,
    pub(super) lateness: Lateness,
    pub(super) loss_runs: Vec<LossRuns>,
}

/// How late they came, against the one before and the interval.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Lateness {
    pub(super) count: u64,
    pub(super) buckets: Vec<Bucket>,
}

/// So many came up to so late.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Bucket {
    pub(super) up_to_ms: f64,
    pub(super) count: u64,
}

/// So many runs of lost heartbeats were at most so long.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct LossRuns {
    pub(super) to: u64,
    pub(super) count: u64,
}

#[derive(Debug, Deserialize)]
struct Groups {
    groups: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    group: String,
}

#[derive(Debug, Deserialize)]
struct Problem {
    error: String,
    hint: String,
}

/// Asks a monitor, `http://host:port`, for the profile of a group: the one named, or of the address
/// `http://host:port/group`, or its only one.
///
/// # Errors
/// What is wrong with the address or the answer, and the groups that there are.
pub(super) fn profile(address: &str, group: Option<&str>) -> Result<Profile, String> {
    let Some(rest) = address.strip_prefix("http://") else {
        return Err(format!(
            "{address:?} is not the address of a monitor; write http://host:2329, or http://host:2329/group"
        ));
    };
    let (host, named) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return Err(format!("{address:?} names no host; write http://host:2329"));
    }
    let base = format!("http://{host}");
    let named = named.trim_end_matches('/');
    let group = match group.or_else(|| (!named.is_empty()).then_some(named)) {
        Some(group) => group.to_owned(),
        None => only_group(&base)?,
    };
    get(&format!("{base}/v1/groups/{}/profile", encode(&group)))
}

fn only_group(base: &str) -> Result<String, String> {
    let Groups { mut groups } = get(&format!("{base}/v1/groups"))?;
    match groups.len() {
        0 => Err(format!("{base} knows no groups yet; let its nodes beat for a while")),
        1 => Ok(groups.remove(0).group),
        _ => {
            let names: Vec<String> = groups.into_iter().map(|named| named.group).collect();
            Err(format!("{base} has several groups; choose one with --group: {}", names.join(", ")))
        }
    }
}

fn get<T: DeserializeOwned>(url: &str) -> Result<T, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
    let mut response =
        ureq::Agent::from(config).get(url).call().map_err(|error| format!("can't ask {url}: {error}"))?;
    let status = response.status();
    let text = response.body_mut().read_to_string().map_err(|error| format!("can't read what {url} says: {error}"))?;
    if !status.is_success() {
        let said = match serde_json::from_str(&text) {
            Ok(Problem { error, hint }) => format!("{error}; {hint}"),
            Err(_) => text.trim().to_owned(),
        };
        return Err(format!("{url} says {status}: {said}"));
    }
    serde_json::from_str(&text).map_err(|error| format!("{url} doesn't answer as a monitor does: {error}"))
}

/// For a path: all but what RFC 3986 leaves as it is.
fn encode(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Profile {
    /// The interval at which it was measured.
    pub(super) fn interval(&self) -> Option<Span> {
        self.interval_ms.filter(|millis| *millis >= 1.0).map(|millis| Span::from_nanos((millis * 1e6) as u64))
    }
}

/// A monitor answers at once, or is somewhere else.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one request each with these, and says what was asked.
    fn monitor(answers: Vec<(&'static str, &'static str)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let served = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().expect("a request");
                let (mut request, mut byte) = (Vec::new(), [0]);
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).expect("a whole request");
                    request.push(byte[0]);
                }
                asked.push(String::from_utf8_lossy(&request).lines().next().unwrap_or("").to_owned());
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("it listens");
            }
            asked
        });
        (address, served)
    }

    const PROFILE: &str = r#"{"group":"a b","interval_ms":1000.0,"nodes":3,"heartbeats":90,"lost":10,
        "lateness":{"count":90,"mean_ms":1.0,"sd_ms":1.0,"max_ms":2.0,"buckets":[{"up_to_ms":2.0,"count":90}]},
        "loss_runs":[{"from":1,"to":1,"count":10}]}"#;

    #[test]
    fn the_only_group_need_not_be_named() {
        let (address, served) =
            monitor(vec![("200 OK", r#"{"groups":[{"group":"a b","nodes":3}]}"#), ("200 OK", PROFILE)]);
        let profile = profile(&address, None).expect("a profile");
        assert_eq!((profile.lost, profile.interval()), (10, Some(Span::from_secs(1))));
        assert_eq!(
            served.join().expect("it served"),
            ["GET /v1/groups HTTP/1.1", "GET /v1/groups/a%20b/profile HTTP/1.1"]
        );
    }

    #[test]
    fn one_of_several_has_to_be_named_and_they_are_listed() {
        let (address, served) = monitor(vec![("200 OK", r#"{"groups":[{"group":"a"},{"group":"b"}]}"#)]);
        let fault = profile(&address, None).expect_err("which one?");
        assert!(fault.ends_with("has several groups; choose one with --group: a, b"), "{fault}");
        served.join().expect("it served");
    }

    #[test]
    fn what_is_no_monitor_is_told_as_such() {
        let (address, served) = monitor(vec![
            ("404 Not Found", r#"{"error":"no such group","hint":"see /v1/groups"}"#),
            ("200 OK", "<html>"),
        ]);
        let fault = profile(&format!("{address}/x"), None).expect_err("no such group");
        assert!(fault.ends_with("/v1/groups/x/profile says 404 Not Found: no such group; see /v1/groups"), "{fault}");
        let fault = profile(&address, Some("x")).expect_err("no monitor");
        assert!(fault.contains("doesn't answer as a monitor does"), "{fault}");
        served.join().expect("it served");
        let fault = profile("monitor:2329", None).expect_err("no address");
        assert!(fault.ends_with("write http://host:2329, or http://host:2329/group"), "{fault}");
    }
}
