//! What a service manager is told: that we are ready, reloading, stopping, and still alive.
//!
//! The protocol is systemd's, one datagram for each message to the socket that `NOTIFY_SOCKET` names. Without
//! one, everything here does nothing. A message that can't be sent is logged and otherwise ignored: the
//! manager draws its own conclusions.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The way to whoever started us.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    watchdog: Option<Duration>,
}

impl Service {
    /// As the environment has it.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// Within which time it wants to hear that we are alive; nothing if it doesn't.
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// We do what we are for. `status` is for people.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// We read our configuration anew; `ready` ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
            Err(error) => warn!("can't tell the service manager of the reload: {error}"),
        }
    }

    /// We are on our way out.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Everything that must not stand still goes round.
    pub fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("can't tell the service manager: {error}");
    }
}
