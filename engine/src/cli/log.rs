//! What a running monitor says of itself, on standard error.
//!
//! It says when something happens to the monitor, never what happens to a node or a datagram: those
//! are events and counters. Each line is time, level and message, so that a journal can take it.

use std::io;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use super::terminal;
use super::usage::Usage;

/// Begins to log what passes `filter`, such as `info` or `systole=debug`.
///
/// # Errors
/// A filter that can't be read, or a log that has begun already.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let parsed = parse(filter)?;
    let color = terminal::color(&io::stderr());
    fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow!("can't begin to log: {error}"))
}

fn parse(filter: &str) -> Result<EnvFilter, Usage> {
    let wrong = |why: &dyn std::fmt::Display| {
        Usage(format!(
            "log filter {filter:?}: {why}; use error, warn, info, debug, trace, off, or one such as systole=debug"
        ))
    };
    // A word alone would be taken for the name of a part that logs, and then hardly anything is logged.
    let alone = |part: &&str| part.is_empty() || !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err();
    match filter.split(',').map(str::trim).find(alone) {
        Some(part) => Err(wrong(&format_args!("{part:?} is no level"))),
        None => EnvFilter::try_new(filter).map_err(|error| wrong(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused() {
        for good in ["info", "TRACE", "off", "warn,systole=debug", "systole::udp=trace, info"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["bogus", "", "info,bogus", "systole=loud", "inf"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("systole=debug"), "{bad}: {error}");
        }
    }
}
