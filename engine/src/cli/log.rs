//! What a running monitor says of itself, on standard error.
//!
//! It says when something happens to the monitor, never what happens to a node or a datagram: those
//! are events and counters. Each line is time, level and message, so that a journal can take it.

use std::io;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use super::terminal;

/// Begins to log what passes `filter`, such as `info` or `systole=debug`.
///
/// # Errors
/// A filter that can't be read, or a log that has begun already.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|error| anyhow!("log filter {filter:?}: {error}; use a level such as info or systole=debug"))?;
    let color = terminal::color(&io::stderr());
    fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow!("can't begin to log: {error}"))
}
