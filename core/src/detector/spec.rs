//! A detector as text: `chen:margin=2.25x,gain=0.0625`, in settings and on the command line.
//!
//! ```text
//!  fixed:timeout=3.25x              two-window:margin=2.25x,gain=0.0009765625
//!  missed:k=3,margin=0.25x          phi:threshold=8,tail=normal,pause=2x,sd-min=0.05x
//!  chen:margin=2.25x,gain=0.0625    bertier:gamma=0.125,beta=1,phi=4,margin-min=2.25x,margin-max=6x
//! ```
//!
//! These are the defaults: what isn't given stays as shown, the name alone is enough. Blanks
//! around a part don't matter. A timeout, margin or pause is a time (`500ms`) or a multiple of the
//! node's interval (`2.25x`). What is printed reads back as the same detector, except that times
//! are printed to the thousandth of their unit.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{Bertier, Chen, Detector, Fixed, Missed, Phi, SettingError, Tail, TwoWindow};
use super::{bertier, chen, fixed, missed, phi, two_window};
use crate::Wait;

const NAMES: [&str; 6] = [fixed::NAME, missed::NAME, chen::NAME, two_window::NAME, phi::NAME, bertier::NAME];
const TAILS: [&str; 3] = ["normal", "logistic", "exponential"];

/// Why a text is not a detector.
#[derive(Clone, Debug, PartialEq)]
pub enum SpecError {
    /// No detector of that name.
    Detector(String),
    /// A part that isn't `setting=value`.
    Pair(&'static str, String),
    /// A setting that the detector doesn't have; with those that it has.
    Setting(&'static str, String, Vec<&'static str>),
    /// A setting that is given more than once.
    Twice(&'static str, String),
    /// A value that is neither a duration nor a multiple of the interval.
    Wait(&'static str, &'static str, String),
    /// A value that isn't a whole number.
    Count(&'static str, &'static str, String),
    /// A value that isn't a number.
    Number(&'static str, &'static str, String),
    /// A tail that phi doesn't have.
    Tail(String),
    /// A value that can be read and makes no sense.
    Value(SettingError),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detector(name) => write!(f, "unknown detector {name:?}; choose one of {}", NAMES.join(", ")),
            Self::Pair(of, part) => write!(f, "{of}: {part:?} is not of the form setting=value"),
            Self::Setting(of, setting, known) => {
                write!(f, "{of}: unknown setting {setting:?}; choose from {}", known.join(", "))
            }
            Self::Twice(of, setting) => write!(f, "{of}: {setting} is given twice; leave one of them out"),
            Self::Wait(of, setting, value) if value.starts_with('-') => {
                write!(f, "{of}: {setting} {value} is out of range; it can't be below zero")
            }
            Self::Wait(of, setting, value) => write!(
                f,
                "{of}: {setting} {value:?} is neither a duration such as 1.5s or 300ms \
                 nor a multiple of the interval such as 2.25x"
            ),
            Self::Count(of, setting, value) => write!(f, "{of}: {setting} {value:?} is not a whole number such as 3"),
            Self::Number(of, setting, value) => {
                write!(f, "{of}: {setting} {value:?} is not a number such as 4 or 0.125")
            }
            Self::Tail(value) => write!(f, "{}: unknown tail {value:?}; choose one of {}", phi::NAME, TAILS.join(", ")),
            Self::Value(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for SpecError {}

impl From<SettingError> for SpecError {
    fn from(error: SettingError) -> Self {
        Self::Value(error)
    }
}

impl FromStr for Detector {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (name, list) = match text.split_once(':') {
            Some((name, list)) => (name.trim(), Some(list)),
            None => (text.trim(), None),
        };
        let given = |of| Given::read(of, list);
        match name {
            fixed::NAME => given(fixed::NAME)?.fixed(),
            missed::NAME => given(missed::NAME)?.missed(),
            chen::NAME => given(chen::NAME)?.chen(),
            two_window::NAME => given(two_window::NAME)?.two_window(),
            phi::NAME => given(phi::NAME)?.phi(),
            bertier::NAME => given(bertier::NAME)?.bertier(),
            other => Err(SpecError::Detector(other.to_string())),
        }
    }
}

/// What was given, less what has been used.
struct Given<'a> {
    of: &'static str,
    pairs: Vec<(&'a str, &'a str)>,
    known: Vec<&'static str>,
}

impl<'a> Given<'a> {
    fn read(of: &'static str, list: Option<&'a str>) -> Result<Self, SpecError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in list.into_iter().flat_map(|list| list.split(',')) {
            let pair = part.split_once('=').ok_or_else(|| SpecError::Pair(of, part.trim().to_string()))?;
            let (setting, value) = (pair.0.trim(), pair.1.trim());
            if pairs.iter().any(|(other, _)| *other == setting) {
                return Err(SpecError::Twice(of, setting.to_string()));
            }
            pairs.push((setting, value));
        }
        Ok(Self { of, pairs, known: Vec::new() })
    }

    fn fixed(mut self) -> Result<Detector, SpecError> {
        let usual = Fixed::default();
        let fixed = Fixed::new(self.wait("timeout", usual.timeout)?)?;
        self.done(Detector::Fixed(fixed))
    }

    fn missed(mut self) -> Result<Detector, SpecError> {
        let usual = Missed::default();
        let missed = Missed::new(self.count("k", usual.k)?, self.wait("margin", usual.margin)?)?;
        self.done(Detector::Missed(missed))
    }

    fn chen(mut self) -> Result<Detector, SpecError> {
        let usual = Chen::default();
        let chen = Chen::new(self.wait("margin", usual.margin)?, self.number("gain", usual.gain)?)?;
        self.done(Detector::Chen(chen))
    }

    fn two_window(mut self) -> Result<Detector, SpecError> {
        let usual = TwoWindow::default();
        let two_window = TwoWindow::new(self.wait("margin", usual.margin)?, self.number("gain", usual.gain)?)?;
        self.done(Detector::TwoWindow(two_window))
    }

    fn phi(mut self) -> Result<Detector, SpecError> {
        let usual = Phi::default();
        let threshold = self.number("threshold", usual.threshold)?;
        let tail = match self.take("tail").unwrap_or("normal") {
            "normal" => {
                let (pause, sd_min) = self.pause_and_sd_min()?;
                Tail::Normal { pause, sd_min }
            }
            "logistic" => {
                let (pause, sd_min) = self.pause_and_sd_min()?;
                Tail::Logistic { pause, sd_min }
            }
            "exponential" => {
                self.of = "phi with tail=exponential";
                Tail::Exponential
            }
            other => return Err(SpecError::Tail(other.to_string())),
        };
        self.done(Detector::Phi(Phi::new(threshold, tail)?))
    }

    fn pause_and_sd_min(&mut self) -> Result<(Wait, Wait), SpecError> {
        Ok((self.wait("pause", phi::PAUSE)?, self.wait("sd-min", phi::SD_MIN)?))
    }

    fn bertier(mut self) -> Result<Detector, SpecError> {
        let usual = Bertier::default();
        let bertier = Bertier::new(
            self.number("gamma", usual.gamma)?,
            self.number("beta", usual.beta)?,
            self.number("phi", usual.phi)?,
            self.wait("margin-min", usual.margin_min)?,
            self.wait("margin-max", usual.margin_max)?,
        )?;
        self.done(Detector::Bertier(bertier))
    }

    fn wait(&mut self, setting: &'static str, usual: Wait) -> Result<Wait, SpecError> {
        let Some(value) = self.take(setting) else { return Ok(usual) };
        value.parse().map_err(|_| SpecError::Wait(self.of, setting, value.to_string()))
    }

    fn count(&mut self, setting: &'static str, usual: u32) -> Result<u32, SpecError> {
        let Some(value) = self.take(setting) else { return Ok(usual) };
        value.parse().map_err(|_| SpecError::Count(self.of, setting, value.to_string()))
    }

    fn number(&mut self, setting: &'static str, usual: f32) -> Result<f32, SpecError> {
        let Some(value) = self.take(setting) else { return Ok(usual) };
        value.parse().map_err(|_| SpecError::Number(self.of, setting, value.to_string()))
    }

    fn take(&mut self, setting: &'static str) -> Option<&'a str> {
        self.known.push(setting);
        let at = self.pairs.iter().position(|(given, _)| *given == setting)?;
        Some(self.pairs.remove(at).1)
    }

    /// The detector, if nothing was given that it has no use for.
    fn done(self, detector: Detector) -> Result<Detector, SpecError> {
        match self.pairs.first() {
            None => Ok(detector),
            Some((setting, _)) => Err(SpecError::Setting(self.of, setting.to_string(), self.known)),
        }
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name())?;
        match self {
            Self::Fixed(Fixed { timeout }) => write!(f, "timeout={timeout}"),
            Self::Missed(Missed { k, margin }) => write!(f, "k={k},margin={margin}"),
            Self::Chen(Chen { margin, gain }) | Self::TwoWindow(TwoWindow { margin, gain }) => {
                write!(f, "margin={margin},gain={gain}")
            }
            Self::Phi(Phi { threshold, tail, .. }) => match tail {
                Tail::Normal { pause, sd_min } => {
                    write!(f, "threshold={threshold},tail=normal,pause={pause},sd-min={sd_min}")
                }
                Tail::Logistic { pause, sd_min } => {
                    write!(f, "threshold={threshold},tail=logistic,pause={pause},sd-min={sd_min}")
                }
                Tail::Exponential => write!(f, "threshold={threshold},tail=exponential"),
            },
            Self::Bertier(Bertier { gamma, beta, phi, margin_min, margin_max }) => {
                write!(f, "gamma={gamma},beta={beta},phi={phi},margin-min={margin_min},margin-max={margin_max}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Detector {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn complaint(text: &str) -> String {
        text.parse::<Detector>().expect_err(text).to_string()
    }

    #[test]
    fn a_name_alone_means_its_defaults_and_they_are_as_documented() {
        for text in [
            "fixed:timeout=3.25x",
            "missed:k=3,margin=0.25x",
            "chen:margin=2.25x,gain=0.0625",
            "two-window:margin=2.25x,gain=0.0009765625",
            "phi:threshold=8,tail=normal,pause=2x,sd-min=0.05x",
            "bertier:gamma=0.125,beta=1,phi=4,margin-min=2.25x,margin-max=6x",
        ] {
            let name = text.split(':').next().expect("a name");
            assert_eq!(read(name).to_string(), text);
            assert_eq!(read(text), read(name));
        }
        assert_eq!(read("chen"), Detector::default());
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "fixed:timeout=1.5s",
            "missed:k=5,margin=500ms",
            "chen:margin=10m,gain=1",
            "phi:threshold=5.5,tail=logistic,pause=3s,sd-min=100ms",
            "phi:threshold=8,tail=exponential",
            "bertier:gamma=0.1,beta=0,phi=2,margin-min=0ms,margin-max=30s",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn order_and_blanks_do_not_matter() {
        assert_eq!(read(" chen : gain = 0.5 , margin = 1s "), read("chen:margin=1s,gain=0.5"));
        assert_eq!(read("phi:pause=1s,threshold=8"), read("phi:threshold=8,tail=normal,pause=1s,sd-min=0.05x"));
    }

    #[test]
    fn a_complaint_names_the_value_and_the_way_out() {
        for (text, said) in [
            ("chenn", r#"unknown detector "chenn"; choose one of fixed, missed, chen, two-window, phi, bertier"#),
            ("", r#"unknown detector ""; choose one of fixed, missed, chen, two-window, phi, bertier"#),
            ("Chen", r#"unknown detector "Chen"; choose one of fixed, missed, chen, two-window, phi, bertier"#),
            ("chen:", r#"chen: "" is not of the form setting=value"#),
            ("chen:2.25x", r#"chen: "2.25x" is not of the form setting=value"#),
            ("chen:margin=1x,", r#"chen: "" is not of the form setting=value"#),
            ("chen:margn=1x", r#"chen: unknown setting "margn"; choose from margin, gain"#),
            ("chen:gain=1,gain=1", "chen: gain is given twice; leave one of them out"),
            (
                "chen:margin=abc",
                "chen: margin \"abc\" is neither a duration such as 1.5s or 300ms \
                 nor a multiple of the interval such as 2.25x",
            ),
            ("fixed:timeout=-1s", "fixed: timeout -1s is out of range; it can't be below zero"),
            ("chen:gain=fast", r#"chen: gain "fast" is not a number such as 4 or 0.125"#),
            ("chen:gain=NaN", "chen: gain NaN is out of range; between 0.0001 and 1"),
            ("missed:k=2.5", r#"missed: k "2.5" is not a whole number such as 3"#),
            ("missed:k=0", "missed: k 0 is out of range; between 1 and 1000"),
            ("fixed:timeout=0s", "fixed: timeout of no length would suspect every node at once; make it longer"),
            ("phi:threshold=0", "phi: threshold 0 is out of range; between 0.1 and 30"),
            ("phi:tail=fat", r#"phi: unknown tail "fat"; choose one of normal, logistic, exponential"#),
            (
                "phi:tail=exponential,pause=1s",
                r#"phi with tail=exponential: unknown setting "pause"; choose from threshold, tail"#,
            ),
            (
                "bertier:margin-min=2s,margin-max=1s",
                "bertier: margin-min is above margin-max; lower the one or raise the other",
            ),
        ] {
            assert_eq!(complaint(text), said);
        }
    }
}
