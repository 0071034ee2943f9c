//! `systole-sim`: which interval, which timeout, and how sure are we.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    systole_sim::cli::main()
}
