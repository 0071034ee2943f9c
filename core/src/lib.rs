//! The decision core of Systole: bytes and the time go in, changes of belief come out.
//!
//! ```text
//!            datagrams, now                                          transitions
//!                  │                                                      ▲
//!   ┌──────────────▼──────────────────── Monitor::turn ───────────────────┴───────────────────────┐
//!   │  wire ──► auth ───► table: newer? ──► detector: until when is ──► wheel ──► silence: step    │
//!   │  (Message) (Opened)   (Node, 64 B)    silence normal?             (deadlines)  (Liveness)    │
//!   └─────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! No clock, no IO, no thread, no lock, no randomness: whoever drives it hands in the time and what
//! was received, and the same input gives the same output on every machine. The engine drives it
//! from sockets, the simulator from a made-up network.
//!
//! ```
//! use systole_core::event::{Sink, Transition};
//! use systole_core::{Backlog, Datagram, Instant, Liveness, Monitor, Span};
//!
//! struct Print;
//! impl Sink for Print {
//!     fn transition(&mut self, t: &Transition<'_>) {
//!         println!("{} is {}", t.called, t.to.name());
//!     }
//! }
//!
//! let start = Instant::ORIGIN;
//! let mut monitor = Monitor::new(Default::default(), start);
//! let heartbeat = Datagram::new(b"hb web-1 interval=1s", start);
//! let wake = monitor.turn(start, &[heartbeat], Backlog::Drained, &mut Print).unwrap();
//! assert!(wake <= start + Span::from_millis(3_250));
//!
//! let later = start + Span::from_secs(60);
//! while let Some(wake) = monitor.poll_timeout().filter(|wake| *wake <= later) {
//!     monitor.turn(wake, &[], Backlog::Drained, &mut Print);
//! }
//! let node = monitor.node(monitor.find(&systole_core::NodeId::of("web-1")).unwrap()).unwrap();
//! assert_eq!(node.liveness, Liveness::Failed);
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod auth;
mod belief;
pub mod config;
mod conflict;
pub mod counters;
pub mod detector;
pub mod event;
mod flap;
mod groups;
pub mod guard;
mod health;
mod id;
mod interval;
mod liveness;
mod monitor;
mod name;
mod newcomers;
mod node;
mod pattern;
mod payload;
mod reconfigure;
mod reject;
mod steady;
mod table;
mod time;
mod verdict;
mod view;
mod wait;
pub mod wheel;
pub mod wire;
mod withheld;

pub use belief::{Belief, BeliefError, Interval};
pub use groups::{DEFAULT_GROUP, Group};
pub use health::Trouble;
pub use id::{GroupIx, Incarnation, NAME_MAX, NodeId, NodeIx, Seq, Share, is_name};
pub use liveness::{Input, Liveness, step};
pub use monitor::{Backlog, Datagram, Monitor};
pub use name::Called;
pub use newcomers::Source;
pub use pattern::Pattern;
pub use payload::Payload;
pub use reconfigure::NotReconfigured;
pub use reject::Reject;
pub use time::{Instant, Span, SpanError, Tick};
pub use verdict::Held;
pub use view::NodeView;
pub use wait::{Wait, WaitError};
pub use withheld::Withheld;
