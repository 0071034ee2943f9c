//! `systole-sim`: which interval, which timeout, and how sure are we.
//!
//! The simulator will drive the same `Monitor::turn` as the engine, under virtual time. Until it
//! does, it says so.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("systole-sim: this version has no simulator yet; see CHANGELOG.md for what there is");
    ExitCode::from(2)
}
