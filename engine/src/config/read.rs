//! From TOML to a [`Setup`], or to everything that is wrong with it.
//!
//! The text is parsed into a tree that knows where each key stands, and the tree is walked by hand:
//! a derived reader stops at its first fault, and whoever sets up a monitor wants to hear of all of
//! them. What can't be read counts as a value that no check refuses, so that one mistake is one
//! fault. Then the core judges the plan, and its faults are given the line of the key that they
//! name. A text that isn't TOML has one fault: what follows it is noise.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use systole_core::auth::Mode;
use systole_core::config::{Config, Limits, Match, NewNodes, Place, Plan, Rule, Settings};
use systole_core::{Pattern, Share};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::access::access;
use super::address::is_loopback;
use super::auth::{self, Look};
use super::fault::{Fault, Faults};
use super::section::{Read, Refused, Section, Title};
use super::size::Size;
use super::{Auth, Listen, Setup, caution, events, value};

/// The most threads that may share the nodes.
pub const SHARDS_MAX: u32 = 64;

/// The largest datagram there is has to fit, and Linux holds no more than the most for any socket.
const BUFFER_MIN: Size = Size::from_bytes(64 << 10);
const BUFFER_MAX: Size = Size::from_bytes(1 << 30);

/// Reads a configuration.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn read(text: &str) -> Result<Setup, Vec<Fault>> {
    read_looking(text, false, &mut |_| Ok(()))
}

/// Reads a configuration as if it said `insecure = true`, because whoever starts us said so.
///
/// # Errors
/// Everything else that is wrong with it, in the order of its lines.
pub fn read_insecure(text: &str) -> Result<Setup, Vec<Fault>> {
    read_looking(text, true, &mut |_| Ok(()))
}

/// Reads a configuration and lets `look` judge the files that it names.
pub(super) fn read_looking(text: &str, insecure: bool, look: Look<'_>) -> Result<Setup, Vec<Fault>> {
    read_told(text, Told { insecure }, look)
}

/// What is known before the file is read.
#[derive(Clone, Copy)]
struct Told {
    insecure: bool,
}

fn read_told(text: &str, told: Told, look: Look<'_>) -> Result<Setup, Vec<Fault>> {
    let mut faults = Faults::default();
    let setup = match DeTable::parse(text) {
        Ok(root) => setup(root.get_ref(), told, look, &mut faults),
        Err(error) => {
            faults.add(error.span().map_or(0, |span| span.start), not_toml(text, &error));
            Setup::default()
        }
    };
    if faults.is_empty() { Ok(setup) } else { Err(faults.located(text)) }
}

/// What the parser says, and the piece of text that it says it of.
fn not_toml(text: &str, error: &Error) -> String {
    let piece = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    let shown = !piece.is_empty() && piece.len() <= 40 && !piece.contains(char::is_control);
    let at = if shown { format!(", at {piece:?}") } else { String::new() };
    let message = error.message().replace('\n', " ");
    // The parser takes 127.0.0.1:2328 for a number and chen:margin=2x for a key that got lost.
    let unquoted = ["invalid float", "unexpected key or value"].iter().any(|start| message.starts_with(start));
    let way_out = if unquoted { "; addresses, durations and all other texts stand in quotes" } else { "" };
    format!("this is not TOML: {message}{at}{way_out}")
}

fn setup<'t>(root: &'t DeTable<'t>, told: Told, look: Look<'_>, faults: &mut Faults) -> Setup {
    let mut file = Section::new(Title::File, 0, Some(root));
    let state_dir = file.read("state_dir", faults, value::path).unwrap_or_default();
    let auth = auth::read(file.section("auth", faults), look, faults);
    let access = access(file.section("http", faults), look, faults);
    let listen = listen(file.section("listen", faults), told, &auth, access.tokens.is_some(), faults);
    let events = events::events(file.section("events", faults), faults);
    let snapshot = events::snapshot(file.section("snapshot", faults), faults);
    let mut limits_section = file.section("limits", faults);
    let limits = limits(&mut limits_section, faults);
    let mut guard_section = file.section("guard", faults);
    let guard = caution::guard(&mut guard_section, faults);
    let mut flapping_section = file.section("flapping", faults);
    let flapping = caution::flapping(&mut flapping_section, faults);
    let mut defaults_section = file.section("defaults", faults);
    let default = settings(&mut defaults_section, Settings::default(), faults);
    defaults_section.done(faults);
    let mut group_sections = group_sections(&mut file, faults);
    let groups = group_sections.iter_mut().map(|section| group(section, default, faults)).collect();
    file.done(faults);

    let plan = Plan { default, groups, limits, guard, flapping, share: Share::ALL, hash_key: (0, 0) };
    let sections = Sections {
        defaults: defaults_section,
        limits: limits_section,
        guard: guard_section,
        flapping: flapping_section,
        groups: group_sections,
    };
    judge(&plan, &sections, faults);
    Setup { listen, auth, access, plan, events, state_dir, snapshot }
}

fn listen(mut section: Section<'_>, told: Told, auth: &Auth, tokens: bool, faults: &mut Faults) -> Listen {
    let usual = Listen::default();
    let written = or(section.read("insecure", faults, value::boolean), usual.insecure, true);
    let insecure = told.insecure || written;
    let udp = udp(&mut section, insecure || auth.mode == Mode::Enforce, faults).unwrap_or(usual.udp);
    let http = section.read("http", faults, |value| http(value, insecure || tokens));
    let shards = section.read("shards", faults, |value| value::count(value, 1..=SHARDS_MAX));
    let buffer = section.read("receive_buffer", faults, |value| value::size(value, BUFFER_MIN..=BUFFER_MAX));
    section.done(faults);
    Listen {
        udp,
        http: or(http, usual.http, usual.http),
        insecure,
        shards: shards.unwrap_or_default().map(|shards| shards as usize),
        receive_buffer: buffer.unwrap_or_default().map_or(usual.receive_buffer, |size| size.bytes() as usize),
    }
}

fn udp(section: &mut Section<'_>, open: bool, faults: &mut Faults) -> Option<Vec<SocketAddr>> {
    let mut seen = BTreeSet::new();
    let addresses = section.read_list("udp", faults, |item, _| {
        let address = value::address(item.get_ref())?;
        let harm = "without a key whoever reaches it could speak for any node";
        guard(address, open, harm, "enforce keys in [auth], ")?;
        if address.port() != 0 && !seen.insert(address) {
            return Err(format!("{address} is listed twice; once is enough"));
        }
        Ok(address)
    })?;
    if addresses.is_empty() && !section.has_refused("udp") {
        section.refuse("udp", "is an empty list; name an address or leave the key out", faults);
    }
    Some(addresses)
}

fn http(value: &DeValue<'_>, guarded: bool) -> Result<Option<SocketAddr>, String> {
    let http = value::http(value)?;
    let harm = "without tokens whoever reaches it could read what is known of every node";
    http.map_or(Ok(()), |address| guard(address, guarded, harm, "name a file of tokens under [http], or "))?;
    Ok(http)
}

/// Refuses an address that others can reach, unless something is asked of them or somebody took that on.
fn guard(address: SocketAddr, guarded: bool, harm: &str, way_out: &str) -> Result<(), String> {
    if guarded || is_loopback(address) {
        return Ok(());
    }
    Err(format!(
        "{address} is open to other machines, and {harm}; {way_out}use a loopback address such as 127.0.0.1, \
         or set insecure = true if you trust that network"
    ))
}

fn limits(section: &mut Section<'_>, faults: &mut Faults) -> Limits {
    let usual = Limits::default();
    let max_groups = section.read("max_groups", faults, |value| value::count(value, 0..=u16::MAX.into()));
    let burst = section.read("new_nodes_burst", faults, |value| value::count(value, 0..=u32::MAX));
    let every = section.read("new_nodes_rate", faults, value::every);
    let usual_new = NewNodes::default();
    let every = or(every, Some(usual_new.every), Some(usual_new.every));
    let limits = Limits {
        new_nodes: every.map(|every| NewNodes { burst: or_usual(burst, usual_new.burst), every }),
        max_nodes: or_usual(section.read("max_nodes", faults, |v| value::count(v, 0..=u32::MAX)), usual.max_nodes),
        max_groups: max_groups.unwrap_or_default().map_or(usual.max_groups, |groups| groups as u16),
        interval_min: or_usual(section.read("interval_min", faults, value::span), usual.interval_min),
        interval_max: or_usual(section.read("interval_max", faults, value::span), usual.interval_max),
    };
    section.done(faults);
    limits
}

fn settings(section: &mut Section<'_>, inherited: Settings, faults: &mut Faults) -> Settings {
    let usual = Settings::default();
    let interval = section.read("interval", faults, |value| value::span(value).map(Some));
    Settings {
        detector: or(section.read("detector", faults, value::detector), inherited.detector, usual.detector),
        confirm: or(section.read("confirm", faults, value::wait), inherited.confirm, usual.confirm),
        interval: or(interval, inherited.interval, usual.interval),
        grace: or(section.read("grace", faults, value::span), inherited.grace, usual.grace),
    }
}

/// `[[group]]`, once for each. With one pair of brackets it is a mistake, and still a group.
fn group_sections<'t>(file: &mut Section<'t>, faults: &mut Faults) -> Vec<Section<'t>> {
    let groups = file.read_list("group", faults, |item, _| match item.get_ref().as_table() {
        Some(table) => Ok(Section::new(Title::Group(None), item.span().start, Some(table))),
        None => Err(value::wanted("a section: [[group]] on a line of its own", item.get_ref())),
    });
    let groups = groups.unwrap_or_default();
    if let ([group], false) = (groups.as_slice(), file.is_list("group")) {
        file.refuse_at(group.at(), "group", "is written [[group]], with two brackets, as there can be many", faults);
    }
    groups
}

fn group(section: &mut Section<'_>, default: Settings, faults: &mut Faults) -> Rule {
    let name = match section.read("name", faults, value::text) {
        Ok(Some(name)) => {
            section.entitle(Title::Group(Some(name.clone())));
            name
        }
        Ok(None) => {
            section.refuse("name", "is missing; give the group one, such as name = \"edge\"", faults);
            Box::default()
        }
        Err(Refused) => Box::default(),
    };
    let rule = Rule {
        name,
        matches: section.read_list("match", faults, fit).unwrap_or_default(),
        nodes: section.read_list("nodes", faults, |item, _| value::text(item.get_ref())).unwrap_or_default(),
        settings: settings(section, default, faults),
    };
    section.done(faults);
    rule
}

/// One entry of a group's `match`.
fn fit<'t>(item: &'t Spanned<DeValue<'t>>, faults: &mut Faults) -> Result<Match, String> {
    let Some(table) = item.get_ref().as_table() else {
        return Err(value::wanted("a table such as { node = \"edge-*\" } or a list of them", item.get_ref()));
    };
    let before = faults.len();
    let mut section = Section::new(Title::Match, item.span().start, Some(table));
    let found = Match {
        node: section.read("node", faults, value::pattern).unwrap_or_default(),
        group: section.read("group", faults, value::pattern).unwrap_or_default(),
        label: section.read("label", faults, value::label).unwrap_or_default(),
    };
    section.done(faults);
    // A match that lost a part could look empty, which is another mistake than the one that was made.
    Ok(if faults.len() == before { found } else { Match { node: Some(Pattern::new("*")), ..found } })
}

/// Where the parts of a plan stand.
struct Sections<'t> {
    defaults: Section<'t>,
    limits: Section<'t>,
    guard: Section<'t>,
    flapping: Section<'t>,
    groups: Vec<Section<'t>>,
}

/// Lets the core judge, and gives its faults their places.
fn judge(plan: &Plan, sections: &Sections<'_>, faults: &mut Faults) {
    let Err(found) = Config::new(plan.clone()) else { return };
    let of_defaults: BTreeSet<_> = found.iter().filter(|f| f.place == Place::Default).map(|f| f.key).collect();
    for fault in found {
        let (section, said) = match fault.place {
            Place::Default => (&sections.defaults, false),
            Place::Limits => (&sections.limits, false),
            Place::Guard => (&sections.guard, false),
            Place::Flapping => (&sections.flapping, false),
            // What a group merely inherits is wrong once, where it stands.
            Place::Group(index) => (
                &sections.groups[index],
                plan.groups[index].settings == plan.default && of_defaults.contains(fault.key),
            ),
        };
        if !said && !section.has_refused(fault.key) {
            faults.add(section.locate(fault.key), fault.message);
        }
    }
}

/// The value, or what counts where none is written, or where it can't be read.
pub(super) fn or<T>(read: Read<T>, unwritten: T, unreadable: T) -> T {
    match read {
        Ok(value) => value.unwrap_or(unwritten),
        Err(Refused) => unreadable,
    }
}

pub(super) fn or_usual<T>(read: Read<T>, usual: T) -> T {
    read.unwrap_or_default().unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use systole_core::detector::Detector;
    use systole_core::{Span, Wait};

    use super::*;

    const EXAMPLE: &str = include_str!("../../../docs/systole.toml");

    /// The faults of a text, each as `LINE:COLUMN: message`.
    fn faults(text: &str) -> Vec<String> {
        read(text).expect_err(text).iter().map(Fault::to_string).collect()
    }

    /// Each fault of `text` stands where `expected` says and begins and goes on as it says.
    fn assert_faults(text: &str, expected: &[(&str, &str)]) {
        let found = faults(text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (found, (place, part)) in found.iter().zip(expected) {
            let message =
                found.strip_prefix(&format!("{place}: ")).unwrap_or_else(|| panic!("{found}, not at {place}"));
            assert!(message.contains(part), "{found}\nlacks {part}");
        }
    }

    #[test]
    fn no_file_and_an_empty_file_are_the_same() {
        assert_eq!(read(""), Ok(Setup::default()));
        assert_eq!(read("[listen]\n[events]\n[limits]\n[defaults]\n"), Ok(Setup::default()));
    }

    #[test]
    fn the_documented_example_shows_the_defaults() {
        let setup = read(EXAMPLE).expect("the example is valid");
        let plan = Plan { groups: Vec::new(), ..setup.plan.clone() };
        assert_eq!(Setup { plan, ..setup }, Setup::default());
    }

    #[test]
    fn the_documented_example_shows_every_key() {
        // What is commented out is a key too; written out, the whole must be valid still.
        let all = EXAMPLE
            .replace("# state_dir", "state_dir")
            .replace("# shards", "shards")
            .replace("# tokens", "tokens")
            .replace("# tls_", "tls_")
            .replace("# interval =", "interval =");
        let setup = read(&all).expect("the example is valid with everything in it");
        assert_eq!(setup.listen.shards, Some(2));
        assert_eq!(setup.plan.default.interval, Some(Span::from_secs(1)));
        assert_eq!((setup.events.retain, setup.snapshot.every), (Span::from_secs(30 * 86_400), Span::from_secs(30)));
        assert_eq!(setup.state_dir.as_deref(), Some(std::path::Path::new("/var/lib/systole")));
        let unknown = |section: &str| faults(&format!("{section}\nzzzzzzzzzz = 1\n")).concat();
        let sections =
            ["[listen]", "[http]", "[events]", "[snapshot]", "[limits]", "[guard]", "[flapping]", "[defaults]"];
        for section in sections.into_iter().chain(["", "[[group]]\nname = \"a\""]) {
            let message = unknown(section);
            let (_, known) = message.split_once("there are ").expect(&message);
            for key in known.split(", ") {
                let shown =
                    [format!("\n{key} = "), format!("\n[{key}]"), format!("\n[[{key}]]"), format!("\n# {key} = ")];
                assert!(shown.iter().any(|shown| EXAMPLE.contains(shown)), "the example lacks {key} of {section:?}");
            }
        }
    }

    #[test]
    fn a_group_says_what_it_says_and_inherits_the_rest() {
        let setup = read(EXAMPLE).expect("the example is valid");
        let [edge, database] = setup.plan.groups.as_slice() else { panic!("{:?}", setup.plan.groups) };
        assert_eq!((&*edge.name, edge.nodes.as_slice()), ("edge", ["edge-1".into(), "edge-2".into()].as_slice()));
        assert_eq!(edge.matches.len(), 3);
        assert_eq!(edge.matches[1], Match { label: Some(("zone".into(), Pattern::new("eu-*"))), ..Match::default() });
        assert_eq!(edge.settings.detector, "phi:threshold=8".parse::<Detector>().expect("a detector"));
        assert_eq!(edge.settings.confirm, Wait::Span(Span::from_secs(5)));
        assert_eq!(edge.settings.grace, Span::from_secs(30));
        assert_eq!(database.settings.detector, setup.plan.default.detector);
        assert_eq!(database.settings.interval, Some(Span::from_millis(500)));
        assert_eq!(database.matches[0].node, Some(Pattern::new("db-?")));
        assert_eq!(database.matches[0].label, Some(("tier".into(), Pattern::new("prod"))));
    }

    #[test]
    fn every_fault_of_a_file_is_reported_with_its_line() {
        let text = r#"stat_dir = "/x"
[listen]
udp = ["127.0.0.1:2328", "localhost:1", 7, "0.0.0.0:2328"]
http = "on"
receive_buffer = "64MB"
shards = 0
[event]
keep = 1
[limits]
interval_min = "2s"
interval_max = "1s"
max_groups = 70000
[defaults]
detector = "chn"
confirm = 3
[[group]]
name = "edge"
interval = "0s"
detecotr = "chen"
nodes = ["a", "b c", "a"]
[[group]]
name = "edge"
detector = "fixed:timeout=1s"
interval = "2s"
match = [{ nod = "x" }, { label = "zone" }, 5]
[[group]]
grace = "0s"
"#;
        assert_faults(
            text,
            &[
                ("1:1", "unknown key \"stat_dir\" in the file; did you mean state_dir?"),
                ("3:26", "udp \"localhost:1\": an address is an IP and a port"),
                ("3:41", "udp must be an address in quotes such as \"127.0.0.1:2328\", not the integer 7"),
                ("3:44", "udp 0.0.0.0:2328 is open to other machines"),
                ("4:8", "http \"on\": an address is an IP and a port, such as 127.0.0.1:2328 or [::1]:2328; or off"),
                ("5:18", "receive_buffer \"64MB\": a size ends with its unit: B, KiB, MiB or GiB"),
                ("6:10", "shards 0 is out of range; set it between 1 and 64"),
                ("7:2", "unknown key \"event\" in the file; did you mean events?"),
                ("11:1", "interval_max 1 s is below interval_min 2 s"),
                ("12:14", "max_groups 70000 is out of range; set it between 0 and 65535"),
                ("14:12", "unknown detector \"chn\""),
                (
                    "15:11",
                    "confirm must be a duration or a multiple of the interval in quotes, such as \"5s\" or \"3x\", not the integer 3",
                ),
                ("18:1", "interval 0 ms isn't an interval"),
                ("19:1", "unknown key \"detecotr\" in group \"edge\"; did you mean detector?"),
                ("20:1", "node \"a\" is listed twice"),
                ("20:1", "node \"b c\" must be 1 to 128 bytes"),
                ("22:1", "group \"edge\" is configured twice"),
                ("23:1", "fixed:timeout=1s would suspect a node 1 s after its last heartbeat"),
                ("25:12", "unknown key \"nod\" in match; did you mean node?"),
                ("25:35", "label \"zone\": write the label, = and a pattern"),
                (
                    "25:45",
                    "match must be a table such as { node = \"edge-*\" } or a list of them, not the integer 5 (group \"edge\")",
                ),
                ("26:1", "name is missing; give the group one"),
                ("27:1", "grace 0 ms would fail listed nodes"),
            ],
        );
    }

    #[test]
    fn what_is_not_toml_has_one_fault_at_its_place() {
        for (text, place, part) in [
            ("[listen]\nudp = 127.0.0.1\n", "2:12: ", "stand in quotes"),
            ("[defaults]\ndetector = chen:margin=2x\n", "2:", "stand in quotes"),
            ("[defaults]\ninterval = 1s\n", "2:12: ", "must be quoted"),
            ("a = 1\n[listen\nb = 2\nc == 3", "2:", "this is not TOML"),
            ("[events]\nkeep = 1\nkeep = 2\n", "3:1", "duplicate key, at \"keep\""),
            ("[listen]\n[listen]\n", "2:2", "duplicate key, at \"listen\""),
            ("x = \"open", "1:", "this is not TOML"),
        ] {
            let found = faults(text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(place) && found[0].contains(part), "{text:?}: {}", found[0]);
            assert!(!found[0].contains('\n'), "{:?}", found[0]);
        }
    }

    #[test]
    fn only_who_takes_it_on_listens_beyond_loopback() {
        let open = "[listen]\nudp = \"[::]:2328\"\nhttp = \"10.0.0.1:80\"\n";
        assert_faults(open, &[("2:7", "could speak for any node"), ("3:8", "could read what is known of every node")]);
        let insecure = read(&format!("{open}insecure = true\n")).expect("somebody took it on");
        assert_eq!(read_insecure(open), Ok(insecure.clone()));
        assert_eq!(insecure.exposed().count(), 2);
        // A guard that can't be read is one fault, not three.
        assert_faults(
            &format!("{open}insecure = 1\n"),
            &[("4:12", "insecure must be true or false, not the integer 1")],
        );
    }

    #[test]
    fn any_free_port_may_be_taken_more_than_once_and_a_certain_one_once() {
        let setup = read("[listen]\nudp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nhttp = \"off\"").expect("two free ports");
        assert_eq!((setup.listen.udp.len(), setup.listen.http), (2, None));
        assert_faults("[listen]\nudp = [\"127.0.0.1:9\", \"127.0.0.1:9\"]", &[("2:23", "127.0.0.1:9 is listed twice")]);
        assert_faults("[listen]\nudp = []", &[("2:1", "udp is an empty list")]);
    }

    #[test]
    fn a_mistake_in_the_defaults_is_one_fault_however_many_groups_inherit_it() {
        let text = "[defaults]\ninterval = \"2s\"\ndetector = \"fixed:timeout=1s\"\n\
                    [[group]]\nname = \"heir\"\n[[group]]\nname = \"own\"\ninterval = \"5s\"\n";
        assert_faults(
            text,
            &[("3:1", "(group \"defaults\")"), ("6:1", "raise it above 10 s or shorten the interval (group \"own\")")],
        );
    }

    #[test]
    fn a_mistake_that_hides_a_value_is_one_fault() {
        assert_faults(
            "[[group]]\nname = 5\n[[group]]\nname = 6\n",
            &[("2:8", "name must be"), ("4:8", "name must be")],
        );
        assert_faults("[[group]]\nname = \"a\"\nmatch = { node = 1 }", &[("3:18", "node must be a pattern")]);
        assert_faults(
            "[[group]]\nname = \"a\"\nmatch = [{}, { nod = \"x\" }]",
            &[("3:1", "empty match"), ("3:16", "nod")],
        );
        let detector = "[[group]]\nname = \"a\"\ninterval = \"9s\"\ndetector = \"fixed:timeout=1\"\n";
        assert_faults(detector, &[("4:12", "timeout \"1\" is neither a duration")]);
        let interval = "[[group]]\nname = \"a\"\ninterval = \"9\"\ndetector = \"fixed:timeout=1s\"\n";
        assert_faults(interval, &[("3:12", "interval \"9\": a duration ends with its unit")]);
    }

    #[test]
    fn a_group_with_one_pair_of_brackets_is_understood_and_refused() {
        assert_faults(
            "[group]\nname = \"a\"\ngrace = 5\n",
            &[
                ("1:1", "group is written [[group]]"),
                ("3:9", "grace must be a duration in quotes such as \"1s\", not the integer 5"),
            ],
        );
        assert_faults(
            "listen = 5\ngroup = 6\n",
            &[("1:10", "listen must be a section"), ("2:9", "group must be a section")],
        );
    }

    #[test]
    fn a_core_fault_about_an_unwritten_key_stands_at_the_header() {
        let text = "\n[limits]\nmax_groups = 2\n\n[[group]]\nname = \"a\"\n[[group]]\nname = \"b\"\n";
        assert_faults(text, &[("3:1", "2 groups are configured but max_groups is 2")]);
        let text = "[defaults]\ndetector = \"fixed:timeout=5s\"\n[[group]]\nname = \"slow\"\ninterval = \"1m\"\n";
        assert_faults(text, &[("3:1", "would suspect a node 5 s after its last heartbeat")]);
    }

    /// Pieces of which texts can be made that are often nearly right.
    fn piece() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "[listen]",
            "[events]",
            "[auth]",
            "[[auth.key]]",
            "mode",
            "id",
            "suite",
            "file",
            "\"enforce\"",
            "[limits]",
            "[defaults]",
            "[[group]]",
            "[group]",
            "[[group.match]]",
            "udp",
            "http",
            "insecure",
            "shards",
            "receive_buffer",
            "keep",
            "max_nodes",
            "new_nodes_burst",
            "new_nodes_rate",
            "max_groups",
            "interval_min",
            "interval_max",
            "detector",
            "confirm",
            "interval",
            "grace",
            "name",
            "match",
            "nodes",
            "node",
            "label",
            "state_dir",
            " = ",
            "\n",
            "\n",
            ".",
            ", ",
            "[",
            "]",
            "{ ",
            " }",
            "\"1s\"",
            "\"3x\"",
            "\"0s\"",
            "\"chen\"",
            "\"phi:threshold=8\"",
            "\"fixed:timeout=1s\"",
            "\"127.0.0.1:0\"",
            "\"0.0.0.0:1\"",
            "\"off\"",
            "\"64MiB\"",
            "\"zone=a\"",
            "\"\"",
            "0",
            "1_000",
            "-1",
            "0x7f",
            "1e400",
            "true",
            "1979-05-27",
            "\"ü\"",
            "\u{feff}",
            "# ",
        ]);
        prop_oneof![9 => known.prop_map(str::to_string), 1 => any::<String>()]
    }

    /// Whatever the text: no panic, faults in order and within the text, and what passes is valid.
    fn check(text: &str) {
        match read(text) {
            Ok(setup) => assert!(Config::new(setup.plan).is_ok(), "{text:?}"),
            Err(faults) => {
                assert!(!faults.is_empty() && faults.is_sorted(), "{faults:?}");
                let lines = text.split('\n').count();
                for fault in &faults {
                    assert!((1..=lines).contains(&fault.line) && fault.column >= 1, "{fault:?}");
                    assert!(!fault.message.contains('\n'), "{fault:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_setup_or_faults_within_it(text in any::<String>()) {
            check(&text);
        }

        #[test]
        fn any_pieces_are_a_setup_or_faults_within_them(pieces in prop::collection::vec(piece(), 0..40)) {
            check(&pieces.concat());
        }

        #[test]
        fn an_example_with_a_hole_is_a_setup_or_faults_within_it(from in 0..EXAMPLE.len(), length in 0usize..200) {
            let to = (from + length).min(EXAMPLE.len());
            if let (Some(before), Some(after)) = (EXAMPLE.get(..from), EXAMPLE.get(to..)) {
                check(&format!("{before}{after}"));
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        for text in [
            "[".repeat(100_000),
            format!("a = {}", "[".repeat(100_000)),
            format!("{}x = 1", "a.".repeat(100_000)),
            format!("a = {}", "{a = ".repeat(100_000)),
        ] {
            assert_eq!(faults(&text).len(), 1);
        }
    }
}
