//! `[auth]`: which keys are taken, and what becomes of messages without a good tag.
//!
//! What is written is read here; the key files themselves are looked at by whoever is given, so that
//! any text can be tried without touching the disk.

use std::path::Path;

use systole_core::auth::{KeyId, Mode, Suite};
use toml::Spanned;
use toml::de::DeValue;

use super::fault::Faults;
use super::read::or_usual;
use super::section::{Section, Title};
use super::value;
use super::{Auth, Tls};
use crate::key::Entry;

/// Says what is wrong with a file that is named, in whole sentences or the second half of one.
pub(super) type Look<'l> = &'l mut dyn FnMut(Named<'_>) -> Result<(), String>;

/// Files that a configuration names, by what they are for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'n> {
    /// A key of the fleet.
    Key(&'n Entry),
    /// The tokens of those who may ask.
    Tokens(&'n Path),
    /// The certificate and its key.
    Tls(&'n Tls),
}

pub(super) fn read(mut section: Section<'_>, look: Look<'_>, faults: &mut Faults) -> Auth {
    let mode = section.read("mode", faults, mode);
    let before = faults.len();
    let keys = section.read_list("key", faults, |item, faults| key(item, look, faults)).unwrap_or_default();
    let keys: Vec<Entry> = keys.into_iter().flatten().collect();
    let auth = Auth { mode: or_usual(mode, Mode::Off), keys };
    match auth.mode {
        Mode::Permissive | Mode::Enforce if auth.keys.is_empty() && faults.len() == before => {
            let why = format!(
                "{} needs a key to tell good tags by; make one with `systole key new` and name it in [[auth.key]]",
                auth.mode.name()
            );
            section.refuse("mode", &why, faults);
        }
        Mode::Off | Mode::Permissive | Mode::Enforce => {}
    }
    section.done(faults);
    auth
}

/// One `[[auth.key]]`; nothing if it has a fault, which is noted.
fn key<'t>(item: &'t Spanned<DeValue<'t>>, look: Look<'_>, faults: &mut Faults) -> Result<Option<Entry>, String> {
    let Some(table) = item.get_ref().as_table() else {
        return Err(value::wanted("a section: [[auth.key]] on a line of its own", item.get_ref()));
    };
    let mut section = Section::new(Title::Key, item.span().start, Some(table));
    let id = section.read("id", faults, |value| value::count(value, 1..=u8::MAX.into()));
    let suite = or_usual(section.read("suite", faults, suite), Suite::SipHash);
    let file = section.read("file", faults, value::file);
    for (key, missing) in [("id", matches!(id, Ok(None))), ("file", matches!(file, Ok(None)))] {
        if missing {
            section.refuse(key, "is missing; each [[auth.key]] has an id from 1 to 255 and a file", faults);
        }
    }
    section.done(faults);
    let id = id.ok().flatten().and_then(|id| u8::try_from(id).ok()).and_then(KeyId::new);
    let (Some(id), Some(file)) = (id, file.ok().flatten()) else { return Ok(None) };
    let entry = Entry { id, suite, file };
    if let Err(why) = look(Named::Key(&entry)) {
        faults.add(section.locate("file"), why);
    }
    Ok(Some(entry))
}

fn mode(value: &DeValue<'_>) -> Result<Mode, String> {
    let names = Mode::ALL.map(|mode| (mode.name(), mode));
    value::word(value, &names)
}

fn suite(value: &DeValue<'_>) -> Result<Suite, String> {
    let names = Suite::ALL.map(|suite| (suite.name(), suite));
    value::word(value, &names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read_looking;
    use crate::config::{read, warnings};

    fn faults(text: &str) -> Vec<String> {
        read(text).expect_err(text).iter().map(ToString::to_string).collect()
    }

    /// Each fault of `text` begins as `expected` says.
    fn assert_faults(text: &str, expected: &[&str]) {
        let found = faults(text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }

    #[test]
    fn the_current_key_and_others_are_named() {
        let text = "[auth]\nmode = \"enforce\"\n[[auth.key]]\nid = 1\nfile = \"a\"\n[[auth.key]]\nid = 255\nsuite = \"hmac\"\n\
                    file = \"b\"\n";
        let entry = |id, suite, file: &str| Entry { id: KeyId::new(id).unwrap(), suite, file: file.into() };
        let keys = vec![entry(1, Suite::SipHash, "a"), entry(255, Suite::Hmac, "b")];
        assert_eq!(read(text).unwrap().auth, Auth { mode: Mode::Enforce, keys });
        assert_eq!(read("[auth]\n").unwrap().auth, Auth::default());
    }

    #[test]
    fn the_documented_example_shows_a_key_with_all_that_there_is_to_it() {
        let example = include_str!("../../../docs/systole.toml");
        let written = ["[[auth.key]]", "id = 1", "suite = ", "file = "]
            .iter()
            .fold(example.to_owned(), |text, line| text.replace(&format!("# {line}"), line));
        let key = Entry { id: KeyId::new(1).unwrap(), suite: Suite::SipHash, file: "/etc/systole/fleet-1.key".into() };
        assert_eq!(read(&written).unwrap().auth, Auth { mode: Mode::Off, keys: vec![key] });
    }

    #[test]
    fn every_fault_is_told_at_its_place() {
        assert_faults(
            "[auth]\nmode = \"strict\"\nkeys = 1\n[[auth.key]]\nid = 0\nsuite = \"md5\"\nfile = \"\"\n[[auth.key]]\nname = 1\n",
            &[
                "2:8: mode \"strict\": there is \"off\" or \"permissive\" or \"enforce\"",
                "3:1: unknown key \"keys\" in [auth]; did you mean key?",
                "5:6: id 0 is out of range; set it between 1 and 255",
                "6:9: suite \"md5\": there is \"siphash\" or \"hmac\"",
                "7:8: file is empty; name a file",
                "8:1: file is missing; each [[auth.key]] has an id",
                "8:1: id is missing; each [[auth.key]] has an id",
                "9:1: unknown key \"name\" in [[auth.key]]; there are id, suite, file",
            ],
        );
        assert_faults(
            "[auth]\nkey = 5\n",
            &["2:7: key must be a section: [[auth.key]] on a line of its own, not the integer 5"],
        );
    }

    #[test]
    fn a_mode_that_looks_at_tags_needs_a_key() {
        for mode in ["permissive", "enforce"] {
            assert_faults(&format!("[auth]\nmode = \"{mode}\"\n"), &[&format!("2:1: mode {mode} needs a key")]);
        }
        // A key with a fault is one fault.
        assert_faults("[auth]\nmode = \"enforce\"\n[[auth.key]]\nid = 1\n", &["3:1: file is missing"]);
    }

    #[test]
    fn what_is_wrong_with_a_key_file_stands_where_it_is_named() {
        let text = "[auth]\n[[auth.key]]\nid = 1\nfile = \"a\"\n[[auth.key]]\nid = 2\nfile = \"b\"\n";
        let mut asked = vec![];
        let mut look = |named: Named<'_>| {
            let Named::Key(entry) = named else { return Err("there is no other file".to_owned()) };
            asked.push(entry.id.number());
            if entry.id.number() == 2 { Err("key file b is no key".to_owned()) } else { Ok(()) }
        };
        let found = read_looking(text, false, &mut look).unwrap_err();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["7:1: key file b is no key"]);
        assert_eq!(asked, [1, 2]);
    }

    #[test]
    fn where_keys_are_enforced_heartbeats_may_come_from_anywhere_and_questions_may_not() {
        let auth = |mode: &str| format!("[auth]\nmode = \"{mode}\"\n[[auth.key]]\nid = 1\nfile = \"a\"\n");
        let udp = "[listen]\nudp = \"0.0.0.0:1\"\n";
        let setup = read(&format!("{udp}{}", auth("enforce"))).unwrap();
        assert_eq!((setup.exposed().count(), warnings(&setup)), (0, vec![]));
        for mode in ["off", "permissive"] {
            let found = faults(&format!("{udp}{}", auth(mode)));
            assert!(found.len() == 1 && found[0].contains("enforce keys in [auth]"), "{found:?}");
        }
        let found = faults(&format!("[listen]\nhttp = \"0.0.0.0:1\"\n{}", auth("enforce")));
        assert!(found.len() == 1 && found[0].starts_with("2:8: http 0.0.0.0:1 is open"), "{found:?}");
    }

    #[test]
    fn a_mode_that_refuses_nothing_is_warned_of() {
        let of = |mode: &str| {
            warnings(&read(&format!("[auth]\nmode = \"{mode}\"\n[[auth.key]]\nid = 1\nfile = \"a\"\n")).unwrap())
        };
        assert!(of("off")[0].contains("nobody looks at tags") && of("permissive")[0].contains("believes everybody"));
        assert_eq!(of("enforce"), Vec::<String>::new());
    }
}
