//! What came of a replay, as a table for people, as JSON for programs and as CSV for spreadsheets.
//!
//! In JSON everything is in seconds, and what isn't known is null. With exactly one detector its
//! figures also stand directly in each series, so that a script may read `.series[].suspicions`.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use systole_core::Span;

use super::play::{Played, Tape};
use super::{Args, Replayed, Row};
use crate::report::{VERSION, number};

/// Everything as JSON.
pub(super) fn json(args: &Args, traces: &[Replayed<'_>], complete: bool) -> String {
    let mut flat = Vec::new();
    let mut nested = Vec::new();
    for replayed in traces {
        let series: Vec<Map<String, Value>> =
            replayed.trace.tapes.iter().enumerate().map(|(place, tape)| series(replayed, place, tape)).collect();
        let total: Vec<Value> = replayed.rows.iter().map(|row| detector(row, &row.total)).collect();
        flat.extend(series.iter().map(|series| {
            let mut series = series.clone();
            series.insert("trace".into(), replayed.trace.name.clone().into());
            series
        }));
        nested.push(json!({
            "trace": replayed.trace.name,
            "detection_mean_asked_s": replayed.target,
            "series": series,
            "total": total,
        }));
    }
    let all = json!({
        "version": VERSION,
        "confirm": args.confirm.to_string(),
        "complete": complete,
        "traces": nested,
        "series": flat,
    });
    format!("{all:#}\n")
}

fn series(replayed: &Replayed<'_>, place: usize, tape: &Tape) -> Map<String, Value> {
    let mut series = Map::new();
    series.insert("series".into(), tape.name.clone().into());
    series.insert("interval_s".into(), tape.interval.secs_f64().into());
    series.insert("beats".into(), tape.beats.into());
    series.insert("lost".into(), tape.lost.into());
    series.insert("arrivals".into(), tape.arrivals.len().into());
    series.insert("span_s".into(), tape.span().secs_f64().into());
    let detectors: Vec<Value> = replayed.rows.iter().map(|row| detector(row, &row.series[place])).collect();
    if let [Value::Object(only)] = &detectors[..] {
        series.extend(only.clone());
    }
    series.insert("detectors".into(), detectors.into());
    series
}

fn detector(row: &Row, played: &Played) -> Value {
    let seconds = |span: Option<Span>| span.map(Span::secs_f64);
    let quantile = |share| seconds(played.detection_quantile(share));
    json!({
        "detector": row.detector.to_string(),
        "equal_mean": row.reached,
        "suspicions": played.suspicions,
        "suspected_s": played.suspected.secs_f64(),
        "mistakes": played.mistakes,
        "mistake_rate_per_s": ratio(played.mistakes as f64, played.up.secs_f64()),
        "mistake_duration_s": ratio(played.mistaken.secs_f64(), played.mistakes as f64),
        "query_accuracy": played.query_accuracy(),
        "false_failures": played.false_failures,
        "detection_time_s": {
            "mean": played.detection_mean(),
            "p50": quantile(0.5),
            "p90": quantile(0.9),
            "p99": quantile(0.99),
            "p999": quantile(0.999),
            "max": seconds(played.detection_max()),
        },
    })
}

/// A line for each series and detector.
pub(super) fn csv(traces: &[Replayed<'_>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut line = |fields: &[String]| writer.write_record(fields).expect("memory takes everything");
    line(&COLUMNS.map(String::from));
    for replayed in traces {
        for (place, tape) in replayed.trace.tapes.iter().enumerate() {
            for row in &replayed.rows {
                let played = &row.series[place];
                let known = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
                line(&[
                    replayed.trace.name.clone(),
                    tape.name.clone(),
                    tape.interval.secs_f64().to_string(),
                    tape.beats.to_string(),
                    tape.lost.to_string(),
                    tape.arrivals.len().to_string(),
                    tape.span().secs_f64().to_string(),
                    row.detector.to_string(),
                    row.reached.to_string(),
                    played.suspicions.to_string(),
                    played.suspected.secs_f64().to_string(),
                    played.mistakes.to_string(),
                    known(ratio(played.mistakes as f64, played.up.secs_f64())),
                    known(ratio(played.mistaken.secs_f64(), played.mistakes as f64)),
                    known(played.query_accuracy()),
                    played.false_failures.to_string(),
                    known(played.detection_mean()),
                    known(played.detection_quantile(0.99).map(Span::secs_f64)),
                    known(played.detection_max().map(Span::secs_f64)),
                ]);
            }
        }
    }
    String::from_utf8(writer.into_inner().expect("memory takes everything")).expect("names and numbers are UTF-8")
}

const COLUMNS: [&str; 19] = [
    "trace",
    "series",
    "interval_s",
    "beats",
    "lost",
    "arrivals",
    "span_s",
    "detector",
    "equal_mean",
    "suspicions",
    "suspected_s",
    "mistakes",
    "mistake_rate_per_s",
    "mistake_duration_s",
    "query_accuracy",
    "false_failures",
    "detection_mean_s",
    "detection_p99_s",
    "detection_max_s",
];

/// A table for each trace, over all of its series.
pub(super) fn table(args: &Args, traces: &[Replayed<'_>], complete: bool) -> String {
    let mut out = String::new();
    for replayed in traces {
        let compared = replayed.target.map(|target| {
            let whose = if args.detect_mean.is_some() { "as asked for" } else { "that of the default detector" };
            format!("every detector tuned to a mean detection time of {} s, {whose}\n", number(target))
        });
        if !out.is_empty() {
            out.push('\n');
        }
        write!(out, "{}\n{}", headline(replayed), compared.unwrap_or_default()).expect("a string takes everything");
        let rows: Vec<[String; 10]> = replayed.rows.iter().map(cells).collect();
        let lines = core::iter::once(TITLES.map(String::from)).chain(rows);
        out.push_str(&aligned(&lines.collect::<Vec<_>>()));
    }
    if !complete {
        out.push_str("\nstopped early: what is above is all that was done\n");
    }
    out
}

const TITLES: [&str; 10] =
    ["", "", "T_D mean s", "p99", "worst", "mistakes", "per hour", "T_M s", "suspected %", "false failures"];

/// What the trace is.
fn headline(replayed: &Replayed<'_>) -> String {
    let tapes = &replayed.trace.tapes;
    let (beats, lost) = tapes.iter().fold((0, 0), |(beats, lost), tape| (beats + tape.beats, lost + tape.lost));
    let span: f64 = tapes.iter().map(|tape| tape.span().secs_f64()).sum();
    let shortest = tapes.iter().map(|tape| tape.interval).min().unwrap_or_default();
    let longest = tapes.iter().map(|tape| tape.interval).max().unwrap_or_default();
    let every = if shortest == longest { longest.to_string() } else { format!("{shortest} to {longest}") };
    let series = if tapes.len() == 1 { "1 series".into() } else { format!("{} series", tapes.len()) };
    let name = &replayed.trace.name;
    format!("{name}: {series} of {} s, {beats} heartbeats every {every}, {lost} lost", number(span))
}

fn cells(row: &Row) -> [String; 10] {
    let played = &row.total;
    let shown = |value: Option<f64>| value.map_or("-".into(), number);
    let seconds = |span: Option<Span>| shown(span.map(Span::secs_f64));
    let mean = shown(played.detection_mean());
    [
        row.name.clone(),
        row.parameter.clone(),
        if row.reached { mean } else { format!("can't: {mean}") },
        seconds(played.detection_quantile(0.99)),
        seconds(played.detection_max()),
        played.mistakes.to_string(),
        shown(ratio(played.mistakes as f64 * 3_600.0, played.up.secs_f64())),
        shown(ratio(played.mistaken.secs_f64(), played.mistakes as f64)),
        shown(played.query_accuracy().map(|accuracy| 100.0 * (1.0 - accuracy))),
        played.false_failures.to_string(),
    ]
}

/// The first two columns to the left, the others to the right.
fn aligned(lines: &[[String; 10]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            if column < 2 {
                write!(text, "{cell:<width$}{}", if width > 0 { "  " } else { "" }).expect("a string takes everything");
            } else {
                write!(text, "{cell:>width$}  ").expect("a string takes everything");
            }
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Nothing of nothing is not known.
fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
}
