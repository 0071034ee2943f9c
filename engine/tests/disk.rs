//! A disk that fails costs no heartbeat and no verdict, is said loudly, and no number is told twice.
//!
//! Full and read-only disks are small file systems in memory, one that doesn't answer is a file that is frozen. Only
//! root may mount them; whoever isn't is told that these tests were left out.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::process::{Process, until};
use systole::model::{State, StateDir};

/// A file system of a megabyte.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// Nothing where mounting isn't allowed.
    fn mount() -> Option<Self> {
        let disk = Self { dir: tempfile::tempdir().expect("a directory") };
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", &disk.path()]);
        disk.if_mounted(mounted)
    }

    /// One that can be frozen, in the file `image`.
    fn mount_file(image: &Path) -> Option<Self> {
        File::create(image).and_then(|file| file.set_len(32 << 20)).expect("a file");
        let (disk, image) = (Self { dir: tempfile::tempdir().expect("a directory") }, image.to_str().expect("a path"));
        let mounted = run("mkfs.ext4", &["-q", "-F", image]) && run("mount", &["-o", "loop", image, &disk.path()]);
        disk.if_mounted(mounted)
    }

    fn if_mounted(self, mounted: bool) -> Option<Self> {
        if !mounted {
            eprintln!("LEFT OUT: mounting a file system needs root; nothing was tested here");
        }
        mounted.then_some(self)
    }

    /// From then on no call that writes comes back.
    fn freeze(&self, frozen: bool) {
        assert!(run("fsfreeze", &[if frozen { "-f" } else { "-u" }, &self.path()]), "it can be frozen and thawed");
    }

    fn path(&self) -> String {
        self.dir.path().to_str().expect("a path").to_owned()
    }

    fn writable(&self, writable: bool) {
        let how = if writable { "remount,rw" } else { "remount,ro" };
        assert!(run("mount", &["-o", how, &self.path()]), "it can be remounted {how}");
    }

    /// Leaves no room for anything.
    fn fill(&self) -> PathBuf {
        let path = self.dir.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        while file.write(&[0; 4_096]).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["-u", &self.path()]);
        let _ = run("umount", &["-l", &self.path()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

fn state_dir(monitor: &Process) -> StateDir {
    monitor.status().state_dir.expect("there is one")
}

fn get(monitor: &Process, path: &str) -> String {
    let mut answer = ureq::get(format!("{}{path}", monitor.http)).call().expect("a good answer");
    answer.body_mut().read_to_string().expect("a text")
}

/// New nodes, each with its event, until the disk refuses one.
fn beat_until_it_fails(monitor: &Process, prefix: &str) {
    let mut node = 0;
    until(|| {
        for _ in 0..200 {
            monitor.send(format!("hb {prefix}-{node} interval=1h"));
            node += 1;
        }
        state_dir(monitor).failing.map(|_| ())
    });
}

/// That everything but writing goes on.
fn assert_goes_on(monitor: &Process, node: &str) {
    monitor.send(format!("hb {node} interval=50ms"));
    monitor.wait_for(node, State::Failed);
    let told = until(|| {
        let events = monitor.events(0);
        let told = events.iter().filter(|event| event.node.as_deref() == Some(node)).filter_map(|event| event.to);
        let told: Vec<State> = told.collect();
        (told.len() == 3).then_some(told)
    });
    assert_eq!(told, [State::Alive, State::Suspect, State::Failed]);
    assert_eq!(get(monitor, "/readyz"), "ready\n");
    assert!(get(monitor, "/metrics").contains("systole_state_dir_failing{what=\"events\"} 1"));
    let said = state_dir(monitor);
    assert!(said.failing.is_some() && said.failing_since.is_some() && said.errors_total > 0, "{said:?}");
}

fn last(monitor: &Process) -> u64 {
    monitor.status().events_last
}

#[test]
fn on_a_full_disk_everything_goes_on_and_is_written_when_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let state = disk.dir.path().join("state");
    let flags = ["--state-dir", state.to_str().expect("a path"), "--shards", "1"];
    let monitor = Process::start(None, &flags);
    let udp = monitor.udp;
    monitor.send("hb first interval=1h");
    monitor.wait_for_status(|status| status.events_last == 1);

    let filler = disk.fill();
    beat_until_it_fails(&monitor, "full");
    assert!(monitor.line("events can't be written: ").contains("go on in memory"));
    assert_goes_on(&monitor, "one");

    fs::remove_file(filler).expect("it is there");
    monitor.line("events are written again");
    let healed = until(|| Some(state_dir(&monitor)).filter(|said| said.failing.is_none()));
    assert_eq!((healed.events_last, healed.events_unwritten_total), (last(&monitor), 0), "nothing is missing");

    // Full once more, and killed: what was told and not written is not told under the same numbers again.
    let filler = disk.fill();
    beat_until_it_fails(&monitor, "again");
    assert_goes_on(&monitor, "two");
    let (told, written) = (last(&monitor), state_dir(&monitor).events_last);
    assert!(told > written, "{told} were told, {written} written");
    monitor.kill();
    let monitor = Process::start(Some(udp), &flags);
    monitor.send("hb third interval=1h");
    let next = until(|| monitor.events(written).first().map(|event| event.seq));
    assert!(next > told, "{next} comes after {told}");
    assert_eq!(monitor.node("first").map(|node| node.state), Some(State::Alive));
    fs::remove_file(filler).expect("it is there");
    until(|| Some(state_dir(&monitor)).filter(|said| said.failing.is_none()));
    assert!(monitor.stop().success());
}

#[test]
fn a_disk_that_does_not_answer_is_not_waited_for() {
    let image = tempfile::NamedTempFile::new().expect("a file");
    let Some(disk) = Disk::mount_file(image.path()) else { return };
    let path = disk.path();
    let monitor = Process::start(None, &["--state-dir", &path, "--shards", "1"]);
    monitor.send("hb first interval=1h");
    monitor.wait_for_status(|status| status.events_last == 1);

    disk.freeze(true);
    assert_goes_on(&monitor, "one");
    assert!(state_dir(&monitor).failing.expect("it is failing").contains("hasn't answered"));
    assert_goes_on(&monitor, "two");
    assert_eq!(state_dir(&monitor).events_last, 1, "nothing was written");

    disk.freeze(false);
    let healed = until(|| Some(state_dir(&monitor)).filter(|said| said.failing.is_none()));
    assert_eq!((healed.events_last, last(&monitor), healed.events_unwritten_total), (7, 7, 0), "nothing is missing");
    assert!(monitor.stop().success());
}

#[test]
fn a_state_directory_that_is_read_only_is_read_and_the_start_goes_on() {
    let Some(disk) = Disk::mount() else { return };
    let path = disk.path();
    let flags = ["--state-dir", &path, "--shards", "1"];
    let monitor = Process::start(None, &flags);
    let udp = monitor.udp;
    assert_eq!(state_dir(&monitor).failing, None);
    monitor.send("hb known interval=50ms");
    monitor.wait_for("known", State::Failed);
    monitor.wait_for_status(|status| status.events_last == 3);
    monitor.kill();

    let mut told = 3;
    for life in 0..2 {
        disk.writable(false);
        let monitor = Process::start(Some(udp), &flags);
        assert_eq!(monitor.node("known").map(|node| node.state), Some(State::Failed), "what is there is read");
        assert_eq!(monitor.events(0)[..3].iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_goes_on(&monitor, &format!("life-{life}"));
        let new = monitor.events(3);
        assert!(new[0].seq > told, "{} comes after {told}", new[0].seq);
        told = last(&monitor);
        monitor.kill();
        disk.writable(true);
    }

    let monitor = Process::start(Some(udp), &flags);
    assert_eq!(state_dir(&monitor).failing, None);
    monitor.send("hb at-last interval=1h");
    let next = until(|| monitor.events(3).first().map(|event| event.seq));
    assert!(next > told, "{next} comes after {told}, which only a read-only disk was told of");
    assert_eq!(monitor.node("known").map(|node| node.state), Some(State::Failed));
    assert!(monitor.stop().success());
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_used_when_it_is_better() {
    let Some(disk) = Disk::mount() else { return };
    let path = disk.path();
    let flags = ["--state-dir", &path, "--shards", "1"];
    disk.writable(false);
    let monitor = Process::start(None, &flags);
    monitor.line("events can't be written: ");
    assert_goes_on(&monitor, "one");
    disk.writable(true);
    let healed = until(|| Some(state_dir(&monitor)).filter(|said| said.failing.is_none()));
    assert_eq!(healed.events_last, last(&monitor));
    assert!(monitor.stop().success());
    assert!(Path::new(&path).join("beliefs.snapshot").exists());
}

/// A life with three nodes, ended in order twice, so that there are two snapshots.
fn lived(path: &str) -> std::net::SocketAddr {
    let flags = ["--state-dir", path, "--shards", "1"];
    let monitor = Process::start(None, &flags);
    let udp = monitor.udp;
    monitor.send("hb dead interval=50ms");
    monitor.wait_for("dead", State::Failed);
    monitor.send("hb alive inc=1 seq=5 interval=1h version=1.2");
    monitor.wait_for("alive", State::Alive);
    assert!(monitor.stop().success());
    let monitor = Process::start(Some(udp), &flags);
    monitor.send("hb late inc=1 seq=1 interval=1h");
    monitor.wait_for("late", State::Alive);
    assert!(monitor.stop().success());
    udp
}

#[test]
fn a_torn_snapshot_is_kept_aside_and_the_one_before_and_the_journal_serve() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("a path");
    let udp = lived(path);
    let snapshot = dir.path().join("beliefs.snapshot");
    let bytes = fs::read(&snapshot).expect("it is there");
    fs::write(&snapshot, &bytes[..bytes.len() / 2]).expect("written");

    let monitor = Process::start(Some(udp), &["--state-dir", path]);
    let states = ["dead", "alive", "late"].map(|name| monitor.node(name).map(|node| node.state));
    assert_eq!(states, [Some(State::Failed), Some(State::Alive), Some(State::Alive)]);
    assert_eq!(monitor.node("alive").expect("it is known").version.as_deref(), Some("1.2"));
    assert_eq!(state_dir(&monitor).refused, ["beliefs.snapshot"]);
    assert!(get(&monitor, "/metrics").contains("systole_state_dir_refused 1"));
    assert_eq!(fs::read(dir.path().join("beliefs.snapshot.refused")).expect("kept aside"), bytes[..bytes.len() / 2]);
    assert!(monitor.stop().success());
}

#[test]
fn foreign_files_are_kept_aside_and_numbers_go_on_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("a path");
    let udp = lived(path);
    for name in ["beliefs.snapshot", "beliefs.snapshot.previous"] {
        fs::write(dir.path().join(name), "a shopping list").expect("written");
    }
    let monitor = Process::start(Some(udp), &["--state-dir", path]);
    let states = ["dead", "alive", "late"].map(|name| monitor.node(name).map(|node| node.state));
    assert_eq!(states, [Some(State::Failed), Some(State::Alive), Some(State::Alive)], "the journal alone serves");
    assert_eq!(state_dir(&monitor).refused, ["beliefs.snapshot", "beliefs.snapshot.previous"]);
    let told = last(&monitor);
    assert!(monitor.stop().success());

    fs::write(dir.path().join("events.db"), "another shopping list, which is longer than the first one".repeat(100))
        .expect("written");
    let monitor = Process::start(Some(udp), &["--state-dir", path]);
    assert_eq!(monitor.node("dead").map(|node| node.state), Some(State::Failed), "the snapshot alone serves");
    assert_eq!(state_dir(&monitor).refused, ["events.db"]);
    monitor.send("hb new interval=1h");
    let next = until(|| monitor.events(told).first().map(|event| event.seq));
    assert!(next > told, "{next} comes after {told}");
    assert!(dir.path().join("events.db.refused").exists());
    assert!(monitor.stop().success());
}
