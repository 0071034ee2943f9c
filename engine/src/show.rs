//! From what shards and journal keep to what people and scripts read: times as text, numbers as JSON.
//!
//! Pure functions. They run on the threads of those who ask, never on a shard's, because writing
//! one timestamp costs more than judging one heartbeat.

use std::collections::BTreeMap;

use systole_core::auth::{REASONS, Use};
use systole_core::event::Cause;
use systole_core::{Liveness, Reject, Span, Withheld};

use crate::clock::{Reading, rfc3339};
use crate::model;
use crate::profile::{Class, Whole};
use crate::query::{GroupReport, HoldReport, Report, Row};
use crate::reason::{event_reason, held_reason, hold_reason, node_reason};
use crate::store::{Proof, Record, What};

/// One node; `reading` leads from the shard's time line to the wall clock.
pub fn node(row: &Row, reading: Reading) -> model::Node {
    let time = |instant| rfc3339(reading.unix_millis(instant));
    let payload = row.payload.as_deref();
    let evidence = &row.evidence;
    model::Node {
        node: row.node.clone(),
        group: row.group.clone(),
        state: row.liveness.into(),
        since: time(row.since),
        incarnation: evidence.incarnation.number(),
        seq: evidence.seq.number(),
        last_arrival: evidence.last_arrival.map(time),
        deadline: (row.liveness != Liveness::Left).then(|| time(evidence.deadline)),
        interval_ms: evidence.interval.millis(),
        interval_declared: evidence.interval_declared,
        load: row.load,
        version: payload.and_then(|payload| payload.version()).map(str::to_owned),
        labels: payload.iter().flat_map(|p| p.labels()).map(|(name, text)| (name.into(), text.into())).collect(),
        metrics: payload.iter().flat_map(|p| p.metrics()).map(|(name, value)| (name.into(), value)).collect(),
        muted_until: None,
        flapping: row.flapping.is_some(),
        conflict: row.conflict,
        held: held_reason(row, reading),
        reason: node_reason(row, reading),
    }
}

/// One event.
pub fn event(record: &Record) -> model::Event {
    let (from, to, scope, evidence) = match &record.what {
        What::Changed { from, to, cause, proof, .. } => {
            (Some((*from).into()), Some((*to).into()), None, accuses(*cause).then(|| evidence(proof)))
        }
        What::Noted { liveness, .. } => (Some((*liveness).into()), Some((*liveness).into()), None, None),
        What::Hold { scope, .. } => (None, None, Some(scope.to_string()), None),
        What::Overload { .. } => (None, None, None, None),
    };
    model::Event {
        seq: record.seq,
        at: rfc3339(record.at),
        node: record.node().map(str::to_owned),
        group: record.group().map(str::to_owned),
        scope,
        from,
        to,
        cause: record.cause().to_owned(),
        reason: event_reason(record),
        evidence,
    }
}

/// The groups that are configured or have nodes, each put together from what every shard knows of it.
pub fn groups(reports: impl IntoIterator<Item = GroupReport>, reading: Reading) -> Vec<model::Group> {
    let mut by_name: BTreeMap<String, Vec<GroupReport>> = BTreeMap::new();
    for report in reports {
        by_name.entry(report.name.clone()).or_default().push(report);
    }
    let groups = by_name.into_iter().filter_map(|(name, parts)| group(name, &parts, reading));
    groups.filter(|group| group.configured || group.nodes.total() > 0).collect()
}

/// How the heartbeats of the group `name` arrive, put together from what every shard knows of it; none if
/// [`groups`] would leave it out. `interval` is in force at its nodes, if any of them is heard.
pub fn profile(
    name: &str,
    reports: impl IntoIterator<Item = GroupReport>,
    interval: Option<Span>,
) -> Option<model::Profile> {
    let parts: Vec<GroupReport> = reports.into_iter().filter(|report| report.name == name).collect();
    let nodes = parts.iter().map(|part| part.counts.total()).sum();
    if nodes == 0 && !parts.iter().any(|part| part.configured) {
        return None;
    }
    let heard = whole(&parts);
    let (mean_ms, sd_ms) = heard.late_mean_sd_ms();
    let bucket = |(end, count)| model::LatenessBucket { up_to_ms: millis(end), count };
    let runs = heard.runs().classes().map(|Class { from, to, count }| model::LossRuns { from, to, count });
    Some(model::Profile {
        group: name.to_owned(),
        interval_ms: interval.or_else(|| parts.iter().find_map(|part| part.settings.interval)).map(millis),
        nodes,
        heartbeats: heard.recent(),
        lost: heard.runs().lost(),
        lateness: model::Lateness {
            count: heard.recent(),
            mean_ms,
            sd_ms,
            max_ms: millis(heard.late_max()),
            buckets: heard.late_buckets().map(bucket).collect(),
        },
        loss_runs: runs.collect(),
    })
}

/// The monitor as a whole, from what every shard reports.
pub fn status(reports: &[Report], uptime: Span, events_last: u64, reading: Reading) -> model::Status {
    let mut nodes = model::Counts::default();
    for report in reports {
        add_counts(&mut nodes, &report.counts);
    }
    let rejected = |reason| reports.iter().map(|report| report.counters.rejected(reason)).sum();
    model::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: uptime.millis(),
        nodes,
        heartbeats_total: reports.iter().map(|report| report.counters.heartbeats).sum(),
        heartbeats_per_second: reports.iter().map(|report| report.heartbeats_per_second).sum(),
        datagrams_dropped_total: reports.iter().map(|report| report.dropped).sum(),
        rejected: Reject::ALL.into_iter().map(|reason| (reason.name().to_owned(), rejected(reason))).collect(),
        auth: auth(reports),
        shards: reports.iter().map(shard).collect(),
        health: health(reports),
        holds: holds(reports, reading),
        withheld: withheld(|reason| reports.iter().map(|report| report.counters.withheld(reason)).sum()),
        flapping: reports.iter().map(|report| report.flapping as u64).sum(),
        conflicts: reports.iter().map(|report| report.conflicts as u64).sum(),
        events_last,
        state_dir: None,
        config: model::ConfigLoads::default(),
    }
}

/// What is held, each once though several shards hold it: every one knows what all see.
pub fn holds(reports: &[Report], reading: Reading) -> Vec<model::Hold> {
    let mut by_scope: BTreeMap<&str, Vec<&HoldReport>> = BTreeMap::new();
    for hold in reports.iter().flat_map(|report| &report.holds) {
        by_scope.entry(&hold.scope).or_default().push(hold);
    }
    let time = |instant| rfc3339(reading.unix_millis(instant));
    let hold = |hold: HoldReport| model::Hold {
        since: time(hold.since),
        until: hold.until.map(time),
        silent: hold.tally.missing().into(),
        expected: hold.tally.expected().into(),
        reason: hold_reason(&hold, reading),
        scope: hold.scope,
    };
    by_scope.into_values().filter_map(whole_hold).map(hold).collect()
}

/// One hold, as several shards tell it that hold the same.
fn whole_hold<'a>(holds: impl IntoIterator<Item = &'a HoldReport>) -> Option<HoldReport> {
    let fuller = |one: HoldReport, other: HoldReport| HoldReport {
        scope: one.scope,
        since: one.since.min(other.since),
        until: one.until.max(other.until),
        tally: if one.tally.expected() >= other.tally.expected() { one.tally } else { other.tally },
    };
    holds.into_iter().cloned().reduce(fuller)
}

/// Counts by reason, by the names of the reasons.
fn withheld(count: impl Fn(Withheld) -> u64) -> BTreeMap<String, u64> {
    Withheld::ALL.into_iter().map(|reason| (reason.name().to_owned(), count(reason))).collect()
}

/// Keys and tags, from what every shard counted: all of them have the same keys.
pub fn auth(reports: &[Report]) -> model::Auth {
    let first = reports.first().map(|report| report.auth.clone()).unwrap_or_default();
    let accepted = |id| reports.iter().flat_map(|report| &report.auth.keys).filter(move |one| one.key == id);
    let key = |one: &Use| model::AuthKey {
        id: one.key.number(),
        suite: one.suite.name().to_owned(),
        accepted_total: accepted(one.key).map(|one| one.accepted).sum(),
    };
    let waived = |(at, reason): (usize, Reject)| {
        (reason.name().to_owned(), reports.iter().map(|report| report.auth.waived[at]).sum())
    };
    model::Auth {
        mode: first.mode.name().to_owned(),
        keys: first.keys.iter().map(key).collect(),
        waived: REASONS.into_iter().enumerate().map(waived).collect(),
    }
}

/// Whether such a change says that a node is silent.
const fn accuses(cause: Cause) -> bool {
    match cause {
        Cause::Silence | Cause::Confirmed | Cause::NeverSeen => true,
        Cause::FirstHeartbeat | Cause::Heartbeat | Cause::Restart | Cause::Goodbye => false,
    }
}

fn evidence(proof: &Proof) -> model::Evidence {
    model::Evidence {
        last_arrival: proof.last_arrival.map(rfc3339),
        taken_over: proof.taken_over.map(rfc3339),
        deadline: rfc3339(proof.deadline),
        confirm_ms: proof.confirm_ms,
        excused_ms: proof.excused_ms,
        excuse: proof.excuse.map(|excuse| excuse.name().to_owned()),
        held_ms: proof.held_ms,
        withheld: proof.withheld.map(|withheld| withheld.name().to_owned()),
        interval_ms: proof.interval_ms,
        detector: proof.detector.to_owned(),
        incarnation: proof.incarnation,
        seq: proof.seq,
        lost: proof.lost,
        window: proof.window,
        monitor_lag_ms: proof.lag_us as f64 / 1e3,
        datagrams_dropped: proof.dropped,
    }
}

fn group(name: String, parts: &[GroupReport], reading: Reading) -> Option<model::Group> {
    let settings = &parts.first()?.settings;
    let bound_interval = settings.interval.unwrap_or(Span::from_secs(1));
    let mut nodes = model::Counts::default();
    for part in parts {
        add_counts(&mut nodes, &part.counts);
    }
    let heard = whole(parts);
    let sent = heard.heartbeats() + heard.lost();
    Some(model::Group {
        group: name,
        configured: parts.iter().any(|part| part.configured),
        nodes,
        settings: model::GroupSettings {
            detector: settings.detector.to_string(),
            confirm: settings.confirm.to_string(),
            interval_ms: settings.interval.map(Span::millis),
            grace_ms: settings.grace.millis(),
            // Rounded up, because a bound that is too small is none.
            detection_bound_ms: settings.detection_bound(bound_interval).map(|it| it.nanos().div_ceil(1_000_000)),
            detection_bound_interval_ms: bound_interval.millis(),
        },
        heartbeats_in_rhythm_total: heard.heartbeats(),
        lost_total: heard.lost(),
        loss: if sent == 0 { 0.0 } else { heard.lost() as f64 / sent as f64 },
        lateness_ms: percentiles(&heard),
        withheld: withheld(|reason| parts.iter().map(|part| part.withheld[reason as usize]).sum()),
        hold: whole_hold(parts.iter().filter_map(|part| part.hold.as_ref())).map(|hold| hold_reason(&hold, reading)),
    })
}

/// What all shards together heard from one group.
fn whole(parts: &[GroupReport]) -> Whole {
    parts.iter().filter_map(|part| part.profile.as_deref()).collect()
}

fn percentiles(heard: &Whole) -> model::Percentiles {
    let at = |quantile| millis(heard.late_at(quantile));
    model::Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: millis(heard.late_max()) }
}

fn millis(span: Span) -> f64 {
    span.nanos() as f64 / 1e6
}

fn shard(report: &Report) -> model::Shard {
    model::Shard {
        shard: report.shard,
        nodes: report.counts.total(),
        heartbeats_total: report.counters.heartbeats,
        datagrams_total: report.datagrams,
        datagrams_dropped_total: report.dropped,
        receive_buffer: report.receive_buffer as u64,
        handed_over_total: report.handed_over,
        handover_dropped_total: report.handover_dropped,
    }
}

fn health(reports: &[Report]) -> model::Health {
    let max = |of: fn(&Report) -> Span| reports.iter().map(of).max().unwrap_or_default().millis();
    model::Health {
        loop_gap_max_ms: max(|report| report.loop_gap_max),
        turn_max_ms: max(|report| report.turn_max),
        behind_ms: max(|report| report.behind),
        // Every shard sees every step, so they aren't added up.
        clock_steps_total: reports.iter().map(|report| report.clock_steps).max().unwrap_or(0),
        events_dropped_total: reports.iter().map(|report| report.events_dropped).sum(),
        score: reports.iter().map(|report| report.unwell).max().unwrap_or(0),
    }
}

fn add_counts(sum: &mut model::Counts, part: &model::Counts) {
    for liveness in Liveness::ALL {
        sum.add(liveness, part.get(liveness));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer;
    use crate::clock::Clock;
    use crate::profile::Profile;
    use crate::reason::tests::{PROOF, T, record};
    use systole_core::config::{Config, Settings};
    use systole_core::{GroupIx, Instant, Monitor, Wait};

    #[test]
    fn only_a_verdict_of_silence_carries_evidence() {
        use {Cause::*, Liveness::*};
        for (cause, expected) in [
            (FirstHeartbeat, false),
            (Heartbeat, false),
            (Restart, false),
            (Silence, true),
            (Confirmed, true),
            (NeverSeen, true),
            (Goodbye, false),
        ] {
            assert_eq!(event(&record(Alive, Suspect, cause, T, PROOF)).evidence.is_some(), expected);
        }
        let evidence = event(&record(Suspect, Failed, Confirmed, T, PROOF)).evidence.unwrap();
        assert_eq!(evidence.deadline, "2026-11-23T12:03:07.100Z");
        assert_eq!((evidence.monitor_lag_ms, evidence.lost, evidence.window), (2.0, 3, 32));
    }

    fn report(name: &str, configured: bool, alive: u64, late_ms: &[u64]) -> GroupReport {
        let mut profile = Profile::new();
        late_ms.iter().for_each(|millis| profile.record(Span::from_millis(*millis), 1));
        let monitor = Monitor::new(Config::default(), Instant::ORIGIN);
        GroupReport {
            name: name.into(),
            configured,
            counts: model::Counts { alive, ..Default::default() },
            ..answer::group(&monitor, GroupIx::FIRST, Some(&profile))
        }
    }

    #[test]
    fn a_group_on_two_shards_is_one_group() {
        let parts = [
            report("b", false, 2, &[1, 1]),
            report("a", true, 0, &[]),
            report("b", false, 3, &[100, 100]),
            report("c", false, 0, &[9]),
        ];
        let groups = groups(parts, Clock::start().read());
        let names: Vec<_> = groups.iter().map(|group| &*group.group).collect();
        assert_eq!(names, ["a", "b"], "one that is neither configured nor has nodes is left out");
        let b = &groups[1];
        assert_eq!((b.nodes.alive, b.heartbeats_in_rhythm_total, b.lost_total, b.loss), (5, 4, 4, 0.5));
        assert!(
            (0.9..1.1).contains(&b.lateness_ms.p50) && (99.0..101.0).contains(&b.lateness_ms.p90),
            "{:?}",
            b.lateness_ms
        );
        assert_eq!(groups[0].loss, 0.0);
        assert_eq!(groups[0].lateness_ms, model::Percentiles::default());
        assert!(b.settings.detector.starts_with("chen:") && b.settings.confirm == "3x");
        let bound = Settings::default().detection_bound(Span::from_secs(1)).unwrap();
        assert!(bound > Span::from_secs(6));
        assert_eq!(b.settings.detection_bound_ms, Some(bound.nanos().div_ceil(1_000_000)));
        assert_eq!(b.settings.detection_bound_interval_ms, 1_000, "where no interval is configured");
    }

    #[test]
    fn a_bound_is_rounded_up_and_told_for_the_configured_interval() {
        let mut part = report("g", true, 1, &[]);
        part.settings = Settings {
            detector: "fixed:timeout=5s".parse().unwrap(),
            confirm: Wait::Span(Span::from_nanos(1)),
            interval: Some(Span::from_millis(250)),
            ..Settings::default()
        };
        let settings = groups([part], Clock::start().read()).remove(0).settings;
        assert_eq!((settings.detection_bound_ms, settings.detection_bound_interval_ms), (Some(5_001), 250));
    }

    #[test]
    fn no_point_of_the_lateness_is_beyond_the_latest_heartbeat() {
        let group =
            groups([report("g", true, 1, &[6_267]), report("g", true, 1, &[5])], Clock::start().read()).remove(0);
        assert_eq!((group.lateness_ms.max, group.lateness_ms.p99), (6_267.0, 6_267.0));
    }
}
