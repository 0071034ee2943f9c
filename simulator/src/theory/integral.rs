//! The area under a function that is smooth between known knots.
//!
//! Five-point Gauss, halved until two halves agree with the whole. An open rule on purpose: it
//! never asks for the value at a knot, which is where a constant delay makes the function jump.
//! Simpson's rule would ask, and the answer would hang on the last bit of the knot.

use libm::sqrt;

/// The integral from the least of the knots to the greatest, to about twelve digits if `f` is
/// nowhere negative. Sorts the knots.
pub(super) fn integral(f: &dyn Fn(f64) -> f64, knots: &mut [f64]) -> f64 {
    knots.sort_by(f64::total_cmp);
    let pieces = || knots.windows(2).map(|ends| (ends[0], ends[1], gauss(f, ends[0], ends[1])));
    // Of the whole and not of each piece: in a piece between two knots that only rounding has
    // parted, the last bits never agree.
    let enough = TOLERANCE * pieces().map(|(_, _, whole)| whole).sum::<f64>();
    pieces().map(|(from, to, whole)| refined(f, from, to, whole, enough)).sum()
}

fn refined(f: &dyn Fn(f64) -> f64, from: f64, to: f64, whole: f64, enough: f64) -> f64 {
    let middle = 0.5 * (from + to);
    let (left, right) = (gauss(f, from, middle), gauss(f, middle, to));
    if (left + right - whole).abs() <= enough || middle <= from || middle >= to {
        return left + right;
    }
    refined(f, from, middle, left, enough) + refined(f, middle, to, right, enough)
}

/// Exact for polynomials of degree nine.
fn gauss(f: &dyn Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    let root = 2.0 * sqrt(10.0 / 7.0);
    let (near, far) = (half * sqrt(5.0 - root) / 3.0, half * sqrt(5.0 + root) / 3.0);
    let both = |aside: f64| f(middle - aside) + f(middle + aside);
    let weight = 13.0 * sqrt(70.0);
    half * (512.0 * f(middle) + (322.0 + weight) * both(near) + (322.0 - weight) * both(far)) / 900.0
}

/// By so much of the integral may two halves differ from the whole of a piece. The halves are then
/// a thousand times closer to the truth.
const TOLERANCE: f64 = 1e-13;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smooth_piece_is_exact_and_a_jump_at_a_knot_costs_nothing() {
        assert!((integral(&|x| 10.0 * libm::pow(x, 9.0), &mut [0.0, 2.0]) - 1024.0).abs() < 1e-9);
        assert!((integral(&|x| libm::exp(-x), &mut [40.0, 0.0, 1.0]) - 1.0).abs() < 1e-12);
        let step = |x: f64| if x < 0.3 { 2.0 } else { 0.5 };
        assert!((integral(&step, &mut [0.0, 1.0, 0.3]) - 0.95).abs() < 1e-15);
    }
}
