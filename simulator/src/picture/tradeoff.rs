//! How fast a crash is found against how often somebody up is failed: what each detector can reach.
//!
//! Down and left is better. Each mark is one setting; those of one detector that differ in nothing
//! but its own parameters are a track. A detector with several tracks gets one strong line: the
//! settings that no other of it beats in both. What was never seen stands at the upper end of its
//! interval, hollow and with an arrow, since the truth is anywhere below.

use super::frame::{Entry, Frame, legend, legend_height};
use super::scale::Scale;
use super::svg::{Anchor, Shape, Svg};
use super::{Level, Limits, Picture, Table, colour, exact, short};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Tradeoff {
    /// Unique on its page.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) title: String,
    /// Which time after the crash stands along the bottom, such as `p99`.
    pub(crate) time: String,
    /// One for each detector.
    pub(crate) series: Vec<Series>,
    /// What is asked for.
    pub(crate) limits: Option<Limits>,
    /// What the ring is.
    pub(crate) ring: &'static str,
}

/// One detector.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// What it is called.
    pub(crate) name: String,
    /// Its settings, as tracks.
    pub(crate) tracks: Vec<Vec<Point>>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Everything that tells it from the others.
    pub(crate) name: String,
    /// Seconds from a crash to *failed*; nothing if too many were not found at all.
    pub(crate) time_s: Option<f64>,
    /// Between which times it lies, from seed to seed.
    pub(crate) time_range_s: (f64, f64),
    /// False failures per day in the fleet.
    pub(crate) per_day: Option<Level>,
    /// Whether it is the choice.
    pub(crate) chosen: bool,
}

/// A point that has a place.
#[derive(Clone, Copy)]
struct Placed<'a> {
    point: &'a Point,
    time: f64,
    level: Level,
}

impl Tradeoff {
    /// Draws it.
    pub(crate) fn draw(&self) -> Picture {
        let description = self.description();
        let series: Vec<Vec<Vec<Placed<'_>>>> =
            self.series.iter().map(|series| series.tracks.iter().map(|track| placed(track)).collect()).collect();
        let all: Vec<Placed<'_>> = series.iter().flatten().flatten().copied().collect();
        let entries: Vec<Entry> = self.series.iter().enumerate().map(|(n, series)| entry(n, series)).collect();
        let head = legend_height(&entries, WIDTH - LEFT - RIGHT) + 14.0;
        let frame = Frame {
            left: LEFT,
            top: head,
            width: WIDTH - LEFT - RIGHT,
            height: HEIGHT,
            x: Scale::fitting(&times(&all, self.limits)),
            y: Scale::log(levels(&all, self.limits)),
        };
        let mut svg = Svg::new(WIDTH, head + HEIGHT + BELOW);
        legend(&mut svg, &entries, (LEFT, 0.0), frame.width);
        if let Some(limits) = self.limits {
            shade(&mut svg, &frame, limits);
        }
        frame.draw(
            &mut svg,
            &format!("from crash to failed, {}, in seconds", self.time),
            "false failures per fleet day",
        );
        for (n, tracks) in series.iter().enumerate() {
            draw_lines(&mut svg, &frame, &colour(n), tracks);
        }
        for (n, tracks) in series.iter().enumerate() {
            for placed in tracks.iter().flatten() {
                draw_point(&mut svg, &frame, n, placed, self.ring);
            }
        }
        let svg = svg.finish(&self.name, &self.title, &description);
        Picture { title: self.title.clone(), description, svg, table: self.table() }
    }

    fn description(&self) -> String {
        let mut text = format!(
            "Each mark is one setting: how long after a crash a node is failed ({}), against false failures per day \
             in the whole fleet, with 95 % intervals. Down and left is better.",
            self.time
        );
        if self.series.iter().any(|series| series.tracks.len() > 1) {
            text += " The strong line of a detector runs through the settings that no other of its own beats in both.";
        }
        if self.points().any(|point| point.per_day.is_some_and(|level| level.unseen)) {
            text += " A hollow mark with an arrow: no false failure was seen, the truth lies anywhere below.";
        }
        if let Some(limits) = self.limits {
            text += &format!(
                " Shaded is what was asked for: within {} s, at most {} a day.",
                short(limits.within_s),
                short(limits.per_day)
            );
        }
        if self.points().any(|point| point.chosen) {
            text += &format!(" The ring is the {}.", self.ring);
        }
        text
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.tracks).flatten()
    }

    fn table(&self) -> Table {
        let time = format!("crash to failed, {} (s)", self.time);
        let head = ["detector", "setting", &time, "false failures per fleet day"].map(String::from).to_vec();
        let row = |series: &Series, point: &Point| {
            vec![
                series.name.clone(),
                if point.chosen { format!("{} ({})", point.name, self.ring) } else { point.name.clone() },
                point.time_s.map_or("not all found".into(), exact),
                point.per_day.map_or("unknown".into(), Level::text),
            ]
        };
        let rows = self.series.iter().flat_map(|series| series.tracks.iter().flatten().map(move |p| row(series, p)));
        Table { head, rows: rows.collect() }
    }
}

fn placed(track: &[Point]) -> Vec<Placed<'_>> {
    let place = track.iter().filter_map(|point| Some(Placed { point, time: point.time_s?, level: point.per_day? }));
    let mut placed: Vec<Placed<'_>> = place.collect();
    placed.sort_by(|one, other| one.time.total_cmp(&other.time).then(one.level.at.total_cmp(&other.level.at)));
    placed
}

/// All times that must be on the axis.
fn times(all: &[Placed<'_>], limits: Option<Limits>) -> Vec<f64> {
    let points = all.iter().flat_map(|placed| [placed.time, placed.point.time_range_s.1]);
    points.chain(limits.map(|limits| limits.within_s)).collect()
}

/// All levels that must be on the axis. Intervals may run out of it at the bottom.
fn levels(all: &[Placed<'_>], limits: Option<Limits>) -> Vec<f64> {
    let points =
        all.iter().flat_map(|placed| [placed.level.at, placed.level.high, placed.level.low.max(placed.level.at / 4.0)]);
    // Room below the limit, so that the shade is a surface and the arrows have somewhere to point.
    points.chain(limits.map(|limits| limits.per_day / 2.0)).chain(limits.map(|limits| limits.per_day)).collect()
}

fn entry(n: usize, series: &Series) -> Entry {
    Entry { class: colour(n), shape: Some(Shape::of(n)), name: series.name.clone() }
}

fn shade(svg: &mut Svg, frame: &Frame, limits: Limits) {
    let (right, top) = frame.at(limits.within_s, limits.per_day);
    let size = (right - frame.left, frame.bottom() - top);
    let says = format!("asked for: within {} s, at most {} a day", short(limits.within_s), short(limits.per_day));
    svg.rect("asked", (frame.left, top), size, &says);
    svg.polyline("asked-edge", &[(frame.left, top), (right, top), (right, frame.bottom())], "");
    svg.text("asked-label", (frame.left + 8.0, frame.bottom() - 9.0), Anchor::Start, "asked for");
}

fn draw_lines(svg: &mut Svg, frame: &Frame, colour: &str, tracks: &[Vec<Placed<'_>>]) {
    let several = tracks.len() > 1;
    let class = if several { "track" } else { "curve" };
    for track in tracks {
        connect(svg, frame, &format!("{class} {colour}"), track);
    }
    if several {
        let all: Vec<Placed<'_>> = tracks.iter().flatten().copied().collect();
        connect(svg, frame, &format!("curve {colour}"), &front(all));
    }
}

/// Those that no other beats in both, quickest first.
fn front(mut all: Vec<Placed<'_>>) -> Vec<Placed<'_>> {
    all.sort_by(|one, other| one.time.total_cmp(&other.time).then(one.level.at.total_cmp(&other.level.at)));
    let mut least = f64::INFINITY;
    all.retain(|placed| {
        let better = placed.level.at < least;
        least = least.min(placed.level.at);
        better
    });
    all
}

/// A line through them, broken into pieces: dashed where it leads to a mere bound.
fn connect(svg: &mut Svg, frame: &Frame, class: &str, points: &[Placed<'_>]) {
    for pair in points.windows(2) {
        let dashed = if pair.iter().any(|placed| placed.level.unseen) { " dashed" } else { "" };
        let ends: Vec<(f64, f64)> = pair.iter().map(|placed| frame.at(placed.time, placed.level.at)).collect();
        svg.polyline(&format!("{class}{dashed}"), &ends, "");
    }
}

fn draw_point(svg: &mut Svg, frame: &Frame, n: usize, placed: &Placed<'_>, ring: &str) {
    let Placed { point, time, level } = *placed;
    let (x, y) = frame.at(time, level.at);
    let colour = colour(n);
    let bar = format!("bar {colour}");
    if level.unseen {
        let tip = (y + ARROW).min(frame.bottom());
        svg.line(&bar, (x, y), (x, tip));
        svg.polyline(&bar, &[(x - 3.5, tip - 5.0), (x, tip), (x + 3.5, tip - 5.0)], "");
    } else {
        let (low, high) = (frame.up(level.low), frame.up(level.high));
        svg.line(&bar, (x, low), (x, high));
        for end in [low, high] {
            svg.line(&bar, (x - 3.0, end), (x + 3.0, end));
        }
    }
    let (from, to) = point.time_range_s;
    if from < to {
        svg.line(&bar, frame.at(from, level.at), frame.at(to, level.at));
    }
    let says = format!("{}: failed after {} s, {} a day", point.name, short(time), level.text());
    let kind = if level.unseen { "hollow" } else { "dot" };
    svg.mark(&format!("mark {kind} {colour}"), Shape::of(n), (x, y), &says);
    if point.chosen {
        svg.circle("choice", (x, y), 11.0);
        let (anchor, beside) = if x > frame.right() - 70.0 { (Anchor::End, -16.0) } else { (Anchor::Start, 16.0) };
        svg.text("choice-label", (x + beside, y - 9.0), anchor, ring);
    }
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 20.0;
const BELOW: f64 = 52.0;
const ARROW: f64 = 26.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn point(time: f64, at: f64) -> Point {
        let level = Level { at, low: at / 2.0, high: at * 2.0, unseen: false };
        Point { name: "p".into(), time_s: Some(time), time_range_s: (time, time), per_day: Some(level), chosen: false }
    }

    fn tradeoff(tracks: Vec<Vec<Point>>) -> Tradeoff {
        let series = vec![Series { name: "chen".into(), tracks }];
        let limits = Some(Limits { within_s: 5.0, per_day: 0.1 });
        Tradeoff { name: "t".into(), title: "Title".into(), time: "p99".into(), series, limits, ring: "choice" }
    }

    #[test]
    fn the_front_holds_nothing_that_another_beats_in_both() {
        let points = [point(1.0, 9.0), point(2.0, 9.5), point(3.0, 2.0), point(3.0, 1.0), point(4.0, 1.0)];
        let front = front(placed(&points));
        let held: Vec<(f64, f64)> = front.iter().map(|placed| (placed.time, placed.level.at)).collect();
        assert_eq!(held, [(1.0, 9.0), (3.0, 1.0)]);
    }

    #[test]
    fn every_setting_is_a_mark_or_at_least_a_row() {
        let lost = Point { time_s: None, ..point(1.0, 1.0) };
        let picture = tradeoff(vec![vec![point(1.0, 9.0), point(2.0, 1.0), lost]]).draw();
        assert_eq!(picture.svg.matches("class=\"mark ").count(), 2);
        assert_eq!(picture.table.rows.len(), 3);
        assert!(picture.svg.contains("class=\"asked\"") && !picture.svg.contains("class=\"choice\""));
        assert!(!picture.svg.contains("NaN"));
    }

    #[test]
    fn the_choice_is_ringed_and_what_was_not_seen_is_hollow() {
        let mut chosen = point(3.0, 0.5);
        chosen.chosen = true;
        chosen.per_day = chosen.per_day.map(|level| Level { unseen: true, low: 0.0, ..level });
        let picture = tradeoff(vec![vec![point(1.0, 9.0)], vec![chosen]]).draw();
        assert_eq!(picture.svg.matches("class=\"choice\"").count(), 1);
        assert_eq!(picture.svg.matches("class=\"mark hollow s0\"").count(), 1);
        assert!(picture.description.contains("anywhere below") && picture.description.contains("The ring"));
    }
}
