//! What the simulator predicts, and what a real monitor does over real sockets under the same losses and delays.
//!
//! Three processes and loopback: `systole run`, `systole fleet`, and `systole-sim run` with the same parameters. The
//! simulator knows nothing of this machine, so its prediction is moved by what the two real processes say of
//! themselves: how late the fleet's heartbeats left, and how late the monitor looked at its deadlines. That is
//! computed, not fitted; see [`Prediction`]. What is left must be chance.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

const NODES: u32 = 5_000;
const INTERVAL_MS: f64 = 500.0;
const TIMEOUT_MS: f64 = 1_250.0;
const CONFIRM_MS: f64 = 2_000.0;
const LOSS: f64 = 0.1;
/// Long beside what a busy machine adds: a millisecond more of lateness changes the mistakes by 0.3 %.
const DELAY_MS: f64 = 100.0;
/// So many nodes are killed at a time, at instants that have nothing to do with the interval.
const KILLED: u32 = 10;
const KILL_EVERY_MS: u32 = 731;

/// Beyond this many standard errors, of the real run and the simulated one together, it isn't chance.
const SIGMAS: f64 = 4.0;

/// How long the real run is, and how much is simulated: some times more, so that its error matters less.
#[derive(Clone, Copy, Debug)]
struct Length {
    kills: u32,
    seconds: u32,
    simulated: u32,
}

/// A monitor that ends with the test.
struct Monitor {
    process: Child,
    udp: String,
    http: String,
    /// It goes on talking; nobody has to listen.
    _log: Lines<BufReader<ChildStderr>>,
}

impl Monitor {
    fn start(config: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_systole"))
            .args(["run", "--udp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--config"])
            .arg(config)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut after = |mark: &str| {
            let line = log.find(|line| line.as_ref().unwrap().contains(mark)).expect(mark).unwrap();
            line.rsplit(mark).next().unwrap().trim().to_owned()
        };
        let udp = after("heartbeats on udp ");
        let http = format!("http://{}", after("answering on http://"));
        Self { process, udp, http, _log: log }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A number with its standard error.
#[derive(Clone, Copy, Debug)]
struct Measured {
    value: f64,
    error: f64,
}

/// How late something is, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Late {
    mean: f64,
    sd: f64,
}

/// How the lateness of both real processes changes what was simulated.
///
/// Of two heartbeats of a node that are both believed, with k lost between them, the second comes later than
/// the timeout t after the first if D2 + X2 - D1 - X1 > t + L - (k + 1) i, where i is the interval, D are the delays, X
/// how late the fleet wrote them, and L how late the monitor looked: what arrived until then is no mistake. D2 - D1 is
/// Laplace distributed, so each probability is one exponential, and of X and L nothing but E exp(x/d) is needed,
/// which [`Late::tilt`] takes from mean and deviation. (That a heartbeat may overtake the one before is in the simulation
/// and not in this difference.)
struct Prediction {
    sent: Late,
    looked: Late,
}

impl Late {
    /// E exp(x / d), up to the second moment.
    fn tilt(self, d: f64) -> f64 {
        1.0 + self.mean / d + (self.sd * self.sd + self.mean * self.mean) / (2.0 * d * d)
    }
}

impl Prediction {
    /// By how much there are more mistakes per second and node than on a machine that is never late.
    fn more_mistakes(&self) -> f64 {
        let still = Late { mean: 0.0, sd: 0.0 };
        Self::mistakes(self.sent, self.looked) - Self::mistakes(still, still)
    }

    /// Mistakes per second and node.
    fn mistakes(sent: Late, looked: Late) -> f64 {
        let believed_per_s = (1.0 - LOSS) * 1e3 / INTERVAL_MS;
        let after = |lost: i32| {
            let beyond = TIMEOUT_MS - f64::from(lost + 1) * INTERVAL_MS;
            let (d, weight) = (DELAY_MS, LOSS.powi(lost) * (1.0 - LOSS));
            let either_way = sent.tilt(d) * sent.tilt(-d);
            let late = if beyond >= 0.0 {
                0.5 * (-beyond / d).exp() * either_way * looked.tilt(-d)
            } else {
                1.0 - 0.5 * (beyond / d).exp() * either_way * looked.tilt(d)
            };
            weight * late
        };
        believed_per_s * (0..20).map(after).sum::<f64>()
    }

    /// By how much a crash is suspected later: its last heartbeat left late, and the monitor looked late.
    fn later_ms(&self) -> f64 {
        // Events tell whole milliseconds, cut off.
        self.sent.mean + self.looked.mean - 0.5
    }
}

fn systole_sim() -> Command {
    let path = Path::new(env!("CARGO_BIN_EXE_systole")).with_file_name("systole-sim");
    assert!(path.exists(), "there is no {}; `cargo build -p systole-sim` makes it", path.display());
    Command::new(path)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}", output = String::from_utf8_lossy(&output.stderr)))
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value:#}"))
}

fn measured(value: &Value, path: &str, of: &str) -> Measured {
    Measured { value: number(value, &format!("{path}/{of}")), error: number(value, &format!("{path}/standard_error")) }
}

fn really(length: Length) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("systole.toml");
    let text = format!(
        "[events]\nkeep = 1_000_000\n[guard]\nenabled = false\n[flapping]\nenabled = false\n[defaults]\ndetector = \"fixed:timeout={TIMEOUT_MS}ms\"\nconfirm = \"{CONFIRM_MS}ms\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let monitor = Monitor::start(&config);
    let output = Command::new(env!("CARGO_BIN_EXE_systole"))
        .args(["fleet", "--to", &monitor.udp, "--events", &monitor.http, "--json", "--seed", "7"])
        .args(["--nodes", &NODES.to_string(), "--interval", &format!("{INTERVAL_MS}ms")])
        .args(["--loss", &LOSS.to_string(), "--delay", &format!("exp:{DELAY_MS}ms")])
        .args(
            (0..length.kills)
                .flat_map(|kill| ["--kill".to_owned(), format!("{KILLED}@{}ms", 12_000 + KILL_EVERY_MS * kill)]),
        )
        .args(["--for", &format!("{}s", length.seconds)])
        .output()
        .unwrap();
    // Its exit code is about verdicts that came too late, too, and that is the scheduler's business here.
    json(&output)
}

fn simulated(length: Length) -> Value {
    let output = systole_sim()
        .args(["run", "--json", "--nodes", &NODES.to_string(), "--interval", &format!("{INTERVAL_MS}ms")])
        .args(["--detector", &format!("fixed:timeout={TIMEOUT_MS}ms"), "--confirm", &format!("{CONFIRM_MS}ms")])
        .args(["--loss", &LOSS.to_string(), "--delay", &format!("exp:{DELAY_MS}ms")])
        .args(["--heartbeats", &length.simulated.to_string(), "--crashes", &(length.simulated / 150).to_string()])
        .output()
        .unwrap();
    json(&output)
}

/// Five minutes instead of half a minute, and a third of the error, if `SYSTOLE_LONG` is set.
#[test]
fn the_real_monitor_does_what_the_simulator_predicts() {
    compare(match std::env::var_os("SYSTOLE_LONG") {
        None => Length { kills: 20, seconds: 34, simulated: 1_500_000 },
        Some(_) => Length { kills: 150, seconds: 300, simulated: 15_000_000 },
    });
}

fn compare(length: Length) {
    // First, so that it is known to be there, and not at the same time.
    let simulated = simulated(length);
    let real = really(length);
    let quality = &real["verdicts"]["quality"];
    assert_eq!((&quality["crashes"], &quality["missed"]), (&(length.kills * KILLED).into(), &0.into()), "{quality:#}");
    // A false failure takes six lost heartbeats in a row: a short run has one by chance, now and then.
    for nothing in ["early", "missed", "events_missed", "datagrams_dropped"] {
        assert_eq!(real["verdicts"][nothing], 0, "{nothing}: {:#}", real["verdicts"]);
    }

    let sent = Late { mean: number(&real, "/sent_late_ms/mean"), sd: number(&real, "/sent_late_ms/sd") };
    let lateness = |of: &str| 1e3 * number(quality, &format!("/suspicion_lateness_s/{of}"));
    // Half a millisecond is the wheel's tick, and that is in the simulation.
    let sd = lateness("standard_error") * number(quality, "/suspicion_lateness_s/count").sqrt();
    let looked = Late { mean: (lateness("mean") - 0.5).max(0.0), sd };
    let prediction = Prediction { sent, looked };

    let rate = measured(&simulated, "/mistake_rate_per_s", "value");
    let time = &simulated["detection_time_s"];
    let detection = Measured {
        value: number(time, "/mean"),
        error: (number(time, "/ci_high") - number(time, "/ci_low")) / (2.0 * 1.96),
    };
    let mut told = format!(
        "the fleet wrote {:.2} ms late (sd {:.2}, max {:.0}), the monitor looked {:.2} ms late (sd {:.2})\n",
        sent.mean,
        sent.sd,
        number(&real, "/sent_late_ms/max"),
        looked.mean,
        looked.sd
    );
    let mut beyond = false;
    for (what, simulated, shift, real) in [
        (
            "mistakes per s and node",
            rate,
            prediction.more_mistakes(),
            measured(quality, "/mistake_rate_per_s", "value"),
        ),
        (
            "mean detection time, s",
            detection,
            prediction.later_ms() / 1e3,
            measured(quality, "/detection_time_s", "mean"),
        ),
    ] {
        let expected = simulated.value + shift;
        let error = simulated.error.hypot(real.error);
        let z = (real.value - expected) / error;
        writeln!(
            told,
            "{what}: simulated {:.5} +- {:.5}, here {expected:.5}, real {:.5} +- {:.5}: {:+.2} %, z {z:+.2}",
            simulated.value,
            simulated.error,
            real.value,
            real.error,
            (real.value / expected - 1.0) * 100.0
        )
        .unwrap();
        beyond |= z.abs() > SIGMAS;
    }
    println!("{told}");
    assert!(!beyond, "beyond {SIGMAS} standard errors:\n{told}");
}
