//! Traces that can't be shipped, of which some figures are known: can a model reach those?
//!
//! Parameters here were chosen to meet the figures, not fitted to a trace. So agreement means that
//! the model can do it, no more; that others with the same share can't is what counts.

use systole_core::{Instant, Span};

use super::{Comparison, Generated, losses};
use crate::fit::LossStatistics;
use crate::loss::{LORAWAN, Loss, Lossy};
use crate::random::{Actor, Purpose, Stream};

pub(super) fn comparisons(seeds: u32) -> Vec<Comparison> {
    vec![lorawan(seeds), satellite(seeds), aliasing(seeds)]
}

/// A LoRaWAN link that loses 32 %. That independence has 9.5 runs of six or more gives the length of the trace,
/// and that Gilbert's model has 28 gives the correlation that it was fitted to.
fn lorawan(seeds: u32) -> Comparison {
    let real: Vec<(String, f64)> = [("share lost", 0.32), ("runs of 6 or more", 68.0), ("autocorrelation 1", 0.13)]
        .map(|(n, v)| (n.into(), v))
        .into();
    let models = [
        ("0.32", "the share alone"),
        ("gilbert:p=0.32,burst=1.69", "the share and the correlation of neighbours"),
        (LORAWAN, "the same two, and a memory of 50 heartbeats"),
    ];
    let generated = |(text, reason): (&str, &str)| {
        let model = parse(text);
        Generated::new(text.into(), None, reason.into(), &real, seeds, |seed| {
            let seen = LossStatistics::of(&losses(&model, seed, LORAWAN_HEARTBEATS, Span::from_secs(600)));
            vec![seen.share(), seen.runs[5] as f64, seen.autocorrelation[0]]
        })
    };
    let models = models.into_iter().map(generated).collect();
    let title = format!("published figures of a LoRaWAN link, {LORAWAN_HEARTBEATS} heartbeats");
    Comparison { title, of: "loss", real, models }
}

/// A satellite link: 5 % are lost in one second of every 15, 0.1 % elsewhere.
fn satellite(seeds: u32) -> Comparison {
    let real: Vec<(String, f64)> =
        [("share lost", SHARE), ("in the worst second of 15", 0.05), ("in the others", 0.001)]
            .map(|(n, v)| (n.into(), v))
            .into();
    let models = [
        ("0.004267", "the share alone"),
        ("gilbert:p=0.004267,burst=1.05", "the share, and as many in a row as a probability of 5 % makes"),
        (SATELLITE, "by the clock"),
    ];
    let generated = |(text, reason): (&str, &str)| {
        let model = parse(text);
        Generated::new(text.into(), None, reason.into(), &real, seeds, |seed| {
            let lost = losses(&model, seed, 150_000, Span::from_secs(1));
            let mut seconds = [0.0; 15];
            for (beat, _) in lost.iter().enumerate().filter(|(_, lost)| **lost) {
                seconds[beat % 15] += 1.0 / 10_000.0;
            }
            let (all, worst) = (seconds.iter().sum::<f64>(), seconds.iter().copied().fold(0.0, f64::max));
            vec![all / 15.0, worst, (all - worst) / 14.0]
        })
    };
    let models = models.into_iter().map(generated).collect();
    Comparison {
        title: "published figures of a satellite link, 150000 heartbeats every 1s".into(),
        of: "loss",
        real,
        models,
    }
}

/// What one of many nodes loses on that link, a seed for each node, depends on its interval and its jitter.
fn aliasing(seeds: u32) -> Comparison {
    let real = vec![("share that one node loses".to_string(), SHARE)];
    let model = parse(SATELLITE);
    let ways = [(15, 0.0), (15, 1.0), (5, 0.0), (5, 1.0), (7, 0.0)];
    let generated = |(secs, jitter): (u64, f64)| {
        let interval = Span::from_secs(secs);
        let way = format!("--interval {secs}s --jitter {jitter} --loss {SATELLITE}");
        let reason = "a median and a range over nodes: wide where it is settled by when a node started".to_string();
        Generated::new(way, None, reason, &real, seeds, |seed| {
            let mut path = Lossy::new(&model, Stream::new(seed, Actor::node(0, 0), Purpose::Loss), interval);
            let mut place = Stream::new(seed, Actor::node(0, 0), Purpose::Jitter);
            let mut part = |share: f64| Span::from_nanos((share * interval.nanos() as f64 * place.unit()) as u64);
            let start = Instant::ORIGIN + part(1.0);
            let lost = (0..10_000).filter(|beat| path.loses(&model, start + interval * *beat + part(jitter))).count();
            vec![lost as f64 / 10_000.0]
        })
    };
    let models = ways.into_iter().map(generated).collect();
    Comparison { title: format!("{seeds} nodes on that link, 10000 heartbeats each"), of: "loss", real, models }
}

fn parse(text: &str) -> Loss {
    text.parse().expect("these are written as the flags are")
}

/// With independent losses 13,007 · 0.68 · 0.32^6 runs of six or more begin: 9.5.
const LORAWAN_HEARTBEATS: u64 = 13_007;
const SATELLITE: &str = "periodic:every=15s,length=1s,loss=0.05,else=0.001";
/// One second of 5 % and 14 of 0.1 %.
const SHARE: f64 = (0.05 + 14.0 * 0.001) / 15.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_that_should_reach_the_published_figures_do_and_the_others_do_not() {
        let inside = |comparison: &Comparison| -> Vec<bool> {
            comparison.models.iter().map(|model| model.statistics.iter().all(|spread| spread.inside)).collect()
        };
        assert_eq!(inside(&lorawan(60)), [false, false, true], "{}", lorawan(60).table());
        assert_eq!(inside(&satellite(40)), [false, false, true], "{}", satellite(40).table());
    }
}
