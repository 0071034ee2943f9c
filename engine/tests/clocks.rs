//! A realtime clock that is set by an hour, and a machine that sleeps: a real monitor whose wall clock
//! is led astray by libfaketime. Needs the `faketime` package.
//!
//! The kernel's receive stamps keep the true time, so every heartbeat also comes with a stamp that can't be
//! true: worse than a clock that was set, where both go together.

mod beaters;
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use beaters::{Beaters, INTERVAL};
use process::Process;
use systole::model::State;

/// A file that says how far the wall clock is off.
struct Skew {
    folder: tempfile::TempDir,
}

impl Skew {
    fn none() -> Self {
        let skew = Self { folder: tempfile::tempdir().expect("a folder") };
        skew.set("+0");
        skew
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("skew")
    }

    /// In one stroke, as a clock is set.
    fn set(&self, skew: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, skew).expect("it is written");
        std::fs::rename(new, self.file()).expect("it is moved");
    }

    /// Has a process go by it.
    fn rule(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// Where a package puts it, by the machine's architecture or without.
fn library() -> PathBuf {
    let libs = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let places = libs.chain(["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from));
    let mut files = places.map(|place| place.join("faketime/libfaketimeMT.so.1"));
    files.find(|file| Path::exists(file)).expect("libfaketime, of the package faketime, is installed")
}

/// So long after its last heartbeat a node must have been failed: the bound of the default settings, an interval
/// more for a clock that was set, three for each point of the monitor's score, and some room.
fn bound(score: u8) -> Duration {
    INTERVAL.mul_f64(6.25 + 1.0 + 3.0 * f64::from(score)) + Duration::from_millis(700)
}

/// A node dies and is found within its bound.
fn assert_found(monitor: &Process, fleet: &Beaters, node: usize) {
    let status = monitor.status();
    fleet.set([node], false);
    let died = Instant::now();
    monitor.wait_for_status(|now| now.nodes.failed == status.nodes.failed + 1);
    let (after, score) = (died.elapsed(), status.health.score);
    assert!(after <= bound(score), "found after {after:?} at a score of {score}");
    let name = format!("n{node}");
    let found = monitor.client().node(&name).expect("an answer").expect("it is known");
    assert_eq!(found.state, State::Failed);
    eprintln!("n{node} found {after:?} after it was silenced, at a score of {score}");
}

fn fleet(monitor: &Process) -> Beaters {
    let to = monitor.udp.parse().expect("an address");
    let fleet = Beaters::start(to, (0..50).map(|i| format!("n{i}")).collect());
    monitor.wait_for_status(|status| status.nodes.alive == 50);
    fleet
}

#[test]
fn a_clock_that_is_set_an_hour_forth_and_back_changes_no_belief_and_hides_no_death() {
    let skew = Skew::none();
    let monitor = Process::start_with(&[], |command| skew.rule(command));
    let fleet = fleet(&monitor);
    let before = monitor.status();
    assert_eq!(before.health.clock_steps_total, 0, "it isn't off yet");
    for (steps, set) in (1..).zip(["+3600", "+0", "-3600", "+0"]) {
        skew.set(set);
        monitor.wait_for_status(|status| status.health.clock_steps_total == steps);
        // Long enough that whoever was to be accused for it would have been.
        std::thread::sleep(bound(0) * 2);
        let status = monitor.status();
        assert_eq!(status.nodes.alive, 50, "after {set}: {status:?}");
        assert_eq!(status.events_last, before.events_last, "no transition after {set}");
    }
    // A death and a step together.
    skew.set("+3600");
    monitor.wait_for_status(|status| status.health.clock_steps_total == 5);
    assert_found(&monitor, &fleet, 7);
    skew.set("-3600");
    monitor.wait_for_status(|status| status.health.clock_steps_total == 6);
    assert_found(&monitor, &fleet, 8);
    assert_eq!(monitor.status().nodes.alive, 48);
    drop(fleet);
}

#[test]
fn a_machine_that_slept_for_an_hour_wakes_up_to_a_fleet_that_is_alive() {
    let skew = Skew::none();
    let monitor = Process::start_with(&[], |command| skew.rule(command));
    let fleet = fleet(&monitor);
    let before = monitor.status().events_last;
    // To the process it is a wall clock that runs on while nothing else does.
    monitor.signal("STOP");
    std::thread::sleep(Duration::from_secs(1));
    skew.set("+3600");
    monitor.signal("CONT");
    let status = monitor.wait_for_status(|status| status.health.clock_steps_total == 1);
    std::thread::sleep(bound(0) * 2);
    assert_eq!(monitor.status().events_last, before, "no transition: {status:?}");
    assert_found(&monitor, &fleet, 9);
    drop(fleet);
}
