//! `[guard]` and `[flapping]`: when a verdict that is due is withheld all the same.

use systole_core::config::{FlapSettings, GuardSettings};

use super::fault::Faults;
use super::read::{or, or_usual};
use super::section::Section;
use super::value;

/// The guard, or nothing where it is turned off.
pub(super) fn guard(section: &mut Section<'_>, faults: &mut Faults) -> Option<GuardSettings> {
    let usual = GuardSettings::default();
    let enabled = or(section.read("enabled", faults, value::boolean), true, true);
    let labels = section.read_list("labels", faults, |item, _| value::text(item.get_ref()));
    let guard = GuardSettings {
        least: or_usual(section.read("least", faults, |v| value::count(v, 0..=u32::MAX)), usual.least),
        share: or_usual(section.read("share", faults, value::number), usual.share),
        window: or_usual(section.read("window", faults, value::span), usual.window),
        longest: or_usual(section.read("longest", faults, value::span), usual.longest),
        rate: or_usual(section.read("rate", faults, value::rate), usual.rate),
        labels: labels.unwrap_or_default(),
    };
    section.done(faults);
    enabled.then_some(guard)
}

/// When nodes are kept quiet that go to and fro, or nothing where they aren't.
pub(super) fn flapping(section: &mut Section<'_>, faults: &mut Faults) -> Option<FlapSettings> {
    let usual = FlapSettings::default();
    let enabled = or(section.read("enabled", faults, value::boolean), true, true);
    let flapping = FlapSettings {
        penalty: or_usual(section.read("penalty", faults, value::number), usual.penalty),
        suppress: or_usual(section.read("suppress", faults, value::number), usual.suppress),
        reuse: or_usual(section.read("reuse", faults, value::number), usual.reuse),
        half_life: or_usual(section.read("half_life", faults, value::span), usual.half_life),
    };
    section.done(faults);
    enabled.then_some(flapping)
}
