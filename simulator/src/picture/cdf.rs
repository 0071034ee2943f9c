//! Which share of all crashes has been found by when.
//!
//! The solid curve is *failed*, on which people act; the faint one before it is *suspect*. A curve
//! that ends below the top tells of crashes that were not found before the node came back.

use super::frame::{Entry, Frame, legend, legend_height};
use super::scale::{Scale, Tick};
use super::svg::{Anchor, Shape, Svg};
use super::{Limits, Picture, Table, colour, exact, short};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Cdf {
    /// Unique on its page.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) title: String,
    /// One for each setting shown.
    pub(crate) curves: Vec<Curve>,
    /// What is asked for.
    pub(crate) limits: Option<Limits>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    /// What it is called.
    pub(crate) name: String,
    /// Its number among the series of the page, for its colour.
    pub(crate) series: usize,
    /// By which second which share was *failed*; both rise.
    pub(crate) failed: Vec<(f64, f64)>,
    /// The same for *suspect*.
    pub(crate) suspected: Vec<(f64, f64)>,
}

impl Cdf {
    /// Draws it.
    pub(crate) fn draw(&self) -> Picture {
        let description = self.description();
        let entries: Vec<Entry> = self
            .curves
            .iter()
            .map(|curve| Entry {
                class: colour(curve.series),
                shape: Some(Shape::of(curve.series)),
                name: curve.name.clone(),
            })
            .collect();
        let width = WIDTH - LEFT - RIGHT;
        let head = legend_height(&entries, width) + 14.0;
        let ends = self.curves.iter().flat_map(|curve| curve.failed.last().or(curve.suspected.last()));
        let x = Scale::from_zero(ends.map(|(secs, _)| *secs).chain(self.limits.map(|limits| limits.within_s)));
        let y = Scale::Linear { from: 0.0, to: 1.0 };
        let frame = Frame { left: LEFT, top: head, width, height: HEIGHT, x, y };
        let mut svg = Svg::new(WIDTH, head + HEIGHT + 52.0);
        legend(&mut svg, &entries, (LEFT, 0.0), width);
        frame.draw_horizontal(&mut svg, "seconds after the crash");
        for Tick { at, label } in shares() {
            svg.line("grid", (LEFT, frame.up(at)), (frame.right(), frame.up(at)));
            svg.text("tick", (LEFT - 9.0, frame.up(at) + 4.0), Anchor::End, &label);
        }
        svg.text_upwards("name", (LEFT - 62.0, frame.top + HEIGHT / 2.0), "share of the crashes found");
        if let Some(limits) = self.limits {
            let x = frame.across(limits.within_s);
            svg.line("asked-edge", (x, frame.top), (x, frame.bottom()));
            let (anchor, beside) = if x > frame.right() - 120.0 { (Anchor::End, -7.0) } else { (Anchor::Start, 7.0) };
            let text = format!("asked for: {} s", short(limits.within_s));
            svg.text("asked-label", (x + beside, frame.bottom() - 10.0), anchor, &text);
        }
        for curve in &self.curves {
            let colour = colour(curve.series);
            let points =
                |shares: &[(f64, f64)]| shares.iter().map(|(secs, share)| frame.at(*secs, *share)).collect::<Vec<_>>();
            svg.polyline(
                &format!("mark track dotted {colour}"),
                &points(&curve.suspected),
                &format!("{}: suspect", curve.name),
            );
            svg.polyline(&format!("mark curve {colour}"), &points(&curve.failed), &format!("{}: failed", curve.name));
            for share in [0.5, 0.99] {
                if let Some(secs) = at_share(&curve.failed, share) {
                    let says = format!("{}: {} % failed within {} s", curve.name, short(share * 100.0), short(secs));
                    svg.mark(&format!("dot {colour}"), Shape::of(curve.series), frame.at(secs, share), &says);
                }
            }
        }
        let svg = svg.finish(&self.name, &self.title, &description);
        Picture { title: self.title.clone(), description, svg, table: self.table() }
    }

    fn description(&self) -> String {
        let mut text = String::from(
            "The share of all crashes that had been found so many seconds after the crash: failed as a solid line, \
             suspect as a dotted one. The marks are the half and 99 of 100.",
        );
        if self.curves.iter().any(|curve| curve.failed.last().is_some_and(|(_, share)| *share < 0.9995)) {
            text += " A curve that ends below 100 % tells of crashes not found before the node came back.";
        }
        text
    }

    fn table(&self) -> Table {
        let shares = [0.5, 0.9, 0.99, 0.999, 1.0];
        let mut head = vec!["setting".to_string(), "belief".into()];
        head.extend(shares.map(|share| format!("{} % within (s)", short(share * 100.0))));
        let row = |name: &str, belief: &str, curve: &[(f64, f64)]| {
            let mut row = vec![name.to_string(), belief.into()];
            row.extend(shares.map(|share| at_share(curve, share).map_or("not found".into(), exact)));
            row
        };
        let rows = self.curves.iter().flat_map(|curve| {
            [row(&curve.name, "suspect", &curve.suspected), row(&curve.name, "failed", &curve.failed)]
        });
        Table { head, rows: rows.collect() }
    }
}

/// By when a share had been found, straight between the points.
fn at_share(curve: &[(f64, f64)], share: f64) -> Option<f64> {
    let after = curve.iter().position(|(_, reached)| *reached >= share)?;
    let (secs, reached) = curve[after];
    let Some((before_secs, before)) = after.checked_sub(1).map(|before| curve[before]) else { return Some(secs) };
    let part = if reached > before { (share - before) / (reached - before) } else { 1.0 };
    Some(before_secs + (secs - before_secs) * part)
}

fn shares() -> [Tick; 6] {
    [(0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (0.9, "90 %"), (1.0, "100 %")]
        .map(|(at, label)| Tick { at, label: label.into() })
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_found_between_the_points() {
        let curve = [(1.0, 0.0), (2.0, 0.5), (4.0, 0.9)];
        assert_eq!(at_share(&curve, 0.25), Some(1.5));
        assert_eq!(at_share(&curve, 0.5), Some(2.0));
        assert_eq!(at_share(&curve, 0.95), None);
        assert_eq!(at_share(&[], 0.5), None);
    }

    #[test]
    fn both_beliefs_are_drawn_and_what_was_missed_is_said() {
        let curve = |end| vec![(1.0, 0.0), (2.0, end)];
        let curves = vec![Curve { name: "chen".into(), series: 1, failed: curve(0.8), suspected: curve(1.0) }];
        let picture = Cdf { name: "c".into(), title: "T".into(), curves, limits: None }.draw();
        assert_eq!(picture.svg.matches("class=\"mark ").count(), 2);
        assert!(picture.description.contains("ends below 100 %"));
        assert_eq!(picture.table.rows[1][3..6], ["not found", "not found", "not found"]);
    }
}
