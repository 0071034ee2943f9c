//! A scenario as a file: TOML, with the names and texts of the flags.
//!
//! ```toml
//! length = "10m"
//! [monitor]
//! stall = "3s@60s"
//! guard = true                # or a table of what differs from the product's defaults
//! [[group]]
//! name = "edge"
//! network = "wan"             # loss and delay of a named network; loss and delay replace them
//! nodes = 1000
//! partition = ["0.3@60s..90s", "1@5m..6m"]
//! ```
//! Everything that is wrong is told at once, each with its line: what can't be read, what the file
//! doesn't know, and what [`Scenario::check`] finds, at the key that it is about.

use systole_core::Span;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::dial::{turn_group, turn_monitor};
use super::{DEFAULT_SEED, Gates, Group, Scenario, Troubles};
use crate::lines::{Fault, Faults};
use crate::tables::{in_order, settings, table, text, text_or_list};

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its lines.
    pub fn read(text: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let scenario = match DeTable::parse(text) {
            Ok(root) => scenario(root.get_ref(), &mut faults),
            Err(error) => {
                let message = error.message().replace('\n', " ");
                faults.add(error.span().map_or(0, |span| span.start), format!("this is not TOML: {message}"));
                Self::default()
            }
        };
        if faults.is_empty() { Ok(scenario) } else { Err(faults.located(text)) }
    }
}

fn scenario(root: &DeTable<'_>, faults: &mut Faults) -> Scenario {
    let mut scenario =
        Scenario { seed: DEFAULT_SEED, groups: Vec::new(), monitor: Troubles::default(), gates: Gates::default() };
    let mut length = None;
    let mut sections = Vec::new();
    for (key, value) in in_order(root) {
        let at = root.get_key_value(key).map_or(0, |(key, _)| key.span().start);
        match key {
            "seed" => scenario.seed = whole(value, key, faults).unwrap_or(DEFAULT_SEED),
            "length" => length = span(value, key, faults),
            "monitor" => {
                for (key, text, at) in texts(value, key, faults) {
                    if let Err(why) = turn_monitor(&mut scenario, &key, &text) {
                        faults.add(at, format!("{key} {why}"));
                    }
                }
            }
            "group" => sections = groups(value, faults),
            _ => faults.add(at, format!("unknown key {key:?}; one of seed, length, monitor, group")),
        }
    }
    for section in &sections {
        scenario.groups.push(group(section, length, faults));
    }
    if sections.is_empty() && root.contains_key("group") {
        // Why there is no group has been said.
        return scenario;
    }
    // What can't be read stands at its default, so that one mistake is one fault.
    for found in scenario.check() {
        let section = found.group.and_then(|group| sections.get(group)).copied();
        let at = match (section, root.get("monitor")) {
            (Some(section), _) => at_key(section, found.key).unwrap_or(section.span().start),
            (None, Some(monitor)) => at_key(monitor, found.key).unwrap_or(0),
            (None, None) => 0,
        };
        faults.add(at, found.message);
    }
    scenario
}

/// The tables under `[[group]]`.
fn groups<'t>(value: &'t Spanned<DeValue<'t>>, faults: &mut Faults) -> Vec<&'t Spanned<DeValue<'t>>> {
    let DeValue::Array(items) = value.get_ref() else {
        faults.add(value.span().start, "group is a list; write [[group]], with two brackets");
        return Vec::new();
    };
    items.iter().filter(|item| table(item, "group", faults).is_some()).collect()
}

fn group(section: &Spanned<DeValue<'_>>, length: Option<Span>, faults: &mut Faults) -> Group {
    let mut group = Group::default();
    let mut told = texts(section, "group", faults);
    // The network first, so that a loss or a delay beside it holds.
    told.sort_by_key(|(key, _, at)| (key != "network", key == "timeout", *at));
    let mut heartbeats = false;
    let mut own_length = length;
    for (key, text, at) in told {
        let turned = match key.as_str() {
            "name" => {
                group.name = text;
                Ok(())
            }
            "length" => text.parse().map(|span| own_length = Some(span)).map_err(|error| format!("{text:?}: {error}")),
            _ => turn_group(&mut group, &key, &text),
        };
        heartbeats |= key == "heartbeats";
        if let Err(why) = turned {
            faults.add(at, format!("{key} {why}"));
        }
    }
    match own_length {
        Some(_) if heartbeats => faults.add(
            section.span().start,
            format!("group {:?} has a length and heartbeats; leave one of them out", group.name),
        ),
        Some(length) if !group.interval.is_zero() => {
            let each = (length.nanos() / group.interval.nanos()).max(1);
            group.heartbeats = each.saturating_mul(u64::from(group.nodes));
        }
        Some(_) => {}
        None if heartbeats => {}
        None => group.heartbeats = 1_000_000.max(u64::from(group.nodes) * 100),
    }
    group
}

/// The keys of a table with their values as the flags' texts, and where these stand.
fn texts(value: &Spanned<DeValue<'_>>, name: &str, faults: &mut Faults) -> Vec<(String, String, usize)> {
    let Some(table) = table(value, name, faults) else { return Vec::new() };
    let mut texts = Vec::new();
    for (key, value) in in_order(table) {
        let text = match key {
            "gates" | "guard" | "flapping" => settings(value, key, faults),
            _ => text_or_list(value, key, faults),
        };
        if let Some(text) = text {
            texts.push((key.to_string(), text, value.span().start));
        }
    }
    texts
}

fn whole(value: &Spanned<DeValue<'_>>, key: &str, faults: &mut Faults) -> Option<u64> {
    let number = text(value, key, faults)?;
    let read = number.parse().ok();
    if read.is_none() {
        faults.add(value.span().start, format!("{key} {number:?} is not a whole number from 0 to {}", u64::MAX));
    }
    read
}

fn span(value: &Spanned<DeValue<'_>>, key: &str, faults: &mut Faults) -> Option<Span> {
    let text = text(value, key, faults)?;
    text.parse().map_err(|error| faults.add(value.span().start, format!("{key} {text:?}: {error}"))).ok()
}

/// Where a key of a table stands, if it does.
fn at_key(section: &Spanned<DeValue<'_>>, key: &str) -> Option<usize> {
    let (key, _) = section.get_ref().as_table()?.get_key_value(key)?;
    Some(key.span().start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Preset;

    fn faults(text: &str) -> Vec<String> {
        let faults = Scenario::read(text).expect_err("something is wrong");
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_file_says_what_flags_say() {
        let scenario = Scenario::read(
            r#"
            seed = 7
            length = "10m"
            [monitor]
            stall = ["3s@60s", "1s@90s"]
            buffer = 100
            [[group]]
            name = "edge"
            nodes = 1_000
            network = "wan"
            loss = 0.25
            partition = ["0.3@60s..90s", "1@5m..6m"]
            [[group]]
            name = "core"
            interval = "500ms"
            heartbeats = 77
            length = "10m"
            "#,
        );
        let faults: Vec<String> = scenario.expect_err("length and heartbeats").iter().map(Fault::to_string).collect();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let scenario = Scenario::read("length = \"10m\"\n[[group]]\nnodes = 1_000\nloss = 0.25\nnetwork = \"wan\"\n");
        let scenario = scenario.expect("nothing is wrong");
        let group = &scenario.groups[0];
        assert_eq!((group.nodes, group.heartbeats, scenario.seed), (1_000, 600_000, DEFAULT_SEED));
        assert_eq!(group.loss.to_string(), "0.25");
        assert_eq!(Some(&group.delay), Preset::find("wan").map(Preset::delay).as_ref());
        let scenario = Scenario::read("[monitor]\nstall = [\"3s@60s\", \"1s@90s\"]\nbuffer = 100\n[[group]]\n");
        let monitor = scenario.expect("nothing is wrong").monitor;
        assert_eq!((monitor.stalls.len(), monitor.buffer), (2, Some(100)));
    }

    #[test]
    fn gates_are_turned_by_a_word_a_text_or_a_table() {
        let gates = |lines: &str| {
            let scenario = Scenario::read(&format!("[monitor]\n{lines}\n[[group]]\n"));
            scenario.map(|scenario| scenario.gates).map_err(|faults| faults[0].to_string())
        };
        let usual = Gates::default();
        assert_eq!(gates(""), Ok(usual.clone()));
        assert_eq!(gates("gates = false"), Ok(Gates { told: false, ..usual.clone() }));
        let on = Gates { guard: Some(Default::default()), flapping: Some(Default::default()), ..usual };
        assert_eq!(gates("guard = true\nflapping = true"), Ok(on));
        let ten = gates("guard = \"rate=10/s,longest=2m\"").expect("a text");
        assert_eq!(gates("guard = { longest = \"2m\", rate = 10 }"), Ok(ten.clone()));
        assert_eq!(gates("[monitor.guard]\nlongest = \"2m\"\nrate = \"10/s\""), Ok(ten));
        let said = gates("stall = \"3s@1s\"\nguard = { labels = \"zone\" }").expect_err("labels");
        assert!(said.starts_with("3:9: guard") && said.contains("unknown setting \"labels\""), "{said}");
        let said = gates("guard = { share = 0 }").expect_err("no share");
        assert!(said.starts_with("2:1: guard: share 0 isn't a share"), "{said}");
        let said = gates("gates = 3").expect_err("three");
        assert!(said.contains("gates \"3\": write true or false"), "{said}");
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_line() {
        let said = faults(
            r#"sed = 3
length = "soon"
[monitor]
stall = "3s"
colour = "red"
[[group]]
name = "edge"
jitter = 3
loss = 1.2
network = "moon"
[[group]]
name = "edge"
interval = true
"#,
        );
        let lines: Vec<&str> = said.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(lines, ["1", "2", "4", "5", "8", "9", "10", "12", "13"], "{said:#?}");
        assert!(said[0].contains("unknown key \"sed\"; one of seed, length, monitor, group"), "{said:#?}");
        assert!(said[4].contains("jitter 3 is out of range; between 0 and 1 (group \"edge\")"), "{said:#?}");
        assert!(said[7].contains("is there twice"), "{said:#?}");
    }

    #[test]
    fn what_is_no_scenario_is_one_fault() {
        assert_eq!(faults("a = = 3").len(), 1);
        assert_eq!(faults(""), ["1:1: a scenario without a group has nothing to run; add one"]);
        assert!(faults("[group]\nnodes = 3\n")[0].contains("[[group]]"));
    }
}
