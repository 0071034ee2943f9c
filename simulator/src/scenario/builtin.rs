//! Scenarios that come with the simulator, each a small file to start from.

use super::Scenario;

/// Their names and texts.
const BUILT_IN: [(&str, &str); 13] = [
    ("lan", include_str!("../../scenarios/lan.toml")),
    ("wan", include_str!("../../scenarios/wan.toml")),
    ("bursty", include_str!("../../scenarios/bursty.toml")),
    ("mobile", include_str!("../../scenarios/mobile.toml")),
    ("satellite", include_str!("../../scenarios/satellite.toml")),
    ("partition", include_str!("../../scenarios/partition.toml")),
    ("pauses", include_str!("../../scenarios/pauses.toml")),
    ("restart_storm", include_str!("../../scenarios/restart_storm.toml")),
    ("late_monitor", include_str!("../../scenarios/late_monitor.toml")),
    ("stalled_monitor", include_str!("../../scenarios/stalled_monitor.toml")),
    ("overflow", include_str!("../../scenarios/overflow.toml")),
    ("zone_cut", include_str!("../../scenarios/zone_cut.toml")),
    ("scale_in", include_str!("../../scenarios/scale_in.toml")),
];

impl Scenario {
    /// The text of the scenario of that name.
    pub fn built_in(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// The names of all that come with the simulator.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrong_with_any_of_them() {
        for name in Scenario::built_in_names() {
            let scenario = Scenario::read(Scenario::built_in(name).expect(name));
            assert!(scenario.is_ok(), "{name}: {scenario:?}");
        }
        assert_eq!(Scenario::built_in("moon"), None);
    }
}
