//! What is believed of every node, in one file that is never seen half written.
//!
//! ```text
//!   shards ──2,048 places at a time──► systole-snapshot: compress, write aside, fsync ──rename──► beliefs.snapshot
//! ```
//!
//! A shard hands out plain bytes between two batches and goes on. So the beliefs in one file are some
//! seconds apart; the file names the last event before the first of them, and whoever reads it
//! applies what happened since. The file takes its name only when every change it knows of has been
//! told: a death that nobody was told of is found again, rather than kept secret.

mod format;
mod record;
mod taker;

pub use format::{Encoder, Head, Refusal, Snapshot, decode};
pub use record::emit;
pub(super) use taker::{Taker, write_at_the_end};
