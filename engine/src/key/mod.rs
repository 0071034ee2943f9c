//! Keys as files: one line that says what the key is for, readable by its owner alone.
//!
//! ```text
//! systole-master-key id=1 suite=siphash key=000102030405060708090a0b0c0d0e0f
//! systole-node-key id=1 suite=siphash node=web-1 key=e6b6…
//! ```
//! [`line`] knows the words, [`file`] the permissions, [`ring`] which keys a monitor was told to take.
//! A secret is in no argument, no message and no log; what held one is wiped.

mod file;
mod line;
mod ring;

pub use file::{Unusable, Unwritten, read, write};
pub use line::{Key, NotKey, NotSealer, master_line, node_line, parse};
pub use ring::{Entry, NotTaken, add, ring};
