//! Who is let in over HTTP, seen from outside: tokens, TLS, and clients that are slow or greedy on purpose.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use systole::client::{Client, Credentials};
use systole::config::{self, Setup};
use systole::daemon::{self, Daemon};
use systole::token::{Scope, Token};

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with the files that decide whom to trust.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closed to others");
        path
    }

    fn tokens(&self, entries: &[(&Token, &str, Scope)]) -> PathBuf {
        let lines: String =
            entries.iter().map(|(token, name, scope)| token.entry(name, *scope).to_string() + "\n").collect();
        self.write("tokens", &lines)
    }

    /// A certificate for this machine that vouches for itself, and its key.
    fn certificate(&self) -> config::Tls {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let cert = self.write("cert.pem", &made.cert.pem());
        config::Tls { cert, key: self.write("key.pem", &made.signing_key.serialize_pem()) }
    }
}

fn start(access: config::Access) -> Daemon {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut setup = Setup { access, ..Setup::default() };
    (setup.listen.udp, setup.listen.http, setup.listen.shards) = (vec![any], Some(any), Some(1));
    daemon::start(&setup).expect("a monitor")
}

fn http(daemon: &Daemon) -> SocketAddr {
    daemon.http_addr().expect("it answers")
}

/// The status and the body of the answer to a request.
fn ask(addr: SocketAddr, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
    let head = head.replace('\n', "\r\n");
    stream.write_all(format!("{head}\r\nHost: monitor\r\nConnection: close\r\n\r\n").as_bytes()).expect("sent");
    answer(stream)
}

fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = Vec::new();
    // What was refused while it was still being sent may end with a reset; what was said before counts.
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {text:?}")), text)
}

/// Sends a byte at a time, ever again, until the other side has had enough. Says how long that took, and what was said.
fn drip(addr: SocketAddr, start: &str) -> (Duration, String) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a pace");
    stream.write_all(start.replace('\n', "\r\n").as_bytes()).expect("sent");
    let mut said = Vec::new();
    let mut buffer = [0; 1_024];
    loop {
        assert!(began.elapsed() < PATIENCE, "it is never closed");
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => said.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stream.write_all(b"x").is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    (began.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

fn client(url: &str, token: Option<&Token>, ca: Option<&Path>) -> Client {
    let ca = ca.map(|path| std::fs::read(path).expect("certificates"));
    Client::with(url, Credentials { token: token.cloned(), ca }).expect("a URL")
}

fn systole(args: &[&str], token: Option<&Token>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    command.args(args).env("NO_COLOR", "1").env_remove("SYSTOLE_HTTP").env_remove("SYSTOLE_TOKEN");
    if let Some(token) = token {
        command.env("SYSTOLE_TOKEN", token.text());
    }
    command.output().expect("systole starts")
}

#[test]
fn without_a_token_nothing_is_told_but_that_it_lives() {
    let files = Files::new();
    let (read, operate, other) = (Token::random().unwrap(), Token::random().unwrap(), Token::random().unwrap());
    let tokens = files.tokens(&[(&read, "grafana", Scope::Read), (&operate, "oncall", Scope::Operate)]);
    let daemon = start(config::Access { tokens: Some(tokens), ..Default::default() });
    let addr = http(&daemon);
    let with = |request: &str, token: &Token| {
        ask(addr, &format!("{request} HTTP/1.1\nAuthorization: Bearer {}", token.text()))
    };

    for path in ["/", "/v1/status", "/v1/nodes", "/v1/events/stream", "/metrics", "/v1/openapi.json", "/nothing"] {
        let (status, text) = ask(addr, &format!("GET {path} HTTP/1.1"));
        assert!(status == 401 && text.to_lowercase().contains("www-authenticate: bearer"), "{path}: {text}");
        let problem: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).expect("JSON");
        assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("Authorization: Bearer")), "{problem}");
        assert_eq!(with(&format!("GET {path}"), &other).0, 401, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(addr, &format!("GET {path} HTTP/1.1")).0, 200, "{path}");
    }
    assert_eq!((with("GET /v1/status", &read).0, with("GET /v1/status", &operate).0), (200, 200));

    // No path changes anything by POST on the status; that is said only to who might change things.
    assert_eq!((with("POST /v1/status", &read).0, with("POST /v1/status", &operate).0), (403, 405));
    assert_eq!((with("DELETE /v1/nodes/a", &read).0, with("DELETE /v1/nodes/a", &other).0), (403, 401));
    let metrics = with("GET /metrics", &read).1;
    assert!(metrics.contains("systole_http_refused_total{reason=\"token\"} 15"), "{metrics}");
    assert!(metrics.contains("systole_http_refused_total{reason=\"scope\"} 2"), "{metrics}");
    daemon.stop().expect("it ends");
}

#[test]
fn commands_show_the_token_that_they_are_given_and_say_when_one_is_missing() {
    let files = Files::new();
    let made = systole(&["token", "new", "grafana", "--scope", "read", "--json"], None);
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let token: Token = made["token"].as_str().expect("a token").parse().unwrap();
    let tokens = files.write("tokens", made["line"].as_str().expect("a line"));
    let daemon = start(config::Access { tokens: Some(tokens), ..Default::default() });
    let url = format!("http://{}", http(&daemon));

    let refused = systole(&["status", "--http", &url], None);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && error.contains("--token-file"), "{error}");
    assert_eq!(systole(&["status", "--http", &url], Some(&token)).status.code(), Some(0));
    let file = files.write("mine", &format!("{}\n", token.text()));
    let args = ["status", "--json", "--http", &url, "--token-file", file.to_str().unwrap()];
    assert_eq!(
        systole(&args, Some(&Token::random().unwrap())).status.code(),
        Some(0),
        "the file outranks the variable"
    );
    daemon.stop().expect("it ends");
}

#[test]
fn tls_is_spoken_with_the_monitors_own_certificate_and_the_real_client() {
    let files = Files::new();
    let (token, tls) = (Token::random().unwrap(), files.certificate());
    let ca = tls.cert.clone();
    let tokens = Some(files.tokens(&[(&token, "a", Scope::Read)]));
    let daemon = start(config::Access { tokens, tls: Some(tls), ..Default::default() });
    let addr = http(&daemon);
    for host in ["127.0.0.1".to_owned(), "localhost".to_owned()] {
        let url = format!("https://{host}:{}", addr.port());
        assert_eq!(client(&url, Some(&token), Some(&ca)).status().expect("an answer").nodes.alive, 0);
    }
    let url = format!("https://{addr}");
    let error = format!("{:#}", client(&url, Some(&token), None).status().expect_err("nobody vouches for it"));
    assert!(error.contains("--ca FILE"), "{error}");
    let error = client(&url, None, Some(&ca)).status().expect_err("no token").to_string();
    assert!(error.contains("asks for a token"), "{error}");
    assert!(client(&format!("http://{addr}"), Some(&token), None).status().is_err(), "plain HTTP isn't answered");
    let args = ["status", "--http", &url, "--ca", ca.to_str().unwrap()];
    assert_eq!(systole(&args, Some(&token)).status.code(), Some(0));
    let (took, _) = drip(addr, "\u{16}\u{3}\u{1}");
    assert!(took < Duration::from_secs(10), "a handshake that never ends is ended: {took:?}");
    daemon.stop().expect("it ends");
}

#[test]
fn files_that_cannot_be_trusted_stop_the_start_and_are_named() {
    let files = Files::new();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let refusal = |access: config::Access| {
        let mut setup = Setup { access, ..Setup::default() };
        (setup.listen.udp, setup.listen.http) = (vec![any], Some(any));
        format!("{:#}", daemon::start(&setup).expect_err("it doesn't start"))
    };
    let tokens = files.write("tokens", "grafana read\noncall all sha256:00\n");
    let of_tokens = |path: &Path| config::Access { tokens: Some(path.into()), ..Default::default() };
    let error = refusal(of_tokens(&tokens));
    assert!(error.contains("tokens:1: ") && error.contains("tokens:2: "), "{error}");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = refusal(of_tokens(&tokens));
    assert!(error.contains("0644") && error.contains("chmod 600"), "{error}");
    assert!(refusal(of_tokens(Path::new("/nowhere/tokens"))).contains("/nowhere/tokens"));

    let (one, tls) = (files.certificate(), |cert, key| config::Access {
        tls: Some(config::Tls { cert, key }),
        ..Default::default()
    });
    let other = Files::new().certificate();
    let foreign = files.write(
        "foreign.pem",
        &rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().signing_key.serialize_pem(),
    );
    assert!(refusal(tls(one.cert.clone(), foreign)).contains("don't go together"));
    assert!(refusal(tls(one.key.clone(), one.key.clone())).contains("holds no certificate"));
    assert!(refusal(tls(other.cert, one.key)).contains("tls_cert: can't read"), "that folder is gone");
}

#[test]
fn who_asks_slowly_too_much_or_with_too_many_words_is_cut_off() {
    let files = Files::new();
    let token = Token::random().unwrap();
    let daemon =
        start(config::Access { tokens: Some(files.tokens(&[(&token, "a", Scope::Operate)])), ..Default::default() });
    let addr = http(&daemon);
    let bearer = format!("Authorization: Bearer {}", token.text());
    std::thread::scope(|scope| {
        // Each byte in time, the head never whole.
        let heads: Vec<_> = (0..20).map(|_| scope.spawn(move || drip(addr, "GET /v1/status HTTP/1.1\nX: "))).collect();
        let body = format!("POST /v1/status HTTP/1.1\nHost: m\n{bearer}\nContent-Length: 1000\n\n");
        let body = scope.spawn(move || drip(addr, &body));
        assert_eq!(ask(addr, "GET /healthz HTTP/1.1").0, 200, "others are answered meanwhile");
        for (took, _) in heads.into_iter().map(|head| head.join().expect("a drip")) {
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
        let (took, said) = body.join().expect("a drip");
        assert!(took < Duration::from_secs(15) && said.contains(" 408 ") && said.contains("hint"), "{took:?}: {said}");
    });
    let many: String = (0..100).map(|i| format!("\nX-{i}: 1")).collect();
    assert_eq!(ask(addr, &format!("GET /healthz HTTP/1.1{many}")).0, 431);
    assert_eq!(ask(addr, &format!("GET /healthz HTTP/1.1\nX: {}", "x".repeat(20_000))).0, 431);
    assert_eq!(ask(addr, &format!("POST /v1/status HTTP/1.1\n{bearer}\nContent-Length: 70000")).0, 413);
    let chunk = format!("{:x}\n{}\n0\n", 70_000, "x".repeat(70_000));
    let chunked = format!("POST /v1/status HTTP/1.1\nHost: m\n{bearer}\nTransfer-Encoding: chunked\n\n{chunk}");
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.write_all(chunked.replace('\n', "\r\n").as_bytes()).expect("sent");
    assert_eq!(answer(stream).0, 413);
    assert_eq!(ask(addr, &format!("GET /v1/status HTTP/1.1\n{bearer}\nContent-Length: 3")).0, 413);
    daemon.stop().expect("it ends");
}
