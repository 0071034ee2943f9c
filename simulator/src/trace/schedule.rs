//! The schedule behind a series: how often its sender beats, and how late each heartbeat came.
//!
//! ```text
//!   arrival |            *        o  under no line: the schedule
//!           |     *     _.-*      *  late by its height above it
//!           |   _.-o'''
//!           | o'       *─ no: nothing arrives before it is sent
//!           └──────────────────── seq
//! ```
//! Where only arrivals are known the schedule is the line below all of them whose distance from
//! them is least in sum: that edge of their lower convex hull which spans their mean number (Moon,
//! Skelly and Towsley, "Estimation and removal of clock skew from network delay measurements",
//! INFOCOM 1999). It is fitted anew to each stretch of [`STRETCH`] arrivals, since no sender's
//! period stays the same for months.

use systole_core::{Instant, Span};

use super::Beat;

/// Long enough that a few slow heartbeats don't bend the line, short enough that the sender's clock doesn't.
const STRETCH: usize = 64;

/// The median time for each step of `seq`, over neighbours of one life whose times are known.
pub(super) fn interval(beats: &[Beat]) -> Option<Span> {
    let known: Vec<(&Beat, Instant)> =
        beats.iter().filter_map(|beat| Some((beat, beat.sent.or(beat.arrival)?))).collect();
    let neighbours = known.windows(2).map(|pair| (pair[0], pair[1]));
    let mut steps: Vec<u64> = neighbours
        .filter(|((before, _), (after, _))| before.life == after.life)
        .map(|((before, from), (after, until))| until.since(from).nanos() / (after.seq - before.seq))
        .collect();
    if steps.is_empty() {
        return None;
    }
    let middle = steps.len() / 2;
    let (_, median, _) = steps.select_nth_unstable(middle);
    Some(Span::from_nanos(*median)).filter(|span| !span.is_zero())
}

/// For each heartbeat when it was sent, from the first on, and its delay.
pub(super) fn delays(beats: &[Beat]) -> Vec<(Span, Option<Span>)> {
    let mut sent = vec![None; beats.len()];
    let mut start = 0;
    for life in beats.chunk_by(|one, other| one.life == other.life) {
        send_times(life, &mut sent[start..start + life.len()]);
        start += life.len();
    }
    let first = sent.iter().flatten().copied().min().unwrap_or_default();
    let each = beats.iter().zip(&sent);
    each.map(|(beat, sent)| {
        // Known or inferred for every heartbeat of a life, if for any of them.
        let sent = sent.unwrap_or(first);
        (span(sent - first), beat.arrival.map(|arrival| span(i128::from(arrival.nanos()) - sent)))
    })
    .collect()
}

/// When each heartbeat of one life was sent, in nanoseconds: as known, or by the schedule.
fn send_times(life: &[Beat], sent: &mut [Option<i128>]) {
    for (beat, sent) in life.iter().zip(sent.iter_mut()) {
        *sent = beat.sent.map(|sent| i128::from(sent.nanos()));
    }
    let arrived = life.iter().enumerate().filter(|(_, beat)| beat.sent.is_none());
    let points: Vec<(usize, Point)> =
        arrived.filter_map(|(place, beat)| Some((place, Point::new(beat.seq, beat.arrival?)))).collect();
    let stretches = (points.len() / STRETCH).max(1);
    // All of about the same length: a line through the last two arrivals alone would say nothing.
    for stretch in points.chunks(points.len().div_ceil(stretches).max(1)) {
        let line = Line::below(stretch);
        for (place, point) in stretch {
            sent[*place] = Some(line.at(point.seq));
        }
    }
    fill(life, sent);
}

/// Between two heartbeats whose times are known, those between them are spread evenly.
fn fill(life: &[Beat], sent: &mut [Option<i128>]) {
    let known: Vec<(usize, Point)> = (sent.iter().zip(life).enumerate())
        .filter_map(|(place, (sent, beat))| Some((place, Point { seq: i128::from(beat.seq), at: (*sent)? })))
        .collect();
    for pair in known.windows(2) {
        let ((before, from), (after, until)) = (pair[0], pair[1]);
        let line = Line { from, until };
        for place in before + 1..after {
            sent[place] = Some(line.at(i128::from(life[place].seq)));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    seq: i128,
    at: i128,
}

/// The line through two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    from: Point,
    until: Point,
}

impl Point {
    fn new(seq: u64, at: Instant) -> Self {
        Self { seq: i128::from(seq), at: i128::from(at.nanos()) }
    }

    /// Whether `self` lies on or above the line from `one` to `other`, between the two.
    fn above(self, one: Self, other: Self) -> bool {
        (self.at - one.at) * (other.seq - one.seq) >= (other.at - one.at) * (self.seq - one.seq)
    }
}

impl Line {
    /// The line below all these points, sorted by number, whose distance from them is least in sum.
    fn below(points: &[(usize, Point)]) -> Self {
        let mut hull: Vec<Point> = Vec::new();
        for (_, point) in points {
            while let [.., one, two] = hull[..]
                && two.above(one, *point)
            {
                hull.pop();
            }
            hull.push(*point);
        }
        let (sum, count) = points.iter().fold((0, 0), |(sum, count), (_, point)| (sum + point.seq, count + 1));
        let edge = hull.windows(2).find(|edge| edge[1].seq * count >= sum);
        let [from, until] = edge.map_or([hull[0]; 2], |edge| [edge[0], edge[1]]);
        Self { from, until }
    }

    /// Rounded down, so that it stays below.
    fn at(self, seq: i128) -> i128 {
        let steps = self.until.seq - self.from.seq;
        if steps == 0 {
            return self.from.at;
        }
        self.from.at + ((seq - self.from.seq) * (self.until.at - self.from.at)).div_euclid(steps)
    }
}

fn span(nanos: i128) -> Span {
    Span::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Actor, Purpose, Stream};

    const MILLI: u64 = 1_000_000;

    fn heard(seq: u64, millis: u64) -> Beat {
        Beat { life: 1, seq, sent: None, arrival: Some(Instant::from_nanos(millis * MILLI)) }
    }

    fn lost(seq: u64) -> Beat {
        Beat { life: 1, seq, sent: None, arrival: None }
    }

    fn sent(seq: u64, millis: u64, delay: u64) -> Beat {
        let at = Instant::from_nanos(millis * MILLI);
        Beat { life: 1, seq, sent: Some(at), arrival: Some(at + Span::from_millis(delay)) }
    }

    #[test]
    fn a_lost_heartbeat_does_not_lengthen_the_interval() {
        let beats = [heard(1, 0), lost(2), lost(3), heard(4, 300), lost(5), heard(6, 500)];
        assert_eq!(interval(&beats), Some(Span::from_millis(100)));
        assert_eq!(interval(&beats[..1]), None);
    }

    #[test]
    fn the_time_between_two_lives_is_no_interval() {
        let again = Beat { life: 2, ..heard(1, 90_000) };
        assert_eq!(interval(&[heard(1, 0), again]), None);
        assert_eq!(interval(&[heard(1, 0), heard(2, 100), again]), Some(Span::from_millis(100)));
    }

    #[test]
    fn where_the_file_tells_the_sending_the_delay_is_counted_from_it() {
        let beats = [sent(1, 1_000, 20), sent(2, 1_100, 35), Beat { arrival: None, ..sent(3, 1_200, 0) }];
        let found = delays(&beats);
        assert_eq!(found[1], (Span::from_millis(100), Some(Span::from_millis(35))));
        assert_eq!(found[2], (Span::from_millis(200), None));
    }

    #[test]
    fn the_schedule_lies_below_all_arrivals_and_meets_the_quickest() {
        // Every 100 ms from 7 on, one late by 40, two lost.
        let beats = [heard(1, 7), heard(2, 107), heard(3, 247), lost(4), lost(5), heard(6, 507), heard(7, 607)];
        let found = delays(&beats);
        let late: Vec<Option<u64>> = found.iter().map(|(_, delay)| delay.map(Span::millis)).collect();
        assert_eq!(late, [Some(0), Some(0), Some(40), None, None, Some(0), Some(0)]);
        assert_eq!(found[4].0, Span::from_millis(400));
    }

    #[test]
    fn a_clock_that_changes_its_pace_is_not_taken_for_delay() {
        // 0.1 % quick for a thousand heartbeats, then 0.1 % slow.
        let at = |seq: u64| if seq < 1_000 { seq * 999 } else { 999_000 + (seq - 1_000) * 1_001 };
        let beats: Vec<Beat> = (0..2_000).map(|seq| heard(seq, at(seq))).collect();
        let worst = delays(&beats).into_iter().filter_map(|(_, delay)| delay).max();
        // Half a stretch at twice that pace; one line through all of them would be off by a second.
        assert!(worst <= Some(Span::from_millis(64)), "{worst:?}");
    }

    /// Of all lines through two of the points that lie below them all, none is nearer.
    #[test]
    fn no_line_through_two_points_fits_better() {
        let mut random = Stream::new(11, Actor::node(0, 0), Purpose::Delay);
        for _ in 0..200 {
            let points: Vec<(usize, Point)> = (0..12)
                .map(|place| (place, Point { seq: 3 * place as i128, at: (random.bits() % 1_000) as i128 }))
                .collect();
            let distance = |line: Line| -> Option<f64> {
                let exact = |point: &Point| {
                    let slope = (line.until.at - line.from.at) as f64 / (line.until.seq - line.from.seq) as f64;
                    point.at as f64 - line.from.at as f64 - slope * (point.seq - line.from.seq) as f64
                };
                let each: Vec<f64> = points.iter().map(|(_, point)| exact(point)).collect();
                each.iter().all(|above| *above >= -1e-6).then(|| each.iter().sum())
            };
            let found = distance(Line::below(&points)).expect("it lies below all of them");
            for (place, (_, from)) in points.iter().enumerate() {
                for (_, until) in &points[place + 1..] {
                    let other = distance(Line { from: *from, until: *until });
                    assert!(other.is_none_or(|other| found <= other + 1e-6), "{points:?}");
                }
            }
        }
    }
}
