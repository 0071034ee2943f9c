//! Beats while a command runs, and ends as it ends.
//!
//! Status 0 is a goodbye, and so is death by a signal that was passed on: whoever stops us stops the command on purpose.
//! Any other end is silence, and silence is what a monitor is for. Signals sent to us are passed on. Those of the terminal's keys reach the command by themselves: a second copy would read as "now, at once!".

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::Context;
use crossbeam::channel::RecvTimeoutError;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use super::{Pulse, signals};

/// What the command is told when we are.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Runs `command`, whose first word is the program.
pub(super) fn run(command: &[OsString], mut pulse: Pulse) -> anyhow::Result<ExitCode> {
    let mut which = vec![SIGCHLD];
    which.extend(PASSED_ON);
    // Before the command starts: it may end at once.
    let signals = signals(&which)?;
    let (program, arguments) = command.split_first().context("a command has at least a name")?;
    let mut child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("systole: can't run {}: {error}", program.display());
            // As env, nice and every shell have it.
            return Ok(ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }));
        }
    };
    let at_terminal = std::io::stdin().is_terminal();
    let mut asked = None;
    loop {
        let next = pulse.beat()?;
        loop {
            match signals.recv_deadline(next) {
                Ok(SIGCHLD) => {}
                Ok(SIGINT | SIGQUIT) if at_terminal => {}
                Ok(signal) => {
                    asked = Some(signal);
                    pass_on(&child, signal);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that catches signals has ended"),
            }
            if let Some(status) = child.try_wait().context("can't ask how the command is doing")? {
                if on_purpose(status, asked) {
                    pulse.goodbye();
                }
                return Ok(ExitCode::from(code(status)));
            }
        }
    }
}

/// Nobody else collects the child, so its number is still its own, even if it has just ended.
fn pass_on(child: &Child, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _ = kill_process(Pid::from_child(child), signal);
    }
}

/// Whether the command ended as it should: by itself, or by the signal that it was sent through us.
fn on_purpose(status: ExitStatus, asked: Option<i32>) -> bool {
    status.success() || asked.is_some_and(|signal| status.signal() == Some(signal))
}

/// The command's own code, or 128 and the signal that ended it, as a shell has it.
fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128 + signal as u8,
        (None, None) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_command_as_a_shell_has_it() {
        for (raw, expected) in [(0, 0), (3 << 8, 3), (255 << 8, 255), (15, 143), (9, 137)] {
            assert_eq!(code(ExitStatus::from_raw(raw)), expected);
        }
    }

    #[test]
    fn an_end_is_on_purpose_if_it_is_clean_or_was_asked_for() {
        let ended = ExitStatus::from_raw;
        assert!(on_purpose(ended(0), None));
        assert!(on_purpose(ended(15), Some(SIGTERM)));
        assert!(!on_purpose(ended(9), Some(SIGTERM)));
        assert!(!on_purpose(ended(15), None));
        assert!(!on_purpose(ended(1 << 8), Some(SIGTERM)), "it had the chance to end well");
    }
}
