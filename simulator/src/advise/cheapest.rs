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
    let asked: Vec<Interval> = asked.iter().map(|asked| (asked.name(), asked.interval())).collect();
    compared(&asked)
}

/// A detector's name, and the longest interval that meets the demand with it, if any does.
type Interval = (&'static str, Option<Span>);

/// The first needs the fewest heartbeats only if no other gets by with as many.
fn compared(asked: &[Interval]) -> Option<String> {
    let [(first, longest), others @ ..] = asked else { return None };
    let (equals, dearer): (Vec<Interval>, Vec<Interval>) = others.iter().partition(|(_, interval)| interval == longest);
    let equals: Vec<&str> = equals.into_iter().map(|(name, _)| name).collect();
    let place = match equals.as_slice() {
        [] if dearer.is_empty() => return None,
        [] => "the fewest heartbeats".into(),
        [..] => format!("as many heartbeats as {}", equals.join(" and ")),
    };
    let dearer: Vec<String> = dearer.into_iter().map(said).collect();
    let dearer = if dearer.is_empty() { String::new() } else { format!(": {}", dearer.join(", ")) };
    Some(format!("Of the detectors tried {first} needs {place}{dearer}."))
}

fn said((name, interval): Interval) -> String {
    match interval {
        Some(interval) => format!("{name} would take one every {}", interval.compact()),
        None => format!("{name} can't do it"),
    }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_that_needs_fewer_than_all_others_needs_the_fewest() {
        let second = Some(Span::from_secs(1));
        let half = Some(Span::from_millis(500));
        for (asked, said) in [
            (&[("chen", second)][..], None),
            (
                &[("fixed", second), ("chen", half)],
                Some("fixed needs the fewest heartbeats: chen would take one every 500ms."),
            ),
            (&[("fixed", second), ("chen", None)], Some("fixed needs the fewest heartbeats: chen can't do it.")),
            (&[("chen", second), ("fixed", second)], Some("chen needs as many heartbeats as fixed.")),
            (
                &[("chen", second), ("fixed", second), ("phi", half)],
                Some("chen needs as many heartbeats as fixed: phi would take one every 500ms."),
            ),
        ] {
            assert_eq!(compared(asked), said.map(|said| format!("Of the detectors tried {said}")));
        }
    }
}
