//! `systole completions SHELL`: what to type next, for shells that ask.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Cli;

/// What to print.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell to print them for
    shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// Standard output can't be written to.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { shell } = args;
    // In one piece: the generator panics where it can't write.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "systole", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

const EXAMPLES: &str = "\
Examples:
  systole completions bash > /etc/bash_completion.d/systole
  systole completions zsh > ~/.zfunc/_systole
  systole completions fish > ~/.config/fish/completions/systole.fish";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            generate(shell, &mut Cli::command(), "systole", &mut script);
            let script = String::from_utf8(script).expect("a text");
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell} doesn't know {}", command.get_name());
            }
        }
    }
}
