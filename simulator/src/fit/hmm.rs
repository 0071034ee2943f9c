//! A chain of two states that nobody sees, only what happens in them (Baum, Petrie, Soules, Weiss 1970).
//!
//! ```text
//!   hidden    0 ──► 0 ──► 1 ──► 1 ──► 0
//!   seen      .     .     x     .     .       how likely is each state, at each step?
//! ```

/// With which probability the state changes at each step: from 0 to 1, and from 1 to 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) to_one: f64,
    pub(super) to_zero: f64,
}

/// What is known of the states once all has been seen.
pub(super) struct Smoothed {
    /// The natural logarithm of the likelihood of what was seen.
    pub(super) log_likelihood: f64,
    /// With which probability each step was in state 1.
    pub(super) in_one: Vec<f64>,
    /// The chain that this suggests.
    pub(super) next: Chain,
}

impl Chain {
    /// `seen` holds the likelihood of each step's observation in either state.
    pub(super) fn smooth(self, seen: &[[f64; 2]]) -> Smoothed {
        let step = [[1.0 - self.to_one, self.to_one], [self.to_zero, 1.0 - self.to_zero]];
        let share = self.to_one / (self.to_one + self.to_zero);
        let mut log_likelihood = 0.0;
        let mut forward = Vec::with_capacity(seen.len());
        let mut before = [1.0 - share, share];
        for likely in seen {
            let joint = [before[0] * likely[0], before[1] * likely[1]];
            let sum = (joint[0] + joint[1]).max(f64::MIN_POSITIVE);
            log_likelihood += libm::log(sum);
            let state = joint.map(|joint| joint / sum);
            forward.push(state);
            before = [0, 1].map(|to| state[0] * step[0][to] + state[1] * step[1][to]);
        }
        let mut in_one = vec![0.0; seen.len()];
        let mut moves = [[0.0; 2]; 2];
        // How likely what follows is, in either state, up to a factor.
        let mut after = [1.0; 2];
        for at in (0..seen.len()).rev() {
            let weights = [0, 1].map(|state| forward[at][state] * after[state]);
            in_one[at] = weights[1] / (weights[0] + weights[1]).max(f64::MIN_POSITIVE);
            if at == 0 {
                break;
            }
            let ahead = [0, 1].map(|state| seen[at][state] * after[state]);
            let pairs = [0, 1].map(|from| [0, 1].map(|to| forward[at - 1][from] * step[from][to] * ahead[to]));
            let sum: f64 = pairs.iter().flatten().sum::<f64>().max(f64::MIN_POSITIVE);
            for (moved, pair) in moves.iter_mut().flatten().zip(pairs.iter().flatten()) {
                *moved += pair / sum;
            }
            let back = [0, 1].map(|from| step[from][0] * ahead[0] + step[from][1] * ahead[1]);
            after = back.map(|weight| weight / (back[0] + back[1]).max(f64::MIN_POSITIVE));
        }
        let share = |moved: f64, stayed: f64| (moved / (moved + stayed).max(f64::MIN_POSITIVE)).clamp(LEAST, 1.0);
        let next = Chain { to_one: share(moves[0][1], moves[0][0]), to_zero: share(moves[1][0], moves[1][1]) };
        Smoothed { log_likelihood, in_one, next }
    }
}

/// A chain that never changes can't be left.
const LEAST: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_can_be_seen_are_simply_counted() {
        // 0 0 1 1 1 0 0 0 1 0, and nothing left to guess.
        let states = [0, 0, 1, 1, 1, 0, 0, 0, 1, 0];
        let seen: Vec<[f64; 2]> =
            states.iter().map(|state| if *state == 1 { [0.0, 1.0] } else { [1.0, 0.0] }).collect();
        let smoothed = Chain { to_one: 0.5, to_zero: 0.5 }.smooth(&seen);
        assert!(smoothed.in_one.iter().zip(states).all(|(one, state)| (one - f64::from(state)).abs() < 1e-12));
        assert!((smoothed.next.to_one - 2.0 / 5.0).abs() < 1e-12 && (smoothed.next.to_zero - 2.0 / 4.0).abs() < 1e-12);
        assert!((smoothed.log_likelihood - 10.0 * libm::log(0.5)).abs() < 1e-9);
    }

    #[test]
    fn the_likelihood_is_the_sum_over_all_paths() {
        let chain = Chain { to_one: 0.2, to_zero: 0.4 };
        let seen = [[0.9, 0.3], [0.2, 0.8], [0.5, 0.6], [0.1, 0.7]];
        let step = [[0.8, 0.2], [0.4, 0.6]];
        let mut sum = 0.0;
        for path in 0..16usize {
            let state = |at: usize| (path >> at) & 1;
            let mut weight = [2.0 / 3.0, 1.0 / 3.0][state(0)] * seen[0][state(0)];
            for at in 1..4 {
                weight *= step[state(at - 1)][state(at)] * seen[at][state(at)];
            }
            sum += weight;
        }
        assert!((chain.smooth(&seen).log_likelihood - libm::log(sum)).abs() < 1e-12);
    }
}
