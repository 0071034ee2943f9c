//! The report of a real sweep in a real browser: every picture is laid out, with everything on it.
//!
//! A copy of the report gets a script that asks the browser how large each drawing and each mark
//! came out; the report itself has none. Chromium then prints the page as it understood it. The
//! report as it is, is photographed, in light and in dark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const PLAN: &str = r#"
seeds = 2
requirement = { detect_within = "12s", false_failures = "20/day" }
[scenario]
nodes = 20
heartbeats = 20_000
loss = "gilbert:p=0.02,burst=1.5"
delay = "exp:20ms"
[axes]
interval = ["1s", "2s"]
detector = ["fixed:timeout=2x|4x", "chen:margin=1x|3x"]
"#;

/// Writes into each drawing its size on the page, how many marks it has and how many of them are
/// larger than nothing; into the page, what went wrong.
const PROBE: &str = r#"<script>
const faults = [];
addEventListener("error", event => faults.push(event.message));
addEventListener("load", () => {
  for (const svg of document.querySelectorAll("svg.picture")) {
    const place = svg.getBoundingClientRect(), marks = [...svg.querySelectorAll(".mark")];
    const painted = marks.filter(mark => { const box = mark.getBBox(); return box.width + box.height > 0; });
    svg.setAttribute("data-seen", [svg.id, Math.round(place.width), Math.round(place.height), marks.length, painted.length].join(" "));
  }
  for (const mark of document.querySelectorAll(".curve, .dot, .axis")) {
    const style = getComputedStyle(mark);
    if (style.stroke === "none" && style.fill === "none") faults.push("no colour: " + mark.getAttribute("class"));
  }
  document.body.setAttribute("data-faults", faults.join("; ") || "none");
});
</script>"#;

/// Sweeps a small plan. Returns the folder, which is gone when it is dropped.
fn swept() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("small.toml");
    fs::write(&plan, PLAN).expect("the plan is written");
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_systole-sim"));
    let swept = sweep.arg("sweep").arg(&plan).arg("--out").arg(folder.path().join("out")).output().expect("it runs");
    assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stderr));
    folder
}

/// Lets Chromium look at a page. It gets a home of its own and no network to wait for.
fn chromium(folder: &Path, page: &Path, flags: &[&str]) -> Output {
    let home = tempfile::tempdir_in(folder).expect("a folder");
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--window-size=1100,4200"])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .args(flags)
        .arg(format!("file://{}", page.display()));
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("chromium: {error}; install it: apt-get install -y --no-install-recommends chromium"),
    }
}

#[test]
fn a_browser_renders_every_picture_of_a_report() {
    let folder = swept();
    let report = folder.path().join("out/report.html");
    let html = fs::read_to_string(&report).expect("there is a report");
    let probed = folder.path().join("probed.html");
    fs::write(&probed, html.replace("</head>", &format!("{PROBE}</head>"))).expect("the copy is written");

    let output = chromium(folder.path(), &probed, &["--dump-dom"]);
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains("data-faults=\"none\""), "{}", attribute(&dom, "data-faults").collect::<String>());
    let seen: Vec<Vec<&str>> = attribute(&dom, "data-seen").map(|seen| seen.split(' ').collect()).collect();
    let names: Vec<&str> = seen.iter().map(|seen| seen[0]).collect();
    assert_eq!(names, ["tradeoff-0", "heat-0", "cdf-0", "strip-0"]);
    for picture in &seen {
        let numbers: Vec<u32> = picture[1..].iter().map(|number| number.parse().expect("a number")).collect();
        let [width, height, marks, painted] = numbers[..] else { panic!("{picture:?}") };
        assert!(width > 900 && height > 200, "{picture:?} is too small");
        assert!(marks > 1 && painted == marks, "{picture:?} lacks marks");
    }
    // One mark for each of the 8 settings, and a field for each.
    assert_eq!((seen[0][3], seen[1][3]), ("8", "8"));
}

#[test]
fn a_report_is_no_blank_page_in_light_or_dark() {
    let folder = swept();
    let report = folder.path().join("out/report.html");
    let photograph = |flags: &[&str]| -> PathBuf {
        let shot = folder.path().join(format!("shot{}.png", flags.len()));
        let screenshot = format!("--screenshot={}", shot.display());
        chromium(folder.path(), &report, &[&[screenshot.as_str()], flags].concat());
        shot
    };
    let light = fs::read(photograph(&[])).expect("there is a screenshot");
    let dark = fs::read(photograph(&["--blink-settings=preferredColorScheme=0"])).expect("there is a screenshot");
    let blank = folder.path().join("blank.html");
    fs::write(&blank, "<!doctype html><title>blank</title>").expect("it is written");
    let shot = folder.path().join("blank.png");
    chromium(folder.path(), &blank, &[&format!("--screenshot={}", shot.display())]);
    let blank = fs::read(shot).expect("there is a screenshot");
    // A picture of one colour is compressed to nearly nothing.
    assert!(
        light.len() > 5 * blank.len() && dark.len() > 5 * blank.len(),
        "{} {} {}",
        light.len(),
        dark.len(),
        blank.len()
    );
    assert_ne!(light, dark, "the dark theme is another");
}

/// The values of an attribute, wherever it stands.
fn attribute<'h>(html: &'h str, name: &str) -> impl Iterator<Item = &'h str> {
    let start = format!("{name}=\"");
    html.match_indices(&start).map(|(at, found)| at + found.len()).collect::<Vec<_>>().into_iter().map(move |from| {
        let rest = &html[from..];
        &rest[..rest.find('"').unwrap_or(rest.len())]
    })
}
