//! Of several detectors the one that gets by with the fewest heartbeats.
//!
//! Unless somebody asks for one in particular, the default detector and the plainest are tried: where
//! only the time until failed counts, what the one keeps in reserve may be worth more to the other.

use systole_core::Span;
use systole_core::detector::Detector;

use super::{Advice, Demand, Unachievable};

/// What was asked of one detector, and the answer.
pub(super) struct Asked {
    /// The demand, with that detector.
    pub(super) demand: Demand,
    /// Settings, or why there are none.
    pub(super) answer: Result<Box<Advice>, Box<Unachievable>>,
}

/// The detectors to try if nobody names one.
pub(super) fn candidates() -> [Detector; 2] {
    ["chen", "fixed"].map(|name| name.parse().expect("the product has these"))
}

/// The cheapest first: the longest interval, and where nothing does, the shortest detection time that
/// would. Of equals the one that was asked first.
pub(super) fn cheapest_first(mut asked: Vec<Asked>) -> Vec<Asked> {
    asked.sort_by_key(|asked| match &asked.answer {
        Ok(advice) => (0, Span::MAX - advice.choice.settings.interval),
        Err(refused) => (1, refused.later.as_ref().map_or(Span::MAX, |(within, _)| *within)),
    });
    asked
}

/// What the others said, in a line; nothing if nobody else was asked.
pub(super) fn others(asked: &[Asked]) -> Option<String> {
    let [first, others @ ..] = asked else { return None };
    let said: Vec<String> = others.iter().map(Asked::said).collect();
    (!said.is_empty())
        .then(|| format!("Of the detectors tried {} needs the fewest heartbeats: {}.", first.name(), said.join(", ")))
}

impl Asked {
    /// The detector's name.
    pub(super) fn name(&self) -> &'static str {
        self.demand.kind.name()
    }

    /// The longest interval that meets the demand, if any does.
    pub(super) fn interval(&self) -> Option<Span> {
        self.answer.as_ref().ok().map(|advice| advice.choice.settings.interval)
    }

    fn said(&self) -> String {
        match self.interval() {
            Some(interval) => format!("{} would take one every {}", self.name(), interval.compact()),
            None => format!("{} can't do it", self.name()),
        }
    }
}
