//! A scenario's parameters by the names of their flags, so that a file can turn each of them.
//!
//! A name alone turns all groups: `interval`. With a group's name before it, only that one:
//! `edge.interval`. What is the monitor's own, such as `stall`, has no group.

use std::str::FromStr;

use systole_core::Span;

use crate::latency::Delay;
use crate::loss::Loss;
use crate::presets::{PRESETS, Preset};

use super::{DetectorChoice, FlapText, Group, GuardText, Phase, Scenario};

/// What each group has, in the order in which it is told.
const OF_GROUPS: [&str; 26] = [
    "network",
    "nodes",
    "interval",
    "detector",
    "timeout",
    "confirm",
    "loss",
    "delay",
    "transport",
    "heartbeats",
    "crashes",
    "goodbyes",
    "incident",
    "lifetime",
    "outage",
    "down",
    "jitter",
    "drift",
    "phase",
    "pauses",
    "twice",
    "clones",
    "duplicates",
    "reorder",
    "partition",
    "uplink",
];

const OF_THE_MONITOR: [&str; 8] =
    ["stall", "buffer", "capacity", "restart", "clock-step", "gates", "guard", "flapping"];

/// Whoever runs the monitor chooses these; all others are what he meets with.
const DESIGN: [&str; 6] = ["interval", "detector", "timeout", "confirm", "jitter", "phase"];

/// Whether somebody chooses this one, rather than meeting with it.
pub(crate) fn is_design(dial: &str) -> bool {
    DESIGN.contains(&bare(dial))
}

/// The name without its group.
pub(crate) fn bare(dial: &str) -> &str {
    dial.rsplit_once('.').map_or(dial, |(_, name)| name)
}

/// Sets one parameter from its text.
///
/// # Errors
/// What is wrong with the text, for its name to stand before. Ranges are the business of `check`.
pub(crate) fn turn(scenario: &mut Scenario, dial: &str, text: &str) -> Result<(), String> {
    if OF_THE_MONITOR.contains(&dial) {
        return turn_monitor(scenario, dial, text);
    }
    let Some((group, name)) = dial.rsplit_once('.') else {
        return scenario.groups.iter_mut().try_for_each(|group| turn_group(group, dial, text));
    };
    match scenario.groups.iter_mut().find(|known| known.name == group) {
        Some(group) => turn_group(group, name, text),
        None => Err(format!("is of a group {group:?} that the scenario doesn't have")),
    }
}

pub(super) fn turn_group(group: &mut Group, name: &str, text: &str) -> Result<(), String> {
    match name {
        "network" => (group.loss, group.delay) = network(text)?,
        "nodes" => group.nodes = read(text)?,
        "interval" => group.interval = read(text)?,
        "detector" => group.detector = read(text)?,
        "timeout" => group.detector = timeout(&group.detector, text)?,
        "confirm" => group.confirm = read(text)?,
        "loss" => group.loss = read(text)?,
        "delay" => group.delay = read(text)?,
        "transport" => group.transport = read(text)?,
        "heartbeats" => group.heartbeats = read(text)?,
        "crashes" => group.crashes = read(text)?,
        "goodbyes" => group.goodbyes = read(text)?,
        "incident" => group.incidents = list(text)?,
        "lifetime" => group.lifetime = optional(text)?,
        "outage" => group.outage = optional(text)?,
        "down" => group.down = Some(read::<Span>(text)?),
        "jitter" => group.jitter = read(text)?,
        "drift" => group.drift = read(text)?,
        "phase" => group.phase = phase(text)?,
        "pauses" => group.pauses = optional(text)?,
        "twice" => group.twice = read(text)?,
        "clones" => group.clones = read(text)?,
        "duplicates" => group.duplicates = read(text)?,
        "reorder" => group.reorder = optional(text)?,
        "partition" => group.partitions = list(text)?,
        "uplink" => group.uplink = optional(text)?,
        _ => {
            let known = [&OF_GROUPS[..], &OF_THE_MONITOR[..]].concat();
            return Err(format!("is not a parameter; one of {}", known.join(", ")));
        }
    }
    Ok(())
}

pub(super) fn turn_monitor(scenario: &mut Scenario, name: &str, text: &str) -> Result<(), String> {
    let Scenario { monitor, gates, .. } = scenario;
    match name {
        "stall" => monitor.stalls = list(text)?,
        "buffer" => monitor.buffer = optional(text)?,
        "capacity" => monitor.capacity = optional(text)?,
        "restart" => monitor.restarts = list(text)?,
        "clock-step" => monitor.clock_steps = list(text)?,
        "gates" => gates.told = text.parse().map_err(|_| format!("{text:?}: write true or false"))?,
        "guard" => gates.guard = read::<GuardText>(text)?.0,
        "flapping" => gates.flapping = read::<FlapText>(text)?.0,
        _ => return Err(format!("is not a setting of the monitor; one of {}", OF_THE_MONITOR.join(", "))),
    }
    Ok(())
}

/// Several, with blanks between them, as they are told; or `none`.
fn list<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<Vec<T>, String> {
    match text {
        "none" => Ok(Vec::new()),
        some => some.split_whitespace().map(read).collect(),
    }
}

fn optional<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<Option<T>, String> {
    match text {
        "none" => Ok(None),
        some => read(some).map(Some),
    }
}

fn read<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{text:?}: {error}"))
}

/// Loss and delay of a named network.
fn network(name: &str) -> Result<(Loss, Delay), String> {
    let Some(preset) = Preset::find(name) else {
        let known = PRESETS.map(|preset| preset.name).join(", ");
        return Err(format!("{name:?} is unknown; one of {known}, or give loss and delay"));
    };
    Ok((preset.loss(), preset.delay()))
}

/// The fixed detector with another timeout.
fn timeout(detector: &DetectorChoice, text: &str) -> Result<DetectorChoice, String> {
    let named = detector.to_string();
    match named.split(':').next() {
        Some("fixed") => read(&format!("fixed:timeout={text}")),
        Some(_) | None => Err(format!(
            "{text:?}: only the fixed detector has a timeout, and this one is {named}; write detector = \"fixed\""
        )),
    }
}

fn phase(text: &str) -> Result<Phase, String> {
    let phases = [Phase::Spread, Phase::LockStep];
    let known = phases.into_iter().find(|phase| phase.name() == text);
    known.ok_or_else(|| format!("{text:?}: one of {}", phases.map(Phase::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dial_sets_what_it_names() {
        for (dial, text) in [
            ("nodes", "17"),
            ("interval", "2s"),
            ("detector", "phi:threshold=5"),
            ("confirm", "5s"),
            ("loss", "gilbert:p=0.01,burst=5"),
            ("delay", "exp:20ms"),
            ("heartbeats", "12345"),
            ("crashes", "3"),
            ("goodbyes", "0.5"),
            ("down", "77s"),
            ("jitter", "0.125"),
            ("drift", "0.25"),
            ("phase", "lock-step"),
            ("pauses", "every=10m,length=2s"),
            ("twice", "0.75"),
            ("duplicates", "0.0625"),
            ("partition", "0.3@60s..90s"),
            ("clones", "1"),
            ("incident", "0.2@5m,down=30s"),
            ("reorder", "p=0.01,by=50ms"),
            ("uplink", "rate=1000,queue=200"),
            ("stall", "3s@60s 1s@90s"),
            ("buffer", "200"),
            ("capacity", "1000"),
            ("restart", "60s,down=2s,snapshot=yes"),
            ("clock-step", "+1h@60s"),
            ("gates", "false"),
            ("guard", "rate=7"),
            ("flapping", "true"),
        ] {
            let mut scenario = Scenario::default();
            turn(&mut scenario, dial, text).expect(dial);
            assert_ne!(scenario, Scenario::default(), "{dial}");
            let said = scenario.parameters().into_iter().find(|(name, _)| *name == dial).map(|(_, value)| value);
            let mut again = Scenario::default();
            turn(&mut again, dial, &said.expect("it is told")).expect(dial);
            assert_eq!(again, scenario, "{dial}");
            assert!(turn(&mut scenario, dial, "?").is_err(), "{dial}");
        }
    }

    #[test]
    fn a_name_alone_turns_all_groups_and_with_a_group_only_that() {
        let named = |name: &str| Group { name: name.into(), ..Group::default() };
        let mut scenario = Scenario { groups: vec![named("edge"), named("core")], ..Scenario::default() };
        turn(&mut scenario, "nodes", "9").expect("nodes");
        turn(&mut scenario, "edge.nodes", "7").expect("nodes");
        assert_eq!((scenario.groups[0].nodes, scenario.groups[1].nodes), (7, 9));
        assert!(turn(&mut scenario, "far.nodes", "7").is_err_and(|why| why.contains("\"far\"")));
        assert!(is_design("edge.interval") && !is_design("edge.loss"));
    }

    #[test]
    fn a_timeout_needs_a_detector_that_has_one() {
        let mut scenario = Scenario::default();
        assert!(turn(&mut scenario, "timeout", "2x").is_err_and(|why| why.contains("only the fixed detector")));
        turn(&mut scenario, "detector", "fixed:timeout=3x").expect("a detector");
        turn(&mut scenario, "timeout", "2x").expect("a timeout");
        assert_eq!(scenario.groups[0].detector.to_string(), "fixed:timeout=2x");
    }
}
