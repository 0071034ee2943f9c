//! Where events go to be kept.
//!
//! Shards push what their monitors decided into one bounded queue; a thread of its own gives each
//! event its number and keeps the latest in memory, where readers page through them or wait for
//! the next.

mod chorus;
mod journal;
mod record;

pub use chorus::Chorus;
pub use journal::{Journal, JournalWriter, Page};
pub use record::{Proof, Record, Told, What};
