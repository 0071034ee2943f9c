//! `systole holds`: what is withheld because many nodes fell silent together, and what to do about it.

use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::Cell;
use systole_core::Span;

use crate::cli::remote::{Remote, json, print};
use crate::cli::table::Look;
use crate::model::Holds;

/// Show or end the holds on failures of many nodes together
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    say: Option<Say>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Say {
    /// They are dead: give the verdicts at once
    Dead {
        /// Which hold, as the list calls it, such as "group web"
        scope: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Withhold the verdicts for longer than was meant
    Longer {
        /// Which hold, as the list calls it, such as "group web"
        scope: String,
        /// How much longer
        #[arg(long = "for", value_name = "D")]
        longer: Span,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Runs the command.
///
/// # Errors
/// The monitor can't be reached, or there is no such hold.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (remote, holds) = match args.say {
        None => {
            let holds = args.remote.client()?.holds()?;
            (args.remote, Some(holds))
        }
        Some(Say::Dead { scope, remote }) => {
            let holds = remote.client()?.hold_dead(&scope)?;
            (remote, holds)
        }
        Some(Say::Longer { scope, longer, remote }) => {
            let holds = remote.client()?.hold_longer(&scope, longer)?;
            (remote, holds)
        }
    };
    let Some(holds) = holds else {
        writeln!(io::stderr(), "there is no such hold; `systole holds` lists them")?;
        return Ok(ExitCode::FAILURE);
    };
    print(|out, look| if remote.json { json(out, &holds) } else { table(out, look, &holds) })
}

fn table(out: &mut dyn Write, look: Look, holds: &Holds) -> anyhow::Result<()> {
    if holds.holds.is_empty() {
        return Ok(writeln!(out, "nothing is held")?);
    }
    let rows = holds.holds.iter().map(|hold| {
        vec![
            look.bold(&hold.scope),
            Cell::new(hold.silent),
            Cell::new(hold.expected),
            Cell::new(&hold.since),
            Cell::new(hold.until.as_deref().unwrap_or("being failed")),
            Cell::new(&hold.reason),
        ]
    });
    Ok(writeln!(out, "{}", look.table(&["SCOPE", ">SILENT", ">OF", "SINCE", "UNTIL", "REASON"], rows))?)
}

const EXAMPLES: &str = "\
Examples:
  systole holds
  systole holds dead \"group web\"
  systole holds longer \"label zone=eu-1\" --for 30m";
