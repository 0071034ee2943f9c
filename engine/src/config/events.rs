//! `[events]` and `[snapshot]`: what is kept of the past, in memory and in the state directory.

use systole_core::Span;

use super::fault::Faults;
use super::section::Section;
use super::{Events, Snapshot, value};

pub(super) fn events(mut section: Section<'_>, faults: &mut Faults) -> Events {
    let usual = Events::default();
    let keep = section.read("keep", faults, |value| value::count(value, 1..=KEEP_MAX));
    let retain = section.read("retain", faults, |value| value::span_within(value, RETAIN_MIN..=RETAIN_MAX));
    let retain_max = section.read("retain_max", faults, |value| value::count(value, 1_000..=u32::MAX));
    section.done(faults);
    Events {
        keep: keep.unwrap_or_default().map_or(usual.keep, |keep| keep as usize),
        retain: retain.unwrap_or_default().unwrap_or(usual.retain),
        retain_max: retain_max.unwrap_or_default().map_or(usual.retain_max, u64::from),
    }
}

pub(super) fn snapshot(mut section: Section<'_>, faults: &mut Faults) -> Snapshot {
    let every = section.read("every", faults, |value| value::span_within(value, EVERY_MIN..=EVERY_MAX));
    section.done(faults);
    Snapshot { every: every.unwrap_or_default().unwrap_or(Snapshot::default().every) }
}

/// The most events that may be kept in memory.
const KEEP_MAX: u32 = 100_000_000;

const RETAIN_MIN: Span = Span::from_secs(60);
const RETAIN_MAX: Span = Span::from_secs(100 * 365 * 86_400);

/// More often the disk would do little else; less often a kill would cost much.
const EVERY_MIN: Span = Span::from_millis(100);
const EVERY_MAX: Span = Span::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    #[test]
    fn what_is_written_is_kept_and_the_rest_is_as_usual() {
        let setup = read("[events]\nkeep = 7\nretain = \"12h\"\n[snapshot]\nevery = \"5s\"\n").expect("sound");
        assert_eq!((setup.events.keep, setup.events.retain), (7, Span::from_secs(12 * 3_600)));
        assert_eq!((setup.events.retain_max, setup.snapshot.every), (10_000_000, Span::from_secs(5)));
    }

    #[test]
    fn every_fault_has_its_line_and_its_way_out() {
        let text = "[events]\nretain = \"1s\"\nretain_max = 10\n[snapshot]\nevery = \"1d\"\nof = 1\n";
        let faults: Vec<String> = read(text).expect_err("faults").iter().map(ToString::to_string).collect();
        let lines: Vec<&str> = faults.iter().map(|fault| &fault[..2]).collect();
        assert_eq!(lines, ["2:", "3:", "5:", "6:"], "{faults:#?}");
        assert!(faults[0].contains("retain 1 s is out of range; set it between 1 m and"), "{}", faults[0]);
        assert!(faults[2].contains("every 1 d is out of range"), "{}", faults[2]);
    }
}
