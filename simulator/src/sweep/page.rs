//! From findings to the page that is looked at: which pictures, in which order, with which words.

use super::finding::{Finding, Result};
use super::plan::Plan;
use super::pool::Mixture;
use super::requirement::{Quantile, Requirement};
use crate::picture::{
    Cdf, Curve, Field, Heat, Level, Limits, Page, Point, Row, Section, Series, Standing, Strip, Table, Tradeoff,
    Verdict, exact, short,
};
use crate::report::VERSION;
use crate::scenario::dial::{bare, is_design};

/// What a page says beside the findings.
#[derive(Clone, Debug)]
pub(crate) struct About<'a> {
    /// The plan's name.
    pub(crate) name: &'a str,
    /// The command that makes all of it again.
    pub(crate) command: String,
    /// How many of the plan's runs are in.
    pub(crate) runs: usize,
}

/// The whole page. `strips` has one for each finding, or nothing.
pub(crate) fn page(plan: &Plan, findings: &[Finding<'_>], strips: &[Option<Strip>], about: &About<'_>) -> Page {
    let sections = findings.iter().zip(strips).enumerate();
    let sections: Vec<Section> =
        sections.map(|(n, (finding, strip))| section(plan, n, finding, strip.as_ref())).collect();
    let mut commands = vec![about.command.clone()];
    if let Some(result) = findings.iter().find_map(|finding| finding.choice.map(|place| &finding.results[place])) {
        commands.extend(command(result));
    }
    Page {
        title: format!("Which interval, which timeout: {}", about.name),
        subtitle: subtitle(plan, about),
        sections,
        commands,
        parameters: parameters(plan),
        tables: vec![("Settings, seeds taken together".into(), settings(plan, findings))],
        notes: notes(plan),
    }
}

fn subtitle(plan: &Plan, about: &About<'_>) -> String {
    let (runs, of) = (about.runs, plan.cells());
    let done = if runs == of { format!("{of} runs") } else { format!("{runs} of {of} runs, stopped before the end") };
    let seeds = plan.seeds.len();
    format!(
        "systole-sim {VERSION}: {} settings, {seeds} seed{}, {done}",
        plan.settings.len(),
        if seeds == 1 { "" } else { "s" }
    )
}

fn section(plan: &Plan, n: usize, finding: &Finding<'_>, strip: Option<&Strip>) -> Section {
    let limits = plan.requirement.as_ref().map(Requirement::limits);
    let families = families(finding);
    let mut pictures = vec![tradeoff(plan, n, finding, &families, limits).draw()];
    if let Some(heat) = heat(n, finding, &families, limits) {
        pictures.push(heat.draw());
    }
    pictures.push(cdf(n, finding, &families, limits).draw());
    pictures.extend(strip.map(Strip::draw));
    let heading = finding.heading();
    Section {
        heading: heading.map_or_else(|| "What was found".into(), |heading| format!("With {heading}")),
        verdict: verdict(plan, finding),
        pictures,
    }
}

fn verdict(plan: &Plan, finding: &Finding<'_>) -> Option<Verdict> {
    let requirement = plan.requirement.as_ref()?;
    let choice = &finding.results[finding.choice?];
    Some(Verdict { standing: choice.standing?, text: choice.verdict(requirement, finding.results.len()) })
}

/// The detectors by name, in the order of the plan.
fn families(finding: &Finding<'_>) -> Vec<String> {
    let mut families: Vec<String> = Vec::new();
    for result in &finding.results {
        let family = result.detector().to_string();
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}

fn is_choice(finding: &Finding<'_>, place: usize) -> bool {
    finding.choice == Some(place)
}

fn tradeoff(plan: &Plan, n: usize, finding: &Finding<'_>, families: &[String], limits: Option<Limits>) -> Tradeoff {
    let quantile = plan.requirement.map_or_else(Quantile::default, |requirement| requirement.of_crashes);
    let series =
        families.iter().map(|family| Series { name: family.clone(), tracks: tracks(plan, finding, family, quantile) });
    Tradeoff {
        name: format!("tradeoff-{n}"),
        title: "Detection time against false failures".into(),
        time: quantile.words().into(),
        series: series.collect(),
        limits,
        ring: finding.ring(),
    }
}

/// The settings of one detector; those that differ in its parameters alone belong together.
fn tracks(plan: &Plan, finding: &Finding<'_>, family: &str, quantile: Quantile) -> Vec<Vec<Point>> {
    let mut tracks: Vec<(Vec<&str>, Vec<Point>)> = Vec::new();
    for (place, result) in finding.results.iter().enumerate().filter(|(_, result)| result.detector() == family) {
        let pairs = plan.axes.iter().zip(&result.setting.values);
        let others = pairs.filter(|(axis, _)| !matches!(bare(&axis.dial), "detector" | "timeout"));
        let others: Vec<&str> = others.map(|(_, value)| value.as_str()).collect();
        let point = point(finding, place, result, quantile);
        match tracks.iter_mut().find(|(of, _)| *of == others) {
            Some((_, track)) => track.push(point),
            None => tracks.push((others, vec![point])),
        }
    }
    if tracks.iter().all(|(_, track)| track.len() == 1) {
        return vec![tracks.into_iter().flat_map(|(_, track)| track).collect()];
    }
    tracks.into_iter().map(|(_, track)| track).collect()
}

fn point(finding: &Finding<'_>, place: usize, result: &Result<'_>, quantile: Quantile) -> Point {
    let time = result.time_s.unwrap_or_default();
    Point {
        name: result.name(),
        time_s: result.time_s,
        time_range_s: result.pooled.failed.within_each(quantile.share()).unwrap_or((time, time)),
        per_day: Level::of(result.per_day),
        chosen: is_choice(finding, place),
    }
}

/// Only where there are several of both.
fn heat(n: usize, finding: &Finding<'_>, families: &[String], limits: Option<Limits>) -> Option<Heat> {
    let mut intervals: Vec<_> = finding.results.iter().map(|result| result.setting.group().interval).collect();
    intervals.sort();
    intervals.dedup();
    let row_of = |result: &Result<'_>| {
        let jitter = result.setting.group().jitter;
        let jitter = if jitter > 0.0 { format!(", jitter {jitter}") } else { String::new() };
        format!("{}{jitter}", result.timeout())
    };
    let mut rows: Vec<Row> = Vec::new();
    for family in families {
        for (place, result) in finding.results.iter().enumerate().filter(|(_, result)| result.detector() == *family) {
            let name = row_of(result);
            let column = intervals.iter().position(|interval| *interval == result.setting.group().interval)?;
            let at = rows.iter().position(|row| row.detector == *family && row.name == name).unwrap_or_else(|| {
                rows.push(Row { detector: family.clone(), name, fields: vec![None; intervals.len()] });
                rows.len() - 1
            });
            rows[at].fields[column] = Some(Field {
                per_day: Level::of(result.per_day),
                time_s: result.time_s,
                meets: result.standing == Some(Standing::Met),
                chosen: is_choice(finding, place),
            });
        }
    }
    (intervals.len() > 1 && rows.len() > 1).then(|| Heat {
        name: format!("heat-{n}"),
        title: "Interval and timeout".into(),
        columns: intervals.iter().map(|interval| interval.compact().to_string()).collect(),
        rows,
        limits,
        ring: finding.ring(),
    })
}

/// Of each detector its best setting.
fn cdf(n: usize, finding: &Finding<'_>, families: &[String], limits: Option<Limits>) -> Cdf {
    let curve = |(series, family): (usize, &String)| {
        let best = finding.best(|result| result.detector() == *family);
        // Where nothing was asked for, the setting in the middle of those of this detector.
        let all: Vec<usize> =
            (0..finding.results.len()).filter(|place| finding.results[*place].detector() == *family).collect();
        let result = &finding.results[best.or_else(|| all.get(all.len() / 2).copied())?];
        let (failed, suspected) = (curve_of(&result.pooled.failed), curve_of(&result.pooled.suspected));
        Some(Curve { name: result.name(), series, failed, suspected })
    };
    let best = if limits.is_some() { "the best setting of each detector" } else { "one setting of each detector" };
    Cdf {
        name: format!("cdf-{n}"),
        title: format!("How long finding a crash takes: {best}"),
        curves: families.iter().enumerate().filter_map(curve).collect(),
        limits,
    }
}

fn curve_of(mixture: &Mixture) -> Vec<(f64, f64)> {
    mixture.curve.clone()
}

/// What all settings share, and the values of each axis.
fn parameters(plan: &Plan) -> Vec<(String, String)> {
    let mut all = vec![
        ("version".to_string(), VERSION.to_string()),
        ("seeds".into(), plan.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")),
    ];
    if let Some(requirement) = &plan.requirement {
        let fleet = requirement.fleet.map_or("as simulated".into(), |fleet| format!("{fleet} nodes"));
        all.push((
            "asked for".into(),
            format!(
                "{} failed within {}, at most {} false failures in the fleet ({fleet})",
                requirement.of_crashes.words(),
                requirement.detect_within.compact(),
                requirement.false_failures
            ),
        ));
    }
    for (place, axis) in plan.axes.iter().enumerate() {
        let mut values: Vec<&str> = Vec::new();
        for setting in &plan.settings {
            if !values.contains(&setting.values[place].as_str()) {
                values.push(&setting.values[place]);
            }
        }
        let kind = if is_design(&axis.dial) { "chosen" } else { "given" };
        all.push((format!("{} ({kind})", axis.dial), values.join("  ")));
    }
    // What is the same in all of them. The downtime follows from others, and may vary.
    let Some(first) = plan.settings.first() else { return all };
    let shared = first.scenario.parameters().into_iter().filter(|(name, value)| {
        let same = |setting: &super::plan::Setting| {
            setting.scenario.parameters().iter().any(|(other, its)| other == name && its == value)
        };
        *name != "seed" && plan.settings.iter().all(same)
    });
    all.extend(shared.map(|(name, value)| (name.to_string(), value)));
    all
}

/// One run of the choice, for whoever wants to look closer. Flags know one group only.
fn command(result: &Result<'_>) -> Option<String> {
    let scenario = &result.setting.scenario;
    if scenario.groups.len() > 1 {
        return None;
    }
    let mut text = String::from("systole-sim run");
    for (name, value) in scenario.parameters().into_iter().filter(|(_, value)| value != "none") {
        // What there may be several of is told with blanks between, and repeated as a flag.
        for value in value.split_whitespace() {
            let quote = if value.contains(['|', ';', '&', '<', '>', '(', ')', '*', '$']) { "'" } else { "" };
            text += &format!(" --{name}={quote}{value}{quote}");
        }
    }
    Some(text)
}

fn settings(plan: &Plan, findings: &[Finding<'_>]) -> Table {
    let mut head: Vec<String> = plan.axes.iter().map(|axis| axis.dial.clone()).collect();
    head.extend(
        [
            "",
            "runs",
            "heartbeats",
            "mistakes",
            "false failures",
            "per fleet day",
            "crashes",
            "missed",
            "suspect p50 (s)",
            "suspect p99 (s)",
            "failed p50 (s)",
            "failed p99 (s)",
            "failed max (s)",
        ]
        .map(String::from),
    );
    let rows = findings.iter().flat_map(|finding| {
        finding.results.iter().enumerate().map(move |(place, result)| {
            let pooled = &result.pooled;
            let within = |mixture: &Mixture, share| mixture.within(share).map_or("not all found".into(), exact);
            let standing = match result.standing {
                _ if is_choice(finding, place) => finding.ring(),
                Some(Standing::Met) => "met",
                Some(Standing::Open) => "open",
                Some(Standing::Unmet) | None => "",
            };
            let mut row = result.setting.values.clone();
            row.extend([
                standing.into(),
                pooled.runs.to_string(),
                short(pooled.heartbeats as f64),
                pooled.mistakes.to_string(),
                pooled.false_failures.to_string(),
                Level::of(result.per_day).map_or("unknown".into(), Level::text),
                pooled.crashes.to_string(),
                pooled.missed.to_string(),
                within(&pooled.suspected, 0.5),
                within(&pooled.suspected, 0.99),
                within(&pooled.failed, 0.5),
                within(&pooled.failed, 0.99),
                within(&pooled.failed, 1.0),
            ]);
            row
        })
    });
    Table { head, rows: rows.collect() }
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = vec![
        "A false failure is a change to failed while the node is up. Times run from the crash to the change that \
         lasts; a crash that was not failed before its node came back counts as never found."
            .into(),
        "Intervals are for 95 %. Counts below 30 are taken as Poisson, so none seen in a time t means at most 3.66/t; \
         where false failures come in clusters that is too narrow. Several seeds of one setting are taken together: \
         counts and time are added up, and the interval is that of the sum. The bar across a mark spans the seeds."
            .into(),
        "Equal seeds are equal networks: each node's losses and delays are drawn from streams of its own, so two \
         detectors under one seed are judged on the very same losses, and their difference is surer than their \
         intervals say."
            .into(),
    ];
    if plan.requirement.is_some_and(|requirement| requirement.fleet.is_some()) {
        notes.push(
            "False failures are scaled from the nodes simulated to the fleet that was asked for: nodes don't disturb \
             each other unless they share a line or a buffer."
                .into(),
        );
    }
    notes
}
