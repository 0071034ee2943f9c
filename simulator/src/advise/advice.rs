//! From a requirement to settings, with what they rest on.
//!
//! Chen's configurator says first what would do if losses were independent. Then intervals are tried on the
//! real detector, the best is verified with a seed of its own and more work, its neighbours and rivals are
//! measured, and a short run of the whole simulator, with real bytes and crashes, shows how soon
//! a crash is found. If nothing does, the two nearest requirements that can be met are looked for.

use serde::Serialize;
use systole_core::Span;
use systole_core::detector::Detector;

use super::network::Network;
use super::search::{Demand, Judge, Tried, Verdict, longest, round_spans};
use super::settings::Settings;
use crate::frequency::Frequency;
use crate::loss::Loss;
use crate::qos::Qos;
use crate::rare::{Effort, Rarity};
use crate::run::run;
use crate::scenario::{DetectorChoice, Group, Scenario};
use crate::theory::{self, DelayLaw, Known, Requirement};

/// What to do, and why.
#[derive(Clone, Debug)]
pub struct Advice {
    /// What Chen's configurator says.
    pub chen: Vec<Bracket>,
    /// The longest interval that meets the demand, verified.
    pub choice: Tried,
    /// How often these settings suspect a node that is up.
    pub suspicions: Rarity,
    /// The intervals that were tried before it, longest first.
    pub tried: Vec<Tried>,
    /// What else could be done.
    pub neighbours: Vec<Neighbour>,
    /// The longest interval that would do if losses were of the kinds that explain less, if any does.
    pub rivals: Vec<(Loss, Option<Span>)>,
    /// What a run of the whole simulator says about detection times.
    pub found: Qos,
    /// That run.
    pub scenario: Scenario,
    /// How much work the verification was.
    pub effort: Effort,
}

/// Why nothing does, and what would.
#[derive(Clone, Debug)]
pub struct Unachievable {
    /// Why.
    pub why: String,
    /// The intervals that were tried, longest first.
    pub tried: Vec<Tried>,
    /// With the same false failures: the shortest detection time, and the settings.
    pub later: Option<(Span, Tried)>,
    /// With the same detection time: the fewest false failures, and the settings.
    pub oftener: Option<(Frequency, Tried)>,
}

/// What Chen's configurator says, if it knows so much.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bracket {
    /// What is known of the delay.
    pub known: &'static str,
    /// The longest interval, or why there is none.
    #[serde(skip)]
    pub interval: Result<Span, theory::Unachievable>,
    /// The interval in seconds.
    pub interval_s: Option<f64>,
}

/// Settings that weren't chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    /// What is different.
    pub what: String,
    /// The settings and how they do.
    #[serde(flatten)]
    pub tried: Tried,
}

/// How thorough to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// Keys every random number; the verification has the next one, suspicions the one after.
    pub seed: u64,
    /// How much work to do.
    pub pains: Pains,
}

/// How much work an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pains {
    /// A rough answer.
    Quick,
    /// Within a few per cent.
    Usual,
    /// Verified ten times as long.
    Thorough,
}

impl Care {
    fn efforts(self) -> &'static [Effort] {
        match self.pains {
            Pains::Quick => &LADDER[..2],
            Pains::Usual | Pains::Thorough => &LADDER,
        }
    }

    fn verification(self) -> Effort {
        match self.pains {
            Pains::Quick => Effort::USUAL,
            Pains::Usual => Effort::USUAL.times(4),
            Pains::Thorough => Effort::USUAL.times(40),
        }
    }
}

/// The settings to choose, or why there are none.
///
/// # Errors
/// [`Unachievable`], with the nearest that can be met.
pub fn advise(
    demand: &Demand,
    network: &Network,
    care: Care,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<Box<Advice>, Box<Unachievable>> {
    let allowed = demand.allowed();
    let search = Judge { network, allowed, seed: care.seed, efforts: care.efforts(), progress };
    let effort = [care.verification()];
    let verify = Judge { seed: care.seed + 1, efforts: &effort, ..search };
    let refuse = |why: String, tried: Vec<Tried>| {
        let (later, oftener) = (later(demand, &search, &verify), oftener(demand, &verify));
        Err(Box::new(Unachievable { why, tried, later, oftener }))
    };
    let Some(budget) = demand.budget(network) else {
        let (within, reach) = (demand.detect_within.compact(), network.reach().compact());
        let why = format!(
            "a heartbeat may be on its way for {reach} (99.9 % are faster), so nothing can be detected within {within}"
        );
        return refuse(why, Vec::new());
    };
    let (mut best, mut tried) = longest(demand, &search, budget);
    // The verification may take back what the search said; then the next shorter one is tried.
    let choice = loop {
        let Some(candidate) = best else {
            return refuse(reason(demand, &tried), tried);
        };
        let verified = verify.failures(candidate.settings);
        if verified.verdict == Verdict::Meets {
            break verified;
        }
        let below = candidate.settings.interval;
        tried.push(verified);
        best = None;
        for interval in demand.intervals().into_iter().filter(|interval| *interval < below) {
            let Some(settings) = Settings::fit(&demand.kind, interval, budget) else { continue };
            let found = search.failures(settings);
            if found.promises(allowed) {
                best = Some(found);
                break;
            }
            tried.push(found);
        }
    };
    let suspicions = Judge { seed: care.seed + 2, ..search }.suspicions(choice.settings);
    let neighbours = neighbours(demand, &search, &choice, &tried, budget);
    let scenario = crashes(demand, network, &choice.settings, care);
    progress("detection times", 0.0);
    let found = run(&scenario, |at| progress("detection times", at.sent as f64 / at.of as f64)).qos;
    let chen = brackets(demand, network);
    let rivals = network.rivals.iter().map(|loss| (loss.clone(), otherwise(demand, &search, loss, budget))).collect();
    Ok(Box::new(Advice { chen, choice, suspicions, tried, neighbours, rivals, found, scenario, effort: effort[0] }))
}

fn reason(demand: &Demand, tried: &[Tried]) -> String {
    let nodes = demand.nodes;
    let Some(last) = tried.last() else {
        return match demand.max_rate {
            Some(rate) => format!(
                "{nodes} nodes may send {rate} together, one heartbeat in {} each, and that leaves no time for a missed one",
                demand.interval_min().compact()
            ),
            None => "the detection time leaves no time for a missed heartbeat".into(),
        };
    };
    let limit = match demand.max_rate {
        Some(rate) if demand.interval_min() > Span::from_nanos(demand.detect_within.nanos() / 1_000 + 1) => {
            format!(", the shortest interval at {rate}")
        }
        Some(_) | None => String::new(),
    };
    let (interval, often) = (last.settings.interval.compact(), Frequency::about(last.failures.ci_high * nodes as f64));
    match last.failures.doubt.filter(|_| last.verdict == Verdict::Unsure) {
        None => format!("even at one heartbeat in {interval}{limit}, there would be up to {often} false failures"),
        Some(doubt) => format!(
            "down to one heartbeat in {interval}{limit}, none can be shown to be rare enough: {doubt}, up to {often}"
        ),
    }
}

/// One step dearer, one step cheaper, and the other detectors at the same interval.
fn neighbours(demand: &Demand, judge: &Judge<'_>, choice: &Tried, tried: &[Tried], budget: Span) -> Vec<Neighbour> {
    let interval = choice.settings.interval;
    let mut neighbours = Vec::new();
    let cheaper =
        tried.iter().filter(|tried| tried.settings.interval > interval).min_by_key(|tried| tried.settings.interval);
    if let Some(tried) = cheaper {
        neighbours.push(Neighbour { what: "one step cheaper".into(), tried: tried.clone() });
    }
    let dearer = demand.intervals().into_iter().find(|dearer| *dearer < interval);
    if let Some(settings) = dearer.and_then(|dearer| Settings::fit(&demand.kind, dearer, budget)) {
        neighbours.push(Neighbour { what: "one step dearer".into(), tried: judge.failures(settings) });
    }
    for name in ["fixed", "chen", "two-window", "phi", "bertier"] {
        if name == demand.kind.name() {
            continue;
        }
        let kind: Detector = name.parse().expect("a detector");
        let Some(settings) = Settings::fit(&kind, interval, budget) else { continue };
        neighbours.push(Neighbour { what: name.into(), tried: judge.failures(settings) });
    }
    neighbours
}

/// The longest interval that would do with another loss, in order of magnitude.
fn otherwise(demand: &Demand, judge: &Judge<'_>, loss: &Loss, budget: Span) -> Option<Span> {
    let network = Network { loss: loss.clone(), ..judge.network.clone() };
    let judge = Judge { network: &network, efforts: &LADDER[..2], ..*judge };
    longest(demand, &judge, budget).0.map(|tried| tried.settings.interval)
}

/// The shortest round detection time at which as few false failures can be had.
fn later(demand: &Demand, search: &Judge<'_>, verify: &Judge<'_>) -> Option<(Span, Tried)> {
    let times = round_spans().filter(|span| *span > demand.detect_within);
    for detect_within in times.take(LATER) {
        let demand = Demand { detect_within, ..demand.clone() };
        let Some(tried) = fastest(&demand, search).filter(|tried| tried.promises(search.allowed)) else { continue };
        let verified = verify.failures(tried.settings);
        if verified.verdict == Verdict::Meets {
            return Some((detect_within, verified));
        }
    }
    None
}

/// The fewest false failures that can be had within the detection time.
fn oftener(demand: &Demand, verify: &Judge<'_>) -> Option<(Frequency, Tried)> {
    let tried = fastest(demand, verify)?;
    // A tenth more, so that asking for it doesn't depend on the seed.
    Some((Frequency::about(1.1 * tried.failures.ci_high * demand.nodes as f64), tried))
}

/// The shortest interval, at which false failures are rarest.
fn fastest(demand: &Demand, judge: &Judge<'_>) -> Option<Tried> {
    let budget = demand.budget(judge.network)?;
    // Beyond so many heartbeats within the detection time little is gained, and each is a level.
    let least = Span::from_nanos(demand.detect_within.nanos() / BEATS);
    let interval = demand.intervals().into_iter().rfind(|interval| *interval >= least)?;
    Some(judge.failures(Settings::fit(&demand.kind, interval, budget)?))
}

fn brackets(demand: &Demand, network: &Network) -> Vec<Bracket> {
    let law = DelayLaw::of(&network.delay);
    let loss = network.loss.share();
    let moments = network.delay.mean().zip(network.delay.variance()).filter(|(_, variance)| variance.is_finite());
    let known = [
        law.map(|delay| ("law of the delay", Known::Law { loss, delay }, Span::ZERO)),
        moments.map(|(mean, variance)| {
            // What he promises is relative to the mean delay.
            ("variance of the delay", Known::Unsynchronised { loss, variance }, Span::from_nanos((mean * 1e9) as u64))
        }),
    ];
    let interval_min = demand.interval_min().secs_f64();
    let brackets = known.into_iter().flatten().filter_map(|(name, known, mean)| {
        let detection = (demand.detect_within > mean).then(|| (demand.detect_within - mean).secs_f64())?;
        // How long a mistake lasts isn't asked here.
        let requirement = Requirement { detection, recurrence: 1.0 / demand.allowed(), duration: 1e9, interval_min };
        let interval = requirement.configure(&known).map(|choice| Span::from_nanos((choice.interval * 1e9) as u64));
        let interval_s = interval.as_ref().ok().map(|interval| interval.secs_f64());
        Some(Bracket { known: name, interval, interval_s })
    });
    brackets.collect()
}

/// A fleet that is busy dying.
fn crashes(demand: &Demand, network: &Network, settings: &Settings, care: Care) -> Scenario {
    let crashes = match care.pains {
        Pains::Quick => 1_000,
        Pains::Usual | Pains::Thorough => 10_000,
    };
    let group = Group {
        nodes: demand.nodes.min(200) as u32,
        interval: settings.interval,
        loss: network.loss_at(settings.interval),
        delay: network.delay.clone(),
        detector: DetectorChoice::Core(settings.detector),
        confirm: systole_core::Wait::Span(settings.confirm),
        crashes,
        heartbeats: crashes * 20,
        ..Group::default()
    };
    Scenario::from(group).with_seed(care.seed)
}

/// From the order of magnitude to a few per cent, if it takes that.
const LADDER: [Effort; 3] =
    [Effort::QUICK, Effort { replicates: 16, passing: 100, trials_max: 200_000 }, Effort::USUAL];

/// So many longer detection times are tried: three decades.
const LATER: usize = 33;

/// So many heartbeats within a detection time are as good as more.
const BEATS: u64 = 300;
