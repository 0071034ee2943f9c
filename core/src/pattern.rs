//! `edge-*`: a name with holes. `*` stands for any run of bytes, `?` for exactly one.
//!
//! Used when a node registers or its labels change, never on the ordinary path of a heartbeat.
//! Matching backtracks only to the last star, so its cost is at most pattern times text.

use alloc::boxed::Box;
use core::fmt;

/// A text in which `*` stands for any run of bytes and `?` for exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// A pattern from its text. Every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the whole of `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(byte) if *byte == b'?' || *byte == text[t] => {
                    p += 1;
                    t += 1;
                }
                Some(_) | None => {
                    // Let the last star swallow one byte more, and try again behind it.
                    let Some((at, from)) = star else { return false };
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_and_a_question_mark_for_one_byte() {
        for (pattern, text, fits) in [
            ("edge-*", "edge-7", true),
            ("edge-*", "edge-", true),
            ("edge-*", "edg-7", false),
            ("*", "", true),
            ("*-b", "a-b-b", true),
            ("a*b*c", "a-xx-b-yy-c", true),
            ("a*b*c", "a-xx-b-yy-d", false),
            ("rack-?", "rack-1", true),
            ("rack-?", "rack-12", false),
            ("", "", true),
            ("", "x", false),
            ("**x", "aax", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }
}
