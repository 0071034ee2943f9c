//! Something that stops now and then, for times that nobody foresees: `every=10m,length=2s`.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use crate::spec::{Parts, SpecError};

/// Stops at random: a sender that collects garbage, a monitor whose machine is busy elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// From the end of one pause to the start of the next, on average; exponential.
    pub every: Span,
    /// How long one takes on average; exponential.
    pub length: Span,
}

impl FromStr for Pauses {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = Parts::read("pauses", text, "every=10m,length=2s")?;
        let (every, length) = (parts.span("every")?, parts.span("length")?);
        parts.done(Self { every, length })
    }
}

/// As it is read.
impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every={},length={}", self.every.compact(), self.length.compact())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_read_back_as_they_were_written_and_need_both_parts() {
        let pauses = "every=10m,length=2s".parse::<Pauses>().expect("pauses");
        assert_eq!(pauses.to_string().parse(), Ok(pauses));
        assert!("every=10m".parse::<Pauses>().is_err());
    }
}
