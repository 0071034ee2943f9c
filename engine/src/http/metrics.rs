//! `GET /metrics`: OpenMetrics text, per group and per shard, never per node.
//!
//! Whoever doesn't ask for OpenMetrics gets the older text format with the same names of series.
//!
//! A million nodes as a million series would be a second monitoring problem; which node it is says
//! `/v1/nodes`. Numbers are fetched from the shards at each scrape and nothing is kept between two.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use systole_core::auth::Mode;
use systole_core::counters::Counters;
use systole_core::{Liveness, Reject, Withheld};

use super::App;
use super::problem::Refused;
use crate::model::{AuthKey, Group, Percentiles, Problem, StateDir};
use crate::query::Report;
use crate::show;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One scrape.
#[derive(Debug)]
struct Scrape {
    reports: Vec<Report>,
    groups: Vec<Group>,
    events: u64,
    state_dir: Option<StateDir>,
    uptime_seconds: f64,
    refusals: [(&'static str, u64); 5],
    refused: bool,
}

/// Numbers for a time series database.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "monitor",
    responses(
        (
            status = 200,
            description = "OpenMetrics text if the `Accept` header names it, otherwise Prometheus text 0.0.4.",
            content(
                (String = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
                (String = "text/plain; version=0.0.4; charset=utf-8"),
            ),
        ),
        (status = 503, description = "A shard didn't answer in time.", body = Problem),
    ),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<impl IntoResponse, Refused> {
    let scrape = Scrape {
        reports: app.reports().await?,
        groups: show::groups(app.groups(None).await?, app.control.clock.read()),
        events: app.control.journal.last(),
        state_dir: app.control.journal.state_dir(),
        uptime_seconds: app.uptime().secs_f64(),
        refusals: app.refusals.counts(),
        refused: app.control.loads.shown().refused.is_some(),
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut body = String::new();
    text::encode(&mut body, &registry).expect("writing to a string can't fail");
    if wants_open_metrics(&headers) {
        return Ok(([(CONTENT_TYPE, OPEN_METRICS)], body));
    }
    Ok(([(CONTENT_TYPE, CLASSIC)], classic(&body)))
}

fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let mut wanted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    wanted.any(|accept| accept.to_ascii_lowercase().contains("application/openmetrics-text"))
}

/// The same in the older format, which names a counter's family like its samples and knows neither units nor an end.
///
/// ```text
///   # HELP systole_events Events with a number.     ->   # HELP systole_events_total Events with a number.
///   # TYPE systole_events counter                   ->   # TYPE systole_events_total counter
///   systole_events_total 31                         ->   systole_events_total 31
///   # UNIT systole_uptime_seconds seconds           ->
///   # EOF                                           ->
/// ```
fn classic(open_metrics: &str) -> String {
    let counter = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: BTreeSet<String> = open_metrics.lines().filter_map(counter).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", word, name, rest] if counters.contains(name) => {
                text.extend(["# ", word, " ", name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.monitor(&mut out)?;
        self.shards(&mut out)?;
        self.state_dir(&mut out)?;
        self.groups(&mut out)
    }
}

impl Scrape {
    fn monitor(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut counters = Counters::default();
        self.reports.iter().for_each(|report| counters.add(&report.counters));
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let sum = |of: fn(&Report) -> u64| self.reports.iter().map(of).sum::<u64>();

        out.gauges("systole_build_info", "Always 1; the version is in the label.", None, [(version, 1_u64)])?;
        out.gauges(
            "systole_uptime",
            "How long the monitor has been running.",
            Some(&Unit::Seconds),
            [([], self.uptime_seconds)],
        )?;
        out.counters("systole_heartbeats", "Heartbeats that were believed.", [([], counters.heartbeats)])?;
        out.counters("systole_goodbyes", "Goodbyes that were believed.", [([], counters.goodbyes)])?;
        out.counters(
            "systole_heartbeats_rejected",
            "Messages that weren't believed, by reason.",
            Reject::ALL.map(|reason| ([("reason", reason.name())], counters.rejected(reason))),
        )?;
        self.auth(out)?;
        out.counters(
            "systole_verdicts_withheld",
            "Verdicts that were due and had to wait, by reason (backlog: turns in which any had to).",
            Withheld::ALL.map(|reason| ([("reason", reason.name())], counters.withheld(reason))),
        )?;
        out.counters(
            "systole_changes_quieted",
            "Changes of flapping nodes that were told nobody.",
            [([], counters.quieted)],
        )?;
        out.gauges(
            "systole_nodes_flapping",
            "Nodes that go to and fro.",
            None,
            [([], sum(|report| report.flapping as u64))],
        )?;
        out.gauges(
            "systole_nodes_in_conflict",
            "Nodes in whose names somebody else speaks too.",
            None,
            [([], sum(|report| report.conflicts as u64))],
        )?;
        let unwell = self.reports.iter().map(|report| u64::from(report.unwell)).max().unwrap_or(0);
        out.gauges("systole_unwell", "How often the monitor had troubles of late, 0 to 8.", None, [([], unwell)])?;
        let scopes: BTreeSet<&str> = self.reports.iter().flat_map(|r| &r.holds).map(|hold| &*hold.scope).collect();
        out.gauges(
            "systole_holds",
            "Groups, labels or the fleet whose failures are withheld.",
            None,
            [([], scopes.len() as u64)],
        )?;
        out.counters("systole_transitions", "Changes of belief.", transitions(&counters))?;
        out.counters("systole_events", "Events with a number.", [([], self.events)])?;
        out.counters(
            "systole_events_dropped",
            "Events that couldn't be kept in time.",
            [([], sum(|report| report.events_dropped))],
        )?;
        out.counters(
            "systole_http_refused",
            "Questions and connections that weren't let in, by reason.",
            self.refusals.map(|(reason, count)| ([("reason", reason)], count)),
        )?;
        out.gauges(
            "systole_config_refused",
            "1 if the latest reload of the configuration was refused and the one before is in force.",
            None,
            [([], u64::from(self.refused))],
        )?;
        // Every shard sees every step, so they aren't added up.
        let steps = self.reports.iter().map(|report| report.clock_steps).max().unwrap_or(0);
        out.counters("systole_clock_steps", "Times that the wall clock was seen to jump.", [([], steps)])
    }

    /// Nothing where nothing is kept.
    fn state_dir(&self, out: &mut Out<'_>) -> fmt::Result {
        let Some(dir) = &self.state_dir else { return Ok(()) };
        let failing = [("events", &dir.failing), ("snapshot", &dir.snapshot_failing)]
            .map(|(what, failing)| ([("what", what)], u64::from(failing.is_some())));
        out.gauges("systole_state_dir_failing", "1 while the state directory doesn't take it.", None, failing)?;
        out.counters("systole_state_dir_errors", "Whatever the state directory refused.", [([], dir.errors_total)])?;
        out.counters("systole_events_written", "The last event in the state directory.", [([], dir.events_last)])?;
        out.counters(
            "systole_events_unwritten",
            "Events that left memory before a failing disk took them.",
            [([], dir.events_unwritten_total)],
        )?;
        out.counters(
            "systole_snapshot_errors",
            "Snapshots that couldn't be written.",
            [([], dir.snapshot_errors_total)],
        )?;
        out.gauges(
            "systole_snapshot_nodes",
            "Nodes in the latest snapshot.",
            None,
            [([], dir.snapshot_nodes.unwrap_or(0))],
        )?;
        out.gauges(
            "systole_state_dir_refused",
            "Files that were damaged, foreign or newer at the start.",
            None,
            [([], dir.refused.len() as u64)],
        )
    }

    fn auth(&self, out: &mut Out<'_>) -> fmt::Result {
        let auth = show::auth(&self.reports);
        let in_force = |mode: Mode| ([("mode", mode.name())], u64::from(mode.name() == auth.mode));
        out.gauges(
            "systole_auth_mode",
            "What becomes of messages without a good tag: 1 for the mode in force.",
            None,
            Mode::ALL.map(in_force),
        )?;
        let keys: Vec<(String, &AuthKey)> = auth.keys.iter().map(|key| (key.id.to_string(), key)).collect();
        out.counters(
            "systole_heartbeats_accepted",
            "Messages with a good tag that were believed, by key.",
            keys.iter().map(|(id, key)| ([("key", &**id), ("suite", &*key.suite)], key.accepted_total)),
        )?;
        out.counters(
            "systole_heartbeats_waived",
            "Messages that were believed though enforcing would have refused them, by reason.",
            auth.waived.iter().map(|(reason, count)| ([("reason", &**reason)], *count)),
        )
    }

    fn shards(&self, out: &mut Out<'_>) -> fmt::Result {
        let shards: Vec<(String, &Report)> =
            self.reports.iter().map(|report| (report.shard.to_string(), report)).collect();
        let each =
            |of: fn(&Report) -> u64| shards.iter().map(move |(shard, report)| ([("shard", &**shard)], of(report)));
        let seconds =
            |of: fn(&Report) -> f64| shards.iter().map(move |(shard, report)| ([("shard", &**shard)], of(report)));

        out.counters("systole_datagrams", "Datagrams received.", each(|report| report.datagrams))?;
        out.counters(
            "systole_datagrams_dropped",
            "Datagrams that the kernel dropped because nobody fetched them in time.",
            each(|report| report.dropped),
        )?;
        out.counters(
            "systole_handed_over",
            "Messages handed to the shard that owns their node.",
            each(|report| report.handed_over),
        )?;
        out.counters(
            "systole_handover_dropped",
            "Messages that couldn't be handed over because the owner's queue was full.",
            each(|report| report.handover_dropped),
        )?;
        out.gauges(
            "systole_receive_buffer",
            "The smallest kernel receive buffer among the shard's sockets.",
            Some(&Unit::Bytes),
            each(|report| report.receive_buffer as u64),
        )?;
        out.gauges(
            "systole_loop_gap",
            "The longest time, in the last ten seconds or so, in which the shard didn't look at its sockets.",
            Some(&Unit::Seconds),
            seconds(|report| report.loop_gap_max.secs_f64()),
        )?;
        out.gauges(
            "systole_turn",
            "The longest turn of the shard's monitor in the last ten seconds or so: one batch taken in, or what was due declared.",
            Some(&Unit::Seconds),
            seconds(|report| report.turn_max.secs_f64()),
        )?;
        out.gauges(
            "systole_behind",
            "How long the shard's sockets haven't been seen empty.",
            Some(&Unit::Seconds),
            seconds(|report| report.behind.secs_f64()),
        )
    }

    fn groups(&self, out: &mut Out<'_>) -> fmt::Result {
        let groups = || self.groups.iter();
        let heard = || groups().filter(|group| group.heartbeats_in_rhythm_total > 0);
        let nodes = groups().flat_map(|group| {
            Liveness::ALL.map(|state| ([("group", &*group.group), ("state", state.name())], group.nodes.get(state)))
        });
        out.gauges("systole_nodes", "Nodes by group and state.", None, nodes)?;
        out.counters(
            "systole_heartbeats_in_rhythm",
            "Heartbeats that came after another one in a known rhythm.",
            groups().map(|group| ([("group", &*group.group)], group.heartbeats_in_rhythm_total)),
        )?;
        out.counters(
            "systole_heartbeats_lost",
            "Heartbeats that never came, by gaps in the sequence.",
            groups().map(|group| ([("group", &*group.group)], group.lost_total)),
        )?;
        out.gauges(
            "systole_heartbeat_lateness",
            "How late heartbeats arrive, compared with the one before and the interval; quantile 1 is the latest.",
            Some(&Unit::Seconds),
            heard().flat_map(|group| {
                quantiles(&group.lateness_ms)
                    .map(|(quantile, ms)| ([("group", &*group.group), ("quantile", quantile)], ms / 1e3))
            }),
        )
    }
}

/// Every pair of two different states.
fn transitions(counters: &Counters) -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> {
    let pairs = Liveness::ALL.into_iter().flat_map(|from| Liveness::ALL.map(|to| (from, to)));
    pairs
        .filter(|(from, to)| from != to)
        .map(|(from, to)| ([("from", from.name()), ("to", to.name())], counters.transitions(from, to)))
}

const fn quantiles(lateness: &Percentiles) -> [(&'static str, f64); 5] {
    let Percentiles { p50, p90, p99, p999, max } = *lateness;
    [("0.5", p50), ("0.9", p90), ("0.99", p99), ("0.999", p999), ("1", max)]
}

/// Writes one family after the other.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    /// The encoder adds `_total` to the name of each sample.
    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, &'a str); N], u64)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, None, MetricType::Counter, samples)
    }

    /// The unit becomes the last part of the name.
    fn gauges<'a, const N: usize, V: EncodeGaugeValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = ([(&'static str, &'a str); N], V)>,
    ) -> fmt::Result
    where
        ConstGauge<V>: EncodeMetric,
    {
        let samples = samples.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, unit, MetricType::Gauge, samples)
    }

    fn family<'a, const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        mut samples: impl Iterator<Item = ([(&'static str, &'a str); N], M)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        if N == 0 {
            // Without labels there is one sample, and no empty braces behind its name.
            return samples.next().map_or(Ok(()), |(_, metric)| metric.encode(family));
        }
        for (labels, metric) in samples {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_is_given_unless_open_metrics_is_asked_for() {
        let wants = |accept: &str| wants_open_metrics(&[(ACCEPT, accept.parse().unwrap())].into_iter().collect());
        assert!(wants("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"));
        assert!(!wants("text/plain;version=0.0.4;q=0.3,*/*;q=0.1") && !wants_open_metrics(&HeaderMap::new()));
    }

    #[test]
    fn the_older_format_names_the_family_of_a_counter_like_its_samples() {
        let open_metrics = "# HELP a_b How many.\n# TYPE a_b counter\na_b_total{c=\"# EOF\"} 1\n\
                            # HELP d_seconds How a_b long.\n# TYPE d_seconds gauge\n# UNIT d_seconds seconds\n\
                            d_seconds 2\n# EOF\n";
        let expected = "# HELP a_b_total How many.\n# TYPE a_b_total counter\na_b_total{c=\"# EOF\"} 1\n\
                        # HELP d_seconds How a_b long.\n# TYPE d_seconds gauge\nd_seconds 2\n";
        assert_eq!(classic(open_metrics), expected);
    }
}
