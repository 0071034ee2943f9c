//! Models of a network as text: `name`, or `name:key=value,key=value`, as `systole-sim` takes them.
//!
//! What is refused is quoted, with what would have been right.

use systole_core::Span;

/// Why a text is not a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub(super) String);

/// The parts of one model, each to be taken once.
pub(super) struct Parts<'a> {
    of: &'a str,
    usage: &'static str,
    rest: Vec<(&'a str, &'a str)>,
}

/// No parameter is longer: sums of them stay within the time line.
pub(super) const LONGEST: Span = Span::from_secs(365 * 86_400);

impl<'a> Parts<'a> {
    /// The `list` behind `of:`; `usage` is how it should look.
    pub(super) fn read(of: &'a str, list: &'a str, usage: &'static str) -> Result<Self, SpecError> {
        let mut rest = Vec::new();
        for part in list.split(',') {
            let pair = part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
            let Some((key, value)) = pair else {
                return Err(SpecError(format!("{of}: {part:?} is not of the form key=value; write {usage}")));
            };
            if rest.iter().any(|(other, _)| *other == key) {
                return Err(SpecError(format!("{of}: {key} is given twice; leave one of them out")));
            }
            rest.push((key, value));
        }
        Ok(Self { of, usage, rest })
    }

    /// The number called `key`, from `least` to `most`.
    pub(super) fn number(&mut self, key: &str, least: f64, most: f64) -> Result<f64, SpecError> {
        let text = self.take(key)?;
        number(self.of, key, text, least, most)
    }

    /// The duration called `key`.
    pub(super) fn span(&mut self, key: &str) -> Result<Span, SpecError> {
        let text = self.take(key)?;
        span(self.of, key, text)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), SpecError> {
        let Self { of, usage, rest } = self;
        rest.first().map_or(Ok(()), |(key, _)| Err(SpecError(format!("{of}: unknown setting {key:?}; write {usage}"))))
    }

    fn take(&mut self, key: &str) -> Result<&'a str, SpecError> {
        let place = self.rest.iter().position(|(other, _)| *other == key);
        let missing = || SpecError(format!("{}: {key} is missing; write {}", self.of, self.usage));
        place.map(|place| self.rest.remove(place).1).ok_or_else(missing)
    }
}

/// A number from `least` to `most`.
pub(super) fn number(of: &str, key: &str, text: &str, least: f64, most: f64) -> Result<f64, SpecError> {
    match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) => Err(SpecError(format!("{of}: {key} {text} is out of range; between {least} and {most}"))),
        Err(_) => Err(SpecError(format!("{of}: {key} {text:?} is not a number"))),
    }
}

/// A duration up to [`LONGEST`].
pub(super) fn span(of: &str, key: &str, text: &str) -> Result<Span, SpecError> {
    match text.parse::<Span>() {
        Ok(span) if span <= LONGEST => Ok(span),
        Ok(_) => Err(SpecError(format!("{of}: {key} {text} is out of range; between 0s and 365d"))),
        Err(error) => Err(SpecError(format!("{of}: {key} {text:?}: {error}"))),
    }
}
