//! A simulator for heartbeat monitoring that runs the product's own decision code.
//!
//! ```text
//!   scenario ─► world ──────────────────────────────────────────────► qos ─► report
//!               senders ─► network ─► bytes ─► Monitor::turn ─► verdicts
//!                  └─────────── truth ─────────────────────────────┘
//! ```
//! Virtual time, one seed, no clock: the same scenario is the same run on every machine. What is
//! believed is decided by [`systole_core::Monitor`], exactly as it ships, from encoded bytes.
//!
//! ```
//! use systole_sim::scenario::Group;
//!
//! let group = Group { loss: "0.1".parse()?, detector: "fixed:timeout=1.5s".parse()?, ..Group::default() };
//! let outcome = systole_sim::run::run(&group.into(), |_| {});
//! // Theory says 11.1 s: one interval over p (1 - p).
//! assert!((outcome.qos.mistake_recurrence_s.value.unwrap() - 11.11).abs() < 0.5);
//! # Ok::<(), systole_sim::spec::SpecError>(())
//! ```
#![forbid(unsafe_code)]

pub mod advise;
mod calendar;
pub mod caution;
pub mod cli;
pub mod estimate;
mod fate;
pub mod fit;
pub mod frequency;
mod inbox;
mod judge;
pub mod latency;
pub mod lifetime;
mod line;
pub mod lines;
pub mod loss;
pub mod meter;
pub mod models;
mod network;
mod nfd_s;
mod picture;
pub mod presets;
mod product;
pub mod qos;
pub mod random;
pub mod rare;
pub mod recorded;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
mod sender;
mod slice;
pub mod spec;
pub mod sweep;
mod tables;
pub mod theory;
pub mod trace;
pub mod traffic;
pub mod transport;
pub mod truth;
pub mod validate;
mod world;

pub use fate::Blame;
pub use judge::Verdict;
pub use world::Watch;
