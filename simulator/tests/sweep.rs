//! `sweep` as people call it: resumable, the same whatever the number of threads, all faults at once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PLAN: &str = r#"
seeds = [7, 8]
requirement = { detect_within = "10s", false_failures = "1000/day" }
[scenario]
nodes = 10
heartbeats = 5_000
loss = 0.05
[axes]
interval = ["1s", "2s"]
detector = ["fixed:timeout=2x|3x", "chen"]
"#;

fn sweep(plan: &Path, out: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    command.arg("sweep").arg(plan).arg("--out").arg(out).args(flags).output().expect("the binary runs")
}

fn planned(text: &str) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("plan.toml");
    fs::write(&plan, text).expect("the plan is written");
    (folder, plan)
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_number_of_threads_changes_no_byte_of_the_results() {
    let (folder, plan) = planned(PLAN);
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let first = json(&sweep(&plan, &one, &["--threads=1", "--json"]));
    let second = json(&sweep(&plan, &two, &["--threads=2", "--json"]));
    assert_eq!((&first["runs"], &first["complete"]), (&12.into(), &true.into()));
    assert_eq!(first["findings"], second["findings"]);
    for file in ["results.jsonl", "results.csv", "strip.csv"] {
        let read = |folder: &Path| fs::read(folder.join(file)).expect(file);
        assert_eq!(read(&one), read(&two), "{file}");
    }
    assert_eq!(fs::read_to_string(one.join("results.csv")).expect("a table").lines().count(), 13);
}

#[test]
fn what_is_on_file_is_not_run_again() {
    let (folder, plan) = planned(PLAN);
    let out = folder.path().join("out");
    json(&sweep(&plan, &out, &["--json"]));
    let whole = fs::read_to_string(out.join("results.jsonl")).expect("results");
    // Three runs and a torn line are left.
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(out.join("results.jsonl"), format!("{}\n{}", lines[..3].join("\n"), &lines[3][..40])).expect("it is cut");
    let again = sweep(&plan, &out, &["--json"]);
    assert!(said(&again).contains(" runs=12 on_file=3 "), "{}", said(&again));
    assert_eq!(fs::read_to_string(out.join("results.jsonl")).expect("results"), whole);
    let more = PLAN.replace("[7, 8]", "[7, 8, 9]");
    fs::write(&plan, more).expect("the plan is written");
    assert!(said(&sweep(&plan, &out, &[])).contains(" runs=18 on_file=12 "));
}

#[test]
fn a_cell_is_the_same_run_as_the_command_run() {
    let (folder, plan) = planned(PLAN);
    let out = folder.path().join("out");
    json(&sweep(&plan, &out, &["--json"]));
    let results = fs::read_to_string(out.join("results.jsonl")).expect("results");
    let record: Value = serde_json::from_str(results.lines().next().expect("a line")).expect("JSON");
    let flags =
        "run --nodes=10 --heartbeats=5000 --loss=0.05 --interval=1s --detector=fixed:timeout=2x --seed=7 --json";
    let run = Command::new(env!("CARGO_BIN_EXE_systole-sim")).args(flags.split(' ')).output().expect("it runs");
    let alone = json(&run);
    for name in ["trace_hash", "mistakes", "false_failures", "crashes", "detection_time_s", "parameters"] {
        assert_eq!(record[name], alone[name], "{name}");
    }
}

#[test]
fn the_report_names_a_command_that_repeats_a_run_of_its_choice() {
    let partitioned = PLAN.replace("loss = 0.05", "loss = 0.05\npartition = \"0.3@20s..60s 0.5@80s..90s\"");
    let (folder, plan) = planned(&partitioned);
    let out = folder.path().join("out");
    json(&sweep(&plan, &out, &["--json"]));
    let report = fs::read_to_string(out.join("report.html")).expect("a report");
    let command = report.lines().find_map(|line| line.strip_prefix("systole-sim run ")).expect("it names a command");
    let command = command.split('<').next().expect("a line has a start");
    let run =
        Command::new(env!("CARGO_BIN_EXE_systole-sim")).arg("run").args(command.split(' ')).arg("--json").output();
    let hash = json(&run.expect("it runs"))["trace_hash"].to_string();
    assert!(fs::read_to_string(out.join("results.jsonl")).expect("results").contains(&hash), "{command}");
}

#[test]
fn a_plan_with_faults_lists_them_all_and_runs_nothing() {
    let (folder, plan) = planned("seeds = 0\n[scenario]\nloss = 1.2\n[axes]\ninterval = [\"1s\", \"fast\"]\n");
    let out = folder.path().join("out");
    let output = sweep(&plan, &out, &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = said(&output);
    let places: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("plan.toml:")).map(|(_, rest)| rest).collect();
    assert_eq!(places.len(), 3, "{text}");
    for (place, line) in places.iter().zip(["1:", "3:", "5:"]) {
        assert!(place.starts_with(line), "{text}");
    }
    assert!(!out.exists() && output.stdout.is_empty());
}

#[test]
fn a_folder_that_can_not_be_used_is_an_error() {
    let (folder, plan) = planned(PLAN);
    let output = sweep(&plan, &folder.path().join("plan.toml"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("plan.toml"), "{}", said(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_done_and_the_next_call_goes_on() {
    // One quick setting, and one that takes minutes.
    let (folder, plan) = planned("[scenario]\nnodes = 1000\n[axes]\nheartbeats = [1000, 2_000_000_000]\n");
    let out = folder.path().join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    command.arg("sweep").arg(&plan).arg("--out").arg(&out).args(["--threads=1", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut head = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut head).expect("it says what it will run");
    // The quick one is on file as soon as it is done; nothing else is written meanwhile.
    while fs::read(out.join("results.jsonl")).is_ok_and(|bytes| bytes.is_empty()) {
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    let output = child.wait_with_output().expect("it ends by itself");
    assert!(killed.success() && output.status.code() == Some(0), "{head}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&summary["runs"], &summary["of"], &summary["complete"]), (&1.into(), &2.into(), &false.into()));
    assert!(fs::read_to_string(out.join("report.html")).expect("a report").contains("1 of 2 runs"));
}
