//! `systole check` as a script or a pipeline meets it: what it prints, and how it ends.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder with one file in it.
struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("edge.toml"), text).expect("a file");
        Self { dir }
    }

    fn check(&self, flags: &[&str]) -> Output {
        systole(self.dir.path(), &[&["check", "edge.toml"], flags].concat())
    }
}

fn systole(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    command.current_dir(dir).args(args).output().expect("systole starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("a text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("a text")
}

const FAULTY: &str = r#"[listen]
udp = "0.0.0.0:2328"
htp = "off"
[[group]]
name = "edge"
detector = "fixed:timeout=1s"
interval = "2s"
confirm = "soon"
[[group]]
name = "edge"
"#;

#[test]
fn every_fault_is_a_line_with_its_place_and_the_exit_code_is_one() {
    let output = Case::new(FAULTY).check(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stdout(&output);
    let starts = [
        "edge.toml:2:7: udp 0.0.0.0:2328 is open to other machines",
        "edge.toml:3:1: unknown key \"htp\" in [listen]; did you mean http?",
        "edge.toml:6:1: fixed:timeout=1s would suspect a node 1 s after its last heartbeat",
        "edge.toml:8:11: confirm \"soon\": expected a duration such as 1.5s",
        "edge.toml:10:1: group \"edge\" is configured twice",
    ];
    assert_eq!(text.lines().count(), starts.len(), "{text}");
    for (line, start) in text.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(stderr(&output), "");
}

#[test]
fn faults_as_json_have_the_same_places() {
    let output = Case::new(FAULTY).check(&["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["valid"], false);
    let faults = report["faults"].as_array().expect("a list");
    let places: Vec<_> = faults.iter().map(|fault| (fault["line"].as_u64(), fault["column"].as_u64())).collect();
    assert_eq!(places, [(2, 7), (3, 1), (6, 1), (8, 11), (10, 1)].map(|(line, column)| (Some(line), Some(column))));
    assert!(faults[4]["message"].as_str().is_some_and(|text| text.contains("configured twice")), "{report}");
}

#[test]
fn a_valid_file_is_answered_with_what_is_in_force() {
    let case = Case::new(
        "[listen]\nudp = \"[::1]:0\"\nhttp = \"off\"\n[[group]]\nname = \"edge\"\ndetector = \"fixed:timeout=4x\"\n\
         confirm = \"5s\"\ninterval = \"500ms\"\n",
    );
    let output = case.check(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("edge.toml is valid.").len() > 1);
    assert!(line("udp ").contains("[::1]:0") && line("http ").contains("off"), "{text}");
    // Suspect after 4 x 500 ms at the latest, failed 5 s later.
    let edge = line("edge ");
    assert!(["fixed:timeout=4x", "5s", "500 ms", "1 m", "7 s"].iter().all(|part| edge.contains(part)), "{edge}");
    assert!(line("(all others)").contains("at an interval of 1 s"), "{text}");
    assert!(!text.contains("WARNING") && !text.contains('\x1b'), "{text}");

    let report: Value = serde_json::from_slice(&case.check(&["--json"]).stdout).expect("JSON");
    assert_eq!((&report["valid"], &report["listen"]["http"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(report["groups"][0]["group"], "edge");
    assert_eq!(report["groups"][0]["detection_bound_ms"], 7_000);
}

#[test]
fn what_is_valid_and_hardly_meant_is_warned_of_and_fine() {
    let output = Case::new("[[group]]\nname = \"edge\"\ndetector = \"fixed:timeout=1.5x\"\n").check(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains("WARNING group \"edge\": one lost heartbeat makes a node suspect"), "{output:?}");
}

#[test]
fn the_documented_example_is_valid() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let output = systole(&docs, &["check", "systole.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_file_that_is_not_there_is_one_plain_line() {
    let output = systole(Path::new("/"), &["check", "no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).starts_with("systole: cannot read no-such-file.toml: "), "{output:?}");
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn a_wrong_command_line_is_exit_code_two() {
    for args in [["check", "--no-such-flag"], ["chek", "edge.toml"], ["run", "--shards=0"], ["run", "--udp=here"]] {
        assert_eq!(systole(Path::new("/"), &args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    // A pipe whose reading end is closed before anything is written.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_systole"));
    let child =
        command.args(["completions", "bash"]).stdout(writer).stderr(Stdio::piped()).spawn().expect("systole starts");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(stderr(&output), "");
}

#[cfg(unix)]
#[test]
fn a_file_that_nobody_could_be_let_in_by_is_a_fault_where_it_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let case = Case::new("[http]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\ntokens = \"tokens\"\n");
    let write = |name: &str, text: &str, mode| {
        let path = case.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
    };
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (own, other) = (pair(), pair());
    let lines = || {
        let output = case.check(&[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        stdout(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let faults = lines();
    assert!(
        matches!(&faults[..], [cert, tokens]
        if cert.starts_with("edge.toml:2:1: tls_cert: can't read cert.pem")
            && tokens.starts_with("edge.toml:4:1: tokens: can't read tokens")),
        "{faults:#?}"
    );

    write("cert.pem", &own.cert.pem(), 0o644);
    write("key.pem", &other.signing_key.serialize_pem(), 0o600);
    write("tokens", "nonsense\nmore of it\n", 0o600);
    let faults = lines();
    assert!(
        matches!(&faults[..], [key, first, second]
        if key.starts_with("edge.toml:3:1: cert.pem and key.pem don't go together")
            && first.starts_with("edge.toml:4:1: tokens:1: ")
            && second.starts_with("edge.toml:4:1: tokens:2: ")),
        "{faults:#?}"
    );

    write("key.pem", &own.signing_key.serialize_pem(), 0o600);
    write("tokens", "", 0o644);
    let faults = lines();
    assert!(matches!(&faults[..], [only] if only.contains(":4:1: tokens: tokens has mode 0644")), "{faults:#?}");

    write("tokens", "", 0o600);
    let output = case.check(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
