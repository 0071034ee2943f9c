//! Networks by name, for whoever has no trace at hand.
//!
//! Delays are those of the traces and matrices named; where they record no loss, the loss is an
//! assumption and says so. A trace of one's own network is better than any of them.

use crate::latency::Delay;
use crate::loss::Loss;

/// A network with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What it is called.
    pub name: &'static str,
    loss: &'static str,
    delay: &'static str,
    /// Where the numbers come from.
    pub source: &'static str,
}

impl Preset {
    /// The one of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// What it loses.
    pub fn loss(&self) -> Loss {
        self.loss.parse().expect("the presets are written as losses are")
    }

    /// How long it takes.
    pub fn delay(&self) -> Delay {
        self.delay.parse().expect("the presets are written as delays are")
    }
}

/// All of them.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: "lan",
        loss: "0.00015",
        delay: "lognormal:median=0.17ms,sigma=1.23",
        source: "host-stalls, idle: p50 0.17, p99 2.9, p99.9 7.6 ms; none of 20,000 was lost, which allows for 0.015 %",
    },
    Preset {
        name: "wan",
        loss: "gilbert:p=0.01,burst=1.5",
        delay: "lognormal:median=75ms,sigma=0.33",
        source: "half the round trips between AWS regions: median 75, longest 206 ms; the loss is an assumption",
    },
    Preset {
        name: "bursty",
        loss: "fritchman:p=0.0062,runs=0.91x1|0.09x8.8",
        delay: "exp:250ms",
        source: "CampusIoT station 33: 86 of 13,854 lost, 47 single ones and a run of 26; of its gaps 1 % are 1 s too long",
    },
    Preset {
        name: "mobile",
        loss: "gilbert:p=0.01,burst=3",
        delay: "lognormal:median=17ms,sigma=0.81",
        source: "CICV5G, urban: round trips p50 17, p99.9 207 ms; the loss is an assumption, since its transport hides it",
    },
    Preset {
        name: "satellite",
        loss: "periodic:every=15s,length=1s,loss=0.05,else=0.001,phase=random",
        delay: "normal:mean=30ms,sd=10ms",
        source: "5 % lost in one second of every 15 s, 0.1 % elsewhere; the delay is an assumption",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_simulated() {
        for preset in PRESETS {
            assert!(preset.loss().check().is_ok() && preset.delay().check().is_ok(), "{}", preset.name);
            assert_eq!(Preset::find(preset.name), Some(&preset));
        }
        assert_eq!(Preset::find("moon"), None);
    }
}
