//! Where events and beliefs go to be kept.
//!
//! Shards push what their monitors decided into one bounded queue; a thread of its own gives each
//! event its number and keeps the latest in memory, where readers page through them or wait for
//! the next. With a state directory there are two threads more: one writes events to the disk before
//! they are told, one takes snapshots of what is believed. Neither ever holds up a shard.

mod age;
mod archive;
mod carried;
mod chorus;
mod disk;
mod folder;
mod journal;
mod numbers;
mod record;
mod restore;
pub mod snapshot;
mod state;

pub use carried::Carried;
pub use chorus::Chorus;
pub use disk::Taken;
pub use journal::{Journal, JournalWriter, Older, Page};
pub use record::{Proof, Record, Told, What};
pub use restore::Restored;
pub use state::{Keeping, State};
