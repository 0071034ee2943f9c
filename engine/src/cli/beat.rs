//! `systole beat NODE`: a heartbeat, or one after the other, or one for as long as a command runs.
//!
//! Once, it is a line of text without a number, so that it counts as newer than whatever came before. Again and again,
//! it declares its interval and keeps below it: each wait is up to a tenth shorter, drawn anew, so that a thousand nodes
//! started by one switch don't beat in step for ever.

mod wrapped;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use crossbeam::channel::{Receiver, RecvTimeoutError, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use systole_core::auth::NodeKey;
use systole_core::wire::{Extras, Message, emit_text};
use systole_core::{Reject, Span, is_name};

use crate::cli::usage::Usage;
use crate::fleet::Random;
use crate::key;
use crate::sender::{self, About, Form, Sender};

/// Send a heartbeat: once, at an interval, or while a command runs
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The node's name: 1 to 128 of A-Z a-z 0-9 . _ : / @ -
    #[arg(value_parser = name)]
    node: String,
    /// Where the monitor listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2328")]
    to: String,
    /// Beat at this interval until stopped, and then say goodbye [default with CMD or --count: 1s]
    #[arg(long, value_name = "INTERVAL", value_parser = interval)]
    every: Option<Span>,
    /// Stop after so many heartbeats
    #[arg(long, value_name = "N", conflicts_with = "command", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// The group that the node wants to be in
    #[arg(long, value_parser = name)]
    group: Option<String>,
    /// How busy the node is: 0 is idle, 1 is full
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = load)]
    load: Option<f32>,
    /// The version of what it runs
    #[arg(long)]
    version: Option<String>,
    /// A health metric; up to 16
    #[arg(long = "metric", value_name = "NAME=NUMBER", value_parser = metric)]
    metrics: Vec<(String, f64)>,
    /// A label; up to 16
    #[arg(long = "label", value_name = "NAME=TEXT", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How to write it [default: text once, binary otherwise]
    #[arg(long)]
    form: Option<Writing>,
    /// Sign with the key in this file: of the node (`systole key derive`), or the master key of the fleet
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Beat while this command runs, and say goodbye if it ends well
    #[arg(last = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
}

/// The two ways to write a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Writing {
    /// A line that a person can read
    Text,
    /// 52 bytes and what there is to say besides
    Binary,
}

const EXAMPLES: &str = "Examples:
  systole beat backup-db --group nightly              one heartbeat, from a script
  systole beat web-1 --every 1s --load 0.4            one a second; goodbye on Ctrl-C
  systole beat web-1 --every 2s -- ./server --port 80 beats while the server runs
  systole beat web-1 --every 1s --key-file web-1.key  signed, for a monitor that believes nobody else";

/// Runs the command.
///
/// # Errors
/// No way to the monitor, a heartbeat that nobody would accept, or a command that can't be run. That nobody listens
/// is one only for a single heartbeat, and only on this machine: whoever beats on may be heard later, and elsewhere
/// nobody can tell in time.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.check()?;
    let interval = args.every.unwrap_or(INTERVAL);
    let key = args.key()?;
    if !args.command.is_empty() {
        wrapped::run(&args.command, Pulse::start(&args, key, interval)?)
    } else if args.every.is_some() || args.count.is_some() {
        until_stopped(&args, key, interval)
    } else {
        once(&args, key)
    }
}

fn once(args: &Args, key: Option<NodeKey>) -> anyhow::Result<ExitCode> {
    if args.form == Some(Writing::Binary) || key.is_some() {
        // Binary always has a number; a new life makes it newer than the last.
        let mut sender = args.sender(key, None)?;
        sender.beat(args.load, &args.metrics()).map_err(refused)?;
        return heard(args, |time| sender.refused(time));
    }
    let metrics = args.metrics();
    let labels: Vec<(&str, &str)> = args.labels.iter().map(|(name, text)| (&**name, &**text)).collect();
    let message = Message {
        group: args.group.as_deref(),
        load: args.load,
        version: args.version.as_deref(),
        extras: Extras::pairs(&metrics, &labels),
        ..Message::heartbeat(&args.node)
    };
    let mut line = Vec::new();
    emit_text(&message, &mut line).map_err(refused)?;
    let socket = sender::resolve(&args.to).and_then(|to| sender::connect(&to)).map_err(Usage::if_no_address)?;
    socket.send(&line).with_context(|| format!("can't send to {}", args.to))?;
    heard(args, |time| sender::refused(&socket, time))
}

/// On this machine the kernel says at once if nobody listens; what comes from elsewhere may come too late or never.
fn heard(args: &Args, refused: impl FnOnce(Duration) -> bool) -> anyhow::Result<ExitCode> {
    let to = sender::resolve(&args.to)?;
    ensure!(
        !(to.iter().all(|to| to.ip().is_loopback()) && refused(REFUSED_WITHIN)),
        "nobody listens at {}; is `systole run` running? Say where with --to HOST:PORT",
        args.to
    );
    Ok(ExitCode::SUCCESS)
}

fn until_stopped(args: &Args, key: Option<NodeKey>, interval: Span) -> anyhow::Result<ExitCode> {
    let signals = signals(&[SIGINT, SIGTERM])?;
    let mut pulse = Pulse::start(args, key, interval)?;
    for _ in 0..args.count.unwrap_or(u64::MAX) {
        let next = pulse.beat()?;
        match signals.recv_deadline(next) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    pulse.goodbye();
    Ok(ExitCode::SUCCESS)
}

/// A node that beats at its interval.
struct Pulse {
    sender: Sender,
    schedule: Schedule,
    load: Option<f32>,
    metrics: Vec<(String, f64)>,
    random: Random,
}

impl Pulse {
    fn start(args: &Args, key: Option<NodeKey>, interval: Span) -> anyhow::Result<Self> {
        let sender = args.sender(key, Some(interval))?;
        let random = Random::new(Random::any_seed());
        let schedule = Schedule::new(interval, Instant::now());
        Ok(Self { sender, schedule, load: args.load, metrics: args.metrics.clone(), random })
    }

    /// Beats, and returns when to beat again.
    fn beat(&mut self) -> anyhow::Result<Instant> {
        let metrics: Vec<(&str, f64)> = self.metrics.iter().map(|(name, number)| (&**name, *number)).collect();
        self.sender.beat(self.load, &metrics).map_err(refused)?;
        Ok(self.schedule.next(Instant::now(), self.random.share()))
    }

    /// Twice, since the first may get lost.
    fn goodbye(&mut self) {
        self.sender.goodbye();
        std::thread::sleep(GOODBYE_AGAIN);
        self.sender.goodbye();
    }
}

impl Args {
    /// What only shows when all metrics and labels are there.
    fn check(&self) -> Result<(), Usage> {
        let metrics = self.metrics.iter().map(|(name, _)| ("--metric", name));
        let labels = self.labels.iter().map(|(name, _)| ("--label", name));
        let mut seen = BTreeSet::new();
        match metrics.chain(labels).find(|one| !seen.insert(*one)) {
            Some((option, name)) => Err(Usage(format!("{option} {name} is given twice; leave one of them out"))),
            None => Ok(()),
        }
    }

    /// What the node signs with.
    fn key(&self) -> anyhow::Result<Option<NodeKey>> {
        let Some(file) = &self.key_file else { return Ok(None) };
        if self.form == Some(Writing::Text) {
            return Err(
                Usage("a line of text has no place for a tag; leave --form text or --key-file out".into()).into()
            );
        }
        let sealer = key::read(file)?.sealer(&self.node);
        Ok(Some(sealer.map_err(|error| Usage(format!("--key-file {}: {error}", file.display())))?))
    }

    fn sender(&self, key: Option<NodeKey>, interval: Option<Span>) -> anyhow::Result<Sender> {
        let mut sender = Sender::connect(&self.to, self.about(interval)).map_err(Usage::if_no_address)?;
        if let Some(key) = key {
            sender.seal_with(key);
        }
        Ok(sender)
    }

    fn about(&self, interval: Option<Span>) -> About {
        About {
            name: self.node.clone(),
            group: self.group.clone(),
            interval,
            version: self.version.clone(),
            labels: self.labels.clone(),
            form: match self.form {
                Some(Writing::Text) => Form::Text,
                Some(Writing::Binary) | None => Form::Binary,
            },
        }
    }

    fn metrics(&self) -> Vec<(&str, f64)> {
        self.metrics.iter().map(|(name, number)| (&**name, *number)).collect()
    }
}

/// When to beat: every interval by the clock, each time up to a tenth of it early, so that a fleet
/// that was started together doesn't beat together. The schedule stands still, since a detector that
/// follows it takes one that slips for lateness.
struct Schedule {
    interval: Duration,
    place: Instant,
}

impl Schedule {
    /// The first beat is at `now`.
    fn new(interval: Span, now: Instant) -> Self {
        Self { interval: Duration::from_nanos(interval.nanos()), place: now }
    }

    /// When to beat after the one that was sent at `now`.
    fn next(&mut self, now: Instant, share: f64) -> Instant {
        self.place += self.interval;
        if self.place <= now {
            // The process was stopped for longer than an interval: what it missed is not made up for.
            self.place = now + self.interval;
        }
        (self.place - self.interval.mul_f64(JITTER * share)).max(now)
    }
}

/// The signals, as they come.
fn signals(which: &[i32]) -> anyhow::Result<Receiver<i32>> {
    let mut signals = Signals::new(which).context("can't catch signals")?;
    let (sender, receiver) = unbounded();
    std::thread::Builder::new()
        .name("systole-signals".into())
        .spawn(move || signals.forever().try_for_each(|signal| sender.send(signal)))
        .context("can't start a thread")?;
    Ok(receiver)
}

fn refused(reason: Reject) -> anyhow::Error {
    let why = match reason {
        Reject::Truncated => {
            "this heartbeat is longer than a datagram may be; send fewer or shorter labels and metrics".to_owned()
        }
        _ => format!(
            "a monitor would refuse this heartbeat ({}); at most 16 metrics and 16 labels, versions and labels of 1 to 64 \
             printable characters without blanks",
            reason.name()
        ),
    };
    Usage(why).into()
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    Err("a name has 1 to 128 characters out of A-Z a-z 0-9 . _ : / @ -".to_owned())
}

fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span < INTERVAL_MIN {
        return Err(format!("an interval of {span} is too short; {INTERVAL_MIN} is the shortest, and 1s suits most"));
    }
    if span > INTERVAL_MAX {
        return Err(format!("an interval of {span} is too long; {INTERVAL_MAX} is the longest"));
    }
    Ok(span)
}

fn load(text: &str) -> Result<f32, String> {
    let load: f32 = text.parse().map_err(|_| "a load is a number: 0 is idle, 1 is full".to_owned())?;
    if load.is_finite() && load >= 0.0 {
        return Ok(load);
    }
    Err("a load is finite, and 0 or more: 0 is idle, 1 is full".to_owned())
}

fn metric(text: &str) -> Result<(String, f64), String> {
    let wrong = || "a metric is NAME=NUMBER, such as cpu=0.7".to_owned();
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let pairs = [(name, number)];
    accepted(Extras::pairs(&pairs, &[])).then(|| (name.to_owned(), number)).ok_or_else(wrong)
}

fn label(text: &str) -> Result<(String, String), String> {
    let wrong = || "a label is NAME=TEXT, such as zone=eu-1; up to 64 characters each, without blanks".to_owned();
    let pair = text.split_once('=').ok_or_else(wrong)?;
    accepted(Extras::pairs(&[], &[pair])).then(|| (pair.0.to_owned(), pair.1.to_owned())).ok_or_else(wrong)
}

fn accepted(extras: Extras<'_>) -> bool {
    Message { extras, ..Message::heartbeat("any") }.check().is_ok()
}

/// By what share of the interval a wait may be shorter.
const JITTER: f64 = 0.1;
/// How often to beat if nobody says.
const INTERVAL: Span = Span::from_secs(1);
/// A kernel knows at once whether anybody listens on its own machine; this is for a busy one.
const REFUSED_WITHIN: Duration = Duration::from_millis(20);
/// Monitors count shorter intervals as this.
const INTERVAL_MIN: Span = Span::from_millis(10);
/// Monitors count longer intervals as this.
const INTERVAL_MAX: Span = Span::from_secs(7 * 86_400);
/// How long after its first goodbye a node says it again.
const GOODBYE_AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        Line::try_parse_from(line.split_whitespace()).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_beat_is_up_to_a_tenth_early_and_the_schedule_stands_still() {
        let begun = Instant::now();
        let mut schedule = Schedule::new(Span::from_secs(1), begun);
        let mut now = begun;
        for (number, share) in (1..).zip([0.0, 0.5, 0.999_999, 0.0, 0.25]) {
            // Each is sent a little late, and that doesn't add up.
            now = schedule.next(now, share) + Duration::from_millis(7);
            let early = (begun + Duration::from_secs(number)) - (now - Duration::from_millis(7));
            assert!(early <= Duration::from_millis(100), "{early:?}");
        }
    }

    #[test]
    fn what_was_missed_while_the_process_was_stopped_is_not_made_up_for() {
        let begun = Instant::now();
        let mut schedule = Schedule::new(Span::from_secs(1), begun);
        let late = begun + Duration::from_secs(30);
        assert_eq!(schedule.next(late, 0.0), late + Duration::from_secs(1));
    }

    #[test]
    fn everything_that_can_be_said_is_understood() {
        let args = parse(
            "beat web-1 --to [::1]:2328 --every 1.5s --group web --load 0.4 --version 1.2 --metric cpu=0.7 --metric t=-3e2 \
             --label zone=eu-1 --form text --key-file web-1.key -- run --load 7",
        )
        .unwrap();
        assert_eq!((args.node.as_str(), args.to.as_str()), ("web-1", "[::1]:2328"));
        assert_eq!((args.every, args.load), (Some(Span::from_millis(1_500)), Some(0.4)));
        assert_eq!(args.metrics, [("cpu".to_owned(), 0.7), ("t".to_owned(), -300.0)]);
        assert_eq!(args.labels, [("zone".to_owned(), "eu-1".to_owned())]);
        assert_eq!((args.form, args.command.len()), (Some(Writing::Text), 3));
        assert_eq!(args.key_file, Some("web-1.key".into()));
    }

    #[test]
    fn a_name_given_twice_is_named() {
        for (line, said) in [
            ("beat a --metric cpu=1 --metric t=1 --metric cpu=2", "--metric cpu is given twice"),
            ("beat a --label zone=a --label zone=a", "--label zone is given twice"),
        ] {
            let error = parse(line).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
        assert_eq!(parse("beat a --metric x=1 --label x=1").unwrap().check(), Ok(()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_way_out() {
        for (line, said) in [
            ("beat", "NODE"),
            ("beat a#b", "1 to 128"),
            ("beat a --every 0s", "an interval of 0 ms is too short; 10 ms is the shortest"),
            ("beat a --every 9ms", "too short"),
            ("beat a --every 8d", "too long"),
            ("beat a --every 1", "ends with its unit"),
            ("beat a --count 3 -- true", "cannot be used with"),
            ("beat a --every 1s --count 0", "not in 1.."),
            ("beat a --load NaN", "0 is idle"),
            ("beat a --load -1", "a load is finite, and 0 or more"),
            ("beat a --load 1e39", "a load is finite"),
            ("beat a --metric cpu", "NAME=NUMBER"),
            ("beat a --metric cpu=inf", "NAME=NUMBER"),
            ("beat a --label zone=", "NAME=TEXT"),
            ("beat a --group a,b", "1 to 128"),
            ("beat a --form morse", "text, binary"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
