//! `systole key`: makes the key of a fleet, and from it the keys of its nodes.
//!
//! Each is one line for one file. Written with `--out` or `--dir`, the file is its owner's from the first
//! byte on and nothing is ever written over; without, the line goes to standard output and nowhere else.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use systole_core::auth::{KeyId, Suite};
use systole_core::{NodeId, is_name};
use zeroize::Zeroizing;

use super::usage::Usage;
use crate::key::{self, master_line, node_line};

/// Make keys, for a monitor that believes nobody without one
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Make the master key of a fleet
    New {
        /// How tags are made
        #[arg(long, default_value = "siphash")]
        suite: Chosen,
        /// Which of the fleet's keys it is: another one than those that are in use
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
        id: u8,
        /// Write it into this new file, which its owner alone can read [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make the keys of nodes from the master key of their fleet
    Derive {
        /// The master key
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
        /// The nodes' names
        #[arg(required = true, value_name = "NODE", value_parser = name)]
        nodes: Vec<String>,
        /// Write each into a new file NODE.key in this folder, a / as %2F [default: standard output]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// The suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Chosen {
    /// SipHash-2-4 with a 128-bit tag: the quick one
    Siphash,
    /// HMAC-SHA256 cut to 128 bits: the one that everybody knows
    Hmac,
}

const EXAMPLES: &str = "Examples:
  systole key new --out fleet-1.key                         a master key for the monitor, see [auth] in systole.toml
  systole key derive --key-file fleet-1.key web-1 web-2 --dir keys
                                                            keys/web-1.key and keys/web-2.key, one for each node
  systole beat web-1 --every 1s --key-file keys/web-1.key   how the node uses it

To change keys: make one with another --id, let the monitor take both, give the nodes theirs, and take the
former away when `systole status` shows that nobody uses it any more.";

/// Makes keys.
///
/// # Errors
/// No randomness, a master key that can't be used, or a file that can't be made.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::New { suite, id, out } => {
            let line = new(suite.suite(), KeyId::new(id).ok_or_else(|| Usage("--id is 1 to 255".into()))?)?;
            match out {
                Some(file) => key::write(&file, &line)?,
                None => io::stdout().write_all(line.as_bytes())?,
            }
        }
        What::Derive { key_file, nodes, dir } => {
            let master = super::fleet::master_key(&key_file)?;
            for name in nodes {
                let line = node_line(&name, &master.node(NodeId::of(&name)));
                match &dir {
                    Some(dir) => key::write(&path(dir, &name), &line)?,
                    None => io::stdout().write_all(line.as_bytes())?,
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A random key.
fn new(suite: Suite, id: KeyId) -> anyhow::Result<Zeroizing<String>> {
    let mut secret = Zeroizing::new(vec![0; suite.key_length()]);
    getrandom::fill(&mut secret).map_err(|error| anyhow!("no random numbers to be had from the system: {error}"))?;
    Ok(master_line(id, suite, &secret))
}

/// A name may have a slash, and no file can; none has a percent sign, so two names are never one file.
fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{}.key", name.replace('/', "%2F")))
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text.as_bytes()) {
        return Ok(text.to_owned());
    }
    Err("a name has 1 to 128 characters out of A-Z a-z 0-9 . _ : / @ -".to_owned())
}

impl Chosen {
    const fn suite(self) -> Suite {
        match self {
            Self::Siphash => Suite::SipHash,
            Self::Hmac => Suite::Hmac,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    #[test]
    fn a_new_key_is_one_and_no_other() {
        for chosen in Chosen::value_variants() {
            let keys = [1, 2].map(|id| new(chosen.suite(), KeyId::new(id).unwrap()).unwrap());
            let [Ok(Key::Master(one)), Ok(Key::Master(other))] = keys.each_ref().map(|line| key::parse(line)) else {
                panic!("two master keys")
            };
            assert_eq!((one.suite(), one.id().number(), other.id().number()), (chosen.suite(), 1, 2));
            assert!(!one.is_same_secret(&other));
            let name = chosen.to_possible_value().unwrap();
            assert_eq!(name.get_name(), chosen.suite().name());
        }
    }

    #[test]
    fn whatever_a_node_is_called_its_key_stays_in_its_folder() {
        let dir = Path::new("keys");
        for (name, expected) in [
            ("web-1", "keys/web-1.key"),
            ("..", "keys/...key"),
            ("../a", "keys/..%2Fa.key"),
            ("/etc/x", "keys/%2Fetc%2Fx.key"),
        ] {
            assert_eq!(path(dir, name), Path::new(expected));
        }
    }
}
