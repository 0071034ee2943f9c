//! Metrics and labels: up to 16 of each, left in the datagram until somebody asks for them.
//!
//! Nearly all heartbeats repeat what the last one said, and most readers of a heartbeat want only
//! its time of arrival. So the parser checks these pairs once and keeps the place where they
//! stand; reading them walks over the bytes again.

use core::fmt;

use super::{EXTRAS_MAX, binary, text, value};
use crate::Reject;

/// The metrics and labels of a message, in the order in which they were sent.
#[derive(Clone, Copy)]
pub struct Extras<'a>(Source<'a>);

/// Where the pairs stand.
#[derive(Clone, Copy)]
enum Source<'a> {
    Pairs {
        metrics: &'a [(&'a str, f64)],
        labels: &'a [(&'a str, &'a str)],
    },
    /// What follows the node's name in a line that was checked.
    Text(&'a str),
    /// The fields of a binary message that was checked.
    Binary(&'a [u8]),
}

/// One metric or label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Extra<'a> {
    Metric(&'a str, f64),
    Label(&'a str, &'a str),
}

impl<'a> Extras<'a> {
    /// No metrics and no labels.
    pub const NONE: Self = Self::pairs(&[], &[]);

    /// These metrics and labels, to be sent. They're checked when the message is emitted.
    pub const fn pairs(metrics: &'a [(&'a str, f64)], labels: &'a [(&'a str, &'a str)]) -> Self {
        Self(Source::Pairs { metrics, labels })
    }

    pub(super) const fn text(fields: &'a str) -> Self {
        Self(Source::Text(fields))
    }

    pub(super) const fn binary(fields: &'a [u8]) -> Self {
        Self(Source::Binary(fields))
    }

    /// Whether there is neither a metric nor a label.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Each metric's name and value; finite, and no name twice.
    pub fn metrics(&self) -> impl Iterator<Item = (&'a str, f64)> + use<'a> {
        self.iter().filter_map(|extra| match extra {
            Extra::Metric(name, value) => Some((name, value)),
            Extra::Label(..) => None,
        })
    }

    /// Each label's name and text; no name twice.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.iter().filter_map(|extra| match extra {
            Extra::Metric(..) => None,
            Extra::Label(name, text) => Some((name, text)),
        })
    }

    /// All pairs, by one walk: of the three sources two are always empty.
    fn iter(&self) -> impl Iterator<Item = Extra<'a>> + use<'a> {
        let (metrics, labels, line, fields): (&[_], &[_], _, &[_]) = match self.0 {
            Source::Pairs { metrics, labels } => (metrics, labels, "", &[]),
            Source::Text(line) => (&[], &[], line, &[]),
            Source::Binary(fields) => (&[], &[], "", fields),
        };
        let metrics = metrics.iter().map(|&(name, value)| Extra::Metric(name, value));
        let labels = labels.iter().map(|&(name, text)| Extra::Label(name, text));
        metrics.chain(labels).chain(text::extras(line)).chain(binary::extras(fields))
    }

    pub(super) fn check(&self) -> Result<(), Reject> {
        let mut seen = Seen::default();
        self.iter().try_for_each(|extra| {
            match extra {
                Extra::Metric(name, number) => value::key(name.as_bytes()).and(value::metric(number)).map(drop)?,
                Extra::Label(name, text) => value::key(name.as_bytes()).and(value::text(text.as_bytes())).map(drop)?,
            }
            seen.note(extra)
        })
    }
}

/// Which metrics and labels a message has had so far.
#[derive(Default)]
pub(super) struct Seen<'a> {
    metrics: Option<Names<'a>>,
    labels: Option<Names<'a>>,
}

impl<'a> Seen<'a> {
    /// Notes one more; refused if it was there before, or if there are too many.
    pub(super) fn note(&mut self, extra: Extra<'a>) -> Result<(), Reject> {
        match extra {
            Extra::Metric(name, _) => self.metrics.get_or_insert_default().note(name),
            Extra::Label(name, _) => self.labels.get_or_insert_default().note(name),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.metrics.is_none() && self.labels.is_none()
    }
}

/// Up to 16 different names.
#[derive(Default)]
struct Names<'a> {
    names: [&'a str; EXTRAS_MAX],
    count: usize,
}

impl<'a> Names<'a> {
    fn note(&mut self, name: &'a str) -> Result<(), Reject> {
        if self.names[..self.count].contains(&name) {
            return Err(Reject::BadValue);
        }
        *self.names.get_mut(self.count).ok_or(Reject::BadValue)? = name;
        self.count += 1;
        Ok(())
    }
}

/// Equal if they say the same: the same metrics and the same labels, each in the same order.
impl PartialEq for Extras<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.metrics().eq(other.metrics()) && self.labels().eq(other.labels())
    }
}

impl fmt::Debug for Extras<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for Extras<'_> {
    fn default() -> Self {
        Self::NONE
    }
}
