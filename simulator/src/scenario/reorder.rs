//! Datagrams that take a detour: `p=0.01,by=50ms` holds one in a hundred back by 50 ms.
//!
//! Delays that are drawn anew for each datagram overtake each other as well; this does so on a path
//! whose delay is otherwise constant, as a second route does.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use crate::spec::{Parts, SpecError};

/// Some datagrams are held back, so that later ones overtake them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reorder {
    /// With this probability. 0 to 1.
    pub p: f64,
    /// By so much.
    pub by: Span,
}

impl FromStr for Reorder {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("reorder", text, "p=0.01,by=50ms")?;
        let (p, by) = (parts.number("p", 0.0, 1.0)?, parts.span("by")?);
        parts.done(Self { p, by })
    }
}

/// As it is read.
impl fmt::Display for Reorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p={},by={}", self.p, self.by.compact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_as_it_was_written() {
        assert_eq!("p=0.01,by=50ms".parse::<Reorder>().map(|reorder| reorder.to_string()), Ok("p=0.01,by=50ms".into()));
        assert!("p=2,by=50ms".parse::<Reorder>().is_err());
    }
}
