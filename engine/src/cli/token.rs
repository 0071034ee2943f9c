//! `systole token new NAME`: who may ask a monitor over HTTP.
//!
//! The token goes to whoever will ask, its line to the monitor. It is printed once and kept
//! nowhere: whoever loses it makes another.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use systole_core::is_name;

use crate::token::{Scope, Token};

/// What to do with tokens.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What there is to do.
#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Make a token, and the line that makes a monitor accept it
    New(New),
}

/// Which token to make.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct New {
    /// Whose it will be: a person, or a program
    #[arg(value_parser = name)]
    name: String,
    /// What it is for: to see, or to change things as well
    #[arg(long, value_enum)]
    scope: Scope,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The system has no random numbers, or standard output can't be written to.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its arguments")]
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::New(new) => make(new),
    }
}

fn make(new: &New) -> anyhow::Result<ExitCode> {
    let token = Token::random()?;
    let line = token.entry(&new.name, new.scope).to_string();
    let mut out = io::stdout().lock();
    if new.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&Made { token: token.text(), line: &line })?)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{}\n{line}", token.text())?;
    writeln!(
        io::stderr(),
        "The first line is the token: it is shown this once. Add the second to the monitor's file of tokens \
         (tokens under [http], mode 0600) and reload the monitor."
    )?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Made<'m> {
    token: &'m str,
    line: &'m str,
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    Err("a name has 1 to 128 characters out of A-Z a-z 0-9 . _ : / @ -".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  systole token new grafana --scope read
  systole token new oncall --scope operate --json | jq -r .line >> tokens

Commands take a token from --token-file FILE or from SYSTOLE_TOKEN; others send `Authorization: Bearer TOKEN`.";
