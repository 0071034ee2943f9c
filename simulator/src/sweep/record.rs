//! What one run said, as a line that outlives the process: `results.jsonl`, and `results.csv` from it.
//!
//! A record's key is a hash of everything that determines the run: version, seed and parameters. A
//! run whose key is on file is not run again, whatever the plan looks like by then.

use std::collections::BTreeMap;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::qos::{Qos, Times};
use crate::report::VERSION;
use crate::run::Outcome;
use crate::scenario::Scenario;

/// One run: what determined it and what came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// See [`key`].
    pub(crate) key: String,
    /// The version that ran it.
    pub(crate) version: String,
    /// The seed that it was run under.
    pub(crate) seed: u64,
    /// Every parameter as text, by the name of its flag.
    pub(crate) parameters: BTreeMap<String, String>,
    /// How many nodes there were.
    pub(crate) nodes: u32,
    /// Heartbeats sent.
    pub(crate) heartbeats: u64,
    /// Heartbeats that the monitor believed.
    pub(crate) heartbeats_believed: u64,
    /// Datagrams that were sent: heartbeats, copies and goodbyes.
    pub(crate) datagrams_sent: u64,
    /// How many bytes these were, without headers of the network.
    pub(crate) bytes_sent: u64,
    /// Datagrams that arrived.
    pub(crate) datagrams_arrived: u64,
    /// Datagrams that arrived and were lost all the same.
    pub(crate) datagrams_dropped: u64,
    /// How long the run was, in virtual seconds.
    pub(crate) span_s: f64,
    /// How long all nodes together were up and observed, in seconds: what false failures are held against.
    pub(crate) observed_s: f64,
    /// What each group adds to the fleet's false failures.
    pub(crate) groups: Vec<Failures>,
    /// What it says about the detector.
    #[serde(flatten)]
    pub(crate) qos: Qos,
    /// The hash of all transitions, as 16 hexadecimal digits.
    pub(crate) trace_hash: String,
}

/// The false failures of one group's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failures {
    /// How many nodes it has.
    pub(crate) nodes: u32,
    /// How many there were.
    pub(crate) false_failures: u64,
    /// How long its nodes together were up and observed.
    pub(crate) observed_s: f64,
    /// The standard error of their rate per day in the whole group, where it comes from batches.
    pub(crate) per_day_standard_error: Option<f64>,
}

/// What tells a run from all others: 32 hexadecimal digits.
pub(crate) fn key(scenario: &Scenario) -> String {
    let mut hasher = SipHasher24::new();
    let mut write = |text: &str| {
        // The length keeps "ab", "c" apart from "a", "bc".
        hasher.write_u64(text.len() as u64);
        hasher.write(text.as_bytes());
    };
    write(VERSION);
    for (name, value) in scenario.parameters() {
        write(&name);
        write(&value);
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

impl Record {
    /// What came out of a run that wasn't stopped.
    pub(crate) fn of(scenario: &Scenario, outcome: &Outcome) -> Self {
        let mut observed = vec![0.0; scenario.groups.len()];
        outcome.nodes.iter().for_each(|node| observed[node.group as usize] += node.up.secs_f64());
        let groups = scenario.groups.iter().zip(&outcome.groups).zip(&observed);
        let groups = groups.map(|((group, qos), observed_s)| Failures {
            nodes: group.nodes,
            false_failures: qos.false_failures,
            observed_s: *observed_s,
            per_day_standard_error: qos.false_failures_per_fleet_day.standard_error,
        });
        Self {
            groups: groups.collect(),
            key: key(scenario),
            version: VERSION.into(),
            seed: scenario.seed,
            parameters: scenario.parameters().into_iter().collect(),
            nodes: scenario.nodes(),
            heartbeats: outcome.heartbeats,
            heartbeats_believed: outcome.heartbeats_believed,
            datagrams_sent: outcome.datagrams_sent,
            bytes_sent: outcome.bytes_sent,
            datagrams_arrived: outcome.datagrams,
            datagrams_dropped: outcome.datagrams_dropped,
            span_s: outcome.span_s,
            observed_s: observed.iter().sum(),
            qos: outcome.qos.clone(),
            trace_hash: format!("{:016x}", outcome.trace_hash),
        }
    }

    /// One line of JSON, with its end.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(self).expect("a record has only texts for keys") + "\n"
    }
}

/// All of them as a table with a head; parameters in the order in which `of` tells them.
pub(crate) fn csv<'r>(of: &Scenario, records: impl IntoIterator<Item = &'r Record>) -> String {
    let names: Vec<String> = of.parameters().into_iter().map(|(name, _)| name).collect();
    let head = names.iter().cloned().chain(COLUMNS.map(String::from)).collect();
    let row = |record: &Record| {
        let mut fields: Vec<String> =
            names.iter().map(|name| record.parameters.get(name).cloned().unwrap_or_default()).collect();
        fields.extend(record.numbers());
        fields
    };
    table(std::iter::once(head).chain(records.into_iter().map(row)))
}

/// Rows of one length as CSV (RFC 4180).
pub(crate) fn table(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).expect("memory takes everything, and rows are of one length");
    }
    let bytes = writer.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("texts in, text out")
}

const COLUMNS: [&str; 30] = [
    "heartbeats_sent",
    "heartbeats_believed",
    "span_s",
    "observed_s",
    "mistakes",
    "mistake_recurrence_s",
    "mistake_duration_s",
    "query_accuracy",
    "mistake_rate_per_s",
    "crashes_counted",
    "missed",
    "false_failures",
    "false_failures_per_fleet_day",
    "false_failures_per_fleet_day_ci_low",
    "false_failures_per_fleet_day_ci_high",
    "detected",
    "detection_time_s_mean",
    "detection_time_s_p50",
    "detection_time_s_p90",
    "detection_time_s_p99",
    "detection_time_s_p999",
    "detection_time_s_max",
    "failed",
    "failure_time_s_mean",
    "failure_time_s_p50",
    "failure_time_s_p90",
    "failure_time_s_p99",
    "failure_time_s_p999",
    "failure_time_s_max",
    "trace_hash",
];

impl Record {
    /// As many as there are columns; empty is what the run can't tell.
    fn numbers(&self) -> Vec<String> {
        let some = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let times = |times: &Times| {
            let Times { count, mean, ci_low: _, ci_high: _, p50, p90, p99, p999, max } = *times;
            let mut fields = vec![count.to_string()];
            fields.extend([mean, p50, p90, p99, p999, max].map(some));
            fields
        };
        let qos = &self.qos;
        let mut fields = vec![
            self.heartbeats.to_string(),
            self.heartbeats_believed.to_string(),
            self.span_s.to_string(),
            self.observed_s.to_string(),
            qos.mistakes.to_string(),
            some(qos.mistake_recurrence_s.value),
            some(qos.mistake_duration_s.value),
            some(qos.query_accuracy.value),
            some(qos.mistake_rate_per_s.value),
            qos.crashes.to_string(),
            qos.missed.to_string(),
            qos.false_failures.to_string(),
            some(qos.false_failures_per_fleet_day.value),
            some(qos.false_failures_per_fleet_day.ci_low),
            some(qos.false_failures_per_fleet_day.ci_high),
        ];
        fields.extend(times(&qos.detection_time_s));
        fields.extend(times(&qos.failure_time_s));
        fields.push(self.trace_hash.clone());
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::run;
    use crate::scenario::Group;

    fn record() -> (Scenario, Record) {
        let group = Group {
            nodes: 20,
            heartbeats: 20_000,
            crashes: 40,
            loss: "0.2".parse().expect("a loss"),
            delay: "exp:35ms".parse().expect("a delay"),
            detector: "phi:threshold=3,tail=normal".parse().expect("a detector"),
            ..Group::default()
        };
        let scenario = group.alone(7);
        let outcome = run(&scenario, |_| {});
        let record = Record::of(&scenario, &outcome);
        (scenario, record)
    }

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        let (_, record) = record();
        let read: Record = serde_json::from_str(&record.line()).expect("a record");
        assert_eq!((&read, read.line()), (&record, record.line()));
        assert!(record.qos.mistakes > 0 && record.qos.failure_quantiles_s.len() == crate::qos::SHARES.len());
    }

    #[test]
    fn a_key_changes_with_every_parameter() {
        let (scenario, record) = record();
        let with = |change: fn(&mut Group)| {
            let mut other = scenario.clone();
            change(&mut other.groups[0]);
            other
        };
        let others = [
            scenario.clone().with_seed(1),
            with(|group| group.nodes = 21),
            with(|group| group.jitter = 0.1),
            with(|group| group.detector = "chen".parse().expect("a detector")),
        ];
        assert_eq!(key(&scenario), record.key);
        assert!(others.iter().all(|other| key(other) != record.key));
    }

    #[test]
    fn a_table_has_a_head_and_quotes_what_has_commas() {
        let (scenario, record) = record();
        let text = csv(&scenario, [&record]);
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let head = rows.headers().expect("a head").clone();
        let row = rows.records().next().expect("a row").expect("as long as the head");
        let field = |name: &str| head.iter().position(|known| known == name).map(|place| &row[place]);
        assert_eq!(field("detector"), record.parameters.get("detector").map(String::as_str));
        assert_eq!(field("trace_hash"), Some(record.trace_hash.as_str()));
    }
}
