//! Each belief as a sentence with its numbers, for people.
//!
//! ```text
//! failed at 12:03:07.412: last heartbeat 12:03:02.100, deadline 5 s later (chen, group edge, interval 1 s, ...); ...
//!        ^^ all times UTC; a time of another day than the first one's carries its date
//! ```
//!
//! Pure functions. They run on the threads of those who ask, never on a shard's, because writing
//! one timestamp costs more than judging one heartbeat.

use systole_core::event::Cause;
use systole_core::guard::{Change, ScopeName, Tally};
use systole_core::{Liveness, Span, Withheld};

use crate::clock::{Reading, rfc3339};
use crate::query::{HeldReport, HoldReport, Row};
use crate::store::{Proof, Record, Told, What};

/// Why a node is believed to be what it is, in a sentence.
pub fn node_reason(row: &Row, reading: Reading) -> String {
    let unix = |instant| reading.unix_millis(instant);
    let proof = row_proof(row, reading);
    let since = unix(row.since);
    let at = moment(since, since);
    let group = &*row.group;
    // What was concluded before a restart nobody here has seen the grounds of.
    let before = proof.taken_over.filter(|restart| since < *restart);
    match (row.liveness, proof.last_arrival) {
        (Liveness::Unseen, _) => format!(
            "unseen since {at}: listed in the configuration, no heartbeat yet; {} (group {group})",
            held_reason(row, reading).unwrap_or_else(|| {
                format!("failed unless one arrives by {}", moment(unix(row.evidence.due), since))
            }),
        ),
        (Liveness::Alive, _) => {
            let held = held_reason(row, reading).map_or_else(String::new, |held| format!("; {held}"));
            format!("alive since {at}: {}; {}{held}", basis(&proof, group, since, None, "alive"), losses(&proof))
        }
        (Liveness::Suspect, _) => format!(
            "suspect since {at}: {}; {}; {}; {}",
            basis(&proof, group, since, None, if before.is_some() { "suspect" } else { "alive" }),
            held_reason(row, reading).unwrap_or_else(|| {
                format!("failed at {} unless a heartbeat arrives", moment(unix(row.evidence.due), since))
            }),
            losses(&proof),
            lag(&proof),
        ),
        (Liveness::Failed, Some(_)) => format!(
            "failed at {at}: {}; {}; {}",
            basis(&proof, group, since, Some(proof.confirm_ms), EITHER),
            losses(&proof),
            lag(&proof),
        ),
        (Liveness::Failed, None) if let Some(restart) = before => format!(
            "failed at {at}: concluded before the monitor restarted at {}, and not heard since ({})",
            moment(restart, since),
            life(&proof, group),
        ),
        (Liveness::Failed, None) if proof.taken_over.is_some() => format!(
            "failed at {at}: {}; {}; {}",
            basis(&proof, group, since, Some(proof.confirm_ms), EITHER),
            losses(&proof),
            lag(&proof),
        ),
        (Liveness::Failed, None) => format!("failed at {at}: {}; {}", never_seen(&proof, group, since), lag(&proof)),
        (Liveness::Left, _) => format!("left at {at}: the node said goodbye ({})", life(&proof, group)),
    }
}

/// Why no verdict is given about a node though it is due, in half a sentence.
pub fn held_reason(row: &Row, reading: Reading) -> Option<String> {
    let HeldReport { reason, until, hold } = row.held.as_ref()?;
    let now = reading.unix_millis(reading.now);
    let until = until.map_or_else(String::new, |until| format!(" until {}", moment(reading.unix_millis(until), now)));
    let because = match hold {
        Some(hold) => together(&hold.scope, hold.tally),
        None => reason.to_string(),
    };
    Some(format!("withheld ({}){until}: {because}", reason.name()))
}

/// What is held and what can be done about it, in a sentence.
pub fn hold_reason(hold: &HoldReport, reading: Reading) -> String {
    let now = reading.unix_millis(reading.now);
    let many = together(&hold.scope, hold.tally);
    match hold.until.map(|until| moment(reading.unix_millis(until), now)) {
        Some(until) => format!(
            "{many}: their failures are withheld until {until} unless they return; \
             systole holds dead {:?} if they are dead, systole holds longer {:?} --for 30m to wait longer",
            hold.scope, hold.scope
        ),
        None => format!("{many} and stayed away: they are being failed, so many a second"),
    }
}

/// `57 of 200 nodes of group web fell silent together`
fn together(scope: &str, tally: Tally) -> String {
    let of = match ScopeName::parse(scope) {
        Some(ScopeName::Fleet) | None => "of the fleet".to_owned(),
        Some(ScopeName::Group(name)) => format!("of group {name}"),
        Some(ScopeName::Label(name, text)) => format!("with {name}={text}"),
    };
    format!("{} of {} nodes {of} fell silent together", tally.missing(), tally.expected())
}

/// What happened, in a sentence.
pub fn event_reason(record: &Record) -> String {
    let at = moment(record.at, record.at);
    match &record.what {
        What::Changed { group, from, to, cause, proof, .. } => {
            changed(record.at, group, *from, to.name(), *cause, proof)
        }
        What::Noted { group, liveness, note, .. } => match note {
            Told::Flapping(until) => format!(
                "flapping since {at}: the node came back so often that its changes are kept quiet until {} at least; \
                 {} now (group {group})",
                moment(*until, record.at),
                liveness.name(),
            ),
            Told::Steady(told) => format!(
                "steady again at {at}: {} now, told to be {} last (group {group})",
                liveness.name(),
                told.name(),
            ),
            Told::Conflict { incarnation, rival, seq } => format!(
                "conflict at {at}: heartbeats of incarnation {rival} go on (seq {seq}) beside incarnation {incarnation}, \
                 which is the one believed; two senders use one name, or old heartbeats are replayed (group {group})",
            ),
        },
        What::Hold { scope, change, tally, until } => {
            let many = together(scope, *tally);
            let missing = tally.missing();
            match change {
                Change::Held => format!(
                    "hold at {at}: {many}; one cause is likelier than so many deaths, so that their failures are \
                     withheld until {} unless they return",
                    moment(*until, record.at)
                ),
                Change::Recovered => format!(
                    "hold of {scope} over at {at}: they came back, but for {missing}, which are waited for once more"
                ),
                Change::Expired => format!(
                    "hold of {scope} expired at {at}: {many} and stayed away; they are failed now, so many a second"
                ),
                Change::Confirmed => format!("hold of {scope} confirmed at {at}: somebody said that they are dead"),
                Change::Ended => format!("hold of {scope} ended at {at}: all that was withheld has been said"),
            }
        }
        What::Overload { reason: Withheld::Drops, over: false } => format!(
            "overload at {at}: one datagram in a hundred, or more, is lost on the monitor's side; silence means nothing \
             until that ends"
        ),
        What::Overload { over: false, .. } => {
            format!("overload at {at}: the monitor can't keep up with its sockets; silence means nothing until it does")
        }
        What::Overload { reason, over: true } => format!("overload ({}) over at {at}", reason.name()),
    }
}

/// Why a belief changed.
fn changed(at: u64, group: &str, from: Liveness, to: &str, cause: Cause, proof: &Proof) -> String {
    let day = at;
    let at = moment(at, day);
    match cause {
        Cause::FirstHeartbeat => {
            format!("{to} at {at}: first heartbeat (group {group}, {})", interval(proof))
        }
        Cause::Heartbeat => format!(
            "{to} again at {at}: a heartbeat arrived {} while the node was {} ({}); {}",
            arrival(proof, day),
            from.name(),
            life(proof, group),
            losses(proof),
        ),
        Cause::Restart => format!(
            "{to} again at {at}: the node was restarted; the first heartbeat of its new life arrived {} \
             while it was {} ({})",
            arrival(proof, day),
            from.name(),
            life(proof, group),
        ),
        Cause::Silence => format!(
            "{to} at {at}: {}; failed after another {} of silence; {}; {}, {}",
            basis(proof, group, day, None, from.name()),
            length(Span::from_millis(proof.confirm_ms)),
            losses(proof),
            lag(proof),
            dropped(proof),
        ),
        Cause::Confirmed => format!(
            "{to} at {at}: {}; {}; {}, {}",
            basis(proof, group, day, Some(proof.confirm_ms), EITHER),
            losses(proof),
            lag(proof),
            dropped(proof),
        ),
        Cause::NeverSeen => {
            format!("{to} at {at}: {}; {}, {}", never_seen(proof, group, day), lag(proof), dropped(proof))
        }
        Cause::Goodbye => format!("{to} at {at}: the node said goodbye ({})", life(proof, group)),
    }
}

/// `last heartbeat 12:03:02.100, deadline 5 s later (chen, group edge, interval 1 s, confirm 300 ms)`;
/// of a node that has announced a silence, `(planned silence; chen, ...)`; of one that was `believed` to be
/// something before a restart and not heard since:
/// `believed alive before the monitor restarted at 12:03:02.100, silent since, deadline 5 s later (...)`
fn basis(proof: &Proof, group: &str, day: u64, confirm_ms: Option<u64>, believed: &str) -> String {
    let start = proof.last_arrival.or(proof.taken_over);
    let patience = proof.deadline.saturating_sub(start.unwrap_or(proof.deadline));
    let from = match (proof.last_arrival, proof.taken_over) {
        (None, Some(restart)) => {
            format!("believed {believed} before the monitor restarted at {}, silent since", moment(restart, day))
        }
        (Some(_), Some(_)) | (Some(_) | None, None) => format!("last heartbeat {}", arrival(proof, day)),
    };
    let confirm = confirm_ms.map_or_else(String::new, |ms| format!(", confirm {}", length(Span::from_millis(ms))));
    let planned = if proof.planned { "planned silence; " } else { "" };
    format!(
        "{from}, deadline {} later ({planned}{}, group {group}, {}{confirm}){}",
        length(Span::from_millis(patience)),
        proof.detector,
        interval(proof),
        put_off(proof),
    )
}

/// A suspect may have been one before the restart, or become one after it.
const EITHER: &str = "alive or suspect";

/// By how much a verdict was put off or withheld, and why; nothing of an ordinary one.
fn put_off(proof: &Proof) -> String {
    let span = |ms| length(Span::from_millis(ms));
    let mut said = String::new();
    if let Some(excuse) = proof.excuse.filter(|_| proof.excused_ms > 0) {
        said += &format!(", put off by {} ({excuse})", span(proof.excused_ms));
    }
    if let Some(withheld) = proof.withheld {
        said += &format!(", withheld for {} ({withheld})", span(proof.held_ms));
    }
    said
}

fn never_seen(proof: &Proof, group: &str, day: u64) -> String {
    format!(
        "listed in the configuration and never heard; its grace ended {} (group {group})",
        moment(proof.deadline, day)
    )
}

fn life(proof: &Proof, group: &str) -> String {
    format!("group {group}, incarnation {}, seq {}", proof.incarnation, proof.seq)
}

fn interval(proof: &Proof) -> String {
    let declared = if proof.interval_declared { "" } else { ", not declared" };
    format!("interval {}{declared}", length(Span::from_millis(proof.interval_ms)))
}

/// Always "beats", also of one, so that one pattern finds it in every sentence.
fn losses(proof: &Proof) -> String {
    format!("{} of the last {} beats lost", proof.lost, proof.window)
}

fn lag(proof: &Proof) -> String {
    format!("monitor lag {}", length(Span::from_nanos(proof.lag_us.saturating_mul(1_000))))
}

fn dropped(proof: &Proof) -> String {
    format!("{} datagrams dropped", proof.dropped)
}

fn arrival(proof: &Proof, day: u64) -> String {
    proof.last_arrival.map_or_else(|| "never".to_owned(), |at| moment(at, day))
}

/// The time of day, with its date if that isn't the date of `day`.
fn moment(at: u64, day: u64) -> String {
    let (at, day) = (rfc3339(at), rfc3339(day));
    let (Some((date, time)), Some((today, _))) = (at.split_once('T'), day.split_once('T')) else { return at };
    let time = time.trim_end_matches('Z');
    if date == today { time.to_owned() } else { format!("{date} {time}") }
}

/// A span as everywhere, and from an hour on in parts, since nobody reads 604802.25 s: `7 d 2.25 s`.
fn length(span: Span) -> String {
    const PARTS: [(Span, &str); 3] =
        [(Span::from_secs(86_400), "d"), (Span::from_secs(3_600), "h"), (Span::from_secs(60), "m")];
    if span < Span::from_secs(3_600) {
        return span.to_string();
    }
    let (mut parts, mut rest) = (Vec::new(), span.nanos());
    for (unit, name) in PARTS {
        if rest >= unit.nanos() {
            parts.push(format!("{} {name}", rest / unit.nanos()));
            rest %= unit.nanos();
        }
    }
    if rest > 0 {
        parts.push(Span::from_nanos(rest).to_string());
    }
    parts.join(" ")
}

/// A row's evidence on the wall clock. How many datagrams were dropped by then only the event knows.
fn row_proof(row: &Row, reading: Reading) -> Proof {
    let evidence = &row.evidence;
    let due = match (row.liveness, evidence.last_arrival.or(evidence.taken_over)) {
        (Liveness::Failed, Some(_)) => evidence.deadline + evidence.confirm,
        (Liveness::Failed, None) => evidence.deadline,
        (Liveness::Unseen | Liveness::Alive | Liveness::Suspect | Liveness::Left, _) => evidence.deadline,
    };
    let proof = Proof::of(evidence, row.since, reading, 0);
    Proof { lag_us: row.since.since(due).nanos() / 1_000, ..proof }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::answer;
    use crate::clock::Clock;
    use crate::model;
    use crate::show::{event, node};
    use systole_core::config::{Config, Plan, Rule, Settings};
    use systole_core::event::{Sink, Transition};
    use systole_core::{Backlog, Datagram, Instant, Monitor, NodeId, Wait};

    /// 2026-11-23 12:03:02.100 UTC.
    pub(crate) const T: u64 = 1_795_435_382_100;

    pub(crate) const PROOF: Proof = Proof {
        last_arrival: Some(T),
        taken_over: None,
        deadline: T + 5_000,
        confirm_ms: 310,
        excused_ms: 0,
        excuse: None,
        held_ms: 0,
        withheld: None,
        interval_ms: 1_000,
        interval_declared: true,
        planned: false,
        detector: "chen",
        incarnation: 7,
        seq: 41,
        lost: 3,
        window: 32,
        lag_us: 2_000,
        dropped: 0,
    };

    pub(crate) fn record(from: Liveness, to: Liveness, cause: Cause, at: u64, proof: Proof) -> Record {
        let what = What::Changed { node: "web-1".into(), group: "edge".into(), from, to, cause, proof };
        Record { seq: 1, skipped: 0, shard: 0, at, what }
    }

    /// A first heartbeat of the node with this name, without a number yet.
    pub(crate) fn named(node: &str, at: u64) -> Record {
        let (from, to, cause) = (Liveness::Unseen, Liveness::Alive, Cause::FirstHeartbeat);
        let what = What::Changed { node: node.into(), group: "g".into(), from, to, cause, proof: PROOF };
        Record { seq: 0, skipped: 0, shard: 0, at, what }
    }

    #[test]
    fn what_changes_no_belief_has_its_sentence_too() {
        let tally = Tally { silent: 57, alive: 143, absent: 0 };
        let hold = |change| What::Hold { scope: "group web".into(), change, tally, until: T + 600_000 };
        let noted =
            |note| What::Noted { node: "web-1".into(), group: "edge".into(), liveness: Liveness::Suspect, note };
        for (what, sentence) in [
            (
                hold(Change::Held),
                "hold at 12:03:02.100: 57 of 200 nodes of group web fell silent together; one cause is likelier than so \
                 many deaths, so that their failures are withheld until 12:13:02.100 unless they return",
            ),
            (
                hold(Change::Recovered),
                "hold of group web over at 12:03:02.100: they came back, but for 57, which are waited for once more",
            ),
            (
                noted(Told::Flapping(T + 300_000)),
                "flapping since 12:03:02.100: the node came back so often that its changes are kept quiet until \
                 12:08:02.100 at least; suspect now (group edge)",
            ),
            (
                noted(Told::Steady(Liveness::Alive)),
                "steady again at 12:03:02.100: suspect now, told to be alive last (group edge)",
            ),
            (
                noted(Told::Conflict { incarnation: 7, rival: 3, seq: 99 }),
                "conflict at 12:03:02.100: heartbeats of incarnation 3 go on (seq 99) beside incarnation 7, which is \
                 the one believed; two senders use one name, or old heartbeats are replayed (group edge)",
            ),
            (What::Overload { reason: Withheld::Backlog, over: true }, "overload (backlog) over at 12:03:02.100"),
        ] {
            assert_eq!(event_reason(&Record { seq: 1, skipped: 0, shard: 0, at: T, what }), sentence);
        }
    }

    #[test]
    fn a_verdict_that_was_put_off_says_by_how_much_and_why() {
        let proof = Proof { excused_ms: 3_000, excuse: Some(Withheld::Stall), ..PROOF };
        let proof = Proof { held_ms: 600_000, withheld: Some(Withheld::Guard), ..proof };
        assert_eq!(
            put_off(&proof),
            ", put off by 3 s (the monitor stood still during the silence), withheld for 10 m (too many nodes fell \
             silent together)"
        );
        assert_eq!(put_off(&PROOF), "");
    }

    #[test]
    fn each_cause_has_its_sentence() {
        use {Cause::*, Liveness::*};
        let never = Proof { last_arrival: None, ..PROOF };
        for (from, to, cause, at, proof, sentence) in [
            (
                Unseen,
                Alive,
                FirstHeartbeat,
                T,
                PROOF,
                "alive at 12:03:02.100: first heartbeat (group edge, interval 1 s)",
            ),
            (
                Suspect,
                Alive,
                Heartbeat,
                T + 3,
                PROOF,
                "alive again at 12:03:02.103: a heartbeat arrived 12:03:02.100 while the node was suspect \
                 (group edge, incarnation 7, seq 41); 3 of the last 32 beats lost",
            ),
            (
                Failed,
                Alive,
                Restart,
                T + 3,
                PROOF,
                "alive again at 12:03:02.103: the node was restarted; the first heartbeat of its new life arrived \
                 12:03:02.100 while it was failed (group edge, incarnation 7, seq 41)",
            ),
            (
                Alive,
                Suspect,
                Silence,
                T + 5_002,
                PROOF,
                "suspect at 12:03:07.102: last heartbeat 12:03:02.100, deadline 5 s later (chen, group edge, \
 interval 1 s); failed after another 310 ms of silence; 3 of the last 32 beats lost; monitor lag 2 ms, \
 0 datagrams dropped",
            ),
            (
                Suspect,
                Failed,
                Confirmed,
                T + 5_312,
                PROOF,
                "failed at 12:03:07.412: last heartbeat 12:03:02.100, deadline 5 s later (chen, group edge, \
 interval 1 s, confirm 310 ms); 3 of the last 32 beats lost; monitor lag 2 ms, 0 datagrams dropped",
            ),
            (
                Unseen,
                Failed,
                NeverSeen,
                T + 5_002,
                never,
                "failed at 12:03:07.102: listed in the configuration and never heard; its grace ended 12:03:07.100 \
 (group edge); monitor lag 2 ms, 0 datagrams dropped",
            ),
            (
                Alive,
                Left,
                Goodbye,
                T,
                PROOF,
                "left at 12:03:02.100: the node said goodbye (group edge, incarnation 7, seq 41)",
            ),
        ] {
            assert_eq!(event_reason(&record(from, to, cause, at, proof)), sentence);
        }
    }

    #[test]
    fn a_time_of_another_day_carries_its_date() {
        assert_eq!(moment(T, T), "12:03:02.100");
        assert_eq!(moment(T - 86_400_000, T), "2026-11-22 12:03:02.100");
    }

    #[test]
    fn what_is_learned_or_assumed_is_not_called_declared() {
        let proof = Proof { interval_declared: false, interval_ms: 10_000, ..PROOF };
        assert_eq!(interval(&proof), "interval 10 s, not declared");
    }

    #[test]
    fn a_length_reads_alike_everywhere_and_comes_in_parts_from_an_hour_on() {
        for (millis, text) in [
            (2, "2 ms"),
            (300, "300 ms"),
            (2_000, "2 s"),
            (3_250, "3.25 s"),
            (60_000, "1 m"),
            (90_000, "90 s"),
            (3_599_999, "3599.999 s"),
            (3_600_000, "1 h"),
            (3_604_000, "1 h 4 s"),
            (9_002_250, "2 h 30 m 2.25 s"),
            (86_400_000, "1 d"),
            (604_802_250, "7 d 2.25 s"),
            (604_800_010, "7 d 10 ms"),
        ] {
            assert_eq!(length(Span::from_millis(millis)), text);
        }
        let proof = Proof { deadline: T + 604_802_250, interval_ms: 604_800_000, confirm_ms: 9_000_000, ..PROOF };
        assert_eq!(
            basis(&proof, "edge", T, Some(proof.confirm_ms), "alive"),
            "last heartbeat 12:03:02.100, deadline 7 d 2.25 s later (chen, group edge, interval 7 d, confirm 2 h 30 m)"
        );
    }

    #[test]
    fn a_deadline_that_allows_for_an_announced_silence_says_so() {
        let proof = Proof { planned: true, deadline: T + 3_600_000, ..PROOF };
        let basis = "last heartbeat 12:03:02.100, deadline 1 h later (planned silence; chen, group edge, interval 1 s";
        let silent = event_reason(&record(Liveness::Alive, Liveness::Suspect, Cause::Silence, T + 3_600_002, proof));
        assert!(silent.contains(&format!("{basis}); failed after")), "{silent}");

        let mut story = Story::new();
        story.hear(100, "hb web-1 seq=1 inc=7 interval=1s next=1h");
        let reason = story.node().reason;
        assert!(
            reason.contains("deadline 1 h 4 s later (planned silence; fixed, group edge, interval 1 s)"),
            "{reason}"
        );
        story.hear(1_100, "hb web-1 seq=2 inc=7 interval=1s");
        assert!(!story.node().reason.contains("planned"));
    }

    /// One node's life on one shard, told by its rows.
    struct Story {
        monitor: Monitor,
        reading: Reading,
        origin: Instant,
        records: Vec<Record>,
    }

    struct Keep<'a>(&'a mut Vec<Record>, Reading);

    impl Sink for Keep<'_> {
        fn transition(&mut self, transition: &Transition<'_>) {
            self.0.push(Record::of_transition(transition, self.1, 0));
        }
    }

    impl Story {
        fn new() -> Self {
            let clock = Clock::start();
            let settings = Settings {
                detector: "fixed:timeout=5s".parse().unwrap(),
                confirm: Wait::Span(Span::from_millis(310)),
                ..Settings::default()
            };
            let rule = Rule { name: "edge".into(), settings, matches: vec![], nodes: vec!["web-1".into()] };
            let config = Config::new(Plan { groups: vec![rule], ..Plan::default() }).unwrap();
            let origin = clock.now();
            Self { monitor: Monitor::new(config, origin), reading: clock.read(), origin, records: Vec::new() }
        }

        fn hear(&mut self, millis: u64, line: &str) {
            let now = self.origin + Span::from_millis(millis);
            let datagram = Datagram::new(line.as_bytes(), now);
            self.monitor.turn(now, &[datagram], Backlog::Drained, &mut Keep(&mut self.records, self.reading));
        }

        fn wait(&mut self, millis: u64) {
            let now = self.origin + Span::from_millis(millis);
            while self.monitor.poll_timeout().is_some_and(|at| at <= now) {
                let at = self.monitor.poll_timeout().unwrap();
                self.monitor.turn(at, &[], Backlog::Drained, &mut Keep(&mut self.records, self.reading));
            }
        }

        fn node(&self) -> model::Node {
            let ix = self.monitor.find(&NodeId::of("web-1")).unwrap();
            node(&answer::row(&self.monitor, &self.monitor.node(ix).unwrap()), self.reading)
        }

        fn at(&self, millis: u64) -> String {
            let day = self
                .reading
                .unix_millis(self.monitor.node(self.monitor.find(&NodeId::of("web-1")).unwrap()).unwrap().since);
            moment(self.reading.unix_millis(self.origin + Span::from_millis(millis)), day)
        }
    }

    #[test]
    fn each_state_of_a_node_has_its_sentence() {
        let mut story = Story::new();
        let unseen = story.node();
        let expected = format!(
            "unseen since {}: listed in the configuration, no heartbeat yet; failed unless one arrives by {} \
             (group edge)",
            story.at(0),
            story.at(60_000),
        );
        assert_eq!((unseen.state, unseen.reason), (model::State::Unseen, expected));
        assert_eq!((unseen.last_arrival, unseen.deadline.is_some()), (None, true));

        story.hear(100, "hb web-1 seq=1 inc=7 interval=1s load=0.5 version=1.2 l.zone=a m.cpu=0.25");
        story.hear(1_100, "hb web-1 seq=3 inc=7 interval=1s");
        let basis = format!("last heartbeat {}, deadline 5 s later (fixed, group edge, interval 1 s", story.at(1_100));
        let alive = story.node();
        assert_eq!(alive.reason, format!("alive since {}: {basis}); 1 of the last 3 beats lost", story.at(100)));
        assert_eq!((alive.load, alive.version.as_deref()), (Some(0.5), Some("1.2")));
        assert_eq!((&*alive.labels["zone"], alive.metrics["cpu"]), ("a", 0.25));

        story.wait(6_102);
        let suspect = story.node();
        let lag = suspect.reason.rsplit("; ").next().unwrap().to_owned();
        let expected = format!(
            "suspect since {}: {basis}); failed at {} unless a heartbeat arrives; 1 of the last 3 beats lost; {lag}",
            moment(story.records[1].at, story.records[1].at),
            story.at(6_410),
        );
        assert_eq!(suspect.reason, expected);
        assert!(lag.starts_with("monitor lag 0") || lag == "monitor lag 1 ms", "within a tick: {lag}");

        story.wait(6_412);
        let failed = story.node();
        let event = event(story.records.last().unwrap());
        assert!(failed.reason.contains(&format!("{basis}, confirm 310 ms); 1 of the last 3 beats lost; monitor lag ")));
        assert_eq!(event.reason, format!("{}, 0 datagrams dropped", failed.reason), "row and event agree");

        story.hear(9_000, "bye web-1 seq=4 inc=7");
        let left = story.node();
        let expected = format!("left at {}: the node said goodbye (group edge, incarnation 7, seq 4)", story.at(9_000));
        assert_eq!((left.reason, left.deadline), (expected, None));
    }

    #[test]
    fn a_listed_node_that_never_came_says_so() {
        let mut story = Story::new();
        story.wait(60_001);
        let reason = story.node().reason;
        let expected =
            format!("listed in the configuration and never heard; its grace ended {} (group edge)", story.at(60_000));
        assert!(reason.starts_with("failed at ") && reason.contains(&expected), "{reason}");
        assert_eq!(event(&story.records[0]).reason, format!("{reason}, 0 datagrams dropped"));
    }
}
