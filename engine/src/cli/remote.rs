//! What all commands share that look at a running monitor: where it is, and how to print.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::table::Look;
use crate::cli::usage::Usage;
use crate::client::Client;

const DEFAULT_URL: &str = "http://127.0.0.1:2329";
const URL_VARIABLE: &str = "SYSTOLE_HTTP";

/// Where the monitor is, and for whom to print.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Remote {
    /// The monitor's HTTP address [default: $SYSTOLE_HTTP, else http://127.0.0.1:2329]
    #[arg(long, value_name = "URL")]
    pub(crate) http: Option<String>,
    /// Print JSON, as the HTTP interface has it
    #[arg(long)]
    pub(crate) json: bool,
}

impl Remote {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let variable = env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
        let url = self.http.as_deref().or(variable.as_deref()).unwrap_or(DEFAULT_URL);
        Ok(Client::new(url).map_err(Usage::of)?)
    }
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
