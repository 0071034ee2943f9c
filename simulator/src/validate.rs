//! Is the simulator right? Where theory has a closed form, both have to give the same number.
//!
//! Each case is a scenario as anybody could run it, and the same code runs it. Its estimates are
//! compared with [`theory`](crate::theory), in standard errors: beyond four of them, which chance
//! does to one number in 16,000, simulator or theory is wrong. For Chen's worked configurations the
//! requirement itself is held against the run as well.
//!
//! The product's deadlines are whole milliseconds, so its mistakes begin up to one millisecond
//! late, which theory doesn't know. Fixed timeouts are therefore tried at an interval of 100 s, in
//! virtual time no dearer than one of 1 s: there it is a hundredth of a standard error or less.
//! NFD-S, which isn't the product's, has no ticks. Cases with fewer than some 60 mistakes in
//! the heartbeats that fit into the time are left out.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use systole_core::Span;
use systole_core::detector::Detector;

use crate::estimate::Estimate;
use crate::qos::{Qos, Times};
use crate::run;
use crate::scenario::{DEFAULT_SEED, DetectorChoice, Group};
use crate::theory::{Choice, DAY, DelayLaw, FixedTimeout, Known, LossLaw, NfdS, Requirement};

/// Compare the simulator with closed forms.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct Args {
    /// Write the result as JSON.
    #[arg(long)]
    json: bool,
    /// A tenth of the heartbeats: less sure, done in seconds.
    #[arg(long)]
    quick: bool,
}

/// Runs all cases and prints the comparison; fails if anything is beyond [`SIGMAS`].
///
/// # Errors
/// If the result can't be written as JSON.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cases = cases(args.quick);
    if args.json {
        eprintln!("{}", title(&cases));
    } else {
        println!("{}", title(&cases));
    }
    let points = measure(&cases);
    let failed = points.iter().filter(|point| !point.passes()).count();
    if args.json {
        let version = env!("CARGO_PKG_VERSION");
        println!(
            "{}",
            serde_json::to_string_pretty(&Report { version, quick: args.quick, sigmas: SIGMAS, failed, points })?
        );
    } else {
        println!("{}\n{}", table(&points), verdict(&points, failed));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Further off than this, it isn't chance.
pub const SIGMAS: f64 = 4.0;

/// One number, twice: from theory, or asked for, and from a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The scenario, as the flags of `run`.
    pub scenario: String,
    /// Chen's name of what is compared.
    pub quantity: &'static str,
    /// How the two should relate.
    pub claim: Claim,
    /// What theory says, or the requirement; seconds.
    pub theory: f64,
    /// What the run says, seconds; nothing where it saw too little to say anything.
    pub simulated: Option<f64>,
    /// How far off that may be: one standard error, seconds.
    pub standard_error: Option<f64>,
    /// By how many standard errors the run is above theory.
    pub z: Option<f64>,
}

/// What is said about a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// It is this.
    Equal,
    /// It is at least this.
    AtLeast,
    /// It is at most this.
    AtMost,
}

impl Point {
    fn new(case: &Case, quantity: &'static str, claim: Claim, theory: f64, measured: Measured) -> Self {
        let z = measured.value.zip(measured.error).map(|(value, error)| z(value - theory, error));
        Self {
            scenario: case.flags(),
            quantity,
            claim,
            theory,
            simulated: measured.value,
            standard_error: measured.error,
            z,
        }
    }

    /// Whether what the run says is within chance. What it can't say anything about isn't.
    pub fn passes(&self) -> bool {
        self.z.is_some_and(|z| match self.claim {
            Claim::Equal => z.abs() <= SIGMAS,
            Claim::AtLeast => z >= -SIGMAS,
            Claim::AtMost => z <= SIGMAS,
        })
    }

    fn line(&self) -> String {
        let sign = match self.claim {
            Claim::Equal => ' ',
            Claim::AtLeast => '≥',
            Claim::AtMost => '≤',
        };
        let number = |value: Option<f64>| value.map_or("-".into(), six_digits);
        let (theory, simulated, error) = (six_digits(self.theory), number(self.simulated), number(self.standard_error));
        let z = self.z.map_or("-".into(), |z| format!("{z:+.2}"));
        let failed = if self.passes() { "" } else { "  FAILED" };
        format!("  {:<7} {sign}{theory:>11} {simulated:>11} {error:>11} {z:>8}{failed}", self.quantity)
    }
}

/// In standard errors; without any, a difference is beyond all bounds.
fn z(difference: f64, error: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / error }
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    quick: bool,
    sigmas: f64,
    failed: usize,
    points: Vec<Point>,
}

/// A scenario that theory can say something about.
struct Case {
    group: Group,
    seed: u64,
    requirement: Option<Requirement>,
}

impl Case {
    fn flags(&self) -> String {
        let Group { nodes, interval, detector, loss, delay, crashes, heartbeats, .. } = &self.group;
        let seed = self.seed;
        format!(
            "--nodes {nodes} --interval {} --detector {detector} --loss {loss} --delay {delay} --crashes {crashes} \
             --heartbeats {heartbeats} --seed {seed}",
            interval.compact()
        )
    }

    fn points(&self, qos: &Qos) -> Vec<Point> {
        let point = |quantity, claim, theory, measured| Point::new(self, quantity, claim, theory, measured);
        let (recurrence, duration) = (Measured::from(qos.mistake_recurrence_s), Measured::from(qos.mistake_duration_s));
        let predicted = self.predicted();
        if self.group.crashes > 0 {
            let found = Measured::from(qos.detection_time_s);
            return predicted
                .detection
                .map(|theory| point("E(T_D)", Claim::Equal, theory, found))
                .into_iter()
                .collect();
        }
        let mut points = vec![
            point("E(T_MR)", Claim::Equal, predicted.recurrence, recurrence),
            point("E(T_M)", Claim::Equal, predicted.duration, duration),
        ];
        if let Some(asked) = self.requirement {
            points.push(point("E(T_MR)", Claim::AtLeast, asked.recurrence, recurrence));
            points.push(point("E(T_M)", Claim::AtMost, asked.duration, duration));
        }
        points
    }

    fn predicted(&self) -> Predicted {
        let Group { interval, detector, loss, delay, .. } = &self.group;
        let law = DelayLaw::of(delay).expect("the cases have delays with a closed form");
        let losses = LossLaw::of(loss).expect("the cases have losses with a closed form");
        match *detector {
            DetectorChoice::NfdS { delta } => {
                let nfd_s = NfdS::new(interval.secs_f64(), delta.secs_f64(), losses.loss(), law);
                Predicted {
                    recurrence: nfd_s.mistake_recurrence(),
                    duration: nfd_s.mistake_duration().expect("the cases have mistakes"),
                    detection: None,
                }
            }
            DetectorChoice::Core(detector) => {
                assert!(
                    matches!(detector, Detector::Fixed(_)),
                    "of the product's detectors only this has closed forms"
                );
                let timeout = detector.patience(&detector.start(*interval), *interval);
                let fixed = FixedTimeout::new(interval.secs_f64(), timeout.secs_f64(), losses);
                Predicted {
                    recurrence: fixed.mistake_recurrence(),
                    duration: fixed.mistake_duration().unwrap_or(0.0),
                    detection: Some(fixed.detection_mean(law.mean())),
                }
            }
        }
    }
}

/// What theory says, in seconds.
struct Predicted {
    recurrence: f64,
    duration: f64,
    detection: Option<f64>,
}

/// What a run says, with its standard error; in seconds.
#[derive(Clone, Copy)]
struct Measured {
    value: Option<f64>,
    error: Option<f64>,
}

impl From<Estimate> for Measured {
    fn from(estimate: Estimate) -> Self {
        let error = estimate.standard_error.or_else(|| half_width(estimate.ci_low, estimate.ci_high));
        Self { value: estimate.value, error }
    }
}

impl From<Times> for Measured {
    fn from(times: Times) -> Self {
        Self { value: times.mean, error: half_width(times.ci_low, times.ci_high) }
    }
}

/// Of a 95 % confidence interval the standard error.
fn half_width(low: Option<f64>, high: Option<f64>) -> Option<f64> {
    low.zip(high).map(|(low, high)| (high - low) / (2.0 * 1.96))
}

fn measure(cases: &[Case]) -> Vec<Point> {
    let sent = |cases: &[Case]| cases.iter().map(|case| case.group.heartbeats).sum::<u64>();
    // Draws nothing where standard error is no terminal.
    let bar = ProgressBar::new(sent(cases));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %, {eta} to go") {
        bar.set_style(style);
    }
    let mut points = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let before = sent(&cases[..number]);
        let outcome =
            run::run(&case.group.clone().alone(case.seed), |progress| bar.set_position(before + progress.sent));
        points.extend(case.points(&outcome.qos));
    }
    bar.finish_and_clear();
    points
}

/// Every case, with a seed of its own: from the same one they would all be lucky or unlucky together.
fn cases(quick: bool) -> Vec<Case> {
    let mut cases = nfd_s_cases();
    cases.extend(fixed_cases());
    cases.extend(crash_cases());
    if quick {
        for case in &mut cases {
            case.group.heartbeats /= 10;
            case.group.crashes /= 10;
        }
    }
    cases.extend(worked_cases(quick));
    for (number, case) in cases.iter_mut().enumerate() {
        case.seed = DEFAULT_SEED + number as u64;
    }
    cases
}

fn nfd_s_cases() -> Vec<Case> {
    let grid = [
        ("0.01", "exp:20ms", ["500ms", "750ms", "1s", "1.01s"].as_slice()),
        ("0.1", "exp:200ms", &["250ms", "500ms", "750ms", "1s", "1.25s", "1.5s", "2s"]),
        // So slow and uneven that most heartbeats are overtaken or late.
        ("0.05", "uniform:10ms..2.5s", &["500ms", "1.5s", "2.2s"]),
    ];
    let each = grid.into_iter().flat_map(|(loss, delay, deltas)| deltas.iter().map(move |delta| (loss, delay, delta)));
    each.map(|(loss, delay, delta)| case("1s", &format!("nfd-s:delta={delta}"), loss, delay, 0)).collect()
}

fn fixed_cases() -> Vec<Case> {
    let grid = [
        ("0.1", ["150s", "250s", "350s"].as_slice()),
        ("0.3", &["150s", "350s", "550s"]),
        ("gilbert:p=0.05,burst=4", &["150s", "350s", "550s", "750s"]),
        ("gilbert:p=0.01,burst=1.5", &["150s", "350s"]),
    ];
    let each = grid.into_iter().flat_map(|(loss, timeouts)| timeouts.iter().map(move |timeout| (loss, timeout)));
    each.map(|(loss, timeout)| case("100s", &format!("fixed:timeout={timeout}"), loss, "const:20ms", 0)).collect()
}

fn crash_cases() -> Vec<Case> {
    let grid = [("none", "250s"), ("0.3", "250s"), ("gilbert:p=0.1,burst=4", "350s")];
    grid.map(|(loss, timeout)| case("100s", &format!("fixed:timeout={timeout}"), loss, "const:20ms", CRASHES)).into()
}

/// The paper's example and easier ones, as the configurator answers them.
fn worked_cases(quick: bool) -> Vec<Case> {
    let ask = |detection, recurrence, duration| Requirement { detection, recurrence, duration, interval_min: 0.01 };
    let enough = if quick { 100 } else { 400 };
    let mut worked = vec![
        (ask(30.0, DAY, 60.0), "0.01", "exp:20ms", Knows::Law, enough),
        (ask(3.0, 3_600.0, 6.0), "0.1", "exp:200ms", Knows::Law, enough),
        // A mean of 20 ms and a standard deviation of 141 ms, as in the paper's example.
        (ask(30.0, DAY, 60.0), "0.01", "lognormal:median=2.8ms,sigma=1.983", Knows::Moments, enough),
    ];
    if !quick {
        worked.push((ask(30.0, 30.0 * DAY, 60.0), "0.01", "exp:20ms", Knows::Law, 80));
    }
    worked
        .into_iter()
        .map(|(asked, loss, delay, knows, mistakes)| configured(asked, loss, delay, knows, mistakes))
        .collect()
}

#[derive(Clone, Copy)]
enum Knows {
    Law,
    Moments,
}

/// As the configurator has it, for as long as it takes to make some `mistakes`.
fn configured(requirement: Requirement, loss: &str, delay: &str, knows: Knows, mistakes: u32) -> Case {
    let mut case = case("1s", "nfd-s:delta=1s", loss, delay, 0);
    let p = LossLaw::of(&case.group.loss).expect("a closed form").loss();
    let law = DelayLaw::of(&case.group.delay).expect("a closed form");
    let known = match knows {
        Knows::Law => Known::Law { loss: p, delay: law },
        Knows::Moments => Known::Moments { loss: p, mean: law.mean(), variance: law.variance() },
    };
    let Choice { interval, .. } = requirement.configure(&known).expect("the paper's requirements can be met");
    // A heartbeat declares its interval in whole milliseconds. Rounded down, and the rest to the margin.
    let interval = (interval * 1e3) as u64;
    let delta = (requirement.detection * 1e3) as u64 - interval;
    case.group.interval = Span::from_millis(interval);
    case.group.detector = DetectorChoice::NfdS { delta: Span::from_millis(delta) };
    let seconds = f64::from(mistakes) * case.predicted().recurrence;
    case.group.heartbeats = (seconds / case.group.interval.secs_f64()) as u64;
    case.requirement = Some(requirement);
    case
}

fn case(interval: &str, detector: &str, loss: &str, delay: &str, crashes: u64) -> Case {
    let known = "the cases are written as the flags of `run` are";
    let group = Group {
        nodes: NODES,
        interval: interval.parse().expect(known),
        detector: detector.parse().expect(known),
        loss: loss.parse().expect(known),
        delay: delay.parse().expect(known),
        crashes,
        heartbeats: HEARTBEATS,
        ..Group::default()
    };
    Case { group, seed: DEFAULT_SEED, requirement: None }
}

/// Enough that a start out of step doesn't matter, few enough that each has a long life.
const NODES: u32 = 100;
const HEARTBEATS: u64 = 1_000_000;
/// A life of a hundred heartbeats.
const CRASHES: u64 = 10_000;

fn title(cases: &[Case]) -> String {
    let (version, last) = (env!("CARGO_PKG_VERSION"), DEFAULT_SEED + cases.len() as u64 - 1);
    format!(
        "systole-sim {version}: closed forms against simulation\n{} scenarios of {NODES} nodes, seeds {DEFAULT_SEED} to {last}",
        cases.len()
    )
}

/// Each scenario, and below it what is compared.
fn table(points: &[Point]) -> String {
    let mut table = format!("  {:<7} {:>12} {:>11} {:>11} {:>8}", "", "theory s", "simulated s", "std error s", "z");
    let mut last = None;
    for point in points {
        if last != Some(&point.scenario) {
            table.push('\n');
            table.push_str(&point.scenario);
            last = Some(&point.scenario);
        }
        table.push('\n');
        table.push_str(&point.line());
    }
    table
}

fn verdict(points: &[Point], failed: usize) -> String {
    let equal = points.iter().filter(|point| point.claim == Claim::Equal);
    let squares: Vec<f64> = equal.filter_map(|point| point.z).map(|z| z * z).collect();
    let spread = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
    let of = points.len();
    format!(
        "{} of {of} hold within {SIGMAS} standard errors. Of requirements (≥, ≤) only what falls short counts;\n\
         the z of the others has a root mean square of {spread:.2}, where chance alone gives 1.",
        of - failed
    )
}

/// Six significant digits, without an exponent.
fn six_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let whole = libm::floor(libm::log10(value.abs())) as i32;
    let decimals = (5 - whole).clamp(0, 12) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(claim: Claim, simulated: Option<f64>) -> Point {
        let measured = Measured { value: simulated, error: simulated.map(|_| 1.0) };
        Point::new(&case("1s", "nfd-s:delta=1s", "0.1", "exp:20ms", 0), "E(T_MR)", claim, 100.0, measured)
    }

    #[test]
    fn beyond_four_sigma_fails_and_so_does_having_seen_nothing() {
        for (claim, below, above) in
            [(Claim::Equal, false, false), (Claim::AtLeast, false, true), (Claim::AtMost, true, false)]
        {
            assert_eq!(point(claim, Some(95.9)).passes(), below, "{claim:?}");
            assert_eq!(point(claim, Some(104.1)).passes(), above, "{claim:?}");
            assert!(point(claim, Some(96.1)).passes() && point(claim, Some(103.9)).passes(), "{claim:?}");
            assert!(!point(claim, None).passes(), "{claim:?}");
        }
    }

    #[test]
    fn every_case_can_be_run_and_there_are_more_than_twenty() {
        for quick in [false, true] {
            let cases = cases(quick);
            assert!(cases.len() >= 20);
            for case in cases {
                assert_eq!(case.group.clone().alone(case.seed).check(), [], "{}", case.flags());
            }
        }
    }

    #[test]
    fn no_case_has_too_few_mistakes_to_be_counted() {
        for case in cases(false).iter().filter(|case| case.group.crashes == 0) {
            let seconds = case.group.heartbeats as f64 * case.group.interval.secs_f64();
            let mistakes = seconds / case.predicted().recurrence;
            assert!(mistakes >= 60.0, "{}: {mistakes}", case.flags());
        }
    }

    /// The comparison has teeth: a simulator that lost a tenth more than it says would be found out.
    #[test]
    fn a_tenth_more_loss_would_be_found_out() {
        let honest = case("100s", "fixed:timeout=150s", "0.1", "const:20ms", 0);
        let lossier = Group { loss: "0.11".parse().expect("a loss"), ..honest.group.clone() };
        let points = honest.points(&run::run(&lossier.into(), |_| {}).qos);
        assert!(!points[0].passes(), "{}", points[0].line());
        let points = honest.points(&run::run(&honest.group.clone().into(), |_| {}).qos);
        assert!(points.iter().all(Point::passes), "{} {}", points[0].line(), points[1].line());
    }

    #[test]
    fn numbers_are_shown_with_six_digits() {
        for (value, text) in [(101.010_101, "101.010"), (0.030_101_010_1, "0.0301010"), (2_592_000.0, "2592000")] {
            assert_eq!(six_digits(value), text);
        }
        assert_eq!(six_digits(0.0), "0");
    }
}
