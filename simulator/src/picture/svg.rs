//! One drawing, written as text: a handful of shapes, each with the role that colours it.
//!
//! Coordinates are rounded to a tenth of a pixel. Everything that stands for data has the class
//! `mark` as well, and says its value when pointed at: browsers show a `title` without any script.

use std::fmt::Write;

/// A drawing that is being made.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Which end of a text its place is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The shape of a mark: it tells series apart where colour can't.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
    }

    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), says: &str) {
        let ((x, y), (width, height)) = (at, size);
        let says = title(says);
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">{says}</rect>"
        ));
    }

    /// A rectangle whose colour is a value and not a role.
    pub(super) fn tile(&mut self, class: &str, at: (f64, f64), size: (f64, f64), colour: [u8; 3], says: &str) {
        let ((x, y), (width, height), [r, g, b]) = (at, size, colour);
        let says = title(says);
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"#{r:02x}{g:02x}{b:02x}\">{says}</rect>"
        ));
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.put(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"/>"));
    }

    /// Straight lines through the points; nothing for fewer than two.
    pub(super) fn polyline(&mut self, class: &str, points: &[(f64, f64)], says: &str) {
        if points.len() >= 2 {
            self.path(class, points, false, says);
        }
    }

    /// The area within the points.
    pub(super) fn area(&mut self, class: &str, points: &[(f64, f64)], says: &str) {
        self.path(class, points, true, says);
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool, says: &str) {
        let mut way = String::new();
        for (place, (x, y)) in points.iter().enumerate() {
            let step = if place == 0 { 'M' } else { 'L' };
            write!(way, "{step}{x:.1} {y:.1}").expect("a string takes everything");
        }
        let end = if closed { "Z" } else { "" };
        let says = title(says);
        self.put(format_args!("<path class=\"{class}\" d=\"{way}{end}\">{says}</path>"));
    }

    /// A small shape around a place.
    pub(super) fn mark(&mut self, class: &str, shape: Shape, (x, y): (f64, f64), says: &str) {
        let corners: &[(f64, f64)] = match shape {
            Shape::Circle => &[],
            Shape::Square => &[(-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7)],
            Shape::Diamond => &[(0.0, -5.2), (5.2, 0.0), (0.0, 5.2), (-5.2, 0.0)],
            Shape::Up => &[(0.0, -5.0), (4.8, 3.6), (-4.8, 3.6)],
            Shape::Down => &[(0.0, 5.0), (4.8, -3.6), (-4.8, -3.6)],
        };
        if corners.is_empty() {
            let says = title(says);
            return self
                .put(format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.2\">{says}</circle>"));
        }
        let corners: Vec<(f64, f64)> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        self.area(class, &corners, says);
    }

    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let (anchor, text) = (anchor.name(), escaped(text));
        self.put(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// A text that runs upwards, as beside a vertical axis.
    pub(super) fn text_upwards(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            "<text class=\"{class}\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\">{text}</text>"
        ));
    }

    /// The whole drawing; `name` is unique on its page.
    pub(super) fn finish(self, name: &str, title: &str, description: &str) -> String {
        let Self { width, height, body } = self;
        let (name, title, description) = (escaped(name), escaped(title), escaped(description));
        format!(
            "<svg class=\"picture\" id=\"{name}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-labelledby=\"{name}-title {name}-desc\">\n<title id=\"{name}-title\">{title}</title>\n\
             <desc id=\"{name}-desc\">{description}</desc>\n{body}</svg>\n"
        )
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes everything");
    }
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

impl Shape {
    /// The shape of a series by its number.
    pub(super) const fn of(series: usize) -> Self {
        match series % 5 {
            0 => Self::Circle,
            1 => Self::Square,
            2 => Self::Diamond,
            3 => Self::Up,
            _ => Self::Down,
        }
    }
}

/// How wide a text will be, about, at this size: no font is at hand to ask.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.56
}

/// A text as it stands in HTML, within an element or an attribute.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn title(says: &str) -> String {
    if says.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(says)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_can_not_break_out_of_the_drawing() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text("label", (1.0, 1.0), Anchor::Start, "</text><script>");
        svg.mark("mark", Shape::Circle, (1.0, 1.0), "a < b & \"c\"");
        let text = svg.finish("p", "<b>", "");
        assert!(!text.contains("<script>") && !text.contains("<b>"), "{text}");
        assert!(text.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"), "{text}");
    }
}
