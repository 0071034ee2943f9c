//! What a run says, as a table for people and as JSON for programs.
//!
//! Every estimate stands with its 95 % interval, and what the run can't tell is said to be unknown
//! rather than given as zero. Seed, version and parameters are part of both, so that a result that
//! was kept can be repeated.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::caution::Caution;
use crate::estimate::Estimate;
use crate::qos::{Causes, Qos, Times};
use crate::run::Outcome;
use crate::scenario::Scenario;

/// The version whose runs these are: another one may draw other numbers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What will be run, before anything can fail: one line.
pub fn head(scenario: &Scenario) -> String {
    let parameters = scenario.parameters().into_iter().map(|(name, value)| format!(" {name}={value}"));
    format!("systole-sim {VERSION}:{}", parameters.collect::<String>())
}

/// The outcome as JSON. Times are in seconds; what isn't known is null.
pub fn json(scenario: &Scenario, outcome: &Outcome) -> Value {
    let parameters: Map<String, Value> =
        scenario.parameters().into_iter().map(|(name, value)| (name, value.into())).collect();
    let mut all = json!({
        "version": VERSION,
        "seed": scenario.seed,
        "parameters": parameters,
        "complete": !outcome.stopped,
        "confidence": 0.95,
        "heartbeats": outcome.heartbeats,
        "heartbeats_believed": outcome.heartbeats_believed,
        "datagrams_sent": outcome.datagrams_sent,
        "datagrams_arrived": outcome.datagrams,
        "datagrams_dropped": outcome.datagrams_dropped,
        "heartbeats_per_second": outcome.heartbeats_per_second(),
        "bytes_per_second": outcome.bytes_per_second(),
        "span_s": outcome.span_s,
        "detection_bound_s": scenario.bound().secs_f64(),
        "mistakes_of_worst_node": worst(outcome),
        "trace_hash": hash(outcome),
    });
    add(&mut all, &outcome.qos);
    if let (Value::Object(all), Value::Object(caution)) = (&mut all, outcome.caution.json()) {
        all.extend(caution);
    }
    if outcome.groups.len() > 1 {
        let worst = worst_of_each(outcome);
        let groups = scenario.groups.iter().zip(&outcome.groups).zip(&outcome.traffic).zip(worst);
        let groups = groups.map(|(((group, qos), traffic), worst)| {
            let mut one = json!({
                "group": group.name,
                "heartbeats_per_second": traffic.heartbeats_per_second(),
                "bytes_per_second": traffic.bytes_per_second(),
                "detection_bound_s": group.bound().secs_f64(),
                "mistakes_of_worst_node": worst,
            });
            add(&mut one, qos);
            one
        });
        all["groups"] = groups.collect();
    }
    all
}

/// Puts the measures beside what is there.
fn add(into: &mut Value, qos: &Qos) {
    let measures = serde_json::to_value(qos).expect("numbers and names");
    if let (Value::Object(into), Value::Object(measures)) = (into, measures) {
        into.extend(measures);
    }
}

/// The outcome as CSV: a row for each group, and one for all of them if there are several.
pub fn csv(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut rows: Vec<(&str, &Qos)> =
        scenario.groups.iter().map(|group| group.name.as_str()).zip(&outcome.groups).collect();
    if rows.len() > 1 {
        rows.push(("all", &outcome.qos));
    }
    let mut out = String::from("group,");
    out += &columns(&Qos::default()).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    for (name, qos) in rows {
        let values: Vec<String> = columns(qos).into_iter().map(|(_, value)| value).collect();
        write!(out, "\n{name},{}", values.join(",")).expect("a string takes everything");
    }
    out + "\n"
}

/// Every measure by name; what isn't known is empty.
fn columns(qos: &Qos) -> Vec<(String, String)> {
    let Ok(Value::Object(measures)) = serde_json::to_value(qos) else { return Vec::new() };
    let cell = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
    let mut columns = Vec::new();
    for (name, value) in &measures {
        match value {
            Value::Object(parts) => {
                columns.extend(parts.iter().map(|(part, value)| (format!("{name}.{part}"), cell(value))));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                columns.push((name.clone(), cell(value)));
            }
            // A distribution doesn't fit into a cell: `--json` has it.
            Value::Array(_) => {}
        }
    }
    columns
}

/// The outcome as a table.
pub fn table(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut out = String::new();
    let mut row = |name: &str, value: String| writeln!(out, "{name:<34}{value}").expect("a string takes everything");
    if outcome.stopped {
        row("stopped early", format!("after {} of {} heartbeats", outcome.heartbeats, scenario.heartbeats()));
    }
    row("heartbeats", format!("{} sent, {} believed", outcome.heartbeats, outcome.heartbeats_believed));
    let traffic = [outcome.heartbeats_per_second(), outcome.bytes_per_second()];
    let traffic = traffic.map(|rate| rate.map_or("?".into(), number));
    row("traffic", format!("{} heartbeats/s, {} bytes/s with headers", traffic[0], traffic[1]));
    if outcome.datagrams_dropped > 0 {
        row("dropped by the monitor", format!("{} datagrams", outcome.datagrams_dropped));
    }
    row("virtual time", format!("{} s", number(outcome.span_s)));
    measures(&mut row, &outcome.qos);
    row("mistakes of the worst node", worst(outcome).to_string());
    caution(&mut row, &outcome.caution);
    row("trace hash", hash(outcome));
    if outcome.groups.len() > 1 {
        for ((group, qos), worst) in scenario.groups.iter().zip(&outcome.groups).zip(worst_of_each(outcome)) {
            row("", String::new());
            row("group", group.name.clone());
            measures(&mut row, qos);
            row("mistakes of the worst node", worst.to_string());
        }
    }
    out
}

fn measures(row: &mut impl FnMut(&str, String), qos: &Qos) {
    row("mistakes", qos.mistakes.to_string());
    row("  from one to the next (T_MR)", estimate(qos.mistake_recurrence_s, "s"));
    row("  duration (T_M)", estimate(qos.mistake_duration_s, "s"));
    row("  rate", estimate(qos.mistake_rate_per_s, "per s and node"));
    causes(row, &qos.mistakes_by_cause);
    row("query accuracy (P_A)", estimate(qos.query_accuracy, ""));
    row("false failures", qos.false_failures.to_string());
    row("  in the whole fleet", estimate(qos.false_failures_per_fleet_day, "per day"));
    row("  of one node", estimate(qos.false_failures_per_node_year, "per year"));
    causes(row, &qos.false_failures_by_cause);
    row("crashes", format!("{}, {} of them missed", qos.crashes, qos.missed));
    times(row, "  until suspect (T_D)", &qos.detection_time_s);
    times(row, "  until failed", &qos.failure_time_s);
}

/// What was withheld, and what was told of it; nothing where nothing was.
fn caution(row: &mut impl FnMut(&str, String), caution: &Caution) {
    let (reasons, told) = (caution.reasons(), caution.told());
    if !reasons.is_empty() {
        row("verdicts withheld", reasons);
    }
    if let Some(longest) = caution.dead_longest {
        row("  of the dead, at the longest", format!("{} s", number(longest.secs_f64())));
    }
    if !told.is_empty() {
        row("notes", told);
    }
}

/// How often the node was wrongly suspected that was most often: where trouble isn't shared evenly, an
/// average hides it.
fn worst(outcome: &Outcome) -> u64 {
    outcome.nodes.iter().map(|node| node.mistakes).max().unwrap_or(0)
}

/// The same of each group. Of a run that was stopped any of its nodes may be missing.
fn worst_of_each(outcome: &Outcome) -> Vec<u64> {
    let mut worst = vec![0; outcome.groups.len()];
    for node in &outcome.nodes {
        let worst: &mut u64 = &mut worst[node.group as usize];
        *worst = node.mistakes.max(*worst);
    }
    worst
}

/// What happened how often, the most frequent first.
fn causes(row: &mut impl FnMut(&str, String), causes: &Causes) {
    let mut named: Vec<_> = causes.by_cause().into_iter().filter(|(_, count)| *count > 0).collect();
    named.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    if !named.is_empty() {
        let named: Vec<String> = named.iter().map(|(blame, count)| format!("{} {count}", blame.name())).collect();
        row("  due to", named.join(", "));
    }
}

fn times(row: &mut impl FnMut(&str, String), name: &str, times: &Times) {
    let mean = Estimate { value: times.mean, ci_low: times.ci_low, ci_high: times.ci_high, standard_error: None };
    row(name, estimate(mean, "s on average"));
    if let (Some(p50), Some(p90), Some(p99), Some(p999), Some(max)) =
        (times.p50, times.p90, times.p99, times.p999, times.max)
    {
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(number);
        row("", format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}  max {max}"));
    }
}

fn estimate(estimate: Estimate, unit: &str) -> String {
    let end = |end: Option<f64>| end.map_or("?".into(), number);
    let mut text = end(estimate.value);
    if !unit.is_empty() {
        text = format!("{text} {unit}");
    }
    if estimate.ci_low.is_some() || estimate.ci_high.is_some() {
        text = format!("{text}  ({} to {})", end(estimate.ci_low), end(estimate.ci_high));
    }
    text
}

/// Five digits that mean something. A share near one keeps as many nines as it has.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let size = value.abs();
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.4e}");
    }
    let digits = (4.0 - libm::floor(libm::log10(size))).max(0.0) as usize;
    let digits = if (0.99..1.0).contains(&size) { 9 } else { digits };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Sixteen hexadecimal digits: as a number it would not survive every reader of JSON.
fn hash(outcome: &Outcome) -> String {
    format!("{:016x}", outcome.trace_hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Group;

    #[test]
    fn numbers_keep_five_digits_that_mean_something() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (11.111_111, "11.111"),
            (123_456.7, "123457"),
            (0.001_234_567, "0.0012346"),
            (0.999_999_5, "0.9999995"),
            (0.000_000_123_4, "1.2340e-7"),
            (2e6, "2000000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_worst_node_of_a_group_is_one_of_its_own_though_others_are_missing() {
        let group = |name: &str, loss: &str| Group {
            name: name.into(),
            nodes: 3,
            heartbeats: 3_000,
            loss: loss.parse().expect("a loss"),
            detector: "fixed:timeout=1.5x".parse().expect("a detector"),
            ..Group::default()
        };
        let groups = vec![group("quiet", "none"), group("bad", "0.3"), group("silent", "none")];
        let scenario = Scenario { groups, ..Scenario::default() };
        let mut outcome = crate::run::run(&scenario, |_| {});
        let worst = outcome.nodes[3..6].iter().map(|node| node.mistakes).max().expect("nodes");
        // As if it had been stopped before the first two nodes had their turn.
        outcome.nodes.drain(..2);
        let said = json(&scenario, &outcome);
        let each = [0, 1, 2].map(|group| said["groups"][group]["mistakes_of_worst_node"].as_u64());
        assert!(worst > 100);
        assert_eq!(each, [Some(0), Some(worst), Some(0)]);
        let table = table(&scenario, &outcome);
        let rows = table.lines().filter_map(|row| row.strip_prefix("mistakes of the worst node"));
        let rows: Vec<Option<u64>> = rows.map(|row| row.trim().parse().ok()).collect();
        assert_eq!(rows, [Some(worst), Some(0), Some(worst), Some(0)]);
    }

    #[test]
    fn what_is_not_known_is_not_given_as_zero() {
        assert_eq!(estimate(Estimate::default(), "s"), "? s");
        let bounded = Estimate { ci_low: Some(270.0), ..Estimate::default() };
        assert_eq!(estimate(bounded, "s"), "? s  (270 to ?)");
    }
}
