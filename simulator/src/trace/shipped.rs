//! The traces that are part of the binary; `simulator/traces/README.md` says what they are.

use super::Trace;

/// Each with its name, gzipped CSV.
const SHIPPED: [(&str, &[u8]); 5] = [
    ("host-idle", include_bytes!("../../traces/host-idle.csv.gz")),
    ("host-starved", include_bytes!("../../traces/host-starved.csv.gz")),
    ("collector-overload", include_bytes!("../../traces/collector-overload.csv.gz")),
    ("mobile-5g", include_bytes!("../../traces/mobile-5g.csv.gz")),
    ("lorawan", include_bytes!("../../traces/lorawan.csv.gz")),
];

/// How they are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The one with this name.
pub(super) fn find(name: &str) -> Option<Trace> {
    let (name, bytes) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
    Some(Trace::parse(name, bytes).expect("what is shipped can be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_core::Span;

    /// As the README beside them has it.
    #[test]
    fn what_is_shipped_is_what_its_readme_says() {
        for (name, beats, lost, interval) in [
            ("host-idle", [12_000].as_slice(), 0, Span::from_millis(10)),
            ("host-starved", &[12_000], 0, Span::from_millis(10)),
            ("collector-overload", &[300; 20], 9, Span::from_millis(500)),
            ("mobile-5g", &[6_217, 4_296, 3_530], 0, Span::from_millis(55)),
            ("lorawan", &[13_854], 86, Span::from_secs(604)),
        ] {
            let trace = find(name).expect(name);
            let lengths: Vec<usize> = trace.series.iter().map(|series| series.beats.len()).collect();
            assert_eq!(lengths, beats, "{name}");
            let missing = trace.series.iter().flat_map(|series| series.losses()).filter(|lost| *lost).count();
            assert_eq!(missing, lost, "{name}");
            for series in &trace.series {
                let off = series.interval().expect("two heartbeats").secs_f64() / interval.secs_f64() - 1.0;
                assert!(off.abs() < 0.02, "{name}: {off}");
            }
        }
        assert_eq!(names().count(), SHIPPED.len());
    }
}
