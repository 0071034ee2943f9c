//! TOML tables as the simulator's files use them: keys in the order of the file, values as the flags' texts.
//!
//! What isn't of that form is told with its place, and the reading goes on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::lines::Faults;

/// The table that `key` stands for.
pub(crate) fn table<'t>(value: &'t Spanned<DeValue<'t>>, key: &str, faults: &mut Faults) -> Option<&'t DeTable<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        faults.add(value.span().start, format!("{key} must be a table: [{key}] on a line of its own"));
    }
    table
}

/// The keys as they stand in the file; the parser sorts them.
pub(crate) fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<(&'t str, &'t Spanned<DeValue<'t>>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs.into_iter().map(|(key, value)| (&**key.get_ref(), value)).collect()
}

/// A value as a flag would be given it.
pub(crate) fn text(value: &Spanned<DeValue<'_>>, key: &str, faults: &mut Faults) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            faults.add(value.span().start, format!("{key} must be a text or a number, as its flag takes it"));
            None
        }
    }
}

/// What is turned on or off with a word, or set with a table of settings, as its flag would be given it.
pub(crate) fn settings(value: &Spanned<DeValue<'_>>, key: &str, faults: &mut Faults) -> Option<String> {
    match value.get_ref() {
        DeValue::Boolean(on) => Some(on.to_string()),
        DeValue::Table(table) => {
            let pairs = in_order(table).into_iter();
            let pairs: Option<Vec<String>> =
                pairs.map(|(name, value)| Some(format!("{name}={}", text(value, name, faults)?))).collect();
            // A table in which nothing is set turns it on.
            pairs.map(|pairs| if pairs.is_empty() { "true".into() } else { pairs.join(",") })
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            text(value, key, faults)
        }
    }
}

/// The same, and of a list all its texts with blanks between, as a flag that may be repeated is told.
pub(crate) fn text_or_list(value: &Spanned<DeValue<'_>>, key: &str, faults: &mut Faults) -> Option<String> {
    let Some(items) = value.get_ref().as_array() else { return text(value, key, faults) };
    let texts: Option<Vec<String>> = items.iter().map(|item| text(item, key, faults)).collect();
    texts.map(|texts| if texts.is_empty() { "none".into() } else { texts.join(" ") })
}
