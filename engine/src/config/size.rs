//! `64MiB`: a number of bytes as settings write it, a whole number and a unit.
//!
//! Only the units that grow by 1,024 and say so. `MB` means two different things to two people.

use std::fmt;
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// Doesn't start with a whole number.
    Number,
    /// No unit, or an unknown one.
    Unit,
    /// More than 16 EiB.
    TooLarge,
}

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    /// A size of so many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        if number.is_empty() {
            return Err(SizeError::Number);
        }
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SizeError::Unit)?;
        let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
        number.checked_mul(*factor).map(Self).ok_or(SizeError::TooLarge)
    }
}

/// In the largest unit that comes out even.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "a size starts with a whole number, such as 64MiB",
            Self::Unit => "a size ends with its unit: B, KiB, MiB or GiB",
            Self::TooLarge => "the size is larger than anything that can be had",
        })
    }
}

impl std::error::Error for SizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_back_as_it_was_written() {
        for (text, bytes) in [("0B", 0), ("1B", 1), ("3KiB", 3_072), ("64MiB", 67_108_864), ("2GiB", 2_147_483_648)] {
            let size: Size = text.parse().expect(text);
            assert_eq!((size.bytes(), size.to_string()), (bytes, text.to_string()));
        }
        assert_eq!("1024KiB".parse::<Size>().map(|size| size.to_string()), Ok("1MiB".to_string()));
    }

    #[test]
    fn what_is_not_a_size_says_why() {
        for (text, error) in [
            ("", SizeError::Number),
            ("MiB", SizeError::Number),
            ("-1B", SizeError::Number),
            ("64", SizeError::Unit),
            ("64MB", SizeError::Unit),
            ("1.5GiB", SizeError::Unit),
            ("64 MiB", SizeError::Unit),
            ("99999999999999999999B", SizeError::TooLarge),
            ("17179869184GiB", SizeError::TooLarge),
        ] {
            assert_eq!(text.parse::<Size>(), Err(error), "{text:?}");
        }
    }
}
