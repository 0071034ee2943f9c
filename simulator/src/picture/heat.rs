//! Interval across, setting down: how often somebody up is failed, as a colour.
//!
//! Blue is less than asked for, red is more, and the scale is by factors. A line runs around what
//! was asked for, the choice is ringed, and each field says its number, so that nobody has to
//! compare shades.

use super::svg::{Anchor, Svg, text_width};
use super::{Level, Limits, Picture, Table, short};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Heat {
    /// Unique on its page.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) title: String,
    /// The intervals, shortest first.
    pub(crate) columns: Vec<String>,
    /// One for each setting.
    pub(crate) rows: Vec<Row>,
    /// What is asked for.
    pub(crate) limits: Option<Limits>,
    /// What the ring is.
    pub(crate) ring: &'static str,
}

/// One setting at all intervals.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Rows of one detector stand together.
    pub(crate) detector: String,
    /// The setting.
    pub(crate) name: String,
    /// As many as there are columns; nothing where there is no such setting.
    pub(crate) fields: Vec<Option<Field>>,
}

/// One setting at one interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// False failures per day in the fleet.
    pub(crate) per_day: Option<Level>,
    /// Seconds from a crash to *failed*; nothing if too many were not found at all.
    pub(crate) time_s: Option<f64>,
    /// Whether it can be what was asked for.
    pub(crate) meets: bool,
    /// Whether it is the choice.
    pub(crate) chosen: bool,
}

impl Heat {
    /// Draws it.
    pub(crate) fn draw(&self) -> Picture {
        let description = self.description();
        let layout = Layout::of(self);
        let mut svg = Svg::new(WIDTH, layout.bottom() + 96.0);
        for (column, name) in self.columns.iter().enumerate() {
            svg.text("tick", (layout.left(column) + layout.wide / 2.0, TOP - 9.0), Anchor::Middle, name);
        }
        svg.text("name", (layout.from, 14.0), Anchor::Start, "interval between heartbeats");
        let scale = Ramp::of(self);
        for (r, row) in self.rows.iter().enumerate() {
            let middle = layout.top(r) + HIGH / 2.0 + 4.5;
            svg.text("label", (layout.from - 10.0, middle), Anchor::End, &row.name);
            if r == 0 || self.rows[r - 1].detector != row.detector {
                svg.text("family", (0.0, middle), Anchor::Start, &row.detector);
            }
            for (c, field) in row.fields.iter().enumerate() {
                if let Some(field) = field {
                    self.field(&mut svg, &layout, scale, (r, c), field);
                }
            }
        }
        self.boundary(&mut svg, &layout);
        self.ring(&mut svg, &layout);
        scale.key(&mut svg, (layout.from, layout.bottom() + 34.0), layout.wide * self.columns.len() as f64);
        let svg = svg.finish(&self.name, &self.title, &description);
        Picture { title: self.title.clone(), description, svg, table: self.table() }
    }

    fn description(&self) -> String {
        let mut text = String::from(
            "False failures per day in the whole fleet, by interval and setting; beneath, in small, the seconds from \
             a crash to failed. A number after < is the upper end of the interval where no false failure was seen.",
        );
        if let Some(limits) = self.limits {
            text += &format!(
                " Blue is fewer than the {} a day that were asked for, red is more; the line runs around what can \
                 also be found within {} s.",
                short(limits.per_day),
                short(limits.within_s)
            );
        }
        if self.rows.iter().flat_map(|row| &row.fields).flatten().any(|field| field.chosen) {
            text += &format!(" The ring is the {}.", self.ring);
        }
        text
    }

    fn field(&self, svg: &mut Svg, layout: &Layout, ramp: Ramp, (r, c): (usize, usize), field: &Field) {
        let (at, size) = ((layout.left(c) + 1.0, layout.top(r) + 1.0), (layout.wide - 2.0, HIGH - 2.0));
        let middle = at.0 + size.0 / 2.0;
        let time = field.time_s.map_or("not all found".into(), |secs| format!("{} s", short(secs)));
        let Some(level) = field.per_day else {
            svg.rect("empty", at, size, "unknown");
            return svg.text("in-dark", (middle, at.1 + 22.0), Anchor::Middle, "?");
        };
        let says = format!("{} at {}: {} a day, failed after {time}", self.rows[r].name, self.columns[c], level.text());
        let colour = ramp.colour(level.at);
        svg.tile("mark field", at, size, colour, &says);
        let class = if light(colour) { "in-light" } else { "in-dark" };
        let sign = if level.unseen { "< " } else { "" };
        svg.text(class, (middle, at.1 + 16.0), Anchor::Middle, &format!("{sign}{}", short(level.at)));
        svg.text(&format!("{class} small"), (middle, at.1 + 29.0), Anchor::Middle, &time);
    }

    /// A line along every edge between what meets the limits and what doesn't.
    fn boundary(&self, svg: &mut Svg, layout: &Layout) {
        if self.limits.is_none() {
            return;
        }
        for (r, row) in self.rows.iter().enumerate() {
            for c in (0..row.fields.len()).filter(|c| self.meets(r, *c)) {
                let (left, top) = (layout.left(c), layout.top(r));
                let (right, bottom) = (left + layout.wide, top + HIGH);
                let new_above = r == 0 || self.rows[r - 1].detector != row.detector;
                let new_below = r + 1 == self.rows.len() || self.rows[r + 1].detector != row.detector;
                let edges = [
                    (c == 0 || !self.meets(r, c - 1), (left, top), (left, bottom)),
                    (!self.meets(r, c + 1), (right, top), (right, bottom)),
                    (new_above || !self.meets(r - 1, c), (left, top), (right, top)),
                    (new_below || !self.meets(r + 1, c), (left, bottom), (right, bottom)),
                ];
                for (_, from, to) in edges.into_iter().filter(|(open, _, _)| *open) {
                    svg.line("boundary", from, to);
                }
            }
        }
    }

    fn ring(&self, svg: &mut Svg, layout: &Layout) {
        for (r, row) in self.rows.iter().enumerate() {
            for (c, _) in row.fields.iter().enumerate().filter(|(_, field)| field.is_some_and(|field| field.chosen)) {
                let at = (layout.left(c) + 3.0, layout.top(r) + 3.0);
                svg.rect("choice", at, (layout.wide - 6.0, HIGH - 6.0), self.ring);
            }
        }
    }

    fn meets(&self, row: usize, column: usize) -> bool {
        let field = self.rows.get(row).and_then(|row| row.fields.get(column).copied().flatten());
        field.is_some_and(|field| field.meets)
    }

    fn table(&self) -> Table {
        let mut head = vec!["detector".to_string(), "setting".into()];
        head.extend(self.columns.iter().map(|name| format!("false failures per fleet day at {name}")));
        let row = |row: &Row| {
            let field = |field: &Option<Field>| match field {
                Some(Field { per_day: Some(level), chosen, .. }) => {
                    format!("{}{}", level.text(), if *chosen { format!(", the {}", self.ring) } else { String::new() })
                }
                Some(Field { per_day: None, .. }) => "unknown".into(),
                None => String::new(),
            };
            let mut texts = vec![row.detector.clone(), row.name.clone()];
            texts.extend(row.fields.iter().map(field));
            texts
        };
        Table { head, rows: self.rows.iter().map(row).collect() }
    }
}

/// Where the fields are.
struct Layout {
    from: f64,
    wide: f64,
    tops: Vec<f64>,
}

impl Layout {
    fn of(heat: &Heat) -> Self {
        let widest =
            |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text_width(text, 13.0)).fold(0.0, f64::max);
        let family = widest(&mut heat.rows.iter().map(|row| &row.detector));
        let from = family + widest(&mut heat.rows.iter().map(|row| &row.name)) + 36.0;
        let wide = ((WIDTH - from - 4.0) / heat.columns.len().max(1) as f64).clamp(40.0, 200.0);
        let mut top = TOP;
        let tops = heat.rows.iter().enumerate().map(|(r, row)| {
            if r > 0 && heat.rows[r - 1].detector != row.detector {
                top += 12.0;
            }
            let here = top;
            top += HIGH;
            here
        });
        Self { from, wide, tops: tops.collect() }
    }

    fn left(&self, column: usize) -> f64 {
        self.from + self.wide * column as f64
    }

    fn top(&self, row: usize) -> f64 {
        self.tops[row]
    }

    fn bottom(&self) -> f64 {
        self.tops.last().map_or(TOP, |top| top + HIGH)
    }
}

/// From a number of false failures to a colour, by the logarithm.
#[derive(Clone, Copy, Debug)]
struct Ramp {
    least: f64,
    middle: f64,
    most: f64,
}

impl Ramp {
    fn of(heat: &Heat) -> Self {
        let levels = heat.rows.iter().flat_map(|row| &row.fields).flatten().filter_map(|field| field.per_day);
        let (least, most) = levels.fold((f64::INFINITY, 0.0_f64), |(low, high), l| (low.min(l.at), high.max(l.at)));
        let (least, most) = if most > 0.0 { (least, most) } else { (0.1, 10.0) };
        match heat.limits {
            Some(Limits { per_day, .. }) => {
                Self { least: least.min(per_day / 10.0), middle: per_day, most: most.max(per_day * 10.0) }
            }
            None => Self { least, middle: libm::sqrt(least * most), most: most.max(least * 10.0) },
        }
    }

    fn colour(self, level: f64) -> [u8; 3] {
        let (from, to, ends) = if level <= self.middle {
            (self.least, self.middle, [BLUE, PALE_BLUE, SAND])
        } else {
            (self.middle, self.most, [SAND, PALE_RED, RED])
        };
        let share = (libm::log(level / from) / libm::log(to / from)).clamp(0.0, 1.0);
        let (one, other, share) =
            if share < 0.5 { (ends[0], ends[1], share * 2.0) } else { (ends[1], ends[2], share * 2.0 - 1.0) };
        std::array::from_fn(|part| {
            let (one, other) = (f64::from(one[part]), f64::from(other[part]));
            (one + (other - one) * share) as u8
        })
    }

    /// What the colours mean, as a strip with numbers.
    fn key(self, svg: &mut Svg, (left, top): (f64, f64), room: f64) {
        const STEPS: usize = 60;
        let wide = room.clamp(240.0, 420.0);
        let step = wide / STEPS as f64;
        let at = |share: f64| {
            let (from, to, share) = if share <= 0.5 {
                (self.least, self.middle, share * 2.0)
            } else {
                (self.middle, self.most, share * 2.0 - 1.0)
            };
            from * libm::pow(to / from, share)
        };
        for n in 0..STEPS {
            let colour = self.colour(at((n as f64 + 0.5) / STEPS as f64));
            svg.tile("key", (left + n as f64 * step, top), (step + 0.5, 12.0), colour, "");
        }
        svg.text("tick", (left, top + 30.0), Anchor::Start, &short(self.least));
        svg.text("tick", (left + wide / 2.0, top + 30.0), Anchor::Middle, &short(self.middle));
        svg.text("tick", (left + wide, top + 30.0), Anchor::End, &short(self.most));
        svg.text("name", (left, top - 9.0), Anchor::Start, "false failures per fleet day");
    }
}

/// Whether black is easier to read on it than white (relative luminance of WCAG 2, without its gamma).
fn light([r, g, b]: [u8; 3]) -> bool {
    0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b) > 140.0
}

const WIDTH: f64 = 960.0;
const TOP: f64 = 44.0;
const HIGH: f64 = 38.0;
const BLUE: [u8; 3] = [0x1f, 0x5a, 0x96];
const PALE_BLUE: [u8; 3] = [0x8f, 0xbb, 0xd9];
const SAND: [u8; 3] = [0xf4, 0xee, 0xdc];
const PALE_RED: [u8; 3] = [0xee, 0xa0, 0x72];
const RED: [u8; 3] = [0xa8, 0x2a, 0x2a];

#[cfg(test)]
mod tests {
    use super::*;

    fn field(at: f64, meets: bool) -> Option<Field> {
        let per_day = Some(Level { at, low: at, high: at, unseen: false });
        Some(Field { per_day, time_s: Some(1.0), meets, chosen: meets })
    }

    fn heat() -> Heat {
        let row = |name: &str, fields| Row { detector: "chen".into(), name: name.into(), fields };
        Heat {
            name: "h".into(),
            title: "Title".into(),
            columns: vec!["1s".into(), "2s".into()],
            rows: vec![row("1x", vec![field(5.0, false), None]), row("2x", vec![field(0.01, true), field(1.0, false)])],
            limits: Some(Limits { within_s: 9.0, per_day: 0.1 }),
            ring: "choice",
        }
    }

    #[test]
    fn the_line_runs_around_what_meets_the_limits() {
        let picture = heat().draw();
        assert_eq!(picture.svg.matches("class=\"boundary\"").count(), 4);
        assert_eq!(picture.svg.matches("class=\"choice\"").count(), 1);
        assert!(!picture.svg.contains("NaN"));
    }

    #[test]
    fn less_than_asked_for_is_blue_and_more_is_red() {
        let ramp = Ramp::of(&heat());
        assert_eq!((ramp.colour(0.1), ramp.colour(ramp.least), ramp.colour(ramp.most)), (SAND, BLUE, RED));
        let [r, _, b] = ramp.colour(0.03);
        assert!(b > r);
        let [r, _, b] = ramp.colour(2.0);
        assert!(r > b);
    }

    #[test]
    fn the_table_has_a_column_for_each_interval() {
        let table = heat().draw().table;
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
        assert_eq!(table.rows[0][3], "");
    }
}
