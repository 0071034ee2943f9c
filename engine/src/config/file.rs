//! The file that a configuration is read from.
//!
//! The one place of this folder that touches the disk, for it and for the files that it names, so that all the rest can
//! be tried on any text.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use systole_core::auth::KeyRing;

use super::auth::Named;
use super::fault::{Fault, Faults};
use super::read::read_looking;
use super::{Access, Setup};
use crate::http::Door;
use crate::key;

/// Why a file can't be used.
#[derive(Debug)]
pub enum Unusable {
    /// It couldn't be read.
    Unread {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It was read and is wrong.
    Faulty {
        /// Which file.
        path: PathBuf,
        /// All that is wrong with it, in the order of its lines.
        faults: Vec<Fault>,
    },
}

/// Reads the configuration in the file at `path`, and looks at the files that it names; with `insecure` as if it said so
/// itself.
///
/// # Errors
/// It can't be read, or something is wrong with it.
pub fn load(path: &Path, insecure: bool) -> Result<Setup, Unusable> {
    let bytes = std::fs::read(path).map_err(|error| Unusable::Unread { path: path.into(), error })?;
    let mut ring = KeyRing::default();
    let mut look = |named: Named<'_>| {
        let access = match named {
            Named::Key(entry) => return key::add(&mut ring, entry).map_err(|error| error.to_string()),
            Named::Tokens(file) => Access { tokens: Some(file.into()), ..Access::default() },
            Named::Tls(tls) => Access { tls: Some(tls.clone()), ..Access::default() },
        };
        Door::load(&access).map(drop).map_err(|error| format!("{error:#}"))
    };
    text(&bytes)
        .and_then(|text| read_looking(text, insecure, &mut look))
        .map_err(|faults| Unusable::Faulty { path: path.into(), faults })
}

fn text(bytes: &[u8]) -> Result<&str, Vec<Fault>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, bad) = bytes.split_at(error.valid_up_to());
        let mut faults = Faults::default();
        faults.add(good.len(), format!("byte {:#04x} is not UTF-8; save the file as UTF-8", bad[0]));
        faults.located(std::str::from_utf8(good).unwrap_or_default())
    })
}

/// The faults one to a line, as `FILE:LINE:COLUMN: message`.
impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { path, error } => write!(f, "cannot read {}: {error}", path.display()),
            Self::Faulty { path, faults } => {
                let s = if faults.len() == 1 { "" } else { "s" };
                write!(f, "{} has {} fault{s}; nothing was started", path.display(), faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "\n{}:{fault}", path.display()))
            }
        }
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_not_utf8_is_a_fault_with_its_line() {
        let faults = text(b"# \xc3\xbc\nstate_dir = \"\xff\"\n").expect_err("not UTF-8");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].to_string(), "2:14: byte 0xff is not UTF-8; save the file as UTF-8");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load(Path::new("/nowhere/systole.toml"), false).expect_err("there is none");
        assert!(error.to_string().starts_with("cannot read /nowhere/systole.toml: "), "{error}");
    }
}
