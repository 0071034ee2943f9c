//! Numbers for people: `1,204`, `0.0366`, `2.1 × 10⁻⁷`.

/// Three digits that mean something. Thousands are grouped; what is very large or small gets a power.
pub(crate) fn short(value: f64) -> String {
    digits(value, 3)
}

/// Five digits that mean something, for tables that somebody calculates with.
pub(crate) fn exact(value: f64) -> String {
    digits(value, 5)
}

/// A power of ten as an axis names it.
pub(super) fn decade(exponent: i32) -> String {
    match exponent {
        0..=5 => grouped(&10_u64.pow(exponent.unsigned_abs()).to_string()),
        -4..=-1 => format!("0.{}1", "0".repeat(exponent.unsigned_abs() as usize - 1)),
        _ => format!("10{}", superscript(exponent)),
    }
}

fn digits(value: f64, wanted: i32) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if !value.is_finite() {
        return "∞".into();
    }
    let exponent = libm::floor(libm::log10(value.abs())) as i32;
    if !(-4..9).contains(&exponent) {
        let mantissa = value / libm::pow(10.0, f64::from(exponent));
        return format!("{} × 10{}", trimmed(&format!("{mantissa:.2}")), superscript(exponent));
    }
    let decimals = (wanted - 1 - exponent).max(0) as usize;
    let text = format!("{value:.decimals$}");
    grouped(trimmed(&text))
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// With a comma after each three digits, from ten thousand on.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = whole.trim_start_matches('-').len();
    if digits < 5 {
        return text.into();
    }
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > whole.len() - digits && left.is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let sign = if exponent < 0 { "⁻" } else { "" };
    let digits = exponent.unsigned_abs().to_string();
    sign.chars().chain(digits.bytes().map(|digit| DIGITS[usize::from(digit - b'0')])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_three_digits_allow() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.036_61, "0.0366"),
            (1_204.4, "1204"),
            (86_412.0, "86,412"),
            (-86_412.5, "-86,412"),
            (123_456_789.0, "123,456,789"),
            (1e9, "1 × 10⁹"),
            (2.13e-7, "2.13 × 10⁻⁷"),
            (f64::INFINITY, "∞"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(exact(8.35371), "8.3537");
    }

    #[test]
    fn decades_are_written_out_where_that_is_short() {
        let said: Vec<String> = [-5, -3, -1, 0, 3, 5, 6, 12].map(decade).to_vec();
        assert_eq!(said, ["10⁻⁵", "0.001", "0.1", "1", "1000", "100,000", "10⁶", "10¹²"]);
    }
}
