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
mod guarded;
pub mod http;
pub mod inherited;
pub mod key;
pub mod model;
pub mod privileges;
pub mod profile;
pub mod proposal;
pub mod pulse;
pub mod query;
mod rate;
pub mod reason;
pub mod reload;
pub mod sender;
pub mod service;
pub mod shard;
pub mod show;
pub mod store;
pub mod token;
pub mod udp;
