//! What is known of the network, and from where.
//!
//! Bursts need care. A burst of five heartbeats at one a second is five seconds of outage if the network was
//! down, and at one in 100 ms that would be fifty; it is five heartbeats again if it was bad luck
//! that came in a row. Whoever measured once a minute can't tell. So a network that was measured at
//! an interval no longer than the detection time has its bursts in seconds, and any other in heartbeats.

use systole_core::Span;

use crate::latency::Delay;
use crate::loss::Loss;

/// A network as far as heartbeats are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Its name, file or address, or the models themselves.
    pub name: String,
    /// The flags of `advise` that name it.
    pub flags: String,
    /// What is lost, at the interval at which it was measured.
    pub loss: Loss,
    /// Models of loss that explain what was measured less well.
    pub rivals: Vec<Loss>,
    /// How long the rest takes.
    pub delay: Delay,
    /// At which interval bursts last as long as `loss` says, and last as many seconds at any other.
    /// Nothing: they last as many heartbeats at every interval.
    pub measured_every: Option<Span>,
    /// Where all that comes from and what it rests on, a sentence each.
    pub notes: Vec<String>,
}

impl Network {
    /// How long the last heartbeat of a crashed node may still have been on its way.
    pub fn reach(&self) -> Span {
        self.delay.reach()
    }

    /// What is lost of heartbeats that come every `interval`.
    pub fn loss_at(&self, interval: Span) -> Loss {
        let Some(measured) = self.measured_every else { return self.loss.clone() };
        self.loss.stretched(interval.secs_f64() / measured.secs_f64())
    }

    /// How a burst behaves at other intervals, in words.
    pub fn bursts(&self) -> String {
        match self.measured_every {
            Some(every) => {
                format!("bursts last as many seconds at every interval as they did at {}", every.compact())
            }
            None => "bursts last as many heartbeats at every interval".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(loss: &str, every: u64, interval: u64) -> f64 {
        let network = Network {
            name: String::new(),
            flags: String::new(),
            loss: loss.parse().expect("a loss"),
            rivals: Vec::new(),
            delay: "const:0ms".parse().expect("a delay"),
            measured_every: Some(Span::from_millis(every)),
            notes: Vec::new(),
        };
        match network.loss_at(Span::from_millis(interval)) {
            Loss::Gilbert { burst, .. } => burst,
            other => panic!("{other} is no chain"),
        }
    }

    #[test]
    fn bursts_in_seconds_are_more_heartbeats_where_they_come_faster() {
        assert!((burst("gilbert:p=0.01,burst=5", 1_000, 1_000) - 5.0).abs() < 1e-9);
        let (fast, slow) =
            (burst("gilbert:p=0.01,burst=5", 1_000, 100), burst("gilbert:p=0.01,burst=5", 1_000, 60_000));
        // Ten times as many, less what a short burst would have been cut to.
        assert!((44.0..50.0).contains(&fast), "{fast}");
        // Nothing is left but chance: 1/(1 - p).
        assert!((slow - 1.0 / 0.99).abs() < 1e-4, "{slow}");
    }
}
