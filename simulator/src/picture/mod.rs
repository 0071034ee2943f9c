//! Pictures of what was measured, drawn once and for good: text in, inline SVG out.
//!
//! ```text
//!   data (plain structs) ──► Picture { title, description, svg, table } ──► page: one HTML file
//! ```
//! No colour is written into a picture, only the name of a role (`s0`, `grid`, `choice`); the page
//! says what each role looks like on paper and at night. That is why the SVG is written here and
//! not by a plotting library, whose colours are final. A picture knows nothing of where its numbers
//! come from, and everything that it draws stands in its table too.

mod cdf;
mod frame;
mod heat;
mod number;
mod page;
mod scale;
mod strip;
mod svg;
mod tradeoff;

pub(crate) use cdf::{Cdf, Curve};
pub(crate) use heat::{Field, Heat, Row};
pub(crate) use number::{exact, short};
pub(crate) use page::{Page, Section, Standing, Verdict};
pub(crate) use strip::{Band, Strip};
pub(crate) use tradeoff::{Point, Series, Tradeoff};

/// One picture, with all that a reader needs who can't see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    /// What it shows, as a heading.
    pub(crate) title: String,
    /// How to read it, in a sentence or two.
    pub(crate) description: String,
    /// The drawing: one `svg` element.
    pub(crate) svg: String,
    /// Its data.
    pub(crate) table: Table,
}

/// Numbers as text, in rows; a column is headed by its name and unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    /// What each column is.
    pub(crate) head: Vec<String>,
    /// As many texts in each as in the head.
    pub(crate) rows: Vec<Vec<String>>,
}

/// What is asked for: found within so long, and so few false failures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Seconds from a crash to *failed*.
    pub(crate) within_s: f64,
    /// False failures per day in the whole fleet.
    pub(crate) per_day: f64,
}

/// How often something was seen, as a picture can show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// Where the mark stands: the estimate, or the upper end of its interval where nothing was seen.
    pub(crate) at: f64,
    /// The interval around it.
    pub(crate) low: f64,
    /// Its upper end.
    pub(crate) high: f64,
    /// Whether nothing was seen, so that the truth lies anywhere below.
    pub(crate) unseen: bool,
}

/// The colours of series repeat after so many; marks then differ by shape.
const COLOURS: usize = 7;

impl Level {
    /// From an estimate with its interval; nothing if neither says anything.
    pub(crate) fn of(estimate: crate::estimate::Estimate) -> Option<Self> {
        let value = estimate.value?;
        let high = estimate.ci_high.unwrap_or(value);
        match value {
            0.0 => (high > 0.0).then_some(Self { at: high, low: 0.0, high, unseen: true }),
            _ => Some(Self { at: value, low: estimate.ci_low.unwrap_or(value), high, unseen: false }),
        }
    }

    /// As a cell of a table or a tooltip says it.
    pub(crate) fn text(self) -> String {
        if self.unseen {
            return format!("none seen, below {}", short(self.high));
        }
        format!("{} ({} to {})", short(self.at), short(self.low), short(self.high))
    }
}

/// The role that colours a series.
fn colour(series: usize) -> String {
    format!("s{}", series % COLOURS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::Estimate;

    #[test]
    fn what_was_not_seen_stands_at_the_upper_end_of_its_interval() {
        let none = Estimate { value: Some(0.0), ci_low: Some(0.0), ci_high: Some(3.66), standard_error: None };
        assert_eq!(Level::of(none), Some(Level { at: 3.66, low: 0.0, high: 3.66, unseen: true }));
        assert_eq!(Level::of(Estimate::default()), None);
        let some = Level::of(Estimate { value: Some(2.0), ..none }).expect("a level");
        assert_eq!((some.at, some.unseen, some.text().as_str()), (2.0, false, "2 (0 to 3.66)"));
    }
}
