//! What all commands share that look at a running monitor: where it is, what it asks for, and how to print.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::table::Look;
use crate::cli::usage::Usage;
use crate::client::{Client, Credentials};
use crate::token::Token;

const DEFAULT_URL: &str = "http://127.0.0.1:2329";
const URL_VARIABLE: &str = "SYSTOLE_HTTP";
const TOKEN_VARIABLE: &str = "SYSTOLE_TOKEN";

/// Where the monitor is, and for whom to print.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Remote {
    /// The monitor's HTTP address [default: $SYSTOLE_HTTP, else http://127.0.0.1:2329]
    #[arg(long, value_name = "URL")]
    pub(crate) http: Option<String>,
    #[command(flatten)]
    pub(crate) trust: Trust,
    /// Print JSON, as the HTTP interface has it
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a monitor is shown, and what it has to show. A token is no argument: others could read it there.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Trust {
    /// The file with the token that the monitor asks for [default: the token in $SYSTOLE_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Trust a monitor at https:// whose certificate these vouch for (PEM) [default: public authorities]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Remote {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let variable = variable(URL_VARIABLE);
        self.trust.client(self.http.as_deref().or(variable.as_deref()).unwrap_or(DEFAULT_URL))
    }
}

impl Trust {
    pub(crate) fn client(&self, url: &str) -> anyhow::Result<Client> {
        let token = match (&self.token_file, variable(TOKEN_VARIABLE)) {
            (Some(file), _) => Some(Token::load(file)?),
            (None, Some(text)) => Some(text.trim().parse().context(TOKEN_VARIABLE)?),
            (None, None) => None,
        };
        let ca = self
            .ca
            .as_ref()
            .map(|file| std::fs::read(file).with_context(|| format!("--ca: can't read {}", file.display())));
        let credentials = Credentials { token, ca: ca.transpose()? };
        Ok(Client::with(url, credentials).map_err(Usage::of)?)
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

/// Runs what prints to standard output, and ends well if that went well.
pub(crate) fn print(body: impl FnOnce(&mut dyn Write, Look) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    body(&mut io::stdout().lock(), Look::of_stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// One value as JSON that a person can read too.
pub(crate) fn json(out: &mut dyn Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(value)?)?)
}
