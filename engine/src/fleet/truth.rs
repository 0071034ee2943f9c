//! What really happened: who fell silent when, who was heard again, who said goodbye.
//!
//! ```text
//!          last sent   began            ended
//!  *   *   *   *         |               *   *   *
//!  heartbeats  |<------- silence ------->|          what a monitor may say: failed, from `began` on
//! ```
//!
//! Only what is out of the ordinary is written down: a node that isn't in here has beaten all the
//! time. All instants are on the wall clock, their origin is 1970: the monitor may run elsewhere.

use std::collections::HashMap;

use systole_core::Instant;

/// A time in which nothing of a node could be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Whose it is.
    pub node: u32,
    /// When the last heartbeat before it was sent.
    pub last_sent: Instant,
    /// When the node crashed or was cut off.
    pub began: Instant,
    /// When the first heartbeat after it was sent; nothing while it lasts.
    pub ended: Option<Instant>,
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
    pub fn begin(&mut self, node: u32, last_sent: Instant, began: Instant) {
        self.lasting.entry(node).or_insert_with(|| {
            self.silences.push(Silence { node, last_sent, began, ended: None });
            self.silences.len() - 1
        });
    }

    /// A silent node is heard again.
    pub fn end(&mut self, node: u32, sent: Instant) {
        if let Some(index) = self.lasting.remove(&node) {
            self.silences[index].ended = Some(sent);
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
        truth.begin(7, at(1), at(2));
        truth.begin(7, at(1), at(5));
        assert_eq!(truth.silences(), [Silence { node: 7, last_sent: at(1), began: at(2), ended: None }]);
        truth.end(7, at(9));
        truth.end(7, at(10));
        truth.begin(7, at(11), at(12));
        assert_eq!(truth.silences().len(), 2);
        assert_eq!((truth.silences()[0].ended, truth.silent()), (Some(at(9)), 1));
    }
}
