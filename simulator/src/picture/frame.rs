//! The ground that a plot stands on: a rectangle with an axis below and one at its left.

use super::scale::Scale;
use super::svg::{Anchor, Shape, Svg, text_width};

/// Where the plot lies within the drawing, and what its axes span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Scale,
    pub(super) y: Scale,
}

/// One entry of a legend.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The role that colours it.
    pub(super) class: String,
    pub(super) shape: Option<Shape>,
    pub(super) name: String,
}

impl Frame {
    /// Where the point of these two values is.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.across(x), self.up(y))
    }

    pub(super) fn across(&self, x: f64) -> f64 {
        self.left + self.width * self.x.place(x)
    }

    pub(super) fn up(&self, y: f64) -> f64 {
        self.top + self.height * (1.0 - self.y.place(y))
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    /// Grid, numbers and names of both axes.
    pub(super) fn draw(&self, svg: &mut Svg, x_name: &str, y_name: &str) {
        self.draw_horizontal(svg, x_name);
        for tick in self.y.ticks(8) {
            let y = self.up(tick.at);
            svg.line("grid", (self.left, y), (self.right(), y));
            svg.text("tick", (self.left - 9.0, y + 4.0), Anchor::End, &tick.label);
        }
        svg.text_upwards("name", (self.left - 62.0, self.top + self.height / 2.0), y_name);
    }

    /// The axis below alone.
    pub(super) fn draw_horizontal(&self, svg: &mut Svg, name: &str) {
        for tick in self.x.ticks(10) {
            let x = self.across(tick.at);
            svg.line("grid", (x, self.top), (x, self.bottom()));
            svg.text("tick", (x, self.bottom() + 19.0), Anchor::Middle, &tick.label);
        }
        svg.line("axis", (self.left, self.bottom()), (self.right(), self.bottom()));
        svg.text("name", (self.left + self.width / 2.0, self.bottom() + 42.0), Anchor::Middle, name);
    }
}

/// How high a legend of these will be within this width.
pub(super) fn legend_height(entries: &[Entry], width: f64) -> f64 {
    place_legend(entries, width).last().map_or(0.0, |(_, y)| y + LINE)
}

/// Draws the names of the series beside their marks, on as many lines as it takes.
pub(super) fn legend(svg: &mut Svg, entries: &[Entry], (left, top): (f64, f64), width: f64) {
    for (entry, (x, y)) in entries.iter().zip(place_legend(entries, width)) {
        let (x, y) = (left + x, top + y + 12.0);
        let Entry { class, shape, name } = entry;
        match shape {
            Some(shape) => {
                svg.line(&format!("curve {class}"), (x, y - 4.0), (x + 22.0, y - 4.0));
                svg.mark(&format!("dot {class}"), *shape, (x + 11.0, y - 4.0), "");
            }
            None => svg.rect(&format!("fill {class}"), (x + 4.0, y - 10.0), (14.0, 12.0), ""),
        }
        svg.text("label", (x + 28.0, y), Anchor::Start, name);
    }
}

const LINE: f64 = 22.0;

fn place_legend(entries: &[Entry], width: f64) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (0.0, 0.0);
    let place = |entry: &Entry| {
        let wide = 28.0 + text_width(&entry.name, 13.0) + 22.0;
        if x > 0.0 && x + wide > width {
            (x, y) = (0.0, y + LINE);
        }
        let here = (x, y);
        x += wide;
        here
    };
    entries.iter().map(place).collect()
}
