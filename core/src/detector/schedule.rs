//! Where a sender's schedule stands, seen from its last arrival.
//!
//! ```text
//!            S          A                 S + eta        S + eta + margin
//!  ----------|----------*--------------------|------------------|------> time
//!            predicted  arrived: 0.2 late    next expected      deadline
//!            |<-------->|
//!             offset = S - A, here negative
//! ```
//!
//! A sender on a schedule is late once and on time again with the next heartbeat, so its deadline
//! belongs to the schedule and not to the arrival. S is the smoothed prediction of the latest
//! arrival. Only S - A is kept, in milliseconds: that number stays small where S itself, since the
//! beginning of time, would need 64 bits. Whether a heartbeat came too late to belong to the
//! schedule at all is for each detector to say.

use crate::Span;
use crate::detector::Beat;

/// How much less than its share of intervals a heartbeat took, in milliseconds.
///
/// The difference is taken in whole nanoseconds: of two floats as large as an hour nothing would
/// be left to see a jitter of a millisecond.
pub(super) fn early(beat: Beat) -> f32 {
    let due = beat.interval * beat.gap;
    if due >= beat.elapsed { (due - beat.elapsed).millis_f32() } else { -(beat.elapsed - due).millis_f32() }
}

/// The offset after an arrival that was `ahead` milliseconds before its prediction.
///
/// Half the margin is as far as it goes. A sender slower than it says falls behind its schedule
/// without end, a quicker one runs ahead of it: the first would be accused with every heartbeat,
/// the second hardly ever.
pub(super) fn settle(ahead: f32, gain: f32, margin: f32) -> f32 {
    let half = 0.5 * margin;
    ((1.0 - gain) * ahead).clamp(-half, half)
}

/// From the last arrival to `margin` after the next is expected.
pub(super) fn patience(interval: Span, margin: Span, offset: f32) -> Span {
    // Limited once more, and in integers: the interval may have shrunk since the offset was
    // written, and a bound is no bound if rounding can step over it.
    let late = Span::from_millis_f32(-offset).min(half(margin));
    let ahead = Span::from_millis_f32(offset).min(half(margin));
    interval + margin - late + ahead
}

/// The longest such patience.
pub(super) fn bound(interval: Span, margin: Span) -> Span {
    interval + margin + half(margin)
}

fn half(span: Span) -> Span {
    Span::from_nanos(span.nanos() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETA: Span = Span::from_secs(3_600);
    const MARGIN: Span = Span::from_secs(60);

    #[test]
    fn a_microsecond_shows_in_an_hour() {
        let beat = Beat { elapsed: ETA * 24 - Span::from_nanos(1_000), gap: 24, interval: ETA };
        assert_eq!(early(beat), 0.001);
        let beat = Beat { elapsed: ETA * 24 + Span::from_nanos(1_000), ..beat };
        assert_eq!(early(beat), -0.001);
    }

    #[test]
    fn the_offset_moves_the_deadline_by_half_the_margin_at_most() {
        assert_eq!(patience(ETA, MARGIN, 0.0), ETA + MARGIN);
        assert_eq!(patience(ETA, MARGIN, -10_000.0), ETA + Span::from_secs(50));
        assert_eq!(patience(ETA, MARGIN, -1e30), ETA + Span::from_secs(30));
        assert_eq!(patience(ETA, MARGIN, 1e30), bound(ETA, MARGIN));
        assert_eq!(settle(1e30, 0.0625, 60_000.0), 30_000.0);
        assert_eq!(settle(-1e30, 0.0625, 60_000.0), -30_000.0);
    }
}
