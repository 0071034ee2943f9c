//! The command line: which commands there are, and whose file each of them is.
//!
//! Every command is one file with its `Args` and its `run`. Exit codes are a contract with scripts:
//! 0 fine, 1 the thing asked about is wrong, 2 the question was.

use std::process::ExitCode;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Parser, Subcommand};

pub mod beat;
pub mod check;
pub mod completions;
pub mod demo;
pub mod events;
pub mod fleet;
pub mod groups;
pub mod holds;
pub mod key;
mod log;
pub mod man;
pub mod node;
pub mod nodes;
mod remote;
pub mod run;
pub mod status;
mod table;
mod terminal;
pub mod token;
pub mod usage;

/// A heartbeat monitor for very large fleets
///
/// Nodes send small datagrams. Systole knows for each of them until when silence is normal, and
/// says who is alive, suspect, failed or gone.
#[derive(Clone, Debug, Parser)]
#[command(name = "systole", version, styles = STYLES, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(subcommand_required = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the monitor
    Run(run::Args),
    /// See it at work: a monitor and a fleet that fails on purpose
    Demo(demo::Args),
    /// Send heartbeats for one node
    Beat(beat::Args),
    /// Send heartbeats for a whole fleet, and fail on purpose
    Fleet(fleet::Args),
    /// Show how a running monitor does
    Status(status::Args),
    /// Show its groups
    Groups(groups::Args),
    /// List its nodes
    Nodes(nodes::Args),
    /// Show one node, and why it is believed to be so
    Node(node::Args),
    /// List what changed, and follow it
    Events(events::Args),
    /// Show or end the holds on failures of many nodes together
    Holds(holds::Args),
    /// Make keys for nodes, and for a monitor to believe nobody else
    Key(key::Args),
    /// Make tokens for those who ask over HTTP
    Token(token::Args),
    /// Say everything that is wrong with a configuration
    Check(check::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// It couldn't be done; the message says why, and the way out. [`usage::exit_code`] says how to end.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        if self.ends_with_its_reader() {
            terminal::end_with_the_reader()?;
        }
        match self {
            Self::Run(args) => run::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Beat(args) => beat::run(args),
            Self::Fleet(args) => fleet::run(args),
            Self::Status(args) => status::run(args),
            Self::Groups(args) => groups::run(args),
            Self::Nodes(args) => nodes::run(args),
            Self::Node(args) => node::run(args),
            Self::Events(args) => events::run(args),
            Self::Holds(args) => holds::run(args),
            Self::Key(args) => key::run(args),
            Self::Token(args) => token::run(args),
            Self::Check(args) => check::run(args),
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
        }
    }

    /// Whether what it prints is all that it is for. The others have sockets and children to tidy up.
    const fn ends_with_its_reader(&self) -> bool {
        match self {
            Self::Run(_) | Self::Demo(_) | Self::Beat(_) | Self::Fleet(_) => false,
            Self::Status(_)
            | Self::Groups(_)
            | Self::Nodes(_)
            | Self::Node(_)
            | Self::Events(_)
            | Self::Holds(_)
            | Self::Key(_)
            | Self::Token(_)
            | Self::Check(_)
            | Self::Completions(_)
            | Self::Man(_) => true,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  systole run                                   a monitor on this machine, with no configuration
  echo \"hb web-1 interval=1s\" > /dev/udp/127.0.0.1/2328
                                                a heartbeat, from bash alone
  systole nodes --state failed                  who has failed
  systole node web-1                            and why
  systole demo                                  all of it in one minute

Exit codes: 0 fine; 1 what was asked about is wrong; 2 the command line is wrong.";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_in_one_line_what_it_is_for() {
        for command in Cli::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!((10..=70).contains(&about.len()) && !about.contains('\n'), "{}: {about:?}", command.get_name());
        }
    }
}
