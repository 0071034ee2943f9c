//! One number for each detector, chosen so that all of them find crashes equally fast.
//!
//! Who waits longer errs less: two detectors can be compared only at the same mean detection time.
//! Each has a main parameter that it grows with, and bisection finds its value to the fourth
//! decimal. What else a detector can be told stays at its default.

use systole_core::Wait;
use systole_core::detector::{Bertier, Chen, Detector, Fixed, Missed, Phi, SettingError, Tail, TwoWindow};

/// A detector but for its main parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// What a table calls it.
    pub(crate) name: &'static str,
    /// The settings that a value of the parameter stands for.
    settings: &'static [&'static str],
    /// Makes the detector, from its parameter.
    make: fn(f64) -> Result<Detector, SettingError>,
    /// The smallest and the largest value that is tried, in [`STEPS`].
    range: (u32, u32),
}

impl Family {
    /// The detector with this parameter, in steps.
    fn at(&self, steps: u32) -> Option<Detector> {
        (self.make)(f64::from(steps) / f64::from(STEPS)).ok()
    }

    /// Those settings of a detector of this family, as text.
    pub(crate) fn parameter(&self, detector: &Detector) -> String {
        let text = detector.to_string();
        let (_, settings) = text.split_once(':').unwrap_or_default();
        let is_one = |part: &&str| part.split_once('=').is_some_and(|(key, _)| self.settings.contains(&key));
        settings.split(',').filter(is_one).collect::<Vec<&str>>().join(",")
    }

    /// The detector whose mean detection time is nearest to `target`, in seconds. `mean` says it for a
    /// detector; nothing for one that nobody may use, since it would suspect every node.
    pub(crate) fn tune(&self, target: f64, mut mean: impl FnMut(Detector) -> Option<f64>) -> Option<Detector> {
        let mut try_out = |steps: u32| {
            let detector = self.at(steps)?;
            mean(detector).map(|mean| (detector, mean))
        };
        let (mut below, mut above) = self.range;
        let (mut best, mut over) = try_out(above)?;
        if over < target {
            return Some(best);
        }
        let mut under = try_out(below);
        while above - below > 1 && under.is_none_or(|(_, mean)| mean < target) {
            let middle = below + (above - below) / 2;
            match try_out(middle) {
                Some((detector, mean)) if mean >= target => (above, best, over) = (middle, detector, mean),
                tried => (below, under) = (middle, tried),
            }
        }
        let nearer = under.filter(|(_, mean)| (target - mean).abs() < over - target);
        Some(nearer.map_or(best, |(detector, _)| detector))
    }
}

/// Every detector of the product; phi once for each of its tails.
pub(crate) const FAMILIES: [Family; 8] = [
    Family { name: "fixed", settings: &["timeout"], make: fixed, range: (STEPS, MOST) },
    Family { name: "missed", settings: &["k", "margin"], make: missed, range: (STEPS, MOST) },
    Family { name: "chen", settings: &["margin"], make: chen, range: (0, MOST) },
    Family { name: "two-window", settings: &["margin"], make: two_window, range: (0, MOST) },
    Family { name: "phi normal", settings: &["threshold"], make: phi_normal, range: PHI },
    Family { name: "phi logistic", settings: &["threshold"], make: phi_logistic, range: PHI },
    Family { name: "phi exponential", settings: &["threshold"], make: phi_exponential, range: PHI },
    // By its least margin, for its own is whatever the path makes it.
    Family { name: "bertier", settings: &["margin-min"], make: bertier, range: (0, MOST) },
];

/// A step is a ten-thousandth: of an interval, or of a phi.
const STEPS: u32 = 10_000;
/// A thousand intervals.
const MOST: u32 = 1_000 * STEPS;
/// What phi accepts as a threshold.
const PHI: (u32, u32) = (STEPS / 10, 30 * STEPS);
/// Phi's defaults.
const PAUSE: Wait = Wait::Intervals(2.0);
const SD_MIN: Wait = Wait::Intervals(0.05);

fn wait(intervals: f64) -> Wait {
    Wait::Intervals(intervals as f32)
}

/// As many whole intervals as there are, and the rest as margin.
fn missed(intervals: f64) -> Result<Detector, SettingError> {
    let k = libm::floor(intervals);
    Missed::new(k as u32, wait(intervals - k)).map(Detector::Missed)
}

fn fixed(timeout: f64) -> Result<Detector, SettingError> {
    Fixed::new(wait(timeout)).map(Detector::Fixed)
}

fn chen(margin: f64) -> Result<Detector, SettingError> {
    Chen::new(wait(margin), 1.0 / 16.0).map(Detector::Chen)
}

fn two_window(margin: f64) -> Result<Detector, SettingError> {
    TwoWindow::new(wait(margin), 1.0 / 1024.0).map(Detector::TwoWindow)
}

fn phi_normal(threshold: f64) -> Result<Detector, SettingError> {
    phi(threshold, Tail::Normal { pause: PAUSE, sd_min: SD_MIN })
}

fn phi_logistic(threshold: f64) -> Result<Detector, SettingError> {
    phi(threshold, Tail::Logistic { pause: PAUSE, sd_min: SD_MIN })
}

fn phi_exponential(threshold: f64) -> Result<Detector, SettingError> {
    phi(threshold, Tail::Exponential)
}

fn phi(threshold: f64, tail: Tail) -> Result<Detector, SettingError> {
    Phi::new(threshold as f32, tail).map(Detector::Phi)
}

fn bertier(margin: f64) -> Result<Detector, SettingError> {
    Bertier::new(0.125, 1.0, 4.0, wait(margin), wait(margin.max(6.0))).map(Detector::Bertier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::Span;

    const ETA: Span = Span::from_secs(1);

    /// Of a path on which nothing happens: half an interval less than the patience.
    fn quiet(detector: Detector) -> Option<f64> {
        let patience = detector.patience(&detector.start(ETA), ETA).secs_f64();
        (patience > 1.0).then_some(patience - 0.5)
    }

    #[test]
    fn a_family_with_the_default_parameter_is_the_default_detector() {
        for (name, parameter, text, shown) in [
            ("fixed", 3.25, "fixed", "timeout=3.25x"),
            ("missed", 3.25, "missed", "k=3,margin=0.25x"),
            ("chen", 2.25, "chen", "margin=2.25x"),
            ("two-window", 2.25, "two-window", "margin=2.25x"),
            ("phi normal", 8.0, "phi", "threshold=8"),
            ("phi logistic", 8.0, "phi:tail=logistic", "threshold=8"),
            ("phi exponential", 8.0, "phi:tail=exponential", "threshold=8"),
            ("bertier", 2.25, "bertier", "margin-min=2.25x"),
        ] {
            let family = FAMILIES.iter().find(|family| family.name == name).expect(name);
            let detector: Detector = text.parse().expect(text);
            assert_eq!((family.make)(parameter), Ok(detector), "{name}");
            assert_eq!(family.parameter(&detector), shown, "{name}");
        }
    }

    #[test]
    fn every_detector_is_tuned_to_the_same_mean() {
        for family in FAMILIES {
            // At its start phi takes the deviation for a quarter of an interval.
            let target = if family.name == "phi normal" || family.name == "phi logistic" { 3.75 } else { 2.75 };
            let tuned = family.tune(target, quiet).expect("one of them can be used");
            let mean = quiet(tuned).expect("it can be used");
            assert!((mean - target).abs() < 2e-4, "{}: {tuned} {mean}", family.name);
        }
    }

    #[test]
    fn what_cannot_be_reached_is_approached() {
        let phi = FAMILIES.iter().find(|family| family.name == "phi normal").expect("it is one of them");
        let (least, most) = (phi.tune(0.1, quiet).expect("usable"), phi.tune(1e6, quiet).expect("usable"));
        assert_eq!((least, most), (phi.at(PHI.0).expect("0.1"), phi.at(PHI.1).expect("30")));
        // A margin of nothing may not be used: the smallest that may comes nearest.
        let chen = FAMILIES.iter().find(|family| family.name == "chen").expect("it is one of them");
        assert_eq!(chen.tune(0.1, quiet), chen.at(1));
    }
}
