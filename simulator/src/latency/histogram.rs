//! Delays as somebody has counted them: 12 of up to 0.5 ms, 300 of up to 1 ms.
//!
//! What a monitor knows of its own traffic. A delay is taken for the upper end of its bucket: nobody
//! knows where in it it was, and a detector should not be promised the quicker half.

use core::fmt;
use std::sync::Arc;

use systole_core::Span;

use crate::spec::{LONGEST, SpecError, span};

/// A law that is a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram(Arc<[Bucket]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    up_to: Span,
    /// How many there are in it and in all before it.
    so_far: u64,
}

impl Histogram {
    /// From the upper ends of buckets and how many are in each, shortest first. Empty ones are left out.
    ///
    /// # Errors
    /// If there is nothing in it, if a bucket isn't longer than the one before, or longer than a year.
    pub fn new(buckets: impl IntoIterator<Item = (Span, u64)>) -> Result<Self, SpecError> {
        let mut kept: Vec<Bucket> = Vec::new();
        for (up_to, count) in buckets.into_iter().filter(|(_, count)| *count > 0) {
            let before = kept.last().map_or(Bucket { up_to: Span::ZERO, so_far: 0 }, |last| *last);
            if up_to > LONGEST || (!kept.is_empty() && up_to <= before.up_to) {
                let (up_to, least) = (up_to.compact(), before.up_to.compact());
                let range = format!("above that of the bucket before, {least}, and at most 365d");
                return Err(SpecError(format!("histogram: upper end {up_to} is out of range; {range}")));
            }
            let Some(so_far) = before.so_far.checked_add(count).filter(|so_far| *so_far <= COUNT_MAX) else {
                return Err(SpecError(format!("histogram: there are too many delays; at most {COUNT_MAX}")));
            };
            kept.push(Bucket { up_to, so_far });
        }
        if kept.is_empty() {
            return Err(SpecError(format!("histogram: there is nothing in it; write {USAGE}")));
        }
        Ok(Self(kept.into()))
    }

    pub(super) fn read(list: &str) -> Result<Self, SpecError> {
        let bucket = |text: &str| {
            let form = || SpecError(format!("histogram: {text:?} is not of the form count x span; write {USAGE}"));
            let (count, up_to) = text.trim().split_once('x').ok_or_else(form)?;
            Ok((span("histogram", "upper end", up_to.trim())?, count.trim().parse().map_err(|_| form())?))
        };
        Self::new(list.split('|').map(bucket).collect::<Result<Vec<_>, SpecError>>()?)
    }

    /// How many delays were counted.
    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |last| last.so_far)
    }

    /// What this share of the delays, 0 to 1, doesn't exceed.
    pub fn quantile(&self, share: f64) -> Span {
        let rank = (share * self.count() as f64) as u64;
        let at = self.0.partition_point(|bucket| bucket.so_far <= rank);
        self.0[at.min(self.0.len() - 1)].up_to
    }

    /// Each upper end with how many are in its bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (Span, u64)> + '_ {
        let mut before = 0;
        self.0.iter().map(move |bucket| {
            let count = bucket.so_far - before;
            before = bucket.so_far;
            (bucket.up_to, count)
        })
    }

    /// The mean of a function of the delay in seconds.
    pub(super) fn mean_of(&self, value: impl Fn(f64) -> f64) -> f64 {
        let sum: f64 = self.buckets().map(|(up_to, count)| count as f64 * value(up_to.secs_f64())).sum();
        sum / self.count() as f64
    }
}

/// As it is read.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("histogram:")?;
        for (n, (up_to, count)) in self.buckets().enumerate() {
            write!(f, "{}{count}x{}", if n > 0 { "|" } else { "" }, up_to.compact())?;
        }
        Ok(())
    }
}

/// Counts are exact as floats up to here.
const COUNT_MAX: u64 = 1 << 53;
const USAGE: &str = "histogram:12x0.5ms|300x1ms";
