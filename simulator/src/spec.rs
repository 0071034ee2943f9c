//! Models as text: `name`, or `name:part,part`, where a part is `key=value`.
//!
//! The form in which losses and delays are written on the command line and in reports. Everything
//! it refuses it quotes, with what would have been right.

use systole_core::Span;

/// Why a text is not a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub(crate) String);

/// The parts of one model that have not been asked for yet.
pub(crate) struct Parts<'a> {
    of: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
    usage: &'static str,
}

impl<'a> Parts<'a> {
    /// Splits `list`, the part after `of:`. `usage` shows how it should have been.
    pub(crate) fn read(of: &'a str, list: &'a str, usage: &'static str) -> Result<Self, SpecError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in list.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(SpecError(format!("{of}: {part:?} is not of the form key=value; write {usage}")));
            };
            let (key, value) = (key.trim(), value.trim());
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(SpecError(format!("{of}: {key} is given twice; leave one of them out")));
            }
            pairs.push((key, value));
        }
        Ok(Self { of, pairs, usage })
    }

    fn take(&mut self, key: &str) -> Result<&'a str, SpecError> {
        match self.pairs.iter().position(|(other, _)| *other == key) {
            Some(at) => Ok(self.pairs.swap_remove(at).1),
            None => Err(SpecError(format!("{}: {key} is missing; write {}", self.of, self.usage))),
        }
    }

    /// The number called `key`, if it lies in the range.
    pub(crate) fn number(&mut self, key: &str, least: f64, most: f64) -> Result<f64, SpecError> {
        number(self.of, key, self.take(key)?, least, most)
    }

    /// The number called `key`, or what it is if nothing is said.
    pub(crate) fn number_or(&mut self, key: &str, default: f64, least: f64, most: f64) -> Result<f64, SpecError> {
        if self.has(key) { self.number(key, least, most) } else { Ok(default) }
    }

    /// The text called `key`.
    pub(crate) fn text(&mut self, key: &str) -> Result<&'a str, SpecError> {
        self.take(key)
    }

    /// Whether anything is said about `key` that has not been asked for yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(other, _)| *other == key)
    }

    /// The word called `key`, one of `words`.
    pub(crate) fn word(&mut self, key: &str, words: &[&str]) -> Result<&'a str, SpecError> {
        let word = self.take(key)?;
        if words.contains(&word) {
            return Ok(word);
        }
        let (last, others) = words.split_last().expect("there is a choice");
        Err(SpecError(format!("{}: {key} {word:?} is unknown; write {} or {last}", self.of, others.join(", "))))
    }

    /// The whole number called `key`, at most `most`.
    pub(crate) fn count(&mut self, key: &str, most: u32) -> Result<u32, SpecError> {
        let text = self.take(key)?;
        let count: Option<u32> = text.parse().ok();
        count.filter(|count| *count <= most).ok_or_else(|| {
            SpecError(format!("{}: {key} {text:?} is out of range; a whole number between 0 and {most}", self.of))
        })
    }

    /// The duration called `key`.
    pub(crate) fn span(&mut self, key: &str) -> Result<Span, SpecError> {
        span(self.of, key, self.take(key)?)
    }

    /// Nothing may be left over.
    pub(crate) fn done<T>(self, model: T) -> Result<T, SpecError> {
        match self.pairs.first() {
            None => Ok(model),
            Some((key, _)) => Err(SpecError(format!("{}: unknown setting {key:?}; write {}", self.of, self.usage))),
        }
    }
}

/// A number in a range.
pub(crate) fn number(of: &str, key: &str, text: &str, least: f64, most: f64) -> Result<f64, SpecError> {
    let number: f64 = text.parse().map_err(|_| SpecError(format!("{of}: {key} {text:?} is not a number")))?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(SpecError(format!("{of}: {key} {text} is out of range; between {least} and {most}")))
}

/// A duration, at most a year: sums of them must not reach the end of time.
pub(crate) fn span(of: &str, key: &str, text: &str) -> Result<Span, SpecError> {
    let out = || SpecError(format!("{of}: {key} {text} is out of range; between 0s and 365d"));
    if text.starts_with('-') {
        return Err(out());
    }
    let span: Span = text.parse().map_err(|error| SpecError(format!("{of}: {key} {text:?}: {error}")))?;
    if span <= LONGEST { Ok(span) } else { Err(out()) }
}

/// The longest duration that a parameter may be.
pub(crate) const LONGEST: Span = Span::from_secs(365 * 86_400);
