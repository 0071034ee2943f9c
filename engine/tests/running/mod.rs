//! `systole run` as a process of its own.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// A running monitor and the lines that it logs.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_systole")).arg("run").args(args))
    }

    /// What `command` comes to.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("systole starts");
        let lines = lines(child.stderr.take().expect("a pipe"));
        Self { child, lines }
    }

    /// The rest of the first line that contains `part`, after it.
    pub(crate) fn line(&self, part: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if let Some((_, rest)) = line.split_once(part) {
                return rest.to_owned();
            }
            seen.push(line);
        }
        panic!("no line with {part:?} in {seen:#?}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The address behind "answering on ".
    pub(crate) fn url(&self) -> String {
        self.line("answering on ")
    }

    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let killed = kill.args(["-s", name, &self.child.id().to_string()]).status().expect("kill starts");
        assert!(killed.success());
    }

    /// How it ends; all of its lines have come by then.
    pub(crate) fn end(mut self) -> ExitStatus {
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().expect("it was started")
    }
}

/// Whatever a test came to, no monitor is left behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
