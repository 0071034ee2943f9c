//! Which gates a verdict passes in the simulated monitor, and whether anybody stands at them.
//!
//! ```text
//!   due ──► our own troubles? ──► flapping? ──► guard? ──► failed
//!              gates = true       flapping      guard
//! ```
//! The monitor can't know of its own stalls, drops and clock steps unless it is told. The engine tells
//! its monitor; `gates = true` does so here, `false` shows what would have happened without. The
//! guard and the damping of what flaps are the product's own, with its defaults; they are off unless
//! asked for, because nodes that share them can't be run apart from each other. Labels aren't simulated.

use core::fmt;
use core::str::FromStr;

use systole_core::config::{Config, FlapSettings, GuardSettings, Place, Plan};

use crate::spec::{Parts, SpecError};

/// What may withhold a verdict in the simulated monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct Gates {
    /// Whether it is told of its own stalls, drops and clock steps, as the engine tells its own.
    pub told: bool,
    /// When many nodes that fall silent together are withheld. Nothing: never.
    pub guard: Option<GuardSettings>,
    /// When a node that goes to and fro is kept quiet. Nothing: never.
    pub flapping: Option<FlapSettings>,
}

/// The guard as text: `true`, `false`, or what differs from the product's defaults: `longest=2m,rate=10/s`.
#[derive(Clone, Debug)]
pub(crate) struct GuardText(pub(crate) Option<GuardSettings>);

/// What is flapping as text: `true`, `false`, or what differs from the product's defaults: `half_life=1m`.
#[derive(Clone, Debug)]
pub(crate) struct FlapText(pub(crate) Option<FlapSettings>);

impl Default for Gates {
    fn default() -> Self {
        Self { told: true, guard: None, flapping: None }
    }
}

impl Gates {
    /// Whether what becomes of one node's verdict depends on what others do.
    pub(crate) const fn couple(&self) -> bool {
        self.guard.is_some() || self.flapping.is_some()
    }

    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        vec![
            ("gates", self.told.to_string()),
            ("guard", GuardText(self.guard.clone()).to_string()),
            ("flapping", FlapText(self.flapping).to_string()),
        ]
    }

    /// What the product finds wrong with them: which parameter, and why.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let plan = Plan { guard: self.guard.clone(), flapping: self.flapping, ..Plan::default() };
        let faults = Config::new(plan).err().unwrap_or_default();
        let named = faults.into_iter().filter_map(|fault| match fault.place {
            Place::Guard => Some(("guard", format!("guard: {}", fault.message))),
            Place::Flapping => Some(("flapping", format!("flapping: {}", fault.message))),
            Place::Default | Place::Limits | Place::Group(_) => None,
        });
        named.collect()
    }
}

impl FromStr for GuardText {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let usual = GuardSettings::default();
        let Some(mut parts) = switched("guard", text, "least=3,share=0.15,window=1m,longest=10m,rate=100/s")? else {
            return Ok(Self((text == "true").then_some(usual)));
        };
        let GuardSettings { mut least, mut share, mut window, mut longest, mut rate, labels } = usual;
        if parts.has("least") {
            least = parts.count("least", u32::MAX)?;
        }
        if parts.has("share") {
            share = parts.number("share", 0.0, 1.0)? as f32;
        }
        if parts.has("window") {
            window = parts.span("window")?;
        }
        if parts.has("longest") {
            longest = parts.span("longest")?;
        }
        if parts.has("rate") {
            let text = parts.text("rate")?;
            let number = text.strip_suffix("/s").unwrap_or(text);
            rate = number
                .parse()
                .map_err(|_| SpecError(format!("guard: rate {text:?} is not a number a second; write rate=100/s")))?;
        }
        parts.done(Self(Some(GuardSettings { least, share, window, longest, rate, labels })))
    }
}

impl FromStr for FlapText {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let usual = FlapSettings::default();
        let Some(mut parts) = switched("flapping", text, "penalty=500,suppress=5000,reuse=2500,half_life=5m")? else {
            return Ok(Self((text == "true").then_some(usual)));
        };
        let FlapSettings { penalty, suppress, reuse, mut half_life } = usual;
        let mut number = |name, usual: f32| Ok(parts.number_or(name, f64::from(usual), 0.0, PENALTY_MAX)? as f32);
        let (penalty, suppress, reuse) =
            (number("penalty", penalty)?, number("suppress", suppress)?, number("reuse", reuse)?);
        if parts.has("half_life") {
            half_life = parts.span("half_life")?;
        }
        parts.done(Self(Some(FlapSettings { penalty, suppress, reuse, half_life })))
    }
}

/// The settings in a text; nothing if it only turns them on or off.
fn switched<'a>(of: &'a str, text: &'a str, usage: &'static str) -> Result<Option<Parts<'a>>, SpecError> {
    match text {
        "true" | "false" | "none" => Ok(None),
        settings if settings.contains('=') => Parts::read(of, settings, usage).map(Some),
        other => Err(SpecError(format!("{of} {other:?} is neither true nor false nor settings; write {usage}"))),
    }
}

/// As it is read.
impl fmt::Display for GuardText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(GuardSettings { least, share, window, longest, rate, labels: _ }) = &self.0 else {
            return f.write_str("none");
        };
        let (window, longest) = (window.compact(), longest.compact());
        write!(f, "least={least},share={share},window={window},longest={longest},rate={rate}/s")
    }
}

/// As it is read.
impl fmt::Display for FlapText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(FlapSettings { penalty, suppress, reuse, half_life }) = self.0 else { return f.write_str("none") };
        write!(f, "penalty={penalty},suppress={suppress},reuse={reuse},half_life={}", half_life.compact())
    }
}

/// Beyond this no penalty means anything.
const PENALTY_MAX: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::Span;

    #[test]
    fn settings_read_back_as_they_are_told_and_what_is_left_out_is_the_products() {
        for text in ["none", "least=3,share=0.15,window=1m,longest=10m,rate=100/s"] {
            assert_eq!(text.parse::<GuardText>().map(|guard| guard.to_string()), Ok(text.into()));
        }
        for text in ["none", "penalty=500,suppress=5000,reuse=2500,half_life=5m"] {
            assert_eq!(text.parse::<FlapText>().map(|flaps| flaps.to_string()), Ok(text.into()));
        }
        let read = |text: &str| text.parse::<GuardText>().map(|guard| guard.0).expect(text);
        assert_eq!((read("true"), read("false")), (Some(GuardSettings::default()), None));
        let changed = GuardSettings { longest: Span::from_secs(120), rate: 10.0, ..GuardSettings::default() };
        assert_eq!(read("rate=10,longest=2m"), Some(changed));
        let flaps = "half_life=1m".parse::<FlapText>().expect("settings").0;
        assert_eq!(flaps, Some(FlapSettings { half_life: Span::from_secs(60), ..FlapSettings::default() }));
    }

    #[test]
    fn what_can_not_be_is_refused_with_its_form() {
        for (text, said) in [
            ("maybe", "neither true nor false nor settings; write least=3,share=0.15"),
            ("rate=fast", "rate \"fast\" is not a number a second; write rate=100/s"),
            ("share=1.5", "share 1.5 is out of range; between 0 and 1"),
            ("labels=zone", "unknown setting \"labels\""),
        ] {
            let error = text.parse::<GuardText>().expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
        let guard = "share=0".parse::<GuardText>().expect("its form is right").0;
        let flapping = "reuse=9000".parse::<FlapText>().expect("its form is right").0;
        let faults = Gates { guard, flapping, ..Gates::default() }.faults();
        assert_eq!(faults.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["guard", "flapping"]);
        assert!(faults[0].1.starts_with("guard: share 0 isn't a share"), "{faults:?}");
    }
}
