//! `systole`: the monitor, its senders and its client. What they do stands in the library.

use std::process::ExitCode;

use clap::Parser;
use systole::cli::{Cli, usage};

fn main() -> ExitCode {
    Cli::parse().command.run().unwrap_or_else(|error| {
        // On one line, from the failed intention down to its cause.
        eprintln!("systole: {error:#}");
        usage::exit_code(&error)
    })
}
