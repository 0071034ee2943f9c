//! What may stand in a field: the limits that both forms share, each checked in one place.
//!
//! A value that passed here is safe to store, to print on a terminal and to put in a line of text.

use crate::{Reject, Span, is_name};

/// The most bytes in a version, in a label's text, and in the name of a metric or label.
pub const TEXT_MAX: usize = 64;

/// The most metrics in one message, and the most labels.
pub const EXTRAS_MAX: usize = 16;

/// The name of a node or group.
pub(super) fn name(bytes: &[u8]) -> Result<&str, Reject> {
    if !is_name(bytes) {
        return Err(Reject::BadName);
    }
    core::str::from_utf8(bytes).map_err(|_| Reject::BadName)
}

/// The name of a metric or label: the alphabet of names, but shorter.
pub(super) fn key(bytes: &[u8]) -> Result<&str, Reject> {
    if bytes.len() > TEXT_MAX {
        return Err(Reject::BadValue);
    }
    name(bytes).map_err(|_| Reject::BadValue)
}

/// A version or a label's text: visible characters only, at least one.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Reject> {
    let visible = if bytes.is_ascii() {
        bytes.iter().all(u8::is_ascii_graphic)
    } else {
        core::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_visible))
    };
    if !visible || bytes.is_empty() || bytes.len() > TEXT_MAX {
        return Err(Reject::BadValue);
    }
    core::str::from_utf8(bytes).map_err(|_| Reject::BadValue)
}

/// Not blank, not a control character, and none that reorders or hides its neighbours on a screen.
fn is_visible(c: char) -> bool {
    !c.is_control()
        && !c.is_whitespace()
        && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// A load: 0 is idle, 1 is full, more is overloaded.
pub(super) fn load(load: f32) -> Result<f32, Reject> {
    if load.is_finite() && load >= 0.0 { Ok(load) } else { Err(Reject::BadValue) }
}

/// The value of a metric.
pub(super) fn metric(value: f64) -> Result<f64, Reject> {
    if value.is_finite() { Ok(value) } else { Err(Reject::BadValue) }
}

/// A declared interval or a planned silence: none at all is said by saying nothing.
pub(super) fn span(span: Span) -> Result<Span, Reject> {
    if span.is_zero() { Err(Reject::BadValue) } else { Ok(span) }
}

/// Puts a value in its place. One that is given twice is refused: who would know which was meant?
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Reject> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reject::BadValue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_1_to_64_bytes_that_a_screen_shows_as_they_are() {
        for good in ["1.2.3", "a=b", "Zürich", "東京", "🦀", &"x".repeat(64), &"ü".repeat(32)] {
            assert_eq!(text(good.as_bytes()), Ok(good));
        }
        for bad in ["", " ", "a b", "a\tb", "\u{7f}", "\u{a0}", "\u{85}", "\u{202e}x", "\u{200b}", &"x".repeat(65)] {
            assert_eq!(text(bad.as_bytes()), Err(Reject::BadValue), "{bad:?}");
        }
        assert_eq!(text(b"\xff"), Err(Reject::BadValue));
    }

    #[test]
    fn numbers_that_are_not_numbers_are_refused() {
        assert_eq!(load(1.5), Ok(1.5));
        for bad in [-0.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(load(bad), Err(Reject::BadValue));
        }
        assert_eq!(metric(-1e300), Ok(-1e300));
        assert_eq!(metric(f64::NAN), Err(Reject::BadValue));
        assert_eq!(metric(f64::INFINITY), Err(Reject::BadValue));
    }

    #[test]
    fn the_name_of_a_metric_is_a_short_name() {
        assert_eq!(key(b"disk:/var"), Ok("disk:/var"));
        for bad in [&b""[..], &[b'x'; 65], b"a=b", b"\xff"] {
            assert_eq!(key(bad), Err(Reject::BadValue));
        }
    }
}
