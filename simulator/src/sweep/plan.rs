//! A plan: one scenario, and which of its parameters take which values.
//!
//! ```toml
//! seeds = 3
//! out = "bursty"
//! requirement = { detect_within = "15s", false_failures = "1/week", fleet = 1000000 }
//! [scenario]                  # or from = "wan" or "my.toml", and what differs from it
//! nodes = 100
//! loss = "gilbert:p=0.01,burst=5"
//! [axes]
//! interval = ["1s", "2s", "5s"]
//! detector = ["fixed:timeout=2x|3x|4x", "chen:margin=1x|2x"]
//! ```
//! Bars in a detector part alternatives. Every combination is a setting, and every setting is run
//! under every seed. All faults are found at once, each with its line, and before anything runs; a
//! setting that can't be run is named.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::requirement::{Quantile, Requirement};
use crate::frequency::Frequency;
use crate::lines::{Fault, Faults};
use crate::scenario::dial::{bare, is_design, turn};
use crate::scenario::{DEFAULT_SEED, Group, Scenario};
use crate::tables::{in_order, table, text, text_or_list};

/// What is to be run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// What varies, in the order of the file.
    pub(crate) axes: Vec<Axis>,
    /// Every combination of the axes, the last axis fastest.
    pub(crate) settings: Vec<Setting>,
    /// The seeds that each of them is run under.
    pub(crate) seeds: Vec<u64>,
    /// What is asked for.
    pub(crate) requirement: Option<Requirement>,
    /// Where the results go.
    pub(crate) out: Option<PathBuf>,
}

/// A parameter that takes several values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// The name of its flag.
    pub(crate) dial: String,
    /// Its values, as texts, each with the byte at which it stands.
    values: Vec<(String, usize)>,
}

/// One combination of values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// As many as there are axes.
    pub(crate) values: Vec<String>,
    /// The detector as the plan writes it: what it doesn't mention is as usual.
    pub(crate) detector: String,
    /// What was chosen, in words; conditions aren't.
    pub(crate) name: String,
    /// What it comes to, under the first seed.
    pub(crate) scenario: Scenario,
}

impl Setting {
    /// The group that pictures speak of: the first.
    pub(crate) fn group(&self) -> &Group {
        &self.scenario.groups[0]
    }

    /// Heartbeats a second, of all nodes: what it costs.
    pub(crate) fn load(&self) -> f64 {
        self.scenario.groups.iter().map(|group| f64::from(group.nodes) / group.interval.secs_f64()).sum()
    }
}

/// More cells than this are a slip of the pen.
const CELLS_MAX: usize = 1_000_000;

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its lines.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let plan = match DeTable::parse(text) {
            Ok(root) => plan(root.get_ref(), &mut faults),
            Err(error) => {
                let message = error.message().replace('\n', " ");
                faults.add(error.span().map_or(0, |span| span.start), format!("this is not TOML: {message}"));
                None
            }
        };
        match plan {
            Some(plan) if faults.is_empty() => Ok(plan),
            Some(_) | None => Err(faults.located(text)),
        }
    }

    /// The number of runs.
    pub(crate) fn cells(&self) -> usize {
        self.settings.len() * self.seeds.len()
    }
}

fn plan(root: &DeTable<'_>, faults: &mut Faults) -> Option<Plan> {
    known(root, &["seeds", "out", "requirement", "scenario", "axes"], "", faults);
    let seeds = root.get("seeds").map_or_else(|| Some(vec![DEFAULT_SEED]), |value| seeds(value, faults));
    let out = root.get("out").and_then(|value| text(value, "out", faults)).map(PathBuf::from);
    let requirement = root.get("requirement").and_then(|value| requirement(value, faults));
    let (base, given) = base(root.get("scenario"), faults);
    let axes = axes(root.get("axes"), faults)?;
    let mut settings = settings(&base, &given, &axes, faults)?;
    let seeds = seeds?;
    if let Some(first) = seeds.first() {
        settings.iter_mut().for_each(|setting| setting.scenario.seed = *first);
    }
    if settings.len().saturating_mul(seeds.len()) > CELLS_MAX {
        let at = root.get_key_value("axes").map_or(0, |(key, _)| key.span().start);
        let count = settings.len().saturating_mul(seeds.len());
        faults.add(at, format!("axes and seeds make {count} runs; at most {CELLS_MAX}"));
    }
    Some(Plan { axes, settings, seeds, requirement, out })
}

/// The scenario that all settings begin with, and the parameters that it names.
fn base(value: Option<&Spanned<DeValue<'_>>>, faults: &mut Faults) -> (Scenario, Vec<String>) {
    let group = Group { heartbeats: 1_000_000, ..Group::default() };
    let (mut scenario, mut given) = (Scenario::from(group), Vec::new());
    let Some(table) = value.and_then(|value| table(value, "scenario", faults)) else { return (scenario, given) };
    // The file first, so that what stands beside it holds.
    if let Some(from) = table.get("from") {
        let at = from.span().start;
        match text(from, "from", faults).map(|name| crate::cli::read(&name)) {
            Some(Ok(read)) => {
                scenario = read;
                given.extend(["heartbeats", "crashes"].map(String::from));
            }
            Some(Err(why)) => why.into_iter().for_each(|why| faults.add(at, why)),
            None => {}
        }
    }
    let mut keys = in_order(table);
    // A network before the loss and the delay that replace it.
    keys.sort_by_key(|(key, _)| *key != "network");
    for (key, value) in keys.into_iter().filter(|(key, _)| *key != "from") {
        let Some(text) = text_or_list(value, key, faults) else { continue };
        set(&mut scenario, key, &text, value.span().start, faults);
        given.push(key.into());
    }
    (scenario, given)
}

fn axes(value: Option<&Spanned<DeValue<'_>>>, faults: &mut Faults) -> Option<Vec<Axis>> {
    let Some(value) = value else {
        faults.add(0, "axes is missing; write [axes] and beneath it, for example, interval = [\"1s\", \"2s\"]");
        return None;
    };
    let mut axes = Vec::new();
    for (key, value) in in_order(table(value, "axes", faults)?) {
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => vec![value],
        };
        if items.is_empty() {
            faults.add(value.span().start, format!("{key} has no values; write at least one, or leave it out"));
        }
        let mut values = Vec::new();
        for item in items {
            let Some(text) = text(item, key, faults) else { continue };
            // Only a detector's: in a delay a bar parts regimes.
            let texts = if bare(key) == "detector" { alternatives(&text) } else { vec![text] };
            values.extend(texts.into_iter().map(|text| (text, item.span().start)));
        }
        let mut seen = BTreeSet::new();
        for (text, at) in &values {
            if !seen.insert(text) {
                faults.add(*at, format!("{key} has {text:?} twice; leave one of them out"));
            }
        }
        axes.push(Axis { dial: key.into(), values });
    }
    // The timeout belongs to a detector, which must be there first.
    axes.sort_by_key(|axis| axis.dial == "timeout");
    Some(axes)
}

/// `fixed:timeout=2x|3x` is `fixed:timeout=2x` and `fixed:timeout=3x`.
fn alternatives(text: &str) -> Vec<String> {
    let Some((before, after)) = text.split_once('|') else { return vec![text.into()] };
    let start = before.rfind(['=', ',', ':']).map_or(0, |at| at + 1);
    let (head, first) = before.split_at(start);
    let end = after.find(',').unwrap_or(after.len());
    let (others, tail) = after.split_at(end);
    let values = std::iter::once(first).chain(others.split('|'));
    // What follows may have alternatives of its own.
    values.flat_map(|value| alternatives(tail).into_iter().map(move |tail| format!("{head}{value}{tail}"))).collect()
}

/// Every combination. Nothing is left out silently: what can't be run is a fault.
fn settings(base: &Scenario, given: &[String], axes: &[Axis], faults: &mut Faults) -> Option<Vec<Setting>> {
    // Each value alone first, so that one that can't be read is one fault and not one a combination.
    let mut readable = true;
    for axis in axes {
        for (text, at) in &axis.values {
            let mut scenario = base.clone();
            let fixed = axes.iter().find(|axis| axis.dial == "detector").and_then(|axis| axis.values.first());
            if let (Some((detector, _)), "timeout") = (fixed, axis.dial.as_str()) {
                let _ = turn(&mut scenario, "detector", detector);
            }
            readable &= set(&mut scenario, &axis.dial, text, *at, faults);
        }
    }
    let count = axes.iter().fold(1_usize, |count, axis| count.saturating_mul(axis.values.len()));
    if !readable || count > CELLS_MAX || !faults.is_empty() {
        return None;
    }
    let mut settings = Vec::with_capacity(count);
    let mut refused: Vec<(usize, String, String, usize)> = Vec::new();
    for number in 0..count {
        let chosen = combination(axes, number);
        let mut scenario = base.clone();
        for (axis, (text, at)) in axes.iter().zip(&chosen) {
            set(&mut scenario, &axis.dial, text, *at, faults);
        }
        if !given.iter().chain(axes.iter().map(|axis| &axis.dial)).any(|dial| bare(dial) == "crashes") {
            // As `run` does.
            scenario.groups.iter_mut().for_each(|group| group.crashes = group.heartbeats / 1_000);
        }
        let values: Vec<String> = chosen.iter().map(|(text, _)| text.clone()).collect();
        for fault in scenario.check() {
            // The value that is at fault, or the last that could have been chosen otherwise.
            let blamed = axes.iter().zip(&chosen).rfind(|(axis, _)| blames(&axis.dial, fault.key));
            let at = blamed.or(axes.iter().zip(&chosen).next_back()).map_or(0, |(_, (_, at))| *at);
            match refused.iter_mut().find(|(_, _, message, _)| *message == fault.message) {
                Some((.., more)) => *more += 1,
                None => refused.push((at, named(axes, &values), fault.message, 0)),
            }
        }
        let detector = detector(axes, &values, &scenario);
        let name = name(axes, &values, &detector, &scenario);
        settings.push(Setting { values, detector, name, scenario });
    }
    for (at, cell, message, more) in refused {
        let others = if more > 0 { format!(", and {more} more") } else { String::new() };
        faults.add(at, format!("{message} (setting {cell}{others})"));
    }
    Some(settings)
}

fn blames(dial: &str, key: &str) -> bool {
    bare(dial) == key || (bare(dial) == "timeout" && key == "detector")
}

/// The detector as the plan writes it, which is shorter than it is in full.
fn detector(axes: &[Axis], values: &[String], scenario: &Scenario) -> String {
    let timeout = axes.iter().any(|axis| bare(&axis.dial) == "timeout");
    let written = axes.iter().zip(values).find(|(axis, _)| axis.dial == "detector").map(|(_, value)| value.clone());
    written.filter(|_| !timeout).unwrap_or_else(|| scenario.groups[0].detector.to_string())
}

/// What was chosen. Of one group its interval, detector and confirm time are always told.
fn name(axes: &[Axis], values: &[String], detector: &str, scenario: &Scenario) -> String {
    let group = &scenario.groups[0];
    let alone = scenario.groups.len() == 1;
    let told = |dial: &str| alone && matches!(dial, "interval" | "detector" | "timeout" | "confirm");
    let chosen = axes.iter().zip(values).filter(|(axis, _)| is_design(&axis.dial) && !told(&axis.dial));
    let mut parts: Vec<String> = chosen.map(|(axis, value)| format!("{} {value}", axis.dial)).collect();
    if alone {
        parts.insert(0, format!("interval {}, {detector}, confirm {}", group.interval.compact(), group.confirm));
    }
    parts.join(", ")
}

/// The values of the combination with this number, the last axis counting fastest.
fn combination(axes: &[Axis], mut number: usize) -> Vec<(String, usize)> {
    let mut chosen: Vec<(String, usize)> = axes
        .iter()
        .rev()
        .map(|axis| {
            let value = axis.values[number % axis.values.len()].clone();
            number /= axis.values.len();
            value
        })
        .collect();
    chosen.reverse();
    chosen
}

/// `interval=1s detector=chen`
fn named(axes: &[Axis], values: &[String]) -> String {
    let pairs = axes.iter().zip(values).map(|(axis, value)| format!("{}={value}", axis.dial));
    pairs.collect::<Vec<_>>().join(" ")
}

fn set(scenario: &mut Scenario, dial: &str, text: &str, at: usize, faults: &mut Faults) -> bool {
    let turned = turn(scenario, dial, text);
    if let Err(why) = &turned {
        faults.add(at, format!("{dial} {why}"));
    }
    turned.is_ok()
}

/// A number of seeds, counted from the usual one, or a list of them.
fn seeds(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Vec<u64>> {
    let at = value.span().start;
    match value.get_ref() {
        DeValue::Integer(_) => match text(value, "seeds", faults)?.parse::<u64>() {
            Ok(count @ 1..=SEEDS_MAX) => Some((DEFAULT_SEED..DEFAULT_SEED + count).collect()),
            Ok(_) | Err(_) => {
                faults.add(at, format!("seeds is out of range; between 1 and {SEEDS_MAX}, or a list: seeds = [7, 8]"));
                None
            }
        },
        DeValue::Array(items) => {
            let mut seeds: Vec<u64> = Vec::new();
            for item in items {
                match text(item, "seeds", faults).map(|text| (text.parse(), text)) {
                    Some((Ok(seed), _)) if !seeds.contains(&seed) => seeds.push(seed),
                    Some((Ok(seed), _)) => {
                        faults.add(item.span().start, format!("seeds has {seed} twice; leave one out"));
                    }
                    Some((Err(_), text)) => {
                        faults.add(item.span().start, format!("seeds: {text:?} is not a whole number from 0 on"));
                    }
                    None => {}
                }
            }
            if items.is_empty() {
                faults.add(at, "seeds is empty; write at least one, or how many: seeds = 3");
            }
            Some(seeds)
        }
        DeValue::String(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
            faults.add(at, "seeds must be a number of seeds or a list of them: seeds = 3 or seeds = [7, 8]");
            None
        }
    }
}

const SEEDS_MAX: u64 = 10_000;

fn requirement(value: &Spanned<DeValue<'_>>, faults: &mut Faults) -> Option<Requirement> {
    let inner = table(value, "requirement", faults)?;
    known(inner, &["detect_within", "of_crashes", "false_failures", "fleet"], "requirement: ", faults);
    let within = needed(inner, "detect_within", "\"15s\"", value.span().start, faults);
    let rate: Option<Frequency> = needed(inner, "false_failures", "\"1/week\"", value.span().start, faults);
    let quantile: Option<Quantile> = optional(inner, "of_crashes", faults);
    let fleet: Option<u32> = optional(inner, "fleet", faults);
    if let (Some(0), Some(at)) = (fleet, inner.get("fleet")) {
        faults.add(at.span().start, "requirement: fleet 0 is out of range; at least 1");
    }
    Some(Requirement { detect_within: within?, of_crashes: quantile.unwrap_or_default(), false_failures: rate?, fleet })
}

fn needed<T>(inner: &DeTable<'_>, key: &str, example: &str, at: usize, faults: &mut Faults) -> Option<T>
where
    T: FromStr<Err: std::fmt::Display>,
{
    if inner.get(key).is_none() {
        faults.add(at, format!("requirement: {key} is missing; write {key} = {example}"));
    }
    optional(inner, key, faults)
}

fn optional<T: FromStr<Err: std::fmt::Display>>(inner: &DeTable<'_>, key: &str, faults: &mut Faults) -> Option<T> {
    let value = inner.get(key)?;
    let text = text(value, key, faults)?;
    let read = text.parse();
    if let Err(error) = &read {
        faults.add(value.span().start, format!("requirement: {key} {text:?}: {error}"));
    }
    read.ok()
}

fn known(table: &DeTable<'_>, keys: &[&str], of: &str, faults: &mut Faults) {
    for (key, _) in table {
        if !keys.contains(&&**key.get_ref()) {
            let (key, at) = (key.get_ref(), key.span().start);
            faults.add(at, format!("{of}unknown key {key:?}; one of {}", keys.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        Plan::read(text).expect_err("it has faults").iter().map(Fault::to_string).collect()
    }

    const PLAN: &str = r#"
seeds = 2
out = "here"
requirement = { detect_within = "15s", false_failures = "1/week", fleet = 1000000 }
[scenario]
nodes = 10
heartbeats = 20_000
loss = 0.01
[axes]
interval = ["1s", "2s"]
detector = ["fixed:timeout=2x|3x", "chen"]
"#;

    #[test]
    fn every_combination_is_a_setting() {
        let plan = Plan::read(PLAN).expect("a plan");
        let values: Vec<String> = plan.settings.iter().map(|setting| setting.values.join(" ")).collect();
        let expected = ["1s fixed:timeout=2x", "1s fixed:timeout=3x", "1s chen", "2s fixed:timeout=2x"];
        assert_eq!((values.len(), plan.cells()), (6, 12));
        assert_eq!(values[..4], expected);
        assert_eq!(plan.seeds, [DEFAULT_SEED, DEFAULT_SEED + 1]);
        let scenario = plan.settings[3].group();
        assert_eq!((scenario.interval.secs_f64(), scenario.nodes, scenario.crashes), (2.0, 10, 20));
        assert_eq!(plan.requirement.and_then(|requirement| requirement.fleet), Some(1_000_000));
    }

    #[test]
    fn bars_are_alternatives_of_one_parameter() {
        assert_eq!(alternatives("chen"), ["chen"]);
        assert_eq!(
            alternatives("phi:threshold=3|5,tail=normal"),
            ["phi:threshold=3,tail=normal", "phi:threshold=5,tail=normal"]
        );
        assert_eq!(alternatives("a:k=1|2,m=3|4"), ["a:k=1,m=3", "a:k=1,m=4", "a:k=2,m=3", "a:k=2,m=4"]);
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        let text = r#"
seed = 3
seeds = 0
requirement = { detect_within = "soon" }
[scenario]
nodes = "many"
[axes]
interval = ["1s", "fast", "1s"]
colour = ["red"]
loss = []
"#;
        let said = faults(text);
        let at: Vec<&str> = said.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(at, ["2", "3", "4", "4", "6", "8", "8", "9", "10"], "{said:#?}");
        assert!(said[0].contains("unknown key \"seed\"") && said[7].contains("colour is not a parameter"), "{said:#?}");
    }

    #[test]
    fn a_setting_that_can_not_be_run_is_named_before_anything_runs() {
        let said = faults("[axes]\ninterval = [\"1s\", \"5s\"]\ndetector = [\"chen\", \"fixed:timeout=2s\"]\n");
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(
            said[0].starts_with("3:21: ") && said[0].contains("(setting interval=5s detector=fixed:timeout=2s"),
            "{said:#?}"
        );
        let said = faults("[axes]\njitter = [0.5, 2.0]\nnodes = [1, 2]\n");
        assert!(said.len() == 1 && said[0].starts_with("2:16: ") && said[0].contains(", and 1 more)"), "{said:#?}");
    }

    #[test]
    fn a_plan_may_begin_with_a_scenario_that_stands_elsewhere() {
        let text = "[scenario]\nnodes = 3\nfrom = \"wan\"\n[axes]\ninterval = [\"1s\", \"2s\"]\n";
        let (plan, wan) =
            (Plan::read(text).expect("a plan"), crate::cli::read("wan").expect("it comes with the simulator"));
        let (group, there) = (plan.settings[0].group(), &wan.groups[0]);
        assert_eq!((group.nodes, &group.loss, group.heartbeats), (3, &there.loss, there.heartbeats));
        assert!(faults("[scenario]\nfrom = \"moon.toml\"\n[axes]\nnodes = 1\n")[0].contains("moon.toml"));
    }

    #[test]
    fn what_is_no_toml_is_one_fault() {
        assert_eq!(faults("seeds = = 3").len(), 1);
        assert!(faults("")[0].contains("axes is missing"));
    }
}
