//! Which model of loss explains runs of lost heartbeats: 47 single ones, one of three, one of 26?
//!
//! Three candidates, each by maximum likelihood, and the best by BIC, which makes every parameter pay for itself
//! (Schwarz, Annals of Statistics 6(2), 1978): independent losses, one kind of burst (Gilbert), two kinds of
//! burst (Fritchman). Only how long the runs are is looked at, since a monitor keeps no more; how they
//! cluster isn't, so a link whose loss comes and goes over hours looks better than it is.

use crate::spec::SpecError;

/// How long runs were, and what came between.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Runs {
    /// Heartbeats that arrived.
    pub(super) arrived: u64,
    /// A length, and how many runs had it.
    pub(super) lengths: Vec<(u64, u64)>,
}

/// A model and how well it explains them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fitted {
    /// As it is written: `gilbert:p=0.01,burst=5`.
    pub(super) model: String,
    /// Smaller is better; by 10, it is beyond doubt.
    pub(super) bic: f64,
}

impl Runs {
    /// Of heartbeats that were lost or not, in order.
    pub(super) fn of(losses: impl IntoIterator<Item = bool>) -> Self {
        let (mut runs, mut run) = (Self::default(), 0);
        // One more arrival ends the last run.
        for lost in losses.into_iter().chain([false]) {
            if lost {
                run += 1;
                continue;
            }
            runs.arrived += 1;
            runs.add(run, 1);
            run = 0;
        }
        runs.arrived -= 1;
        runs
    }

    /// So many runs of this length; of none, nothing.
    pub(super) fn add(&mut self, length: u64, count: u64) {
        if length == 0 || count == 0 {
            return;
        }
        match self.lengths.binary_search_by_key(&length, |(length, _)| *length) {
            Ok(place) => self.lengths[place].1 += count,
            Err(place) => self.lengths.insert(place, (length, count)),
        }
    }

    /// How many runs there were.
    pub(super) fn count(&self) -> u64 {
        self.lengths.iter().map(|(_, count)| count).sum()
    }

    /// How many heartbeats were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lengths.iter().map(|(length, count)| length * count).sum()
    }

    /// The longest.
    pub(super) fn longest(&self) -> u64 {
        self.lengths.last().map_or(0, |(length, _)| *length)
    }

    /// Heartbeats that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.arrived + self.lost()
    }

    /// The models, best first.
    ///
    /// # Errors
    /// Where nothing was lost, nothing can be said of how.
    pub(super) fn fit(&self) -> Result<Vec<Fitted>, SpecError> {
        let (count, lost, arrived) = (self.count() as f64, self.lost() as f64, self.arrived as f64);
        if count == 0.0 || arrived == 0.0 {
            return Err(SpecError(format!("{lost} of {} heartbeats were lost, which fits every model", self.sent())));
        }
        let sent = arrived + lost;
        let p = lost / sent;
        let log = libm::log;
        // A run begins after each arrival, or doesn't.
        let begins =
            count * log(count / arrived) + (arrived - count) * log((1.0 - count / arrived).max(f64::MIN_POSITIVE));
        let bic = |parameters: f64, likelihood: f64| parameters * log(sent) - 2.0 * likelihood;
        let mean = lost / count;
        let burst = mean.max(p / (1.0 - p)).max(1.0);
        let mut models = vec![
            Fitted { model: digits(p), bic: bic(1.0, lost * log(p) + arrived * log(1.0 - p)) },
            Fitted {
                model: format!("gilbert:p={},burst={}", digits(p), digits_up(burst)),
                bic: bic(2.0, begins + self.likelihood(&[(1.0, mean)])),
            },
        ];
        if let Some(kinds) = self.two_kinds() {
            let runs = kinds.map(|(weight, length)| format!("{}x{}", digits(weight), digits_up(length)));
            models.push(Fitted {
                model: format!("fritchman:p={},runs={}", digits(p), runs.join("|")),
                bic: bic(4.0, begins + self.likelihood(&kinds)),
            });
        }
        models.sort_by(|one, other| one.bic.total_cmp(&other.bic));
        Ok(models)
    }

    /// Of the lengths, if runs are of these kinds: how frequent, how long on average.
    fn likelihood(&self, kinds: &[(f64, f64)]) -> f64 {
        let each = |&(length, count): &(u64, u64)| {
            let likely: f64 = kinds.iter().map(|(weight, mean)| weight * geometric(*mean, length)).sum();
            count as f64 * libm::log(likely.max(f64::MIN_POSITIVE))
        };
        self.lengths.iter().map(each).sum()
    }

    /// Two kinds by expectation and maximisation (Dempster, Laird and Rubin 1977), from the short
    /// and the long half of what was lost.
    fn two_kinds(&self) -> Option<[(f64, f64); 2]> {
        if self.lengths.len() < 2 {
            return None;
        }
        let (count, mean) = (self.count() as f64, self.lost() as f64 / self.count() as f64);
        let longest = self.longest() as f64;
        let mut kinds = [(0.9, f64::max(1.0, mean / 2.0)), (0.1, f64::max(longest / 2.0, mean))];
        for _ in 0..STEPS {
            // How many runs belong to the second kind, and how many heartbeats were lost in them.
            let (mut runs, mut lost) = (0.0, 0.0);
            for &(length, seen) in &self.lengths {
                let [short, long] = kinds.map(|(weight, mean)| weight * geometric(mean, length));
                let share = long / (short + long).max(f64::MIN_POSITIVE);
                runs += share * seen as f64;
                lost += share * seen as f64 * length as f64;
            }
            if runs <= 0.0 || runs >= count {
                return None;
            }
            let all = self.lost() as f64;
            kinds = [
                (1.0 - runs / count, ((all - lost) / (count - runs)).max(1.0)),
                (runs / count, (lost / runs).max(1.0)),
            ];
        }
        // Two of the same kind are one.
        (kinds[1].1 > 1.05 * kinds[0].1).then_some(kinds)
    }
}

/// A run whose mean length is `mean` has this one; a mean of 1 is always 1.
fn geometric(mean: f64, length: u64) -> f64 {
    let ends = 1.0 / mean;
    ends * libm::pow(1.0 - ends, (length - 1) as f64)
}

/// Four digits that mean something.
fn digits(value: f64) -> String {
    format!("{}", format!("{value:.3e}").parse::<f64>().unwrap_or(value))
}

/// The same, but never below it.
pub(super) fn digits_up(value: f64) -> String {
    digits(value * 1.0005)
}

/// Enough to settle, where it settles at all.
const STEPS: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Loss, Lossy};
    use crate::random::{Actor, Purpose, Stream};
    use systole_core::{Instant, Span};

    fn best(runs: &Runs) -> String {
        runs.fit().expect("there are losses")[0].model.clone()
    }

    #[test]
    fn runs_are_counted_as_they_come() {
        let runs = Runs::of([true, false, false, true, true, false, true].map(|lost| lost));
        assert_eq!((runs.arrived, runs.count(), runs.lost(), runs.longest(), runs.sent()), (3, 3, 4, 2, 7));
        assert_eq!(runs.lengths, [(1, 2), (2, 1)]);
    }

    #[test]
    fn a_model_is_found_again_in_what_it_lost() {
        for text in ["0.05", "gilbert:p=0.05,burst=4"] {
            let model: Loss = text.parse().expect("a loss");
            let mut path = Lossy::new(&model, Stream::new(7, Actor::node(0, 0), Purpose::Loss), Span::from_secs(1));
            let runs = Runs::of((0..200_000).map(|_| path.loses(&model, Instant::ORIGIN)));
            let found = best(&runs);
            assert_eq!(
                found.split_once(':').map(|(name, _)| name),
                text.split_once(':').map(|(name, _)| name),
                "{found}"
            );
            let share: f64 = runs.lost() as f64 / runs.sent() as f64;
            assert!((share - 0.05).abs() < 0.003, "{share}");
        }
    }

    #[test]
    fn one_long_run_among_many_short_ones_is_of_another_kind() {
        // A LoRaWAN station on Fort du Saint-Eynard, 13,768 frames.
        let mut runs = Runs { arrived: 13_768, lengths: Vec::new() };
        for (length, count) in [(1, 47), (3, 1), (4, 1), (6, 1), (26, 1)] {
            runs.add(length, count);
        }
        let fitted = runs.fit().expect("there are losses");
        assert!(fitted[0].model.starts_with("fritchman:"), "{fitted:?}");
        assert!(fitted[1].model.starts_with("gilbert:") && fitted[1].bic > fitted[0].bic + 10.0, "{fitted:?}");
    }

    #[test]
    fn nothing_lost_is_nothing_to_fit() {
        assert!(Runs::of([false; 100]).fit().is_err());
    }
}
