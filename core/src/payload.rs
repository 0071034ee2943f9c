//! What a node tells about itself beyond being there: version, health metrics, labels.
//!
//! Kept apart from the hot record, and only for nodes that tell something. A heartbeat that says
//! the same as the last one, or only other numbers under the same names, allocates nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::wire::{Extras, Kind, Message};
use crate::{Instant, NodeId, Reject};

/// The latest of what a node told about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Payload {
    version: Option<Box<str>>,
    metrics: Vec<(Box<str>, f64)>,
    labels: Vec<(Box<str>, Box<str>)>,
    /// Until when it announced to be silent; of use only while the announcement holds.
    pub(crate) planned_until: Instant,
}

impl Payload {
    /// What a node told, read back from where it was kept: nothing that no message could have said.
    ///
    /// # Errors
    /// A text that isn't one, a number that isn't finite, a name that is there twice, or more than 16 of a kind.
    pub fn new(version: Option<&str>, metrics: &[(&str, f64)], labels: &[(&str, &str)]) -> Result<Self, Reject> {
        let nobody = NodeId::from_bytes([0; 16]);
        let extras = Extras::pairs(metrics, labels);
        let message = Message { version, extras, ..Message::of(Kind::Heartbeat, nobody) };
        message.check()?;
        let mut payload = Self::default();
        payload.take(&message);
        Ok(payload)
    }

    /// The version that the node said it runs.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Its health metrics, in the order in which the node sent them.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metrics.iter().map(|(name, value)| (&**name, *value))
    }

    /// Its labels, in the order in which the node sent them.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.labels.iter().map(|(name, text)| (&**name, &**text))
    }

    /// Whether a message has anything to keep here.
    pub(crate) fn concerns(message: &Message<'_>) -> bool {
        message.version.is_some() || message.next.is_some() || !message.extras.is_empty()
    }

    /// Whether the message says other labels than are known.
    pub(crate) fn relabels(&self, message: &Message<'_>) -> bool {
        message.extras.labels().next().is_some() && !message.extras.labels().eq(self.labels())
    }

    /// Takes over what the message says. What it doesn't mention stays: a sender may send its
    /// labels on some heartbeats and its metrics on others.
    pub(crate) fn take(&mut self, message: &Message<'_>) {
        if let Some(version) = message.version
            && self.version.as_deref() != Some(version)
        {
            self.version = Some(version.into());
        }
        if message.extras.metrics().next().is_some() {
            self.take_metrics(message);
        }
        if self.relabels(message) {
            self.labels = message.extras.labels().map(|(name, text)| (name.into(), text.into())).collect();
        }
    }

    fn take_metrics(&mut self, message: &Message<'_>) {
        let same_names =
            message.extras.metrics().map(|(name, _)| name).eq(self.metrics.iter().map(|(name, _)| &**name));
        if same_names {
            for ((_, kept), (_, new)) in self.metrics.iter_mut().zip(message.extras.metrics()) {
                *kept = new;
            }
        } else {
            self.metrics = message.extras.metrics().map(|(name, value)| (name.into(), value)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_is_what_was_told() {
        let extras = Extras::pairs(&[("cpu", 0.5), ("mem", 1.0)], &[("zone", "eu-1")]);
        let message = Message { version: Some("1.2"), extras, ..Message::heartbeat("a") };
        let mut told = Payload::default();
        told.take(&message);
        let metrics: Vec<_> = told.metrics().collect();
        let labels: Vec<_> = told.labels().collect();
        assert_eq!(Payload::new(told.version(), &metrics, &labels), Ok(told.clone()));
        assert_eq!(Payload::new(None, &[], &[]), Ok(Payload::default()));
    }

    #[test]
    fn what_no_message_could_have_said_is_refused() {
        for (version, metrics, labels) in [
            (Some(""), &[][..], &[][..]),
            (Some("1 2"), &[], &[]),
            (None, &[("cpu", f64::NAN)], &[]),
            (None, &[("cpu", 1.0), ("cpu", 2.0)], &[]),
            (None, &[], &[("zone", "a\nb")]),
            (None, &[("x", 0.0); 17], &[]),
        ] {
            assert_eq!(Payload::new(version, metrics, labels), Err(Reject::BadValue));
        }
    }
}
