//! A command line that asks for something that can't be meant, told apart from what merely went wrong.
//!
//! Scripts tell the two by the exit code: 2 is for whoever wrote the line, 1 for whoever looks after what it is about.
//! clap refuses what is wrong with one argument alone; this is for what only shows once several are held together.

use std::process::ExitCode;

use crate::sender::ConnectError;

/// Why a command line can't be meant, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl Usage {
    /// The same complaint, as one about the command line.
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        // With all its causes, if it has any.
        Self(format!("{error:#}"))
    }

    /// What isn't a `HOST:PORT` was typed wrong; a name without an address, or one without a way to it, may yet be right.
    pub(crate) fn if_no_address(error: ConnectError) -> anyhow::Error {
        match error {
            ConnectError::Address(_) => Self::of(error).into(),
            ConnectError::Resolve { .. } | ConnectError::Connect { .. } => error.into(),
        }
    }
}

/// How to end after `error`: 2 if the command line was wrong, otherwise 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<Usage>()) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

/// What clap ends with too.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_wrong_command_line_is_found_whatever_was_said_around_it() {
        let usage = Err::<(), _>(Usage("wrong".into())).context("can't begin").unwrap_err();
        assert_eq!(exit_code(&usage), ExitCode::from(2));
        assert_eq!(exit_code(&anyhow::anyhow!("wrong")), ExitCode::FAILURE);
    }

    #[test]
    fn only_what_was_typed_wrong_is_a_wrong_command_line() {
        let code = |error| exit_code(&Usage::if_no_address(error));
        assert_eq!(code(ConnectError::Address("nowhere".into())), ExitCode::from(2));
        let error = std::io::ErrorKind::NotFound.into();
        assert_eq!(code(ConnectError::Resolve { to: "nowhere:1".into(), error }), ExitCode::FAILURE);
    }
}
