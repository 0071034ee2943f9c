//! A network from what was measured of it: a trace, or the profile that a monitor keeps.
//!
//! Losses become the model that explains their runs best, delays the histogram that they are. Beyond what
//! was seen an answer rests on the model's tail, so how much was seen is said, and too little is refused.

use std::path::Path;

use systole_core::Span;

use super::network::Network;
use super::remote::Profile;
use super::runs::Runs;
use crate::latency::{Delay, Histogram};
use crate::trace::Trace;

/// The network that a trace shows, for whoever has to detect a crash within that time.
///
/// # Errors
/// A trace that can't be read, or that shows too little.
pub(super) fn from_trace(file: &str, detect_within: Span) -> Result<Network, String> {
    let trace = Trace::read(Path::new(file)).map_err(|error| error.to_string())?;
    let mut runs = Runs::default();
    let mut delays = Vec::new();
    for series in &trace.series {
        let own = Runs::of(series.losses());
        runs.arrived += own.arrived;
        own.lengths.into_iter().for_each(|(length, count)| runs.add(length, count));
        delays.extend(series.delays().into_iter().filter_map(|(_, delay)| delay));
    }
    let mut intervals: Vec<Span> = trace.series.iter().filter_map(crate::trace::Series::interval).collect();
    intervals.sort_unstable();
    let interval = intervals.get(intervals.len() / 2).copied();
    let (name, sent) = (trace.name, runs.sent());
    if sent < SENT_MIN {
        return Err(format!("{name} has {sent} heartbeats; {SENT_MIN} at least say something about how many are lost"));
    }
    let flags = format!(" --network {file}");
    let mut notes = vec![format!("{name}: {}", seen(&runs, interval))];
    let delay = histogram(&name, delays.into_iter().map(|delay| (delay, 1)))?;
    Ok(Network {
        loss: loss(&runs, &mut notes)?,
        delay,
        measured_every: bursts(interval, detect_within, &mut notes),
        name,
        flags,
        notes,
    })
}

/// The network that a monitor has seen, for whoever has to detect a crash within that time.
///
/// # Errors
/// A monitor that has seen too little, with how much longer it takes.
pub(super) fn from_profile(profile: &Profile, address: &str, detect_within: Span) -> Result<Network, String> {
    let mut runs = Runs { arrived: profile.lateness.count, lengths: Vec::new() };
    // Of a class of lengths the longest: that is the careful reading.
    profile.loss_runs.iter().for_each(|class| runs.add(class.to, class.count));
    let (interval, sent) = (profile.interval(), runs.sent());
    let name = format!("{address} group {}", profile.group);
    if sent < SENT_MIN {
        let missing = SENT_MIN - sent;
        let wait = interval.filter(|_| profile.nodes > 0).map(|interval| interval * (missing / profile.nodes + 1));
        let wait =
            wait.map_or(String::new(), |wait| format!(", some {} more at {} nodes", wait.compact(), profile.nodes));
        return Err(format!(
            "{name} has seen {sent} heartbeats; {SENT_MIN} at least say something about how many are lost: wait for {missing}{wait}"
        ));
    }
    let flags = format!(" --from {address} --group {}", profile.group);
    let mut notes = vec![
        format!("{name}: {}", seen(&runs, interval)),
        format!("since its start it believed {} heartbeats and missed {}", profile.heartbeats, profile.lost),
        "what a node lost until it was failed, and while it was, is not among that".into(),
        "delays are how late heartbeats came against the one before: more than they really vary, and without what they all take".into(),
    ];
    let late = profile.lateness.buckets.iter();
    let delay = histogram(&name, late.map(|bucket| (Span::from_nanos((bucket.up_to_ms * 1e6) as u64), bucket.count)))?;
    Ok(Network {
        loss: loss(&runs, &mut notes)?,
        delay,
        measured_every: bursts(interval, detect_within, &mut notes),
        name,
        flags,
        notes,
    })
}

fn seen(runs: &Runs, interval: Option<Span>) -> String {
    let every = interval.map_or(String::new(), |interval| format!(", one in {}", interval.compact()));
    format!(
        "{} heartbeats{every}; {} lost in {} runs, the longest of {}",
        runs.sent(),
        runs.lost(),
        runs.count(),
        runs.longest()
    )
}

/// The model that explains the runs best, or where there are hardly any, the most that they allow for.
fn loss(runs: &Runs, notes: &mut Vec<String>) -> Result<crate::loss::Loss, String> {
    if runs.count() < RUNS_MIN {
        // 97.5 % of the time fewer are seen (Poisson, by its normal approximation and a bit).
        let most = runs.lost() as f64 + 2.0 * libm::sqrt(runs.lost() as f64) + 3.7;
        let p = (most / runs.sent() as f64).min(0.5);
        notes.push(format!(
            "with fewer than {RUNS_MIN} runs nothing can be said of bursts; losses are taken as independent, and as frequent as that allows for"
        ));
        return Ok(crate::loss::Loss::Independent(p));
    }
    let fitted = runs.fit().map_err(|error| error.to_string())?;
    let rivals: Vec<String> = fitted.iter().map(|fitted| format!("{} (BIC {:.0})", fitted.model, fitted.bic)).collect();
    notes.push(format!("fitted to the runs, best first: {}", rivals.join("; ")));
    let longest = runs.longest();
    notes.push(format!("runs longer than {longest} were never seen: how rare they are is the fitted model's tail"));
    fitted[0].model.parse().map_err(|error| format!("the fitted model {} can't be: {error}", fitted[0].model))
}

/// Bursts last as many seconds at every interval if they were measured finely enough to tell.
fn bursts(interval: Option<Span>, detect_within: Span, notes: &mut Vec<String>) -> Option<Span> {
    let interval = interval?;
    if interval <= detect_within {
        return Some(interval);
    }
    let (interval, within) = (interval.compact(), detect_within.compact());
    notes.push(format!(
        "measured every {interval}, it says nothing of what happens within {within}: a burst is taken as so many heartbeats, however fast they come"
    ));
    None
}

/// Delays by size, each counted as the upper end of a class a hundredth wide.
fn histogram(name: &str, delays: impl Iterator<Item = (Span, u64)>) -> Result<Delay, String> {
    let mut counts = std::collections::BTreeMap::new();
    for (delay, count) in delays {
        *counts.entry(class(delay)).or_insert(0) += count;
    }
    let histogram = Histogram::new(counts).map_err(|error| format!("{name}: {error}"))?;
    Ok(Delay::Histogram(histogram))
}

/// The delay with its two leading digits, rounded up; nothing below a microsecond is told apart.
fn class(delay: Span) -> Span {
    let mut unit = 1_000;
    while delay.nanos() >= unit * 100 {
        unit *= 10;
    }
    Span::from_nanos(delay.nanos().div_ceil(unit) * unit)
}

/// Fewer heartbeats say next to nothing about losses of one in a hundred.
const SENT_MIN: u64 = 1_000;
/// Fewer runs say nothing about how long they are.
const RUNS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_keeps_two_digits_and_is_never_taken_for_less() {
        for (nanos, classed) in [(0, 0), (1, 1_000), (99_000, 99_000), (100_001, 110_000), (123_456_789, 130_000_000)] {
            assert_eq!(class(Span::from_nanos(nanos)), Span::from_nanos(classed));
        }
    }
}
