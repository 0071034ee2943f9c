//! What really happened: who fell silent when, who was heard again, who said goodbye.
//!
//! ```text
//!          last sent   began            ended
//!  *   *   *   *         |               *   *   *
//!  heartbeats  |<------- silence ------->|          what a monitor may say: failed, from `began` on
//! ```
//!
//! Heartbeats that are delayed on purpose may still arrive after a silence has begun, and it ends when the first one
//! arrives, not when that was sent: the monitor can't know better. Only what is out of the ordinary is written down: a node that isn't in here has beaten all the
//! time. All instants are on the wall clock, their origin is 1970: the monitor may run elsewhere.

use std::collections::HashMap;

use systole_core::Instant;

/// A time in which a node sent nothing that could be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Whose it is.
    pub node: u32,
    /// The last heartbeat before it.
    pub last: LastBeat,
    /// When the node crashed or was cut off.
    pub began: Instant,
    /// Why.
    pub why: Why,
    /// When the first heartbeat after it arrived; nothing while it lasts.
    pub ended: Option<Instant>,
}

/// The last heartbeat before a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBeat {
    /// When it was sent.
    pub sent: Instant,
    /// When it arrived: at once, but for a delay on purpose.
    pub arrived: Instant,
}

/// Why a node fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was killed.
    Killed,
    /// It was cut off.
    Cut,
    /// It was killed or cut off before anybody had heard of it, and then a delayed heartbeat arrived all the same.
    Unheard,
}

/// A goodbye, and when it was first said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Who left.
    pub node: u32,
    /// When.
    pub said: Instant,
}

/// All that a monitor should have noticed.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    silences: Vec<Silence>,
    farewells: Vec<Farewell>,
    /// Where the silences stand that still last.
    lasting: HashMap<u32, usize>,
}

impl Truth {
    /// A node that has been heard falls silent. One that is silent already stays so.
    pub fn begin(&mut self, node: u32, last: LastBeat, began: Instant, why: Why) {
        self.lasting.entry(node).or_insert_with(|| {
            self.silences.push(Silence { node, last, began, why, ended: None });
            self.silences.len() - 1
        });
    }

    /// A heartbeat of a silent node arrives that was sent before it fell silent.
    pub fn straggle(&mut self, node: u32, last: LastBeat) {
        match self.lasting.get(&node) {
            Some(index) => self.silences[*index].last = last,
            None => self.begin(node, last, last.arrived, Why::Unheard),
        }
    }

    /// A silent node is heard again.
    pub fn end(&mut self, node: u32, arrived: Instant) {
        if let Some(index) = self.lasting.remove(&node) {
            self.silences[index].ended = Some(arrived);
        }
    }

    /// A node says goodbye.
    pub fn farewell(&mut self, node: u32, said: Instant) {
        self.farewells.push(Farewell { node, said });
    }

    /// Every silence, in the order in which they began.
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Every goodbye, in the order in which they were said.
    pub fn farewells(&self) -> &[Farewell] {
        &self.farewells
    }

    /// How many silences last.
    pub fn silent(&self) -> usize {
        self.lasting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_node_killed_while_cut_off_has_one_silence() {
        let mut truth = Truth::default();
        let last = LastBeat { sent: at(1), arrived: at(1) };
        truth.begin(7, last, at(2), Why::Cut);
        truth.begin(7, last, at(5), Why::Killed);
        assert_eq!(truth.silences(), [Silence { node: 7, last, began: at(2), why: Why::Cut, ended: None }]);
        truth.end(7, at(9));
        truth.end(7, at(10));
        truth.begin(7, LastBeat { sent: at(11), arrived: at(11) }, at(12), Why::Killed);
        assert_eq!(truth.silences().len(), 2);
        assert_eq!((truth.silences()[0].ended, truth.silent()), (Some(at(9)), 1));
    }

    #[test]
    fn what_arrives_late_of_a_silent_node_belongs_to_its_silence_or_begins_one() {
        let mut truth = Truth::default();
        truth.begin(7, LastBeat { sent: at(1), arrived: at(1) }, at(3), Why::Killed);
        let late = LastBeat { sent: at(2), arrived: at(5) };
        truth.straggle(7, late);
        truth.straggle(8, late);
        let silences = truth.silences().iter().map(|silence| (silence.node, silence.last, silence.began, silence.why));
        assert!(silences.eq([(7, late, at(3), Why::Killed), (8, late, at(5), Why::Unheard)]));
    }
}
