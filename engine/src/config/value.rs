//! One value of a file, read as what its key wants.
//!
//! Each function takes a value of any type and gives back what it stands for, or the second half
//! of a sentence that begins with the key: `must be true or false, not the integer 1`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use systole_core::detector::Detector;
use systole_core::{Pattern, Span, Wait};
use toml::de::DeValue;

use super::address::{Http, address as read_address};
use super::size::Size;

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wanted("true or false", value))
}

pub(super) fn text(value: &DeValue<'_>) -> Result<Box<str>, String> {
    string(value, "a text in quotes").map(Box::from)
}

pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    match string(value, "a path in quotes")? {
        "" => Err("is empty; name a folder or leave the key out".to_string()),
        path => Ok(PathBuf::from(path)),
    }
}

pub(super) fn file(value: &DeValue<'_>) -> Result<PathBuf, String> {
    match string(value, "a path in quotes")? {
        "" => Err("is empty; name a file".to_string()),
        path => Ok(PathBuf::from(path)),
    }
}

/// One of a few words, each with what it stands for.
pub(super) fn word<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Result<T, String> {
    let known: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    let known = known.join(" or ");
    let text = string(value, &known)?;
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, meant)) => Ok(*meant),
        None => Err(format!("{}: there is {known}", quoted(text))),
    }
}

pub(super) fn span(value: &DeValue<'_>) -> Result<Span, String> {
    parsed(string(value, "a duration in quotes such as \"1s\"")?)
}

/// A duration within bounds.
pub(super) fn span_within(value: &DeValue<'_>, bounds: RangeInclusive<Span>) -> Result<Span, String> {
    let span = span(value)?;
    if bounds.contains(&span) {
        return Ok(span);
    }
    Err(format!("{span} is out of range; set it between {} and {}", bounds.start(), bounds.end()))
}

pub(super) fn wait(value: &DeValue<'_>) -> Result<Wait, String> {
    parsed(string(value, "a duration or a multiple of the interval in quotes, such as \"5s\" or \"3x\"")?)
}

pub(super) fn detector(value: &DeValue<'_>) -> Result<Detector, String> {
    parsed(string(value, "a detector in quotes such as \"chen:margin=2.25x\"")?)
}

pub(super) fn address(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = string(value, "an address in quotes such as \"127.0.0.1:2328\"")?;
    read_address(text).map_err(|error| refused(text, &error))
}

pub(super) fn http(value: &DeValue<'_>) -> Result<Option<SocketAddr>, String> {
    parsed::<Http>(string(value, "an address in quotes such as \"127.0.0.1:2329\", or \"off\"")?).map(|http| http.0)
}

pub(super) fn pattern(value: &DeValue<'_>) -> Result<Pattern, String> {
    string(value, "a pattern in quotes such as \"edge-*\"").map(Pattern::new)
}

/// A label and the pattern for its text.
pub(super) fn label(value: &DeValue<'_>) -> Result<(Box<str>, Pattern), String> {
    let text = string(value, "a label and a pattern in quotes such as \"zone=eu-*\"")?;
    match text.split_once('=') {
        Some((key, pattern)) if !key.is_empty() => Ok((key.into(), Pattern::new(pattern))),
        Some(_) | None => Err(refused(text, &"write the label, = and a pattern, such as \"zone=eu-*\"")),
    }
}

/// A size within bounds.
pub(super) fn size(value: &DeValue<'_>, bounds: RangeInclusive<Size>) -> Result<Size, String> {
    let text = string(value, "a size in quotes such as \"64MiB\"")?;
    let size = parsed(text)?;
    if bounds.contains(&size) {
        return Ok(size);
    }
    Err(format!("{size} is out of range; set it between {} and {}", bounds.start(), bounds.end()))
}

/// A number, whole or not.
pub(super) fn number(value: &DeValue<'_>) -> Result<f32, String> {
    let text = match value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => return Err(wanted("a number such as 0.15", value)),
    };
    text.parse().map_err(|_| wanted("a number such as 0.15", value))
}

/// How many a second.
pub(super) fn rate(value: &DeValue<'_>) -> Result<f32, String> {
    let text = string(value, "a rate in quotes such as \"100/s\"")?;
    let way_out = || refused(text, &"write a number, / and s, m or h, such as \"100/s\" or \"10/m\"");
    let (number, unit) = text.split_once('/').ok_or_else(way_out)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(way_out()),
    };
    number.parse::<f32>().map(|number| number / seconds).map_err(|_| way_out())
}

/// A rate as the time between two, or nothing for "off".
pub(super) fn every(value: &DeValue<'_>) -> Result<Option<Span>, String> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    let rate = rate(value).map_err(|why| format!("{why}, or \"off\""))?;
    if !(rate > 0.0 && rate.is_finite()) {
        return Err(format!("of {rate}/s would admit nobody; set it above 0, such as \"100/s\", or to \"off\""));
    }
    Ok(Some(Span::from_nanos((1e9 / f64::from(rate)).round() as u64)))
}

/// A whole number within bounds.
pub(super) fn count(value: &DeValue<'_>, bounds: RangeInclusive<u32>) -> Result<u32, String> {
    let DeValue::Integer(integer) = value else {
        return Err(wanted(&format!("a whole number between {} and {}", bounds.start(), bounds.end()), value));
    };
    match u32::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(count) if bounds.contains(&count) => Ok(count),
        Ok(_) | Err(_) => {
            Err(format!("{integer} is out of range; set it between {} and {}", bounds.start(), bounds.end()))
        }
    }
}

/// What a value of the wrong type says of itself.
pub(super) fn wanted(what: &str, value: &DeValue<'_>) -> String {
    let found = match value {
        DeValue::String(text) => format!("the text {}", quoted(text)),
        DeValue::Integer(integer) => format!("the integer {integer}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    };
    format!("must be {what}, not {found}")
}

fn string<'v>(value: &'v DeValue<'_>, what: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| wanted(what, value))
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| refused(text, &error))
}

fn refused(text: &str, why: &dyn Display) -> String {
    format!("{}: {why}", quoted(text))
}

/// A text in quotes, on one line and no longer than a line wants to be.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

const SHOWN: usize = 60;
