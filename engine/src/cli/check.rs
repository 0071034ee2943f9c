//! `systole check FILE`: everything that is wrong with a configuration, or what it comes to.
//!
//! Faults go to standard output, one to a line as compilers write them: they are what was asked
//! for. A valid file is answered with what will be in force, down to the time that a dead node
//! takes to be failed, since that is what was meant by all the numbers.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use comfy_table::Cell;
use serde::Serialize;
use systole_core::Span;
use systole_core::config::{NewNodes, Plan, Rule, Settings};

use super::table::Look;
use crate::config::{self, Access, Auth, Events, Fault, Listen, Setup, Size, Unusable};
use crate::key::Entry;

/// What to check.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The configuration to check
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks a file.
///
/// # Errors
/// The file can't be read, or standard output can't be written to.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file, json } = args;
    let (text, code) = match config::load(&file, false) {
        Ok(setup) => (if json { as_json(&file, Ok(&setup))? } else { summary(&file, &setup) }, ExitCode::SUCCESS),
        Err(Unusable::Faulty { faults, .. }) => {
            (if json { as_json(&file, Err(&faults))? } else { lines(&file, &faults) }, ExitCode::FAILURE)
        }
        Err(unread @ Unusable::Unread { .. }) => return Err(unread.into()),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(code)
}

/// Each fault as `FILE:LINE:COLUMN: message`.
fn lines(file: &Path, faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("{}:{fault}\n", file.display())).collect()
}

fn summary(file: &Path, setup: &Setup) -> String {
    let look = Look::of_stdout();
    let listen = &setup.listen;
    let limits = &setup.plan.limits;
    let udp: Vec<String> = listen.udp.iter().map(ToString::to_string).collect();
    let rows = [
        ("udp", udp.join(", ")),
        ("http", listen.http.map_or_else(|| "off".to_owned(), |address| address.to_string())),
        ("auth", auth(&setup.auth)),
        ("asked of who asks", asked(setup)),
        (
            "connections",
            format!("{} at most, {} from one address", setup.access.connections, setup.access.connections_per_address),
        ),
        ("shards", listen.shards.map_or_else(|| "half of the cores, 1 to 8".to_owned(), |shards| shards.to_string())),
        ("receive buffer", Size::from_bytes(listen.receive_buffer as u64).to_string()),
        ("events kept", setup.events.keep.to_string()),
        ("state", state(setup)),
        ("nodes", format!("{} at most", limits.max_nodes)),
        ("new nodes", new_nodes(limits.new_nodes)),
        ("groups", format!("{} at most", limits.max_groups)),
        ("intervals", format!("{} to {}", limits.interval_min, limits.interval_max)),
    ];
    let rows = rows.map(|(name, value)| vec![look.bold(name), Cell::new(value)]);
    let titles = ["GROUP", "DETECTOR", "CONFIRM", "INTERVAL", "GRACE", "FAILED WITHIN"];
    let mut text = format!("{} is valid.\n\n{}\n\n", file.display(), look.table(&["", ""], rows));
    let _ = writeln!(text, "{}", look.table(&titles, groups(&setup.plan).map(|(name, settings)| row(name, settings))));
    for warning in config::warnings(setup) {
        let _ = write!(text, "\nWARNING {warning}\n");
    }
    text
}

fn state(setup: &Setup) -> String {
    let Some(dir) = &setup.state_dir else { return "nothing is kept over a restart".to_owned() };
    let Events { retain, retain_max, .. } = setup.events;
    format!("{}: events for {retain}, {retain_max} at most; a snapshot every {}", dir.display(), setup.snapshot.every)
}

fn new_nodes(limit: Option<NewNodes>) -> String {
    limit.map_or_else(
        || "as fast as they come".to_owned(),
        |new| {
            let rate = new.every.secs_f64().recip();
            format!("{} at once and {rate:.0} a second from one network", new.burst)
        },
    )
}

fn auth(auth: &Auth) -> String {
    let keys = auth.keys.iter().map(|key| format!("key {} ({}, {})", key.id, key.suite, key.file.display()));
    std::iter::once(auth.mode.name().to_owned()).chain(keys).collect::<Vec<_>>().join(", ")
}

/// What it takes to be answered.
fn asked(setup: &Setup) -> String {
    let tokens = setup.access.tokens.as_ref().map(|file| format!("a token of {}", file.display()));
    let tls = setup.access.tls.as_ref().map(|tls| format!("TLS with {}", tls.cert.display()));
    match (tokens, tls) {
        (Some(tokens), Some(tls)) => format!("{tokens}, {tls}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nothing".to_owned(),
    }
}

/// The configured groups, and what is in force for all others.
fn groups(plan: &Plan) -> impl Iterator<Item = (Option<&str>, &Settings)> {
    let configured = plan.groups.iter().map(|rule| (Some(&*rule.name), &rule.settings));
    configured.chain([(None, &plan.default)])
}

fn row(name: Option<&str>, settings: &Settings) -> Vec<Cell> {
    let interval = settings.interval.map_or_else(|| "learned".to_owned(), |interval| interval.to_string());
    let at = bound_interval(settings);
    let bound = match (settings.detection_bound(at), settings.interval) {
        (Some(bound), Some(_)) => bound.to_string(),
        (Some(bound), None) => format!("{bound} at an interval of {at}"),
        (None, _) => "no bound".to_owned(),
    };
    let name = name.unwrap_or("(all others)");
    let detector = settings.detector.to_string();
    [name, &detector, &settings.confirm.to_string(), &interval, &settings.grace.to_string(), &bound]
        .map(Cell::new)
        .into()
}

/// At which interval to tell the detection bound: the configured one, otherwise a second.
fn bound_interval(settings: &Settings) -> Span {
    settings.interval.unwrap_or(Span::from_secs(1))
}

/// The answer to `--json`.
#[derive(Debug, Serialize)]
struct Report<'r> {
    file: String,
    valid: bool,
    faults: Vec<FaultReport<'r>>,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<ListenReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<AuthReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<AccessReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<SettingsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<GroupReport>>,
}

#[derive(Debug, Serialize)]
struct FaultReport<'r> {
    line: usize,
    column: usize,
    message: &'r str,
}

#[derive(Debug, Serialize)]
struct ListenReport {
    udp: Vec<String>,
    http: Option<String>,
    insecure: bool,
    shards: Option<usize>,
    receive_buffer: usize,
}

#[derive(Debug, Serialize)]
struct AuthReport {
    mode: &'static str,
    keys: Vec<KeyReport>,
}

#[derive(Debug, Serialize)]
struct KeyReport {
    id: u8,
    suite: &'static str,
    file: String,
}

#[derive(Debug, Serialize)]
struct AccessReport {
    tokens: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    connections: usize,
    connections_per_address: usize,
}

#[derive(Debug, Serialize)]
struct GroupReport {
    group: String,
    nodes: usize,
    #[serde(flatten)]
    settings: SettingsReport,
}

#[derive(Debug, Serialize)]
struct SettingsReport {
    detector: String,
    confirm: String,
    interval_ms: Option<u64>,
    grace_ms: u64,
    detection_bound_ms: Option<u64>,
}

fn as_json(file: &Path, read: Result<&Setup, &[Fault]>) -> anyhow::Result<String> {
    let setup = read.ok();
    let report = Report {
        file: file.display().to_string(),
        valid: setup.is_some(),
        faults: read.err().unwrap_or_default().iter().map(FaultReport::of).collect(),
        warnings: setup.map(config::warnings).unwrap_or_default(),
        listen: setup.map(|setup| ListenReport::of(&setup.listen)),
        auth: setup.map(|setup| AuthReport::of(&setup.auth)),
        http: setup.map(|setup| AccessReport::of(&setup.access)),
        defaults: setup.map(|setup| SettingsReport::of(&setup.plan.default)),
        groups: setup.map(|setup| setup.plan.groups.iter().map(GroupReport::of).collect()),
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

impl<'r> FaultReport<'r> {
    fn of(fault: &'r Fault) -> Self {
        let Fault { line, column, message } = fault;
        Self { line: *line, column: *column, message }
    }
}

impl ListenReport {
    fn of(listen: &Listen) -> Self {
        Self {
            udp: listen.udp.iter().map(ToString::to_string).collect(),
            http: listen.http.map(|address| address.to_string()),
            insecure: listen.insecure,
            shards: listen.shards,
            receive_buffer: listen.receive_buffer,
        }
    }
}

impl AuthReport {
    fn of(auth: &Auth) -> Self {
        let key = |key: &Entry| KeyReport {
            id: key.id.number(),
            suite: key.suite.name(),
            file: key.file.display().to_string(),
        };
        Self { mode: auth.mode.name(), keys: auth.keys.iter().map(key).collect() }
    }
}

impl AccessReport {
    fn of(access: &Access) -> Self {
        let text = |path: &Path| path.display().to_string();
        let tls = access.tls.as_ref();
        Self {
            tokens: access.tokens.as_deref().map(text),
            tls_cert: tls.map(|tls| text(&tls.cert)),
            tls_key: tls.map(|tls| text(&tls.key)),
            connections: access.connections,
            connections_per_address: access.connections_per_address,
        }
    }
}

impl GroupReport {
    fn of(rule: &Rule) -> Self {
        Self { group: rule.name.to_string(), nodes: rule.nodes.len(), settings: SettingsReport::of(&rule.settings) }
    }
}

impl SettingsReport {
    fn of(settings: &Settings) -> Self {
        Self {
            detector: settings.detector.to_string(),
            confirm: settings.confirm.to_string(),
            interval_ms: settings.interval.map(Span::millis),
            grace_ms: settings.grace.millis(),
            detection_bound_ms: settings.detection_bound(bound_interval(settings)).map(Span::millis),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  systole check systole.toml
  systole check --json systole.toml | jq '.faults[]'

Exit codes: 0 valid (there may be warnings); 1 faults, one to a line as FILE:LINE:COLUMN: message.";
