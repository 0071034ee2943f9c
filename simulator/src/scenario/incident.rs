//! One cause that many nodes share: `0.2@5m,down=30s` crashes a fifth of a group at one instant.
//!
//! A rack loses power, a bad release is rolled out. All of them come back at once as well, half a
//! minute later: a restart storm. With `goodbye=yes` they leave on purpose instead: a fleet is scaled in.

use core::fmt;
use core::str::FromStr;

use systole_core::Span;

use crate::spec::{Parts, SpecError, number, span};

/// Many nodes that crash at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident {
    /// When, after the start of the run.
    pub at: Span,
    /// Each node is hit with this probability. 0 to 1.
    pub share: f64,
    /// How long they stay down; nothing: as long as any crashed node of the group.
    pub down: Option<Span>,
    /// Whether they say goodbye first, so that it is no crash.
    pub goodbye: bool,
}

impl FromStr for Incident {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (when, options) = text.split_once(',').map_or((text, None), |(when, rest)| (when, Some(rest)));
        let Some((share, at)) = when.split_once('@') else {
            return Err(SpecError(format!("incident {text:?} is not of the form share@at; write 0.2@5m,down=30s")));
        };
        let share = number("incident", "share", share, 0.0, 1.0)?;
        let mut incident = Self { share, at: span("incident", "at", at)?, down: None, goodbye: false };
        let Some(options) = options else { return Ok(incident) };
        let mut parts = Parts::read("incident", options, "0.2@5m,down=30s,goodbye=yes")?;
        if parts.has("down") {
            incident.down = Some(parts.span("down")?);
        }
        if parts.has("goodbye") {
            incident.goodbye = parts.word("goodbye", &["yes", "no"])? == "yes";
        }
        parts.done(incident)
    }
}

/// As it is read.
impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.share, self.at.compact())?;
        self.down.map_or(Ok(()), |down| write!(f, ",down={}", down.compact()))?;
        f.write_str(if self.goodbye { ",goodbye=yes" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_reads_back_as_it_was_written() {
        for text in ["0.2@5m", "1@90s,down=30s", "1@90s,goodbye=yes", "0.4@2m,down=1h,goodbye=yes"] {
            assert_eq!(text.parse::<Incident>().map(|incident| incident.to_string()), Ok(text.to_string()));
        }
        for text in ["0.2", "2@5m", "0.2@soon", "0.2@5m,up=3s"] {
            assert!(text.parse::<Incident>().is_err(), "{text}");
        }
    }
}
