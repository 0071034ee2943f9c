//! Systole's engine: real sockets, real clocks and real threads around the decision core.
#![deny(unsafe_code)]

pub mod answer;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod fleet;
pub mod http;
pub mod key;
pub mod model;
pub mod profile;
pub mod query;
mod rate;
pub mod reason;
pub mod sender;
pub mod shard;
pub mod show;
pub mod store;
pub mod udp;
