//! Systole's engine: real sockets, real clocks and real threads around the decision core.
#![deny(unsafe_code)]

pub mod clock;
pub mod udp;
