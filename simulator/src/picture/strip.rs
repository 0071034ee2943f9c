//! Belief against truth over time: two stacked bands above one time axis.
//!
//! ```text
//!   truth    up ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒      each instant stacks all nodes,
//!            cut off      ▓▓▓▓▓▓▓▓                   so a band is as high as there are
//!   belief   alive ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒      nodes in that state
//!            failed         ███████
//! ```

use super::frame::{Entry, Frame, legend, legend_height};
use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Picture, Table, exact, short};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Strip {
    /// Unique on its page.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) title: String,
    /// What was run.
    pub(crate) about: String,
    /// The instants at which was counted, in seconds; they rise.
    pub(crate) at_s: Vec<f64>,
    /// The states that are true, from the bottom of the stack.
    pub(crate) truth: Vec<Band>,
    /// The states that are believed, from the bottom of the stack.
    pub(crate) belief: Vec<Band>,
}

/// One state.
#[derive(Clone, Debug)]
pub(crate) struct Band {
    /// What it is called.
    pub(crate) name: String,
    /// The role that colours it.
    pub(crate) role: &'static str,
    /// How many nodes are in it at each instant.
    pub(crate) nodes: Vec<u32>,
}

impl Strip {
    /// Draws it.
    pub(crate) fn draw(&self) -> Picture {
        let description = format!(
            "How many nodes really were in which state, above how many were believed to be, over time. {}",
            self.about
        );
        let entries = |bands: &[Band]| -> Vec<Entry> {
            bands.iter().map(|band| Entry { class: band.role.into(), shape: None, name: band.name.clone() }).collect()
        };
        let (truth, belief) = (entries(&self.truth), entries(&self.belief));
        let width = WIDTH - LEFT - RIGHT;
        let upper = legend_height(&truth, width) + 8.0;
        let lower = upper + HIGH + 18.0 + legend_height(&belief, width) + 8.0;
        let mut svg = Svg::new(WIDTH, lower + HIGH + 52.0);
        let (from, to) = (self.at_s.first().copied().unwrap_or(0.0), self.at_s.last().copied().unwrap_or(1.0));
        let x = Scale::Linear { from, to: if to > from { to } else { from + 1.0 } };
        let nodes = f64::from(total(&self.truth, 0).max(1));
        for (top, name, bands, entries) in
            [(upper, "truth", &self.truth, &truth), (lower, "belief", &self.belief, &belief)]
        {
            let y = Scale::Linear { from: 0.0, to: nodes };
            let frame = Frame { left: LEFT, top, width, height: HIGH, x, y };
            legend(&mut svg, entries, (LEFT, top - 8.0 - legend_height(entries, width)), width);
            self.stack(&mut svg, &frame, bands);
            for tick in y.ticks(3) {
                svg.text("tick", (LEFT - 9.0, frame.up(tick.at) + 4.0), Anchor::End, &tick.label);
            }
            svg.text_upwards("name", (LEFT - 62.0, top + HIGH / 2.0), &format!("{name}, nodes"));
            if name == "belief" {
                frame.draw_horizontal(&mut svg, "virtual time, in seconds");
            }
        }
        let svg = svg.finish(&self.name, &self.title, &description);
        Picture { title: self.title.clone(), description, svg, table: self.table() }
    }

    /// Each band stands on those before it.
    fn stack(&self, svg: &mut Svg, frame: &Frame, bands: &[Band]) {
        let mut below = vec![0_u32; self.at_s.len()];
        for band in bands {
            let above: Vec<u32> = below.iter().zip(&band.nodes).map(|(below, nodes)| below + nodes).collect();
            let most = band.nodes.iter().max().copied().unwrap_or(0);
            if most > 0 {
                let mut points = self.steps(frame, &above);
                points.extend(self.steps(frame, &below).into_iter().rev());
                let says = format!("{}: at most {} nodes", band.name, short(f64::from(most)));
                svg.area(&format!("mark fill {}", band.role), &points, &says);
            }
            below = above;
        }
        svg.line("axis", (frame.left, frame.bottom()), (frame.right(), frame.bottom()));
    }

    /// A count holds from its instant to the next.
    fn steps(&self, frame: &Frame, counts: &[u32]) -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> = Vec::with_capacity(counts.len() * 2);
        for (at, count) in self.at_s.iter().zip(counts) {
            let (x, y) = frame.at(*at, f64::from(*count));
            match points.last() {
                Some((_, before)) if *before != y => points.extend([(x, *before), (x, y)]),
                Some(_) if points.len() >= 2 && points[points.len() - 2].1 == y => {
                    points.pop();
                    points.push((x, y));
                }
                Some(_) | None => points.push((x, y)),
            }
        }
        points
    }

    /// Of instants at which nothing changed only the first is a row.
    fn table(&self) -> Table {
        let bands =
            || self.truth.iter().map(|band| ("truth", band)).chain(self.belief.iter().map(|band| ("belief", band)));
        let mut head = vec!["time (s)".to_string()];
        head.extend(bands().map(|(side, band)| format!("{side}: {}", band.name)));
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (n, at) in self.at_s.iter().enumerate() {
            let counts: Vec<String> = bands().map(|(_, band)| band.nodes[n].to_string()).collect();
            if rows.last().is_none_or(|row| row[1..] != counts) {
                rows.push([vec![exact(*at)], counts].concat());
            }
        }
        Table { head, rows }
    }
}

fn total(bands: &[Band], instant: usize) -> u32 {
    bands.iter().filter_map(|band| band.nodes.get(instant)).sum()
}

const WIDTH: f64 = 960.0;
const HIGH: f64 = 130.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn strip() -> Strip {
        let band = |name: &str, role, nodes: [u32; 4]| Band { name: name.into(), role, nodes: nodes.to_vec() };
        Strip {
            name: "s".into(),
            title: "T".into(),
            about: String::new(),
            at_s: vec![0.0, 1.0, 2.0, 3.0],
            truth: vec![band("up", "up", [10, 7, 7, 10]), band("cut off", "cut", [0, 3, 3, 0])],
            belief: vec![band("alive", "up", [10, 10, 10, 10]), band("failed", "failed", [0, 0, 0, 0])],
        }
    }

    #[test]
    fn a_band_is_drawn_where_anybody_is_in_it() {
        let picture = strip().draw();
        assert_eq!(picture.svg.matches("class=\"mark ").count(), 3);
        assert!(!picture.svg.contains("NaN"));
    }

    #[test]
    fn the_table_has_a_row_for_each_change() {
        let rows = strip().draw().table.rows;
        assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["0", "1", "3"]);
        assert_eq!(rows[1][1..], ["7", "3", "10", "0"]);
    }
}
