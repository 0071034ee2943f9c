//! The command as people call it: the real binary, its output and its exit codes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn simulate(flags: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    command.arg("run").args(flags.split_whitespace()).output().expect("the binary runs")
}

fn json(flags: &str) -> Value {
    let output = simulate(&format!("{flags} --json"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

#[test]
fn json_has_what_is_promised() {
    let said =
        json("--interval 1s --detector fixed:timeout=1.5s --loss 0.1 --delay exp:200ms --heartbeats 100000 --seed 7");
    assert_eq!((said["heartbeats"].as_u64(), said["seed"].as_u64()), (Some(100_000), Some(7)));
    assert_eq!((said["crashes"].as_u64(), said["missed"].as_u64()), (Some(100), Some(0)));
    assert!(said["mistakes"].as_u64().is_some_and(|mistakes| mistakes > 1_000));
    for name in [
        "mistake_recurrence_s",
        "mistake_duration_s",
        "query_accuracy",
        "mistake_rate_per_s",
        "false_failures_per_fleet_day",
    ] {
        let [low, value, high] = ["ci_low", "value", "ci_high"].map(|part| said[name][part].as_f64().expect(name));
        assert!(low < value && value < high, "{name}: {low} {value} {high}");
    }
    let times = &said["detection_time_s"];
    let parts = ["p50", "p90", "p99", "p999", "max"].map(|part| times[part].as_f64().expect(part));
    assert!(parts.is_sorted() && parts[4] > parts[0], "{parts:?}");
    let [low, mean, high] = ["ci_low", "mean", "ci_high"].map(|part| times[part].as_f64().expect(part));
    assert!(low < mean && mean < high);
    assert_eq!(said["trace_hash"].as_str().map(str::len), Some(16));
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["parameters"]["delay"], "exp:200ms");
}

#[test]
fn what_was_not_seen_is_null_and_its_interval_is_not() {
    let said = json("--heartbeats 100000 --crashes 0");
    assert_eq!(said["mistakes"], 0);
    assert_eq!(said["mistake_recurrence_s"]["value"], Value::Null);
    assert!(said["mistake_recurrence_s"]["ci_low"].as_f64().is_some_and(|low| low > 27_000.0 && low < 27_500.0));
    assert_eq!(said["detection_time_s"]["mean"], Value::Null);
}

#[test]
fn the_same_seed_gives_the_same_hash_and_another_another() {
    let hash = |seed: &str| {
        json(&format!("--nodes 50 --loss 0.2 --detector fixed:timeout=1.5x --heartbeats 50000 {seed}"))["trace_hash"]
            .clone()
    };
    assert_eq!(hash("--seed 7"), hash("--seed 7"));
    assert_eq!(hash(""), hash(""), "the default seed is a constant");
    assert_ne!(hash("--seed 7"), hash("--seed 8"));
}

#[test]
fn seed_version_and_parameters_are_told_before_anything_can_fail() {
    let output = simulate("--jitter 3 --heartbeats 10 --crashes 20");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("text");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with(concat!(
        "systole-sim ",
        env!("CARGO_PKG_VERSION"),
        ": seed=2328 nodes=1 interval=1s"
    )));
    assert!(lines[0].contains(" jitter=3 ") && lines[0].contains(" partition=none"));
    let faults = [
        "systole-sim: jitter 3 is out of range; between 0 and 1",
        "systole-sim: crashes 20 is out of range; between 0 and 10, one for each heartbeat",
    ];
    assert_eq!(lines[1..], faults);
    assert!(output.stdout.is_empty());
}

#[test]
fn what_can_not_be_is_refused_with_the_value_and_the_range() {
    for (flags, said) in [
        ("--loss 1.2", "loss: probability 1.2 is out of range; between 0 and 1"),
        ("--loss -0.1", "loss: probability -0.1 is out of range; between 0 and 1"),
        ("--loss gilbert:p=0.01", "gilbert: burst is missing; write gilbert:p=0.01,burst=5"),
        ("--interval 0s", "interval 0ms is out of range; between 10ms and 7d"),
        ("--interval 1.5", "a duration ends with its unit"),
        ("--interval 10.5ms", "isn't in whole milliseconds"),
        ("--nodes 0", "nodes 0 is out of range; between 1 and 20000000"),
        ("--delay exp:-1s", "mean -1s is out of range; between 0s and 365d"),
        ("--detector fixed:timeout=-1s", "timeout -1s is out of range; it can't be below zero"),
        ("--delay 20ms", "write one of const:20ms, uniform:10ms..30ms"),
        ("--detector fixed:timeout=0s", "would suspect every node at once"),
        ("--detector fixed:timeout=900ms", "would suspect a node 900 ms after its last heartbeat"),
        ("--detector guess", "choose one of fixed, missed, chen, two-window, phi, bertier, nfd-s"),
        ("--detector nfd-s", "delta is missing; write nfd-s:delta=1s"),
        (
            "--detector nfd-s:delta=1s --drift 0.1",
            "drift 0.1 is out of range; 0, since nfd-s needs synchronised clocks",
        ),
        ("--partition 0.3@90s..60s", "is empty; it must end after it begins"),
        ("--partition 2@60s..90s", "share 2 is out of range; between 0 and 1"),
        ("--duplicates NaN", "duplicates NaN is out of range; between 0 and 1"),
        ("--interval 7d", "virtual years; at most 100"),
    ] {
        let output = simulate(flags);
        assert_eq!(output.status.code(), Some(2), "{flags}");
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(text.contains(said), "{flags}: {text}");
    }
}

#[test]
fn the_table_names_what_it_measures_by_chens_names() {
    let output = simulate("--heartbeats 10000 --loss 0.1 --detector fixed:timeout=1.5s");
    let table = String::from_utf8(output.stdout).expect("text");
    for name in ["T_MR", "T_M", "P_A", "T_D", "false failures", "trace hash", "p99.9"] {
        assert!(table.contains(name), "{name}: {table}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_done() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    command.args(["run", "--nodes=1000", "--heartbeats=1000000000", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut head = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut head).expect("it says what it will run");
    // Minutes of work are ahead of it.
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success() && head.starts_with("systole-sim"));
    let output = child.wait_with_output().expect("it ends by itself");
    assert_eq!(output.status.code(), Some(0));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["complete"], false);
    assert!(said["heartbeats"].as_u64().is_some_and(|heartbeats| heartbeats < 1_000_000_000));
}

#[test]
fn a_scenario_that_comes_with_it_runs_and_tells_of_each_group() {
    let output = simulate("satellite --json --seed 9");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["seed"], 9);
    let mistakes = |group: usize| said["groups"][group]["mistakes"].as_u64().expect("a count");
    assert_eq!(said["groups"][0]["group"], "aliased");
    assert_eq!(mistakes(0) + mistakes(1), said["mistakes"].as_u64().expect("a count"));
    assert!(mistakes(0) > 0 && mistakes(1) > 0);
}

#[test]
fn a_monitor_in_trouble_makes_no_mistakes_but_its_own() {
    let output = simulate("late_monitor --json");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(said["datagrams_dropped"].as_u64().is_some_and(|dropped| dropped > 0), "{said:#}");
    assert_eq!((&said["mistakes"], &said["false_failures"]), (&Value::from(0), &Value::from(0)));
    assert!(said["withheld"]["stall"].as_u64().is_some_and(|stall| stall > 1_000), "{said:#}");
    assert_eq!((&said["notes"]["overload"], &said["notes"]["hold"]), (&Value::from(1), &Value::from(0)));
    // Had nobody told it of them:
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("untold.toml");
    let text = systole_sim::scenario::Scenario::built_in("late_monitor").expect("it comes with it");
    std::fs::write(&file, text.replace("[monitor]", "[monitor]\ngates = false")).expect("it is written");
    let output = simulate(&format!("{} --json", file.display()));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["withheld"]["stall"], 0);
    let causes = said["mistakes_by_cause"].as_object().expect("causes");
    for (cause, count) in causes {
        assert!(cause == "monitor" || count == 0, "{cause}: {count}");
    }
    assert!(causes["monitor"].as_u64().is_some_and(|count| count > 0));
}

#[test]
fn a_file_and_flags_are_not_mixed_and_a_missing_file_says_what_there_is() {
    let output = simulate("lan --nodes 7");
    assert_eq!(output.status.code(), Some(2));
    let output = simulate("nowhere.toml");
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("can't read the scenario nowhere.toml") && text.contains("restart_storm"), "{text}");
}

#[test]
fn a_cut_that_is_held_is_told_with_what_it_cost() {
    let flags =
        "--nodes 200 --crashes 0 --heartbeats 60000 --partition 0.5@60s..120s,exact=yes --guard=longest=30s,rate=50/s";
    let said = json(flags);
    assert_eq!(said["parameters"]["guard"], "least=3,share=0.15,window=1m,longest=30s,rate=50/s");
    let counts = ["hold", "hold_expired", "hold_recovered"].map(|note| said["notes"][note].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(0)]);
    assert_eq!((said["withheld"]["guard"].as_u64(), said["false_failures"].as_u64()), (Some(100), Some(100)));
    assert_eq!(said["withheld_dead_longest_s"], Value::Null, "nobody was dead");
    let output = simulate(&format!("{flags} --flapping --gates=false"));
    let table = String::from_utf8(output.stdout).expect("text");
    assert!(
        table.contains("verdicts withheld") && table.contains("guard 100") && table.contains("hold 1, "),
        "{table}"
    );
    let refused = simulate("--guard=share=0 --flapping=reuse=1e6");
    let text = String::from_utf8(refused.stderr).expect("text");
    assert!(text.contains("guard: share 0 isn't a share") && text.contains("flapping: reuse 1000000"), "{text}");
}

#[test]
fn csv_has_a_row_for_each_group_and_one_for_all() {
    let output = simulate("satellite --csv");
    let text = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["group", "aliased", "jittered", "all"]);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    assert!(rows[0].contains(&"mistake_rate_per_s.ci_low") && rows[0].contains(&"detection_time_s.p999"));
}

#[test]
fn a_shipped_trace_is_a_model_by_its_name_and_a_report_says_what_it_is_used_by() {
    let said = json("--interval 1s --loss trace:lorawan --delay trace:mobile-5g,by=row --heartbeats 20000 --seed 7");
    let believed = said["heartbeats_believed"].as_u64().expect("a count");
    assert!((19_000..20_000).contains(&believed), "{believed}");
    let output = simulate("--loss trace:no-such-trace");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("no-such-trace") && said.contains("lorawan"), "{said}");
}

#[test]
fn models_are_held_against_a_trace_and_only_what_keeps_its_correlation_has_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    let output = command.args(["models", "collector-overload", "--seeds", "20", "--json"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    let delays = &said["comparisons"][1];
    assert_eq!(delays["of"], "delay");
    let at = delays["real"].as_array().and_then(|real| real.iter().position(|each| each[0] == "autocorrelation 1"));
    let models = delays["models"].as_array().expect("models");
    for model in models {
        let name = model["model"].as_str().expect("a name");
        let inside = model["statistics"][at.expect("the statistic")]["inside"].as_bool();
        assert_eq!(inside, Some(!name.starts_with("weibull") || name.contains("lag1")), "{name}");
    }
}
