//! One run watched closely: how many nodes really were in which state, and were believed to be.
//!
//! Counts are taken at [`INSTANTS`] instants at most, however long the run. Where a scenario has no
//! partition of its own one is imposed, because that is when belief and truth part ways.

use systole_core::{Instant, Liveness, Span};

use super::plan::Setting;
use crate::judge::Verdict;
use crate::network::{cut_off, is_cut};
use crate::picture::{Band, Strip};
use crate::random::Actor;
use crate::run::run_watched;
use crate::scenario::{Direction, Group, Partition, Scenario};
use crate::slice::Slice;
use crate::truth::{Fact, Truth};
use crate::world::Watch;

/// So many instants are as fine as a picture can show.
const INSTANTS: u64 = 400;

/// So many nodes make a smooth picture and take no time.
const NODES_MIN: u32 = 100;
const NODES_MAX: u32 = 1_000;

/// What was counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counts {
    at: Vec<Instant>,
    /// Up, cut off, down, left, not in the run; one for each instant.
    truth: Vec<[u32; 5]>,
    /// Alive, suspect, failed, left, unseen.
    belief: Vec<[u32; 5]>,
}

const TRUTH: [(&str, &str); 5] =
    [("up", "up"), ("cut off", "cut"), ("down", "down"), ("left", "left"), ("not in the run", "unseen")];
const BELIEF: [(&str, &str); 5] =
    [("alive", "up"), ("suspect", "suspect"), ("failed", "failed"), ("left", "left"), ("unseen", "unseen")];

/// A short run with the same settings and a partition, to be watched: the scenario, and in words
/// what it is.
pub(crate) fn scene(setting: &Setting) -> (Scenario, String) {
    let of = &setting.scenario;
    let own = of.groups.iter().any(|group| !group.partitions.is_empty());
    let (found, all) = (found(of), of.nodes());
    let last = if own { window(of).1 } else { whole_seconds(found * 5) };
    let share = f64::from(all.clamp(NODES_MIN, NODES_MAX)) / f64::from(all);
    let smaller = |group: &Group| {
        let nodes = ((f64::from(group.nodes) * share) as u32).max(1);
        // Each node goes on until all of them have come back.
        let beats = (last + found * 2).nanos().div_ceil(group.interval.nanos()) + 2;
        let imposed = Partition {
            from: whole_seconds(found * 2),
            until: last,
            share: 0.3,
            exact: false,
            flap: None,
            direction: Direction::Both,
        };
        Group {
            nodes,
            heartbeats: beats * u64::from(nodes),
            crashes: u64::from(nodes / 10),
            clones: group.clones.min(nodes / 2),
            partitions: if own { group.partitions.clone() } else { vec![imposed] },
            ..group.clone()
        }
    };
    let scenario = Scenario { groups: of.groups.iter().map(smaller).collect(), ..of.clone() };
    let mut cut: Vec<String> =
        scenario.groups.iter().flat_map(|group| &group.partitions).map(Partition::to_string).collect();
    cut.dedup();
    let about = format!(
        "{} nodes with {}; a tenth of them crash once; partition {}, {}.",
        scenario.nodes(),
        setting.name,
        cut.join(" "),
        if own { "of the scenario itself" } else { "imposed for this picture" }
    );
    (scenario, about)
}

/// Runs a scenario and counts, until all partitions are over and forgotten.
pub(crate) fn counts(scenario: &Scenario) -> Counts {
    let ((first, last), found) = (window(scenario), found(scenario));
    // A little before the first of them, and until everybody who was failed has spoken again.
    let from = Instant::ORIGIN + Span::from_nanos(first.nanos().saturating_sub(found.nanos()));
    let until = Instant::ORIGIN + last + found;
    let mut watcher = Watcher::new(scenario, from, until);
    run_watched(scenario, |_| true, &mut watcher);
    watcher.finish()
}

/// How long it takes to fail a node, about.
fn found(scenario: &Scenario) -> Span {
    scenario.groups.iter().map(Group::found_within).max().unwrap_or_default()
}

fn whole_seconds(span: Span) -> Span {
    Span::from_secs(span.nanos().div_ceil(1_000_000_000))
}

/// From when until when there are partitions.
fn window(scenario: &Scenario) -> (Span, Span) {
    let all = || scenario.groups.iter().flat_map(|group| &group.partitions);
    let (from, until) = (all().map(|partition| partition.from).min(), all().map(|partition| partition.until).max());
    (from.unwrap_or_default(), until.unwrap_or_default())
}

/// Follows every node.
struct Watcher<'s> {
    scenario: &'s Scenario,
    actors: Vec<Actor>,
    truth: Vec<Truth>,
    belief: Vec<Liveness>,
    /// For each node, which partitions cut it off.
    cut: Vec<u64>,
    /// The instants still to come, the last one first.
    grid: Vec<Instant>,
    counts: Counts,
}

impl<'s> Watcher<'s> {
    fn new(scenario: &'s Scenario, from: Instant, until: Instant) -> Self {
        let step = (until.since(from).nanos() / (INSTANTS - 1)).max(1);
        let actors: Vec<Actor> = Slice::new(scenario, 0..scenario.nodes()).actors().collect();
        Self {
            scenario,
            truth: vec![Truth::default(); actors.len()],
            belief: vec![Liveness::Unseen; actors.len()],
            cut: actors.iter().map(|actor| cut_off(scenario, *actor)).collect(),
            actors,
            grid: (0..INSTANTS).rev().map(|n| from + Span::from_nanos(step * n)).collect(),
            counts: Counts { at: Vec::new(), truth: Vec::new(), belief: Vec::new() },
        }
    }

    /// Counts at every instant of the grid that lies before `now`.
    fn pass(&mut self, now: Instant) {
        while self.grid.last().is_some_and(|at| *at < now) {
            if let Some(at) = self.grid.pop() {
                self.count(at);
            }
        }
    }

    fn count(&mut self, at: Instant) {
        let (mut truth, mut belief) = ([0; 5], [0; 5]);
        for node in 0..self.truth.len() {
            let place = match self.truth[node] {
                Truth::Up(_) if self.is_cut(node, at) => 1,
                Truth::Up(_) => 0,
                Truth::Crashed(_) => 2,
                Truth::Left => 3,
                Truth::Unborn | Truth::Stopped => 4,
            };
            truth[place] += 1;
            let place = match self.belief[node] {
                Liveness::Alive => 0,
                Liveness::Suspect => 1,
                Liveness::Failed => 2,
                Liveness::Left => 3,
                Liveness::Unseen => 4,
            };
            belief[place] += 1;
        }
        self.counts.at.push(at);
        self.counts.truth.push(truth);
        self.counts.belief.push(belief);
    }

    fn is_cut(&self, node: usize, at: Instant) -> bool {
        is_cut(&self.scenario.groups[self.actors[node].group as usize], self.cut[node], at)
    }

    fn finish(mut self) -> Counts {
        self.pass(Instant::from_nanos(u64::MAX));
        self.counts
    }
}

impl Watch for Watcher<'_> {
    fn fact(&mut self, at: Instant, node: u32, fact: Fact) {
        self.pass(at);
        let truth = &mut self.truth[node as usize];
        *truth = truth.after(fact, at);
    }

    fn verdict(&mut self, verdict: &Verdict) {
        self.pass(verdict.at);
        self.belief[verdict.node as usize] = verdict.to;
    }
}

impl Counts {
    /// As rows of a table; `of` is the first field of each.
    pub(crate) fn rows(&self, of: &str) -> impl Iterator<Item = Vec<String>> {
        self.at.iter().zip(&self.truth).zip(&self.belief).map(move |((at, truth), belief)| {
            let mut fields = vec![of.to_string(), secs(*at).to_string()];
            fields.extend(truth.iter().chain(belief).map(u32::to_string));
            fields
        })
    }

    /// What the columns of that table are.
    pub(crate) fn head() -> Vec<String> {
        let names = |side: &str, states: [(&str, &str); 5]| {
            states.map(|(name, _)| format!("{side}_{}", name.replace(' ', "_")))
        };
        let mut head = vec!["conditions".to_string(), "time_s".into()];
        head.extend(names("truth", TRUTH));
        head.extend(names("belief", BELIEF));
        head
    }

    /// As a picture draws it; states that nobody ever was in are left out.
    pub(crate) fn strip(&self, name: String, title: String, about: String) -> Strip {
        let bands = |states: [(&str, &'static str); 5], counts: &[[u32; 5]]| -> Vec<Band> {
            let band = |(place, (name, role)): (usize, (&str, &'static str))| Band {
                name: name.into(),
                role,
                nodes: counts.iter().map(|counts| counts[place]).collect(),
            };
            let bands = states.into_iter().enumerate().map(band);
            bands.filter(|band| band.nodes.iter().any(|nodes| *nodes > 0)).collect()
        };
        Strip {
            name,
            title,
            about,
            at_s: self.at.iter().map(|at| secs(*at)).collect(),
            truth: bands(TRUTH, &self.truth),
            belief: bands(BELIEF, &self.belief),
        }
    }
}

fn secs(at: Instant) -> f64 {
    at.since(Instant::ORIGIN).secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::*;

    fn counted() -> Counts {
        let plan = Plan::read("[axes]\ndetector = \"fixed:timeout=2s\"\nconfirm = \"1s\"\n").expect("a plan");
        let (scenario, about) = scene(&plan.settings[0]);
        assert!(about.contains("imposed") && scenario.check().is_empty());
        counts(&scenario)
    }

    #[test]
    fn every_node_is_counted_once_at_every_instant() {
        let counts = counted();
        assert_eq!(counts.at.len(), INSTANTS as usize);
        assert!(counts.at.is_sorted());
        for (truth, belief) in counts.truth.iter().zip(&counts.belief) {
            assert_eq!((truth.iter().sum::<u32>(), belief.iter().sum::<u32>()), (100, 100));
        }
    }

    #[test]
    fn who_is_cut_off_is_failed_and_comes_back() {
        let counts = counted();
        // Found within 3 s: cut off from 6 s to 15 s, so failed at 12 s and not at 5 s or 18 s.
        let at = |secs: u64| {
            let place = counts
                .at
                .iter()
                .rposition(|at| *at <= Instant::ORIGIN + Span::from_secs(secs))
                .expect("it lies within");
            (counts.truth[place][1], counts.belief[place][2])
        };
        let ((cut, failed), before, after) = (at(12), at(5), at(17));
        assert!((15..=40).contains(&cut), "{cut}");
        assert!(failed >= cut && before.0 == 0 && after.0 == 0, "{failed} {before:?} {after:?}");
        assert!(before.1 < 10 && after.1 < 10, "{before:?} {after:?}");
    }

    #[test]
    fn the_table_has_a_column_for_each_state() {
        let counts = counted();
        assert!(counts.rows("loss 0.1").all(|row| row.len() == Counts::head().len()));
        assert_eq!(counts.rows("").count(), INSTANTS as usize);
    }
}
