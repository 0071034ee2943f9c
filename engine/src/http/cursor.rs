//! Where the next page of nodes begins, as a text that survives in a URL and that nobody needs to read.
//!
//! ```text
//!   2.4096                       shard 2, place 4,096            (no order)
//!   -load.40490fdb.7765622d31    behind load 3.14 of "web-1"     (an order; its number and name in hexadecimal)
//! ```
//!
//! It holds no state of the server, so it never expires; what comes or goes between two pages may
//! be seen on neither.

use std::fmt;

use super::order::{Order, Place};

/// The end of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    /// In the order of shards and places.
    At {
        /// Index of the shard.
        shard: usize,
        /// Its first place that wasn't looked at.
        place: usize,
    },
    /// In a chosen order.
    Behind(Order, Place),
}

impl Cursor {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
            (shard, place, None, None) => Some(Self::At { shard: shard.parse().ok()?, place: place.parse().ok()? }),
            (order, number, Some(name), None) => {
                let place = Place { number: u64::from_str_radix(number, 16).ok()?, name: unhex(name)? };
                Some(Self::Behind(Order::from_name(order)?, place))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At { shard, place } => write!(f, "{shard}.{place}"),
            Self::Behind(order, Place { number, name }) => {
                write!(f, "{order}.{number:x}.")?;
                name.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

fn unhex(digits: &str) -> Option<String> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    String::from_utf8(bytes).ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_needs_no_escape_in_a_url() {
        let order = Order::from_name("-last_arrival").unwrap();
        for cursor in [
            Cursor::At { shard: 3, place: 4_096 },
            Cursor::Behind(order, Place { number: u64::MAX, name: "eu/a:b@c".into() }),
            Cursor::Behind(order, Place { number: 0, name: "#00ff".into() }),
        ] {
            let text = cursor.to_string();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)), "{text}");
            assert_eq!(Cursor::from_text(&text), Some(cursor));
        }
    }

    #[test]
    fn garbage_is_no_cursor() {
        for text in
            ["", ".", "1", "1.", "a.b", "1.2.3", "load.x.", "load.1.7", "load.1.zz", "load.1.ff", "load.1.61.62", "é"]
        {
            assert_eq!(Cursor::from_text(text), None, "{text:?}");
        }
    }
}
