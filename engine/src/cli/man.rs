//! `systole man`: the manual, made from the same words as `--help`, so that the two can't disagree.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use super::Cli;

/// What to print, and where to.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write a page for every command into this folder instead of printing the first
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints or writes the manual.
///
/// # Errors
/// It can't be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { dir } = args;
    match dir {
        Some(dir) => {
            fs::create_dir_all(&dir).with_context(|| format!("can't make the folder {}", dir.display()))?;
            clap_mangen::generate_to(Cli::command(), &dir)
                .with_context(|| format!("can't write manual pages into {}", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            io::stdout().write_all(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const EXAMPLES: &str = "\
Examples:
  systole man | man -l -
  systole man --dir /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().expect("a folder");
        run(Args { dir: Some(dir.path().join("man1")) }).expect("pages");
        assert!(dir.path().join("man1/systole.1").is_file());
        for command in Cli::command().get_subcommands() {
            let page = dir.path().join(format!("man1/systole-{}.1", command.get_name()));
            let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
            assert!(text.contains(".SH SYNOPSIS"), "{text}");
        }
    }
}
