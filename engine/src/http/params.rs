//! The part of a URL behind the question mark, taken strictly.
//!
//! A misspelt filter that is skipped answers a question that nobody asked, and an operator acts on
//! it. So a parameter that isn't known, is given twice or doesn't parse is refused with what would
//! have been right.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use systole_core::Liveness;

use super::problem::Refused;
use crate::model::Event;
use crate::store::Record;

/// What there is where there are none.
pub(super) const NONE: &str = "none here";

/// The parameters that nobody has taken yet.
#[derive(Clone, Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Every value of a parameter that may be repeated.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once. An empty one counts as not given.
    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let mut values = self.all(name);
        let value = values.pop();
        if values.is_empty() {
            return Ok(value.filter(|value| !value.is_empty()));
        }
        Err(Refused::bad(format!("{name} is given {} times", values.len() + 1), format!("give {name} once")))
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Refused> {
        self.one(name)?.map(|value| number(name, &value, range)).transpose()
    }

    /// A list of states with commas between them; empty for all.
    pub(super) fn states(&mut self, name: &str) -> Result<Vec<Liveness>, Refused> {
        let Some(list) = self.one(name)? else { return Ok(Vec::new()) };
        let states = list.split(',').map(|state| Liveness::from_name(state).ok_or_else(|| unknown_state(name, state)));
        // As a set, so that a long list costs no more at each node than a short one.
        Ok(states.collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect())
    }

    /// Nothing may be left that nobody knows.
    pub(super) fn finish(self, known: &str) -> Result<(), Refused> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Refused::bad(format!("there is no parameter {name:?}"), format!("there are: {known}")))
            }
        }
    }
}

/// A whole number of a parameter or a header.
pub(super) fn number(name: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64, Refused> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| wrong_value(name, value, format!("a whole number from {} to {}", range.start(), range.end())))
}

/// A value that isn't what it has to be.
pub(super) fn wrong_value(name: &str, value: &str, expected: impl Display) -> Refused {
    Refused::bad(format!("{name} can't be {value:?}"), format!("{name} is {expected}"))
}

fn unknown_state(name: &str, state: &str) -> Refused {
    let states = Liveness::ALL.map(Liveness::name).join(", ");
    wrong_value(name, state, format!("one or more of {states}, with commas between them"))
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Query::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(error) => Err(Refused::bad(error.body_text(), "a query is name=value pairs with & between them")),
        }
    }
}

/// Which events are wanted: those that pass everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EventFilter {
    to: Vec<Liveness>,
    group: Option<String>,
    node: Option<String>,
}

impl EventFilter {
    pub(super) fn take(params: &mut Params) -> Result<Self, Refused> {
        Ok(Self { to: params.states("to")?, group: params.one("group")?, node: params.one("node")? })
    }

    pub(super) fn wants(&self, record: &Record) -> bool {
        (self.to.is_empty() || record.to().is_some_and(|to| self.to.contains(&to)))
            && self.group.as_deref().is_none_or(|group| record.group() == Some(group))
            && self.node.as_deref().is_none_or(|node| record.node() == Some(node))
    }

    /// The same of one that only the disk has.
    pub(super) fn wants_old(&self, event: &Event) -> bool {
        let to = event.to.filter(|_| event.is_change());
        (self.to.is_empty() || to.is_some_and(|to| self.to.contains(&to.into())))
            && self.group.as_deref().is_none_or(|group| event.group.as_deref() == Some(group))
            && self.node.as_deref().is_none_or(|node| event.node.as_deref() == Some(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_is_misspelt_repeated_or_out_of_range_is_refused() {
        assert!(params(&[("stat", "failed")]).finish("state").is_err());
        assert!(params(&[("limit", "1"), ("limit", "2")]).number("limit", 1..=10).is_err());
        for wrong in ["0", "11", "x", "-1", "1.5"] {
            assert!(params(&[("limit", wrong)]).number("limit", 1..=10).is_err(), "{wrong}");
        }
        assert!(params(&[("state", "failed,dead")]).states("state").is_err());
    }

    #[test]
    fn what_is_right_is_taken_and_nothing_is_left() {
        let mut params =
            params(&[("label", "a=1"), ("state", "left,failed,left"), ("label", "b=2"), ("limit", "7"), ("group", "")]);
        assert_eq!(params.states("state"), Ok(vec![Liveness::Failed, Liveness::Left]));
        assert_eq!(params.all("label"), ["a=1", "b=2"]);
        assert_eq!(params.number("limit", 1..=10), Ok(Some(7)));
        assert_eq!(params.number("limit", 1..=10), Ok(None));
        assert_eq!(params.one("group"), Ok(None));
        assert_eq!(params.finish(""), Ok(()));
    }
}
