//! What an interval and a detection time leave for a detector, and how it is shared out.
//!
//! ```text
//!   last heartbeat     arrives                                          failed
//!   sent |── delay ──────▷|── patience, at most its bound ──|── confirm ──|tick|
//!        |<------------------------- detect within ---------------------------->|
//! ```
//! A node is suspect for 3 of the 6.25 intervals that the product's defaults wait until it is failed. That
//! share is kept: 52 % of an ordinary silence until suspect, the rest to confirm. So the suspicion,
//! which costs little, comes early, and the failure, on which somebody acts, as late as is allowed.

use core::fmt;

use serde::Serialize;
use systole_core::detector::Detector;
use systole_core::{Span, Wait};

use crate::rare::{Event, Question};

/// How often the nodes beat and how they are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// From one heartbeat to the next.
    pub interval: Span,
    /// Decides when a node is suspect.
    pub detector: Detector,
    /// And this, how much later it is failed.
    pub confirm: Span,
}

impl Settings {
    /// A detector of this kind that, with its confirm time, takes at most `budget` from the last
    /// arrival to the verdict: as patient as it may be. What else `kind` is set to stays. Nothing
    /// where the interval is too long for that.
    pub fn fit(kind: &Detector, interval: Span, budget: Span) -> Option<Self> {
        let fits = |size: u64| {
            let detector = sized(kind, interval, size)?;
            let bound = detector.bound(interval)?;
            (bound + confirm(&detector, interval) <= budget).then_some(detector)
        };
        let (mut low, mut high) = (0, budget.millis() + 1);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle).is_some() { low = middle } else { high = middle }
        }
        let detector = fits(round_down(low)).or_else(|| fits(low))?;
        let quiet = detector.patience(&detector.start(interval), interval);
        // One that suspects before the next heartbeat is due suspects everybody.
        if quiet <= interval {
            return None;
        }
        // What rounding left over goes to the end.
        let confirm = Span::from_millis(round_down((budget - detector.bound(interval)?).millis()));
        Some(Self { interval, detector, confirm })
    }

    /// From the arrival of the last heartbeat to the failure, at most.
    pub fn bound(&self) -> Span {
        self.detector.bound(self.interval).expect("one without a bound fits nowhere") + self.confirm
    }

    /// The same settings as a question about how often they are wrong.
    pub fn question(&self, loss: crate::loss::Loss, delay: crate::latency::Delay, event: Event) -> Question {
        let (interval, detector, confirm) = (self.interval, self.detector, Wait::Span(self.confirm));
        Question { interval, jitter: 0.0, loss, delay, detector, confirm, event }
    }
}

/// As flags of `systole-sim run`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (interval, confirm) = (self.interval.compact(), self.confirm.compact());
        write!(f, "--interval {interval} --detector {} --confirm {confirm}", self.detector)
    }
}

impl Serialize for Settings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Settings", 4)?;
        fields.serialize_field("interval", &self.interval.compact().to_string())?;
        fields.serialize_field("interval_ms", &self.interval.millis())?;
        fields.serialize_field("detector", &self.detector.to_string())?;
        fields.serialize_field("confirm", &self.confirm.compact().to_string())?;
        fields.end()
    }
}

/// The default proportion: what an ordinary silence lasts until suspect, and from then on.
const UNTIL_SUSPECT: f64 = 3.25;
const UNTIL_FAILED: f64 = 6.25;

fn confirm(detector: &Detector, interval: Span) -> Span {
    let quiet = detector.patience(&detector.start(interval), interval).nanos() as f64;
    Span::from_nanos((quiet * (UNTIL_FAILED - UNTIL_SUSPECT) / UNTIL_SUSPECT) as u64)
}

/// The detector with its patience set to `size`, milliseconds of what it calls it.
fn sized(kind: &Detector, interval: Span, size: u64) -> Option<Detector> {
    let span = |millis: u64| Span::from_millis(millis).compact().to_string();
    let with: Vec<(&str, String)> = match kind {
        Detector::Fixed(_) => vec![("timeout", span(size))],
        Detector::Missed(_) => {
            let k = size / interval.millis().max(1);
            vec![("k", k.to_string()), ("margin", span(size - k * interval.millis()))]
        }
        Detector::Chen(_) | Detector::TwoWindow(_) => vec![("margin", span(size))],
        // Only two of its tails have a pause; the third is all threshold.
        Detector::Phi(_) if kind.to_string().contains("exponential") => {
            vec![("threshold", (size as f64 / 1e3).to_string())]
        }
        Detector::Phi(_) => vec![("pause", span(size))],
        Detector::Bertier(_) => {
            // As far apart as in the defaults.
            vec![("margin-min", span((size as f64 * 2.25 / 6.0) as u64)), ("margin-max", span(size))]
        }
    };
    let text = kind.to_string();
    let (name, list) = text.split_once(':').expect("a detector is written with its settings");
    let parts = list.split(',').map(|part| {
        let key = part.split('=').next().expect("a part has a key");
        with.iter().find(|(given, _)| *given == key).map_or_else(|| part.into(), |(_, value)| format!("{key}={value}"))
    });
    format!("{name}:{}", parts.collect::<Vec<String>>().join(",")).parse().ok()
}

/// To hundredths of a second above one: nobody wants to read more.
fn round_down(millis: u64) -> u64 {
    if millis >= 1_000 { millis / 10 * 10 } else { millis }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(kind: &str, interval: u64, budget: u64) -> Option<Settings> {
        let kind = kind.parse().expect("a detector");
        Settings::fit(&kind, Span::from_millis(interval), Span::from_millis(budget))
    }

    #[test]
    fn every_detector_keeps_within_the_budget_and_nearly_uses_it_up() {
        let kinds = [
            "fixed",
            "missed",
            "chen:gain=0.5",
            "two-window",
            "phi",
            "phi:tail=logistic",
            "phi:tail=exponential",
            "bertier",
        ];
        for kind in kinds {
            for (interval, budget) in [(100, 15_000), (500, 15_000), (1_000, 60_000), (30, 800)] {
                let settings = fit(kind, interval, budget).unwrap_or_else(|| panic!("{kind} {interval} {budget}"));
                let bound = settings.bound();
                let budget = Span::from_millis(budget);
                assert!(bound <= budget && bound + Span::from_millis(20) > budget, "{kind}: {settings}: {bound}");
            }
        }
    }

    #[test]
    fn suspicion_and_failure_share_the_silence_as_in_the_defaults() {
        let settings = fit("fixed", 1_000, 6_250).expect("it fits");
        assert_eq!(settings.to_string(), "--interval 1s --detector fixed:timeout=3.25s --confirm 3s");
        let settings = fit("chen:gain=0.5", 1_000, 15_000).expect("it fits");
        assert_eq!(settings.to_string(), "--interval 1s --detector chen:margin=5.39s,gain=0.5 --confirm 5.91s");
    }

    #[test]
    fn an_interval_that_leaves_no_patience_fits_nowhere() {
        assert_eq!(fit("chen", 8_000, 15_000), None);
        assert_eq!(fit("fixed", 8_000, 15_000), None);
        assert!(fit("fixed", 7_500, 15_000).is_some());
    }
}
