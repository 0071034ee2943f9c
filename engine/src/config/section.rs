//! One table of a file, and what has been asked of it.
//!
//! A section notes every key that it is asked for. So whoever reads it can't forget to say which
//! keys there are: whatever is left when it is [`done`](Section::done) is unknown. It stays around
//! until the core has judged what was read, because it knows where each key stands.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Faults;
use super::nearest::nearest;
use super::value::wanted;

/// One table, or the absence of it, which is like an empty one.
#[derive(Debug)]
pub(super) struct Section<'t> {
    title: Title,
    table: Option<&'t DeTable<'t>>,
    at: usize,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

/// What messages call a section.
#[derive(Clone, Debug)]
pub(super) enum Title {
    /// The file outside of all sections.
    File,
    /// `[listen]`
    Section(&'static str),
    /// `[[group]]`, with its name once that is known.
    Group(Option<Box<str>>),
    /// An entry of a group's `match`.
    Match,
    /// `[[auth.key]]`
    Key,
}

/// What there was couldn't be read; the fault is noted.
#[derive(Debug)]
pub(super) struct Refused;

/// A value, nothing where the key isn't written, or a fault that is noted.
pub(super) type Read<T> = Result<Option<T>, Refused>;

impl<'t> Section<'t> {
    pub(super) const fn new(title: Title, at: usize, table: Option<&'t DeTable<'t>>) -> Self {
        Self { title, table, at, known: Vec::new(), refused: Vec::new() }
    }

    /// Reads the value of `key`.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
        read: impl FnOnce(&'t DeValue<'t>) -> Result<T, String>,
    ) -> Read<T> {
        let Some(value) = self.take(key) else { return Ok(None) };
        read(value.get_ref()).map(Some).map_err(|why| {
            self.refuse_at(value.span().start, key, &why, faults);
            Refused
        })
    }

    /// Reads the value of `key`, which is one item or a list of items. Items that can't be read
    /// are left out; each is a fault of its own.
    pub(super) fn read_list<T>(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
        mut read: impl FnMut(&'t Spanned<DeValue<'t>>, &mut Faults) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let items = match value.get_ref() {
            DeValue::Array(items) => items,
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => std::slice::from_ref(value),
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            match read(item, faults) {
                Ok(item) => list.push(item),
                Err(why) => self.refuse_at(item.span().start, key, &why, faults),
            }
        }
        Some(list)
    }

    /// The section called `key` inside this one; an absent one if it isn't there or isn't a section.
    pub(super) fn section(&mut self, key: &'static str, faults: &mut Faults) -> Section<'t> {
        let title = Title::Section(key);
        let Some(value) = self.take(key) else { return Section::new(title, 0, None) };
        let at = value.span().start;
        let table = value.get_ref().as_table();
        if table.is_none() {
            faults.add(
                at,
                format!("{key} {}", wanted(&format!("a section: [{key}] on a line of its own"), value.get_ref())),
            );
        }
        Section::new(title, at, table)
    }

    /// Whether the value of `key` is a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| value.get_ref().is_array())
    }

    /// Notes that what there is of `key`, or that there is none, won't do.
    pub(super) fn refuse(&mut self, key: &'static str, why: &str, faults: &mut Faults) {
        self.refuse_at(self.locate(key), key, why, faults);
    }

    /// Notes that what stands at `at` won't do for `key`.
    pub(super) fn refuse_at(&mut self, at: usize, key: &'static str, why: &str, faults: &mut Faults) {
        faults.add(at, format!("{key} {why}{}", self.title.suffix()));
        self.refused.push(key);
    }

    /// Whether a value of `key` was refused already.
    pub(super) fn has_refused(&self, key: &str) -> bool {
        self.refused.contains(&key)
    }

    /// Where it begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Where `key` stands, or the section itself where the key isn't written.
    pub(super) fn locate(&self, key: &str) -> usize {
        let written = self.table.and_then(|table| table.get_key_value(key));
        written.map_or(self.at, |(key, _)| key.span().start)
    }

    pub(super) fn entitle(&mut self, title: Title) {
        self.title = title;
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn done(&self, faults: &mut Faults) {
        for (key, _) in self.table.into_iter().flatten() {
            if !self.known.contains(&&**key.get_ref()) {
                faults.add(key.span().start, self.unknown(key.get_ref()));
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn unknown(&self, key: &str) -> String {
        let way_out = match nearest(key, &self.known) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("there are {}", self.known.join(", ")),
        };
        let key: String = key.chars().take(SHOWN).collect();
        format!("unknown key {key:?} in {}; {way_out}", self.title)
    }
}

/// Of a key that is longer than any there is, enough to find it.
const SHOWN: usize = 40;

impl Title {
    /// Tells which group a message is about. Every other section there is only once.
    fn suffix(&self) -> String {
        match self {
            Self::Group(Some(name)) => format!(" (group {name:?})"),
            Self::Group(None) | Self::File | Self::Section(_) | Self::Match | Self::Key => String::new(),
        }
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Section(name) => write!(f, "[{name}]"),
            Self::Group(Some(name)) => write!(f, "group {name:?}"),
            Self::Group(None) => f.write_str("[[group]]"),
            Self::Match => f.write_str("match"),
            Self::Key => f.write_str("[[auth.key]]"),
        }
    }
}
