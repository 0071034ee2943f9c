//! Which setting to take: the cheapest that is known to be good enough, for each set of conditions.
//!
//! Cheap is few heartbeats, so the longest interval wins; among equals the one with the fewest
//! false failures. A setting is *met* if its whole interval lies within what was asked for, *open*
//! if only the estimate does, and else *unmet*. An open one is the choice only where none is met,
//! and then it is said how much longer it would have to be watched.

use std::cmp::Ordering;

use super::plan::{Plan, Setting};
use super::pool::Pooled;
use super::requirement::{Quantile, Requirement};
use crate::estimate::Estimate;
use crate::picture::{Level, Limits, Standing, short};
use crate::scenario::dial::is_design;

/// One setting and what all of its runs say.
#[derive(Clone, Debug)]
pub(crate) struct Result<'p> {
    pub(crate) setting: &'p Setting,
    pub(crate) pooled: Pooled,
    /// False failures per day in the fleet that was asked for.
    pub(crate) per_day: Estimate,
    /// Seconds from a crash to *failed*, for as many crashes as were asked for.
    pub(crate) time_s: Option<f64>,
    /// Against what was asked for, if anything was.
    pub(crate) standing: Option<Standing>,
    /// Within how many seconds it was asked for; infinite if it wasn't.
    within: f64,
}

/// What was found under one set of conditions.
#[derive(Clone, Debug)]
pub(crate) struct Finding<'p> {
    /// The values of the axes that nobody chooses, by name.
    pub(crate) conditions: Vec<(String, String)>,
    /// All settings under them that have run.
    pub(crate) results: Vec<Result<'p>>,
    /// The place of the choice among them.
    pub(crate) choice: Option<usize>,
}

/// Groups the results by conditions and chooses among each.
pub(crate) fn findings<'p>(plan: &'p Plan, pooled: Vec<Option<Pooled>>) -> Vec<Finding<'p>> {
    let mut findings: Vec<Finding<'p>> = Vec::new();
    for (setting, pooled) in plan.settings.iter().zip(pooled) {
        let Some(pooled) = pooled else { continue };
        let conditions = conditions(plan, setting);
        let result = judge(plan.requirement.as_ref(), setting, pooled);
        match findings.iter_mut().find(|finding| finding.conditions == conditions) {
            Some(finding) => finding.results.push(result),
            None => findings.push(Finding { conditions, results: vec![result], choice: None }),
        }
    }
    for finding in &mut findings {
        finding.choice = finding.best(|_| true);
    }
    findings
}

fn conditions(plan: &Plan, setting: &Setting) -> Vec<(String, String)> {
    let pairs = plan.axes.iter().zip(&setting.values);
    let given = pairs.filter(|(axis, _)| !is_design(&axis.dial));
    given.map(|(axis, value)| (axis.dial.clone(), value.clone())).collect()
}

fn judge<'p>(requirement: Option<&Requirement>, setting: &'p Setting, pooled: Pooled) -> Result<'p> {
    let nodes = setting.scenario.nodes();
    let fleet = requirement.and_then(|requirement| requirement.fleet).unwrap_or(nodes);
    let per_day = pooled.per_node_day.times(f64::from(fleet));
    let quantile = requirement.map_or_else(Quantile::default, |requirement| requirement.of_crashes);
    let time_s = pooled.failed.within(quantile.share());
    let standing = requirement.map(|requirement| {
        let quick = time_s.is_some_and(|secs| secs <= requirement.limits().within_s);
        let within = |end: Option<f64>| end.is_some_and(|end| end <= requirement.false_failures.per_day());
        match (quick, within(per_day.ci_high), within(per_day.value)) {
            (true, true, _) => Standing::Met,
            (true, false, true) => Standing::Open,
            (true, false, false) | (false, _, _) => Standing::Unmet,
        }
    });
    let within = requirement.map_or(f64::INFINITY, |requirement| requirement.detect_within.secs_f64());
    Result { setting, pooled, per_day, time_s, standing, within }
}

impl Finding<'_> {
    /// What the choice is to be called.
    pub(crate) fn ring(&self) -> &'static str {
        match self.choice.and_then(|place| self.results[place].standing) {
            Some(Standing::Met) | None => "choice",
            Some(Standing::Open) => "best guess",
            Some(Standing::Unmet) => "nearest",
        }
    }

    /// The conditions as a heading says them; nothing if there is but one set.
    pub(crate) fn heading(&self) -> Option<String> {
        let pairs: Vec<String> = self.conditions.iter().map(|(name, value)| format!("{name} {value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join(", "))
    }

    /// The best of those that are let through; where nothing was asked for there is none.
    pub(crate) fn best(&self, through: impl Fn(&Result<'_>) -> bool) -> Option<usize> {
        let known = self.results.iter().enumerate().filter(|(_, result)| result.standing.is_some() && through(result));
        known.min_by(|(_, one), (_, other)| one.rank(other)).map(|(place, _)| place)
    }
}

impl Result<'_> {
    /// Less is better.
    fn rank(&self, other: &Self) -> Ordering {
        let standing = |result: &Self| match result.standing {
            Some(Standing::Met) => 0,
            Some(Standing::Open) => 1,
            Some(Standing::Unmet) | None => 2,
        };
        let failures = |result: &Self| Level::of(result.per_day).map_or(f64::INFINITY, |level| level.at);
        let time = |result: &Self| result.time_s.unwrap_or(f64::INFINITY);
        let cost = |result: &Self| result.setting.load();
        let limit = self.within.max(other.within);
        let slow = |result: &Self| time(result) > limit;
        let by_standing = standing(self).cmp(&standing(other));
        let by_cost = cost(self).total_cmp(&cost(other));
        let by_failures = failures(self).total_cmp(&failures(other));
        let by_time = time(self).total_cmp(&time(other));
        match standing(self) {
            // Nothing is good enough: the nearest of the quick ones is what counts, not the cheapest.
            2 => by_standing.then(slow(self).cmp(&slow(other))).then(by_failures).then(by_time).then(by_cost),
            _ => by_standing.then(by_cost).then(by_failures).then(by_time),
        }
    }

    /// The detector's name without its parameters.
    pub(crate) fn detector(&self) -> &str {
        let detector = &self.setting.detector;
        detector.split_once(':').map_or(detector, |(name, _)| name)
    }

    /// What turns quick into sure: the detector's parameters as the plan has them, and the confirm time.
    pub(crate) fn timeout(&self) -> String {
        let (_, parameters) = self.setting.detector.split_once(':').unwrap_or_default();
        let blank = if parameters.is_empty() { "" } else { ", " };
        format!("{parameters}{blank}confirm {}", self.setting.group().confirm)
    }

    /// Everything that was chosen.
    pub(crate) fn name(&self) -> String {
        self.setting.name.clone()
    }

    /// What follows for whoever asked.
    pub(crate) fn verdict(&self, requirement: &Requirement, of: usize) -> Vec<String> {
        let Limits { within_s, per_day } = requirement.limits();
        let time = match self.time_s {
            Some(secs) => format!("{} are failed within {} s", requirement.of_crashes.words(), short(secs)),
            None => format!("not even {} are failed before the node comes back", requirement.of_crashes.words()),
        };
        let failures = Level::of(self.per_day).map_or("an unknown number of".into(), |level| level.text());
        let asked = format!(
            "Asked for: failed within {} s, at most {} false failures in the fleet, which is {} a day.",
            short(within_s),
            requirement.false_failures,
            short(per_day)
        );
        let measured = format!("With it, {time}; false failures in the whole fleet, a day: {failures}.");
        let name = self.name();
        match self.standing {
            Some(Standing::Met) => vec![
                format!("Take {name}."),
                format!(
                    "{measured} Of the {of} settings tried it is the cheapest whose whole interval is within what was asked for."
                ),
                asked,
            ],
            Some(Standing::Open) => vec![
                format!("Perhaps {name}: not established yet."),
                format!(
                    "{measured} No setting is known to be good enough; this is the cheapest that may be. {}",
                    self.missing(per_day)
                ),
                asked,
            ],
            Some(Standing::Unmet) | None => {
                vec![format!("None of the {of} settings tried is good enough. The nearest is {name}."), measured, asked]
            }
        }
    }

    /// How much longer it would have to be watched.
    fn missing(&self, per_day: f64) -> String {
        let times = self.per_day.ci_high.map_or(f64::INFINITY, |high| libm::ceil(high / per_day));
        if self.pooled.false_failures > 0 {
            return "More heartbeats or more seeds narrow the interval.".into();
        }
        format!(
            "Nothing at all was seen in {} heartbeats: to be sure takes {} times as many, if still nothing is seen.",
            short(self.pooled.heartbeats as f64),
            short(times)
        )
    }
}

impl Requirement {
    /// As pictures shade it.
    pub(crate) fn limits(&self) -> Limits {
        Limits { within_s: self.detect_within.secs_f64(), per_day: self.false_failures.per_day() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Mixture;
    use super::*;
    use crate::qos::SHARES;

    const PLAN: &str = r#"
requirement = { detect_within = "8s", false_failures = "100/day" }
[scenario]
nodes = 10
heartbeats = 1000
[axes]
loss = [0.01, 0.5]
interval = ["1s", "2s"]
detector = ["chen", "fixed:timeout=3x"]
"#;

    /// As if each setting had been run: how many false failures a day and node, and how late.
    fn pooled(per_node_day: f64, high: f64, secs: f64) -> Pooled {
        let estimate =
            Estimate { value: Some(per_node_day), ci_low: Some(0.0), ci_high: Some(high), standard_error: None };
        let failed = Mixture::of(std::iter::once((vec![secs; SHARES.len()], 1, 1)));
        Pooled {
            runs: 1,
            heartbeats: 1_000,
            mistakes: 0,
            false_failures: 0,
            crashes: 1,
            missed: 0,
            per_node_day: estimate,
            suspected: failed.clone(),
            failed,
        }
    }

    fn choices(pooled: [Pooled; 4]) -> (Option<String>, Option<Standing>) {
        let plan = Plan::read(PLAN).expect("a plan");
        let runs = pooled.into_iter().map(Some).chain([const { None }; 4]).collect();
        let findings = findings(&plan, runs);
        let [finding] = findings.as_slice() else { panic!("one set of conditions has run: {findings:?}") };
        assert_eq!(finding.heading().as_deref(), Some("loss 0.01"));
        let choice = finding.choice.map(|place| &finding.results[place]);
        (choice.map(|result| result.setting.values[1..].join(" ")), choice.and_then(|result| result.standing))
    }

    #[test]
    fn the_cheapest_that_is_known_to_be_good_enough_is_the_choice() {
        let (good, slow) = (pooled(1.0, 2.0, 5.0), pooled(1.0, 2.0, 9.0));
        let chosen = choices([good.clone(), good.clone(), pooled(3.0, 4.0, 5.0), good.clone()]);
        assert_eq!(chosen, (Some("2s fixed:timeout=3x".into()), Some(Standing::Met)));
        let chosen = choices([good.clone(), pooled(0.5, 1.0, 5.0), slow.clone(), slow]);
        assert_eq!(chosen, (Some("1s fixed:timeout=3x".into()), Some(Standing::Met)));
    }

    #[test]
    fn what_is_not_established_is_chosen_only_where_nothing_is() {
        let (known, open, bad) = (pooled(1.0, 2.0, 5.0), pooled(0.0, 20.0, 5.0), pooled(50.0, 60.0, 5.0));
        let chosen = choices([known, bad.clone(), open.clone(), open.clone()]);
        assert_eq!(chosen, (Some("1s chen".into()), Some(Standing::Met)));
        let chosen = choices([bad.clone(), open, bad.clone(), bad.clone()]);
        assert_eq!(chosen, (Some("1s fixed:timeout=3x".into()), Some(Standing::Open)));
        let chosen = choices([bad.clone(), bad.clone(), pooled(30.0, 40.0, 5.0), bad]);
        assert_eq!(chosen, (Some("2s chen".into()), Some(Standing::Unmet)));
    }
}
