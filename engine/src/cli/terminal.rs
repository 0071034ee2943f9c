//! Who reads what we print: a person at a terminal, a file, or a pipe that may close.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGPIPE;
use signal_hook::flag;

/// Whether colours are welcome on this stream.
pub(crate) fn color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// From now on, end quietly when whoever reads us has read enough, as in `systole nodes | head`.
///
/// Rust starts programs with SIGPIPE ignored, so that printing into a closed pipe is an error and
/// mostly a panic. That suits a daemon, and nobody who lists things.
///
/// # Errors
/// The system refuses to watch for the signal.
pub(crate) fn end_with_the_reader() -> io::Result<()> {
    flag::register_conditional_default(SIGPIPE, Arc::new(AtomicBool::new(true))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_no_colours() {
        let file = tempfile::tempfile().expect("a place for it");
        assert!(!color(&file));
    }
}
