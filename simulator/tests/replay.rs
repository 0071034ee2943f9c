//! `systole-sim replay` as people call it: traces in, tables and exit codes out.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn replay(flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    command.arg("replay").args(flags).output().expect("the binary runs")
}

fn json(flags: &[&str]) -> Value {
    let output = replay(&[flags, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path.display().to_string()
}

/// The code, and what was complained about.
fn refused(flags: &[&str]) -> (Option<i32>, String) {
    let output = replay(flags);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn with_one_detector_each_series_has_its_figures_side_by_side() {
    // Series a: silent from 0.45 s (the deadline of the third) until 1.0 s. Series b: nothing is wrong.
    let trace = file(
        "flat.csv",
        "run,send_time_s,delay_ms\na,0,0\nb,0,0\na,0.1,0\nb,0.1,0\na,0.2,0\nb,0.2,0\na,0.3,\na,1.0,0\n",
    );
    let said = json(&[&trace, "--detector", "fixed:timeout=250ms", "--interval", "100ms"]);
    let series = said["series"].as_array().expect("a list");
    assert_eq!(series.len(), 2);
    for (series, (name, arrivals, span, suspicions, suspected)) in
        series.iter().zip([("a", 4, 1.0, 1, 0.55), ("b", 3, 0.2, 0, 0.0)])
    {
        assert_eq!((series["series"].as_str(), series["trace"].as_str()), (Some(name), Some(trace.as_str())));
        assert_eq!(series["arrivals"], arrivals);
        assert_eq!(series["suspicions"], suspicions);
        assert!((series["span_s"].as_f64().expect("a number") - span).abs() < 1e-9);
        assert!((series["suspected_s"].as_f64().expect("a number") - suspected).abs() < 1e-9);
    }
    let total = &said["traces"][0]["total"][0];
    assert_eq!((total["suspicions"].as_u64(), total["false_failures"].as_u64()), (Some(1), Some(1)));
    assert_eq!(said["traces"][0]["series"][0]["detectors"][0]["suspicions"], 1);
    assert_eq!(said["complete"], true);
}

#[test]
fn several_detectors_are_judged_as_they_are_set() {
    let said = json(&["lorawan", "--detector", "missed:k=2", "--detector", "missed:k=3"]);
    let series = &said["series"][0];
    assert_eq!(series["suspicions"], Value::Null);
    let mistakes = [0, 1].map(|place| series["detectors"][place]["mistakes"].as_u64().expect("a number"));
    // Its losses come in runs: 47 alone, and one each of 3, 4, 6 and 26.
    assert_eq!(mistakes, [4, 4]);
}

#[test]
fn all_detectors_are_compared_at_equal_mean_detection_time() {
    let said = json(&["collector-overload"]);
    let trace = &said["traces"][0];
    let asked = trace["detection_mean_asked_s"].as_f64().expect("the default detector has one");
    let rows = trace["total"].as_array().expect("a list");
    assert_eq!(rows.len(), 8);
    for row in rows {
        let times = &row["detection_time_s"];
        let mean = times["mean"].as_f64().expect("a number");
        assert!((mean / asked - 1.0).abs() <= 0.005 && row["equal_mean"] == true, "{row}");
        let parts = ["p50", "p90", "p99", "p999", "max"].map(|part| times[part].as_f64().expect(part));
        assert!(parts.is_sorted(), "{row}");
    }
}

#[test]
fn a_mean_that_cannot_be_reached_is_said_to_be_so() {
    let output = replay(&["lorawan", "--detect-mean", "10m"]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).expect(name).to_string();
    assert!(line("phi normal").contains("can't: "), "{text}");
    assert!(!line("chen").contains("can't"), "{text}");
}

#[test]
fn csv_has_a_line_for_each_series_and_detector() {
    let output = replay(&["mobile-5g", "--csv", "--detector", "chen", "--detector", "fixed"]);
    assert!(output.status.success());
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    let header = reader.headers().expect("a header").clone();
    assert_eq!(header.iter().position(|name| name == "suspicions"), Some(9));
    let lines: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("as wide as the header");
    assert_eq!(lines.len(), 6);
    assert_eq!(&lines[1][7], "fixed:timeout=3.25x");
}

#[test]
fn traces_that_cannot_be_used_are_all_told_and_give_exit_code_1() {
    let broken = file("broken.csv", "send_time_s,rtt_ms\n0,1\n0.1,soon\n");
    let (code, said) = refused(&["nowhere.csv", &broken]);
    assert_eq!(code, Some(1));
    assert!(said.contains("neither a file nor a shipped trace nowhere.csv"), "{said}");
    assert!(said.contains("line 3: rtt_ms \"soon\""), "{said}");
    let quick = file("quick.csv", "send_time_s,rtt_ms\n0,1\n0.001,1\n0.002,1\n");
    let (code, said) = refused(&[&quick]);
    assert_eq!(code, Some(1));
    assert!(said.contains("its interval 1ms is out of range; between 10ms and 7d; say --interval"), "{said}");
    let lost = file("lost.csv", "send_time_s,rtt_ms\n0,1\n1,\n2,\n");
    let (code, said) = refused(&[&lost]);
    assert!(code == Some(1) && said.contains("no two heartbeats of one life arrived"), "{said}");
}

#[test]
fn flags_that_make_no_sense_give_exit_code_2() {
    for (flags, reason) in [
        (["mobile-5g", "--detector", "fixed:timeout=10ms"].as_slice(), "would suspect a node 10 ms after"),
        (&["mobile-5g", "--detector", "chenn"], "unknown detector"),
        (&["mobile-5g", "--interval", "1ms"], "interval 1ms is out of range; between 10ms and 7d"),
        (&["mobile-5g", "--confirm", "400d"], "confirm 400d is out of range; at most 365d"),
        (&["mobile-5g", "--json", "--csv"], "cannot be used with"),
        (&[], "required"),
    ] {
        let (code, said) = refused(flags);
        assert!(code == Some(2) && said.contains(reason), "{flags:?}: {said}");
    }
}

#[test]
fn the_help_names_every_shipped_trace() {
    let output = replay(&["--help"]);
    let help = String::from_utf8_lossy(&output.stdout);
    for name in systole_sim::trace::Trace::shipped_names() {
        assert!(help.contains(name), "{name}: {help}");
    }
}
