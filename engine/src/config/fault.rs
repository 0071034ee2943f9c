//! One thing that is wrong with a file, and where.
//!
//! While a file is read, faults know their byte. Only at the end, sorted, are bytes turned into
//! lines and columns, in one walk over the text however many faults there are.

use std::fmt;

/// One thing that is wrong with a configuration, with the value and the way out.
///
/// Shown as `12:5: message`; put the file's name and a colon in front.
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

impl std::error::Error for Fault {}

/// The faults found so far, by the byte at which they stand.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(usize, String)>);

impl Faults {
    pub(super) fn add(&mut self, at: usize, message: String) {
        self.0.push((at, message));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in the order of the text.
    pub(super) fn located(mut self, text: &str) -> Vec<Fault> {
        self.0.sort();
        let mut walk = Walk { text, at: 0, line: 1, column: 1 };
        self.0
            .into_iter()
            .map(|(at, message)| {
                walk.to(at);
                Fault { line: walk.line, column: walk.column, message }
            })
            .collect()
    }
}

/// A place in a text that only moves forward.
struct Walk<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl Walk<'_> {
    /// Moves on to the character that the byte belongs to, or to the end.
    fn to(&mut self, byte: usize) {
        while let Some(next) = self.text[self.at..].chars().next() {
            if self.at + next.len_utf8() > byte {
                return;
            }
            self.at += next.len_utf8();
            if next == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_becomes_the_line_and_column_that_an_editor_shows() {
        let text = "a = 1\nü = 2\n\nb";
        let mut faults = Faults::default();
        for (at, name) in [(14, "b"), (0, "start"), (9, "="), (7, "inside ü"), (5, "newline"), (99, "beyond")] {
            faults.add(at, name.to_string());
        }
        let shown: Vec<String> = faults.located(text).iter().map(Fault::to_string).collect();
        assert_eq!(shown, ["1:1: start", "1:6: newline", "2:1: inside ü", "2:3: =", "4:1: b", "4:2: beyond"]);
    }
}
