//! What `advise` promises, held against counting, against itself, and against nonsense.

use std::process::{Command, Output};

use serde_json::Value;
use systole_core::{Span, Wait};
use systole_sim::advise::{Advice, Care, Demand, Network, Pains, Unachievable, Verdict, advise};
use systole_sim::run::run;
use systole_sim::scenario::{DetectorChoice, Group, Scenario};

fn network() -> Network {
    Network {
        name: "test".into(),
        flags: String::new(),
        loss: "gilbert:p=0.05,burst=1.5".parse().expect("a loss"),
        rivals: Vec::new(),
        delay: "exp:30ms".parse().expect("a delay"),
        measured_every: None,
        notes: Vec::new(),
    }
}

fn demand(detect_within: &str, false_failures: &str) -> Demand {
    Demand {
        detect_within: detect_within.parse().expect("a span"),
        false_failures: false_failures.parse().expect("a frequency"),
        nodes: 100,
        max_rate: None,
        kind: "chen".parse().expect("a detector"),
    }
}

fn ask(demand: &Demand) -> Result<Box<Advice>, Box<Unachievable>> {
    advise(demand, &network(), Care { seed: 7, pains: Pains::Quick }, &|_, _| {})
}

#[test]
fn what_is_promised_is_kept_when_counted() {
    let demand = demand("3s", "10/hour");
    let advice = ask(&demand).expect("settings");
    let settings = advice.choice.settings;
    let longest = advice.found.failure_time_s.max.expect("crashes were found");
    assert!(longest <= 3.0 + 0.3, "the slowest of a thousand last heartbeats may exceed the 99.9 %: {longest}");
    assert!(advice.found.failure_time_s.p99.is_some_and(|p99| p99 <= 3.0));
    let group = Group {
        nodes: 100,
        interval: settings.interval,
        loss: network().loss,
        delay: network().delay,
        detector: DetectorChoice::Core(settings.detector),
        confirm: Wait::Span(settings.confirm),
        heartbeats: 4_000_000,
        ..Group::default()
    };
    let counted = run(&Scenario::from(group).with_seed(8), |_| {});
    let per_day = counted.qos.false_failures_per_fleet_day;
    let (low, high) = (per_day.ci_low.expect("an interval"), per_day.ci_high.expect("an interval"));
    assert!(low <= 240.0, "240 a day are allowed, {low} to {high} were counted");
    let promised = [advice.choice.failures.ci_low, advice.choice.failures.ci_high].map(|rate| rate * 100.0 * 86_400.0);
    assert!(promised[0] <= high && low <= promised[1], "{promised:?} is promised, {low} to {high} were counted");
}

#[test]
fn a_tighter_requirement_is_never_cheaper() {
    let interval = |within, often| ask(&demand(within, often)).expect("settings").choice.settings.interval;
    let intervals = [("3s", "1/min"), ("3s", "10/hour"), ("3s", "1/day"), ("2s", "1/day")]
        .map(|(within, often)| interval(within, often));
    assert!(intervals.is_sorted_by(|one, next| one >= next), "{intervals:?}");
    assert!(intervals[0] > intervals[3], "{intervals:?}");
}

#[test]
fn what_can_not_be_met_is_said_and_the_nearest_can() {
    let demand = Demand { max_rate: Some("200/s".parse().expect("a frequency")), ..demand("3s", "1/day") };
    let refused = ask(&demand).expect_err("half a second is too slow");
    assert!(refused.why.contains("interval at 200/s"), "{}", refused.why);
    let (detect_within, _) = refused.later.expect("a longer detection time");
    let (false_failures, _) = refused.oftener.expect("more false failures");
    assert!(detect_within > Span::from_secs(3) && false_failures.per_second() > demand.false_failures.per_second());
    for nearest in [Demand { detect_within, ..demand.clone() }, Demand { false_failures, ..demand }] {
        let advice = ask(&nearest).expect("the nearest can be met");
        assert_eq!(advice.choice.verdict, Verdict::Meets);
    }
}

fn command(args: &str) -> Output {
    let args = args.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_systole-sim")).arg("advise").args(args).output().expect("the command runs")
}

const EASY: &str = "--detect-within 3s --false-failures 1/min --nodes 100 --loss 0.05 --delay exp:30ms --quick";

#[test]
fn json_is_the_same_every_time_and_has_what_scripts_read() {
    let once = command(&format!("{EASY} --json"));
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    assert_eq!(once.stdout, command(&format!("{EASY} --json")).stdout);
    let value: Value = serde_json::from_slice(&once.stdout).expect("JSON");
    assert_eq!(value["achievable"], Value::Bool(true));
    for key in ["interval_s", "confirm_s", "heartbeats_per_s", "bits_per_s", "detection_bound_s"] {
        assert!(value[key].as_f64().is_some_and(|number| number > 0.0), "{key}: {}", value[key]);
    }
    assert!(value["detection_bound_s"].as_f64().is_some_and(|bound| bound <= 3.0));
    assert!(value["choice"]["failures"]["ci_high"].is_number() && value["neighbours"].is_array());
    assert!(value["config"].as_str().is_some_and(|config| config.contains("[[group]]")));
}

#[test]
fn text_has_the_lines_to_paste() {
    let said = command(EASY);
    let text = String::from_utf8(said.stdout).expect("text");
    for wanted in ["[[group]]", "systole beat NODE --every", "one step cheaper", "Chen's configurator", "To confirm"] {
        assert!(text.contains(wanted), "{wanted} is missing in:\n{text}");
    }
}

#[test]
fn a_requirement_that_can_not_be_met_ends_with_exit_code_1() {
    let said = command("--detect-within 20ms --false-failures 1/week --nodes 1000 --network wan --quick");
    let text = String::from_utf8(said.stdout).expect("text");
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(
        text.starts_with("Can't be met: 1/week within 20ms for 1000 nodes: a heartbeat may be on its way"),
        "{text}"
    );
    assert!(text.contains("--detect-within "), "{text}");
}

#[test]
fn a_network_that_is_nowhere_ends_with_exit_code_1_and_the_names_that_there_are() {
    let said = command("--detect-within 3s --false-failures 1/day --nodes 1 --network moon");
    let text = String::from_utf8(said.stderr).expect("text");
    assert_eq!((said.status.code(), said.stdout.len()), (Some(1), 0), "{text}");
    for wanted in ["moon", "lorawan", "lan, wan, bursty, mobile, satellite"] {
        assert!(text.contains(wanted), "{wanted} is missing in: {text}");
    }
}

#[test]
fn nonsense_is_refused_with_the_value_and_the_way_out() {
    for (args, said) in [
        ("--detect-within 3 --false-failures 1/day --nodes 1", "a duration ends with its unit"),
        ("--detect-within 3s --false-failures none --nodes 1", "\"none\" can't be promised"),
        ("--detect-within 3s --false-failures 1/eon --nodes 1", "unknown unit of time \"eon\""),
        ("--detect-within 3s --false-failures 1/day --nodes 0", "0 is not in 1..=20000000"),
        ("--detect-within 3s --false-failures 1/day --nodes 1 --loss none", "--loss 0.0001"),
        ("--detect-within 3s --false-failures 1/day --nodes 1 --max-rate fast", "\"fast\" is not of the form"),
        ("--detect-within 3s --false-failures 1/day --nodes 1 --detector psi", "unknown detector \"psi\""),
    ] {
        let refused = command(args);
        let text = String::from_utf8(refused.stderr).expect("text");
        assert_eq!(refused.status.code(), Some(2), "{args}: {text}");
        assert!(text.contains(said), "{args}: {text}");
    }
}
