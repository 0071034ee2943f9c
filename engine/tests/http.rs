//! The HTTP interface from outside: a real server on a real socket, and real monitors behind it.
//!
//! Two shards, each a thread that owns a `Monitor` and answers questions through `answer.rs`; what
//! they decide goes into a real journal. Heartbeats and the passing of time are handed in by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Parser;
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use mio::{Events, Poll, Token, Waker};
use serde_json::Value;
use systole::answer;
use systole::cli;
use systole::client::{Client, EventQuery, Followed, NodeQuery};
use systole::clock::Clock;
use systole::config::Access;
use systole::http::{self, Control, Door, Server};
use systole::model::{State, Status};
use systole::profile::Profile;
use systole::query::{Query, Report, ShardHandle};
use systole::reload::Loads;
use systole::store::{Journal, JournalWriter, Record};
use systole_core::config::{Config, Plan, Rule, Settings};
use systole_core::event::{Sink, Transition};
use systole_core::guard::ScopeName;
use systole_core::{Backlog, Datagram, GroupIx, Instant, Monitor, NodeId, Reject, Share, Span};

const SHARDS: u32 = 2;

/// Long enough for any machine, short enough to fail.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a node with this number passes a filter.
type Wanted = Box<dyn Fn(u32) -> bool>;

type Task = Box<dyn FnOnce(&mut Monitor, &mut Outlet) + Send>;

/// What a monitor says, as the engine keeps it.
struct Outlet {
    clock: Clock,
    writer: Arc<Mutex<JournalWriter>>,
    profiles: Vec<Option<Profile>>,
}

impl Sink for Outlet {
    fn transition(&mut self, transition: &Transition<'_>) {
        let record = Record::of_transition(transition, self.clock.read(), 0);
        self.writer.lock().unwrap().append(std::iter::once(record));
    }

    fn heartbeat(&mut self, group: GroupIx, late: Span, lost: u64) {
        self.profiles.resize(self.profiles.len().max(group.index() + 1), None);
        self.profiles[group.index()].get_or_insert_default().record(late, lost);
    }
}

/// A shard's thread, and the way to it.
struct Thread {
    tasks: Option<Sender<Task>>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

struct Bench {
    server: Option<Server>,
    now: Instant,
    shards: Vec<Thread>,
}

impl Bench {
    fn new() -> Self {
        Self::keeping(100_000)
    }

    fn keeping(events: usize) -> Self {
        let clock = Clock::start();
        let (journal, writer) = Journal::new(events);
        let writer = Arc::new(Mutex::new(writer));
        let (mut shards, mut handles) = (Vec::new(), Vec::new());
        for shard in 0..SHARDS {
            let poll = Poll::new().unwrap();
            let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
            let (tasks, todo) = unbounded();
            let (queries, asked) = bounded(64);
            handles.push(ShardHandle { shard, queries, waker: Arc::clone(&waker) });
            let outlet = Outlet { clock, writer: Arc::clone(&writer), profiles: Vec::new() };
            let monitor = Monitor::new(config(shard), clock.now());
            let thread = thread::spawn(move || run(shard, monitor, outlet, poll, &todo, &asked));
            shards.push(Thread { tasks: Some(tasks), waker, thread: Some(thread) });
        }
        let control = Control { shards: handles, journal, clock, started: clock.now(), loads: Loads::default() };
        let server =
            http::start(TcpListener::bind("127.0.0.1:0").unwrap(), control, &Access::default(), Door::default())
                .unwrap();
        Self { server: Some(server), now: clock.now(), shards }
    }

    fn addr(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addr()
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    fn client(&self) -> Client {
        Client::new(&self.url()).unwrap()
    }

    /// Does something on every shard's thread and waits until it's done.
    fn on_every_shard(&self, task: impl Fn(&mut Monitor, &mut Outlet) + Send + Sync + 'static) {
        let task = Arc::new(task);
        let (done, all_done) = bounded(SHARDS as usize);
        for shard in &self.shards {
            let (task, done) = (Arc::clone(&task), done.clone());
            let boxed: Task = Box::new(move |monitor, outlet| {
                task(monitor, outlet);
                done.send(()).unwrap();
            });
            shard.tasks.as_ref().unwrap().send(boxed).unwrap();
            shard.waker.wake().unwrap();
        }
        (0..SHARDS).for_each(|_| all_done.recv_timeout(PATIENCE).expect("the shard does it"));
    }

    /// Every shard gets every line; the other shard's nodes are none of its business.
    fn hear(&self, lines: impl IntoIterator<Item = String>) {
        let (now, lines) = (self.now, lines.into_iter().collect::<Vec<_>>());
        self.on_every_shard(move |monitor, outlet| {
            for line in &lines {
                let datagram = Datagram::new(line.as_bytes(), now);
                monitor.turn(now, &[datagram], Backlog::Drained, outlet);
            }
        });
    }

    fn wait(&mut self, span: Span) {
        self.now = self.now + span;
        let now = self.now;
        self.on_every_shard(move |monitor, outlet| {
            while let Some(at) = monitor.poll_timeout().filter(|at| *at <= now) {
                monitor.turn(at, &[], Backlog::Drained, outlet);
            }
        });
    }

    fn get(&self, path: &str) -> Answer {
        request(self.addr(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.take();
        for shard in &mut self.shards {
            shard.tasks.take();
            shard.waker.wake().unwrap();
            let ended = shard.thread.take().unwrap().join();
            assert!(thread::panicking() || ended.is_ok());
        }
    }
}

fn config(shard: u32) -> Config {
    let share = Share::new(shard, SHARDS).unwrap();
    // Listed nodes are known to the shard that owns them.
    let rule = Rule {
        name: "edge".into(),
        settings: Settings { detector: "fixed:timeout=5s".parse().unwrap(), ..Settings::default() },
        matches: vec![],
        nodes: vec!["listed-1".into(), "listed-2".into()],
    };
    Config::new(Plan { groups: vec![rule], share, ..Plan::default() }).unwrap()
}

fn run(
    shard: u32,
    mut monitor: Monitor,
    mut outlet: Outlet,
    mut poll: Poll,
    todo: &Receiver<Task>,
    asked: &Receiver<Query>,
) {
    let mut events = Events::with_capacity(4);
    loop {
        poll.poll(&mut events, None).unwrap();
        loop {
            match todo.try_recv() {
                Ok(task) => task(&mut monitor, &mut outlet),
                Err(crossbeam::channel::TryRecvError::Empty) => break,
                Err(crossbeam::channel::TryRecvError::Disconnected) => return,
            }
        }
        asked.try_iter().for_each(|query| reply(shard, &mut monitor, &mut outlet, query));
    }
}

/// Whoever asked may have gone; then the answer is for nobody.
fn reply(shard: u32, monitor: &mut Monitor, outlet: &mut Outlet, query: Query) {
    match query {
        Query::Report(reply) => drop(reply.send(report(shard, monitor))),
        Query::Groups(name, reply) => {
            let wanted = monitor.groups().iter().enumerate();
            let wanted = wanted.filter(|(_, group)| name.as_deref().is_none_or(|name| name == group.name()));
            let profile = |ix: usize| outlet.profiles.get(ix).and_then(Option::as_ref);
            drop(reply.send(wanted.map(|(ix, _)| answer::group(monitor, GroupIx::new(ix), profile(ix))).collect()));
        }
        Query::Node(id, reply) => {
            let view = monitor.find(&id).and_then(|ix| monitor.node(ix));
            drop(reply.send(view.map(|view| answer::row(monitor, &view))));
        }
        Query::Order(scope, order, reply) => {
            let scope = ScopeName::parse(&scope).unwrap();
            let now = outlet.clock.now();
            _ = reply.send(monitor.order(scope, order, now, outlet));
        }
        Query::Reconfigure(proposal) => drop(proposal.proceed(monitor, outlet.clock.now())),
        Query::Slice { from, most, filter, reply } => drop(reply.send(answer::slice(monitor, from, most, &filter))),
        Query::Beliefs { from, reply } => {
            drop(reply.send(answer::beliefs(monitor, from, outlet.clock.read())));
        }
    }
}

fn report(shard: u32, monitor: &Monitor) -> Report {
    Report {
        shard,
        counts: answer::counts(monitor),
        auth: answer::auth(monitor),
        counters: *monitor.counters(),
        heartbeats_per_second: 1.5,
        datagrams: 10 + u64::from(shard),
        dropped: 3,
        receive_buffer: 1 << 20,
        handed_over: 0,
        handover_dropped: 0,
        events_dropped: 0,
        clock_steps: 1,
        loop_gap_max: Span::from_millis(u64::from(shard) + 1),
        turn_max: Span::from_millis(u64::from(shard)),
        behind: Span::ZERO,
        holds: monitor.holds().map(answer::hold).collect(),
        unwell: monitor.unwell(),
        flapping: monitor.flapping_count(),
        conflicts: monitor.conflict_count(),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

fn connect(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

fn request(addr: SocketAddr, text: &str) -> Answer {
    let mut whole = String::new();
    connect(addr, text).read_to_string(&mut whole).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.to_lowercase(), v.to_owned()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

fn names(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["node"].as_str().unwrap().to_owned()).collect()
}

/// Goes from page to page until there is no next one.
fn walk(bench: &Bench, query: &str, limit: usize) -> Vec<Value> {
    let (mut nodes, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bench.json(&format!("/v1/nodes?limit={limit}{query}{cursor}"));
        let these = page["nodes"].as_array().unwrap();
        assert!(these.len() <= limit);
        nodes.extend(these.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return nodes,
        }
    }
}

#[test]
fn the_status_sums_over_shards() {
    let bench = Bench::new();
    bench.hear((0..100).map(|i| format!("hb n{i}")).chain(["hb bad%name".into(), "bye n7".into()]));
    let status: Status = serde_json::from_value(bench.json("/v1/status")).unwrap();
    assert_eq!((status.nodes.alive, status.nodes.left, status.nodes.unseen), (99, 1, 2));
    assert_eq!((status.heartbeats_total, status.heartbeats_per_second), (100, 3.0));
    assert_eq!(
        (status.datagrams_dropped_total, status.health.loop_gap_max_ms, status.health.clock_steps_total),
        (6, 2, 1)
    );
    let reasons: BTreeSet<&str> = status.rejected.keys().map(String::as_str).collect();
    assert_eq!(reasons, Reject::ALL.map(Reject::name).into_iter().collect());
    assert_eq!(status.rejected["bad_name"], 2, "each shard was given the line");
    assert_eq!((status.shards.len(), status.events_last), (2, 101));
    assert!(status.shards.iter().all(|shard| shard.nodes > 0));
}

#[test]
fn a_group_is_put_together_from_all_shards() {
    let bench = Bench::new();
    for seq in [1, 3] {
        bench.hear((0..40).map(|i| format!("hb n{i} group=eu/web interval=1s seq={seq}")));
    }
    let groups = bench.json("/v1/groups");
    let listed: Vec<&str> = groups["groups"].as_array().unwrap().iter().map(|g| g["group"].as_str().unwrap()).collect();
    assert_eq!(listed, ["edge", "eu/web"], "the default group has no nodes and isn't configured");
    let group = bench.json("/v1/groups/eu%2Fweb");
    assert_eq!(
        (&group["nodes"]["alive"], &group["heartbeats_in_rhythm_total"], &group["lost_total"]),
        (&40.into(), &40.into(), &40.into())
    );
    assert_eq!(group, groups["groups"][1]);
    assert_eq!(bench.json("/v1/groups/edge")["nodes"]["unseen"], 2);
    assert_eq!(bench.get("/v1/groups/nobody").status, 404);
}

#[test]
fn a_profile_has_the_lateness_and_the_losses_in_a_row_of_all_shards_together() {
    let mut bench = Bench::new();
    let line = |i: u32, seq: u64, ms: u64| format!("hb n{i} group=eu/web interval={ms}ms seq={seq}");
    // Most beat every second, a few every two seconds; both come 20 ms late, the second time after two lost ones.
    let interval = |i| if i < 30 { 1_000 } else { 2_000 };
    bench.hear((0..40).map(|i| line(i, 1, interval(i))));
    bench.wait(Span::from_millis(1_020));
    bench.hear((0..30).map(|i| line(i, 2, interval(i))));
    bench.wait(Span::from_millis(3_020));
    bench.hear((0..30).map(|i| line(i, 5, interval(i))));
    let told = bench.json("/v1/groups/eu%2Fweb/profile");
    let profile = bench.client().profile("eu/web").unwrap().expect("a group with nodes");
    assert_eq!(serde_json::to_value(&profile).unwrap(), told);
    assert_eq!((profile.group.as_str(), profile.interval_ms, profile.nodes), ("eu/web", Some(1_000.0), 40));
    assert_eq!((profile.heartbeats, profile.lost, profile.lateness.count), (60, 60, 60));
    assert_eq!(told["loss_runs"], serde_json::json!([{"from": 2, "to": 2, "count": 30}]));
    let (mean, max) = (profile.lateness.mean_ms, profile.lateness.max_ms);
    assert_eq!((mean, profile.lateness.sd_ms, max), (20.0, 0.0, 20.0));
    let [bucket] = profile.lateness.buckets[..] else { panic!("one lateness: {:?}", profile.lateness) };
    assert_eq!(bucket.count, 60);
    assert!((20.0..20.2).contains(&bucket.up_to_ms), "{bucket:?}");

    let edge = bench.client().profile("edge").unwrap().expect("a configured group");
    assert_eq!((edge.interval_ms, edge.nodes, edge.heartbeats, edge.lateness.buckets.len()), (None, 2, 0, 0));
    let nobody = bench.get("/v1/groups/nobody/profile");
    assert_eq!(nobody.status, 404);
    assert!(nobody.body.contains("group nobody is unknown"), "{}", nobody.body);
}

#[test]
fn a_node_is_found_under_every_name_that_it_may_have() {
    let bench = Bench::new();
    bench.hear([
        "hb eu-1/rack_7:web@a.b group=g interval=1s load=0.5 version=1.2 l.zone=a m.cpu=0.25 seq=4 inc=9".into()
    ]);
    let node = bench.json("/v1/nodes/eu-1%2Frack_7%3Aweb%40a.b");
    let id = NodeId::of("eu-1/rack_7:web@a.b");
    assert_eq!(bench.json(&format!("/v1/nodes/%23{id}"))["node"], "eu-1/rack_7:web@a.b");
    for (field, value) in [
        ("node", Value::from("eu-1/rack_7:web@a.b")),
        ("group", "g".into()),
        ("state", "alive".into()),
        ("incarnation", 9.into()),
        ("seq", 4.into()),
        ("interval_ms", 1_000.into()),
        ("interval_declared", true.into()),
        ("load", 0.5.into()),
        ("version", "1.2".into()),
        ("labels", serde_json::json!({"zone": "a"})),
        ("metrics", serde_json::json!({"cpu": 0.25})),
        ("muted_until", Value::Null),
        ("flapping", false.into()),
        ("held", Value::Null),
    ] {
        assert_eq!(node[field], value, "{field}");
    }
    let reason = node["reason"].as_str().unwrap();
    assert!(reason.starts_with("alive since ") && reason.contains("(chen, group g, interval 1 s)"), "{reason}");
}

#[test]
fn a_failed_node_says_why_with_the_health_of_the_monitor_at_that_moment() {
    let mut bench = Bench::new();
    bench.hear(["hb a group=edge interval=1s".into()]);
    bench.wait(Span::from_secs(20));
    let node = bench.json("/v1/nodes/a");
    let reason = node["reason"].as_str().unwrap();
    assert!(reason.starts_with("failed at "), "{reason}");
    assert!(reason.contains("deadline 5 s later (fixed, group edge, interval 1 s, confirm 3 s)"), "{reason}");
    assert!(reason.ends_with(" ms, 0 datagrams dropped"), "{reason}");
    let event = &bench.json("/v1/events?node=a&to=failed")["events"][0];
    assert_eq!((&event["reason"], &event["evidence"]["confirm_ms"]), (&node["reason"], &3_000.into()));
}

#[test]
fn what_is_wrong_is_said_as_json_with_the_right_status() {
    let bench = Bench::new();
    bench.hear(["hb a".into()]);
    for (status, method, path) in [
        (404, "GET", "/v2/status"),
        (404, "GET", "/v1/nodes/"),
        (404, "GET", "/v1/nodes/nobody"),
        (404, "GET", "/v1/groups/nobody"),
        (404, "GET", "/v1/groups/nobody/profile"),
        (404, "GET", "/v1/nodes/a/b"),
        (405, "POST", "/v1/status"),
        (405, "DELETE", "/v1/nodes"),
        (405, "PUT", "/metrics"),
        (400, "GET", "/v1/nodes/a%20b"),
        (400, "GET", "/v1/nodes/%23123"),
        (400, "GET", "/v1/nodes/%ff"),
        (400, "GET", "/v1/status?x=1"),
        (400, "GET", "/v1/groups?x=1"),
        (400, "GET", "/v1/groups/edge?x=1"),
        (400, "GET", "/v1/groups/edge/profile?x=1"),
        (400, "GET", "/v1/nodes/a?x=1"),
        (400, "GET", "/v1/nodes?limit=0"),
        (400, "GET", "/v1/nodes?limit=1001"),
        (400, "GET", "/v1/nodes?limit=ten"),
        (400, "GET", "/v1/nodes?state=dead"),
        (400, "GET", "/v1/nodes?stat=failed"),
        (400, "GET", "/v1/nodes?label=zone"),
        (400, "GET", "/v1/nodes?sort=age"),
        (400, "GET", "/v1/nodes?group=a&group=b"),
        (400, "GET", "/v1/nodes?cursor=garbage"),
        (400, "GET", "/v1/nodes?cursor=99.0"),
        (400, "GET", "/v1/nodes?cursor=0.0&sort=load"),
        (400, "GET", "/v1/nodes?cursor=load.0.61&sort=-load"),
        (400, "GET", "/v1/nodes?cursor=load.0.61"),
        (400, "GET", "/v1/events?since=-1"),
        (400, "GET", "/v1/events?limit=10001"),
        (400, "GET", "/v1/events?to=dead"),
        (400, "GET", "/v1/events?from=alive"),
        (400, "GET", "/v1/events/stream?since=x"),
        (400, "GET", "/v1/events/stream?limit=1"),
    ] {
        let answer =
            request(bench.addr(), &format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        let keys: Vec<&String> = problem.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["error", "hint"], "{path}");
        assert!(keys.iter().all(|key| !problem[*key].as_str().unwrap().is_empty()), "{path}");
        assert_eq!(answer.headers.get("allow").map(String::as_str), (status == 405).then_some("GET,HEAD"), "{path}");
    }
    let labels = (0..17).map(|i| format!("label=l{i}=x")).collect::<Vec<_>>().join("&");
    assert_eq!(bench.get(&format!("/v1/nodes?{labels}")).status, 400, "no node has so many labels");
    let body = "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(request(bench.addr(), body).status, 413);
    let bad_id = "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nLast-Event-ID: x\r\n\r\n";
    assert_eq!(request(bench.addr(), bad_id).status, 400);
}

#[test]
fn pages_hold_every_node_exactly_once_in_every_order() {
    let mut bench = Bench::new();
    let line = |i: u32| format!("hb n{i:04} group=g{} interval=1s l.zone=z{} l.odd={}", i % 3, i % 5, i % 2);
    let load = |i: u32| if i.is_multiple_of(7) { String::new() } else { format!(" load={}", f64::from(i % 11) / 4.0) };
    bench.hear((0..5_000).map(|i| line(i) + &load(i)));
    // Some fall silent, the others are heard again.
    bench.wait(Span::from_secs(4));
    bench.hear((0..5_000).filter(|i| i % 4 != 0).map(line));

    let all: Vec<u32> = (0..5_000).collect();
    let expected = |wanted: &dyn Fn(u32) -> bool| -> BTreeSet<String> {
        let mut names: BTreeSet<String> = all.iter().filter(|i| wanted(**i)).map(|i| format!("n{i:04}")).collect();
        if wanted(u32::MAX) {
            names.extend(["listed-1".to_owned(), "listed-2".to_owned()]);
        }
        names
    };
    // u32::MAX stands for the two listed nodes, which pass no filter.
    let seen = |i: u32| i != u32::MAX;
    let cases: [(&str, Wanted); 7] = [
        ("", Box::new(|_| true)),
        ("&group=g1", Box::new(move |i| seen(i) && i % 3 == 1)),
        ("&state=suspect", Box::new(move |i| seen(i) && i.is_multiple_of(4))),
        ("&state=suspect,alive", Box::new(seen)),
        ("&prefix=n49", Box::new(|i| (4_900..5_000).contains(&i))),
        ("&label=zone=z3&label=odd=1", Box::new(move |i| seen(i) && i % 5 == 3 && i % 2 == 1)),
        ("&group=g2&state=alive&label=zone=z0", Box::new(move |i| seen(i) && i % 3 == 2 && i % 4 != 0 && i % 5 == 0)),
    ];
    for (filter, wanted) in &cases {
        for limit in [100, 1_000] {
            let nodes = walk(&bench, filter, limit);
            let found: BTreeSet<String> = nodes.iter().map(|node| node["node"].as_str().unwrap().to_owned()).collect();
            assert_eq!((nodes.len(), &found), (found.len(), &expected(wanted)), "{filter} {limit}");
        }
    }
    assert_eq!(walk(&bench, "", 7).len(), 5_002);
    assert_eq!(walk(&bench, "&prefix=n49&sort=-name", 7).len(), 100);

    for sort in ["name", "-name", "load", "-load", "last_arrival", "-since", "loss"] {
        for filter in ["", "&group=g1", "&state=suspect"] {
            let nodes = walk(&bench, &format!("&sort={sort}{filter}"), 1_000);
            let found: BTreeSet<&str> = nodes.iter().map(|node| node["node"].as_str().unwrap()).collect();
            let wanted = cases.iter().find(|(case, _)| *case == filter).map(|(_, wanted)| expected(wanted)).unwrap();
            assert_eq!((nodes.len(), found.len()), (wanted.len(), wanted.len()), "{sort}{filter}");
            check_order(sort, &nodes);
        }
    }
}

fn check_order(sort: &str, nodes: &[Value]) {
    let (descending, field) = sort.strip_prefix('-').map_or((false, sort), |field| (true, field));
    let known: Vec<&Value> = nodes.iter().take_while(|node| !node[field].is_null()).collect();
    assert!(nodes[known.len()..].iter().all(|node| node[field].is_null()), "{sort}: what isn't known comes last");
    let field = if field == "name" { "node" } else { field };
    for pair in known.windows(2) {
        let (a, b) = if descending { (pair[1], pair[0]) } else { (pair[0], pair[1]) };
        let ordered = match (a[field].as_f64(), b[field].as_f64()) {
            (Some(a), Some(b)) => a <= b,
            _ => a[field].as_str() <= b[field].as_str(),
        };
        assert!(ordered, "{sort}: {} before {}", pair[0]["node"], pair[1]["node"]);
    }
}

#[test]
fn a_filter_that_nobody_passes_ends_in_an_empty_page() {
    let bench = Bench::new();
    bench.hear((0..100).map(|i| format!("hb n{i}")));
    for query in ["?group=none", "?state=failed", "?prefix=x", "?label=a=b", "?prefix=x&sort=-load"] {
        assert_eq!(bench.json(&format!("/v1/nodes{query}")), serde_json::json!({"nodes": [], "next": null}), "{query}");
    }
}

#[test]
fn a_page_has_a_hundred_nodes_unless_told_otherwise() {
    let bench = Bench::new();
    bench.hear((0..300).map(|i| format!("hb n{i}")));
    let page = bench.json("/v1/nodes");
    assert_eq!(names(&page).len(), 100);
    assert!(page["next"].is_string());
}

#[test]
fn events_are_paged_by_their_numbers_and_filtered() {
    let bench = Bench::new();
    bench.hear((0..250).map(|i| format!("hb n{i} group=g{}", i % 2)));
    bench.hear((0..10).map(|i| format!("bye n{i}")));
    let seqs = |page: &Value| -> Vec<u64> {
        page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
    };
    let first = bench.json("/v1/events");
    assert_eq!((seqs(&first), &first["next"], &first["missed"]), ((1..=100).collect(), &100.into(), &0.into()));
    let rest = bench.json("/v1/events?since=100&limit=10000");
    assert_eq!((seqs(&rest), &rest["next"]), ((101..=260).collect(), &260.into()));
    assert_eq!(seqs(&bench.json("/v1/events?since=260")), [] as [u64; 0]);
    let left = bench.json("/v1/events?to=left,failed");
    assert_eq!((seqs(&left), &left["next"]), ((251..=260).collect(), &260.into()));
    let left = bench.json("/v1/events?to=left&group=g1&limit=3");
    assert!(
        left["events"].as_array().unwrap().iter().all(|event| event["group"] == "g1" && event["cause"] == "goodbye")
    );
    assert_eq!(seqs(&left).len(), 3);
    assert_eq!(seqs(&bench.json("/v1/events?node=n3")).len(), 2);
    let event = &first["events"][0];
    assert!(event["at"].as_str().unwrap().ends_with('Z') && event["reason"].as_str().unwrap().starts_with("alive at "));
    assert_eq!(
        (&event["from"], &event["to"], &event["cause"]),
        (&"unseen".into(), &"alive".into(), &"first_heartbeat".into())
    );
    assert!(event.get("evidence").is_none());
}

#[test]
fn a_reader_that_comes_too_late_is_told_how_many_events_it_missed() {
    let bench = Bench::keeping(50);
    bench.hear((0..200).map(|i| format!("hb n{i}")));
    let page = bench.json("/v1/events?since=20&limit=5");
    assert_eq!((&page["missed"], &page["next"], &page["events"][0]["seq"]), (&130.into(), &155.into(), &151.into()));
    let lines = stream(&bench, "/v1/events/stream?since=20", "", 2);
    assert_eq!(lines, [(Some(150), "missed".into(), r#"{"missed":130}"#.into()), lines[1].clone()]);
    assert_eq!((lines[1].0, &*lines[1].1), (Some(151), "transition"));
}

/// The first so many events of a stream: id, kind, data.
fn stream(bench: &Bench, path: &str, header: &str, count: usize) -> Vec<(Option<u64>, String, String)> {
    let stream = connect(bench.addr(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n"));
    read_events(&mut BufReader::new(stream), count)
}

fn read_events(stream: &mut impl BufRead, count: usize) -> Vec<(Option<u64>, String, String)> {
    let (mut events, mut id, mut kind) = (Vec::new(), None, String::new());
    while events.len() < count {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream goes on");
        // Chunk sizes, headers and comments have none of these names.
        match line.trim_end().split_once(": ") {
            Some(("id", text)) => id = text.parse().ok(),
            Some(("event", text)) => text.clone_into(&mut kind),
            Some(("data", text)) => events.push((id.take(), std::mem::take(&mut kind), text.to_owned())),
            _ => {}
        }
    }
    events
}

#[test]
fn a_stream_resumes_after_the_last_event_id() {
    let bench = Bench::new();
    bench.hear((0..1_000).map(|i| format!("hb n{i}")));
    let ids = |events: Vec<(Option<u64>, String, String)>| {
        events.into_iter().map(|(id, _, _)| id.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(stream(&bench, "/v1/events/stream?since=0", "", 1_000)), (1..=1_000).collect::<Vec<_>>());
    assert_eq!(
        ids(stream(&bench, "/v1/events/stream", "Last-Event-ID: 990\r\n", 10)),
        (991..=1_000).collect::<Vec<_>>()
    );
    assert_eq!(ids(stream(&bench, "/v1/events/stream?since=3", "Last-Event-ID: 999\r\n", 1)), [1_000]);
    let one = stream(&bench, "/v1/events/stream?since=0&node=n500", "", 1).remove(0);
    let event: Value = serde_json::from_str(&one.2).unwrap();
    assert_eq!((one.1.as_str(), &event["node"], event["seq"].as_u64()), ("transition", &"n500".into(), one.0));
}

#[test]
fn a_number_from_another_life_of_the_monitor_begins_with_the_oldest_event() {
    let bench = Bench::new();
    bench.hear((0..3).map(|i| format!("hb n{i}")));
    let page = bench.json("/v1/events?since=99");
    assert_eq!((&page["events"][0]["seq"], &page["next"], &page["missed"]), (&1.into(), &3.into(), &0.into()));
    for (path, header) in
        [("/v1/events/stream?since=99", ""), ("/v1/events/stream", "Last-Event-ID: 18446744073709551615\r\n")]
    {
        let ids: Vec<Option<u64>> = stream(&bench, path, header, 3).into_iter().map(|(id, _, _)| id).collect();
        assert_eq!(ids, [Some(1), Some(2), Some(3)], "{path} {header}");
    }
    let query = EventQuery { since: Some(99), ..EventQuery::default() };
    let first = bench.client().follow(&query).unwrap().next().unwrap().unwrap();
    assert!(matches!(first, Followed::Event(event) if event.seq == 1));
}

#[test]
fn connections_that_say_nothing_shut_nobody_out() {
    let bench = Bench::new();
    bench.hear(["hb a".into()]);
    // Older than all of them, and quiet too, but an answer that goes on.
    let follow = connect(bench.addr(), "GET /v1/events/stream?since=0 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut follow = BufReader::new(follow);
    assert_eq!(read_events(&mut follow, 1)[0].0, Some(1));
    let idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(bench.addr()).unwrap()).collect();
    let start = std::time::Instant::now();
    assert_eq!(bench.get("/healthz").status, 200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    bench.hear(["hb b".into()]);
    assert_eq!(read_events(&mut follow, 1)[0].0, Some(2), "the stream is still open");
    drop(idle);
}

#[test]
fn a_connection_that_was_answered_is_closed_when_nothing_more_is_asked() {
    let bench = Bench::new();
    let start = std::time::Instant::now();
    // No "Connection: close": the end comes from the server.
    let answer = request(bench.addr(), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert!((4..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[test]
fn a_stream_without_a_number_starts_from_now() {
    let bench = Bench::new();
    bench.hear((0..10).map(|i| format!("hb old{i}")));
    let stream = connect(bench.addr(), "GET /v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut stream = BufReader::new(stream);
    // The head of the answer says that the stream has begun.
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    bench.hear(["hb new".into()]);
    let (id, _, data) = read_events(&mut stream, 1).remove(0);
    assert!(id == Some(11) && data.contains(r#""node":"new""#), "{data}");
}

#[test]
fn a_reader_that_stands_still_disturbs_nobody_and_does_not_hold_up_the_end() {
    let mut bench = Bench::new();
    bench.hear((0..50_000).map(|i| format!("hb a-node-with-a-rather-long-name-{i}")));
    let stuck: Vec<TcpStream> =
        (0..20).map(|_| connect(bench.addr(), "GET /v1/events/stream?since=0 HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    assert_eq!(stream(&bench, "/v1/events/stream?since=0", "", 5_000).len(), 5_000);
    assert_eq!(bench.json("/v1/status")["nodes"]["alive"], 50_000);
    assert_eq!(names(&bench.json("/v1/nodes?sort=-name&limit=1"))[0], "listed-2");

    let start = std::time::Instant::now();
    bench.server.take().unwrap().stop();
    assert!(start.elapsed() < Duration::from_secs(10), "the server stops though streams are open");
    drop(stuck);
}

#[test]
fn as_many_streams_as_there_may_be_leave_room_for_the_rest() {
    let bench = Bench::new();
    bench.hear(["hb a".into()]);
    let mut streams = Vec::new();
    let refused = loop {
        let stream = connect(bench.addr(), "GET /v1/events/stream?since=0 HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if !line.contains(" 200 ") {
            break line;
        }
        streams.push(stream);
        assert!(streams.len() < 256, "there is a bound");
    };
    assert!(refused.contains(" 503 "), "{refused}");
    assert_eq!(bench.get("/healthz").status, 200);
}

#[test]
fn a_shard_that_does_not_answer_is_a_503_after_two_seconds() {
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
    let (queries, _asked) = bounded(1);
    let clock = Clock::start();
    let (journal, _writer) = Journal::new(1);
    let shards = vec![ShardHandle { shard: 0, queries, waker }];
    let control = Control { shards, journal, clock, started: clock.now(), loads: Loads::default() };
    let server =
        http::start(TcpListener::bind("127.0.0.1:0").unwrap(), control, &Access::default(), Door::default()).unwrap();
    let get =
        |path: &str| request(server.addr(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    // The first question stays in the queue, which is full then for the second.
    for error in ["shard 0 doesn't answer", "shard 0 has too many questions waiting"] {
        let answer = get("/readyz");
        assert_eq!(answer.status, 503);
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["error"], error);
    }
    assert_eq!(get("/healthz").status, 200);
    assert_eq!(get("/v1/events").status, 200, "events need no shard");
    drop(poll);
}

#[test]
fn metrics_are_open_metrics_per_group_and_never_per_node() {
    let bench = Bench::new();
    bench.hear((0..30).map(|i| format!("hb node-{i} group=web interval=1s seq=1")));
    bench.hear((0..30).map(|i| format!("hb node-{i} group=web interval=1s seq=4")));
    bench.hear(["bye node-0 seq=5".into(), "nonsense".into()]);
    let classic = bench.get("/metrics");
    assert_eq!(classic.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(classic.body.contains("\n# TYPE systole_heartbeats_total counter\nsystole_heartbeats_total 60\n"));
    assert!(!classic.body.contains("# EOF") && !classic.body.contains("# UNIT"));
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1";
    let get = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{accept}\r\nConnection: close\r\n\r\n");
    let answer = request(bench.addr(), &get);
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"));
    for line in [
        "# TYPE systole_nodes gauge",
        "systole_nodes{group=\"web\",state=\"alive\"} 29",
        "systole_nodes{group=\"web\",state=\"left\"} 1",
        "systole_nodes{group=\"edge\",state=\"unseen\"} 2",
        "# TYPE systole_heartbeats counter",
        "systole_heartbeats_total 60",
        "systole_heartbeats_rejected_total{reason=\"malformed\"} 2",
        "systole_heartbeats_rejected_total{reason=\"not_newer\"} 0",
        "systole_transitions_total{from=\"unseen\",to=\"alive\"} 30",
        "systole_transitions_total{from=\"alive\",to=\"left\"} 1",
        "systole_datagrams_total{shard=\"1\"} 11",
        "systole_datagrams_dropped_total{shard=\"0\"} 3",
        "# TYPE systole_receive_buffer_bytes gauge",
        "# UNIT systole_receive_buffer_bytes bytes",
        "systole_receive_buffer_bytes{shard=\"0\"} 1048576",
        "systole_loop_gap_seconds{shard=\"1\"} 0.002",
        "systole_turn_seconds{shard=\"1\"} 0.001",
        "systole_events_total 31",
        "systole_heartbeats_lost_total{group=\"web\"} 60",
        "systole_clock_steps_total 1",
        "# TYPE systole_heartbeat_lateness_seconds gauge",
    ] {
        assert!(lines.contains(&line), "{line} in\n{}", answer.body);
    }
    let build = format!("systole_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(lines.contains(&&*build));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("systole_heartbeat_lateness_seconds{group=\"web\",quantile=\"0.99\"} "))
    );
    assert!(lines.iter().any(|line| line.starts_with("systole_uptime_seconds ")));
    assert!(!answer.body.contains("node-"), "no node has a series");
    check_open_metrics(&lines);
}

/// Each family has its help, its type, then only its own samples, each once.
fn check_open_metrics(lines: &[&str]) {
    let (mut family, mut kind) = (String::new(), "");
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    for line in &lines[..lines.len() - 1] {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(families.insert(name) && help.ends_with('.') | help.contains(';'), "{line}");
                name.clone_into(&mut family);
            }
            ["#", "TYPE", name, of] => {
                assert_eq!(name, family);
                kind = of;
            }
            ["#", "UNIT", name, unit] => assert!(name == family && name.ends_with(unit), "{line}"),
            _ => {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let suffix = if kind == "counter" { "_total" } else { "" };
                assert_eq!(name.split('{').next(), Some(&*format!("{family}{suffix}")), "{line}");
                assert!(value.parse::<f64>().is_ok() && series.insert(name), "{line}");
            }
        }
    }
    assert!(families.len() >= 15);
}

#[test]
fn every_described_path_is_served() {
    let bench = Bench::new();
    bench.hear(["hb web-1 group=web".into()]);
    let document = bench.json("/v1/openapi.json");
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 16);
    for path in paths.keys().filter(|path| *path != "/v1/events/stream") {
        let answer = bench.get(&path.replace("{node}", "web-1").replace("{group}", "web"));
        // What changes something isn't to be had by asking.
        let expected = if paths[path].get("get").is_some() { 200 } else { 405 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.body);
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for schema in ["Status", "Groups", "Group", "Hold", "NodePage", "Node", "EventPage", "Event", "Evidence", "Problem"]
    {
        assert!(schemas.contains_key(schema), "{schema}");
    }
}

#[test]
fn the_page_for_people_fetches_nothing() {
    let bench = Bench::new();
    bench.hear(["hb web-1 group=web".into()]);
    let page = bench.get("/");
    assert!(page.headers["content-type"].starts_with("text/html"));
    assert!(page.body.contains("<td>web</td>") && !page.body.contains("://"), "{}", page.body);
}

#[test]
fn a_client_sees_what_the_monitor_says() {
    let bench = Bench::new();
    let client = bench.client();
    bench.hear((0..150).map(|i| format!("hb eu/n{i:03} group=web")));
    assert_eq!(client.status().unwrap().nodes.alive, 150);
    assert_eq!(client.groups().unwrap().groups.len(), 2);
    assert_eq!(client.group("web").unwrap().unwrap().nodes.alive, 150);
    assert_eq!(client.group("none").unwrap(), None);
    assert_eq!(client.node("eu/n007").unwrap().unwrap().state, State::Alive);
    assert_eq!(client.node("eu/nobody").unwrap(), None);
    let error = client.node("no one").unwrap_err().to_string();
    assert!(error.contains("no node can be called"), "{error}");
    let query =
        NodeQuery { sort: Some("-name".into()), states: vec![State::Alive], limit: Some(2), ..NodeQuery::default() };
    let page = client.nodes(&query).unwrap();
    assert_eq!(page.nodes.iter().map(|node| &*node.node).collect::<Vec<_>>(), ["eu/n149", "eu/n148"]);
    let page = client.nodes(&NodeQuery { cursor: page.next, ..query }).unwrap();
    assert_eq!(page.nodes[0].node, "eu/n147");
    assert_eq!(client.events(140, 100, &[State::Alive]).unwrap().events.len(), 10);
    assert_eq!(client.events(0, 100, &[State::Failed]).unwrap().events, []);

    let query = EventQuery { since: Some(148), ..EventQuery::default() };
    let mut follow = client.follow(&query).unwrap();
    let mut seq = || match follow.next().unwrap().unwrap() {
        Followed::Event(event) => event.seq,
        Followed::Missed(_) => 0,
    };
    assert_eq!((seq(), seq()), (149, 150));
    bench.hear(["hb one-more".into()]);
    assert_eq!(seq(), 151);
}

#[derive(Parser)]
enum Command {
    Status(cli::status::Args),
    Groups(cli::groups::Args),
    Nodes(cli::nodes::Args),
    Node(cli::node::Args),
    Events(cli::events::Args),
}

fn command(url: &str, line: &str) -> anyhow::Result<ExitCode> {
    let words = ["systole"].into_iter().chain(line.split(' ')).chain(["--http", url]);
    match Command::try_parse_from(words)? {
        Command::Status(args) => cli::status::run(args),
        Command::Groups(args) => cli::groups::run(args),
        Command::Nodes(args) => cli::nodes::run(args),
        Command::Node(args) => cli::node::run(args),
        Command::Events(args) => cli::events::run(args),
    }
}

#[test]
fn commands_end_with_1_for_what_is_unknown_and_with_0_otherwise() {
    let bench = Bench::new();
    bench.hear((0..120).map(|i| format!("hb n{i} l.zone=a")));
    let code = |line: &str| format!("{:?}", command(&bench.url(), line).unwrap());
    for line in [
        "status",
        "status --json",
        "groups",
        "groups --json",
        "nodes --all",
        "nodes --limit 3 --json --sort -load --label zone=a --state alive,left --prefix n1",
        "node n7",
        "node n7 --json",
        "events",
        "events --json --since 5 --limit 2 --to alive",
        "events --follow --since 100 --limit 5 --json",
    ] {
        assert_eq!(code(line), format!("{:?}", ExitCode::SUCCESS), "{line}");
    }
    assert_eq!(code("node nobody"), format!("{:?}", ExitCode::FAILURE));
    assert!(command(&bench.url(), "nodes --state dead").is_err());
    assert!(command(&bench.url(), "nodes --sort age").is_err());
    assert!(command("http://127.0.0.1:1", "status").unwrap_err().to_string().contains("--http"));
}
