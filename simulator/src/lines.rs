//! What is wrong with a file, and where: `plan.toml:12:5: message`.
//!
//! While a file is read faults know their byte; at the end, sorted, they are told by line and column.

use std::fmt;

/// One thing that is wrong, with the value and the way out. Put the file's name and a colon in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// The faults found so far, by the byte of the text at which they stand.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(usize, String)>);

impl Faults {
    pub(crate) fn add(&mut self, at: usize, message: impl Into<String>) {
        self.0.push((at, message.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of the text.
    pub(crate) fn located(mut self, text: &str) -> Vec<Fault> {
        self.0.sort();
        self.0.dedup();
        let locate = |(at, message): (usize, String)| {
            let before = text.get(..at).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            Fault { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, message }
        };
        self.0.into_iter().map(locate).collect()
    }
}
