//! A network from what was measured of it: a trace, or the profile that a monitor keeps.
//!
//! Losses become the model that explains their runs best, delays the histogram that they are. Beyond what
//! was seen an answer rests on the model's tail, so how much was seen is said, and too little is refused.

use std::collections::BTreeMap;
use std::path::Path;

use systole_core::Span;

use super::network::Network;
use super::remote::Profile;
use super::runs::{Fitted, Runs, digits_up};
use crate::latency::{Delay, Histogram};
use crate::loss::Loss;
use crate::trace::{Series, Trace};

/// The network that a trace shows, for whoever has to detect a crash within that time.
///
/// # Errors
/// A trace that can't be read, or that shows too little.
pub(super) fn from_trace(file: &str, detect_within: Span) -> Result<Network, String> {
    let trace = Trace::read(Path::new(file)).map_err(|error| error.to_string())?;
    let mut runs = Runs::default();
    let (mut delays, mut late) = (Vec::new(), false);
    for series in &trace.series {
        let own = Runs::of(series.losses());
        runs.arrived += own.arrived;
        own.lengths.into_iter().for_each(|(length, count)| runs.add(length, count));
        if series.beats.iter().any(|beat| beat.sent.is_some()) {
            delays.extend(series.delays().into_iter().filter_map(|(_, delay)| delay));
        } else {
            delays.extend(lateness(series));
            late = true;
        }
    }
    let mut intervals: Vec<Span> = trace.series.iter().filter_map(Series::interval).collect();
    intervals.sort_unstable();
    let interval = intervals.get(intervals.len() / 2).copied();
    let (name, sent) = (trace.name, runs.sent());
    if sent < SENT_MIN {
        return Err(format!("{name} has {sent} heartbeats; {SENT_MIN} at least say something about how many are lost"));
    }
    let flags = format!(" --network {file}");
    let mut notes = vec![format!("{name}: {}", seen(&runs, interval))];
    if late {
        notes.push(LATENESS.into());
    }
    let delay = histogram(&name, delays.into_iter().map(|delay| (delay, 1)))?;
    let (loss, rivals) = loss(&runs, &mut notes)?;
    Ok(Network { loss, rivals, delay, measured_every: bursts(interval, detect_within, &mut notes), name, flags, notes })
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
        LATENESS.into(),
    ];
    let late = profile.lateness.buckets.iter();
    let delay = histogram(&name, late.map(|bucket| (Span::from_nanos((bucket.up_to_ms * 1e6) as u64), bucket.count)))?;
    let (loss, rivals) = loss(&runs, &mut notes)?;
    Ok(Network { loss, rivals, delay, measured_every: bursts(interval, detect_within, &mut notes), name, flags, notes })
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

/// The model that explains the runs best and the others, or where there are hardly any, the most that they allow for.
fn loss(runs: &Runs, notes: &mut Vec<String>) -> Result<(Loss, Vec<Loss>), String> {
    if runs.count() < RUNS_MIN {
        // 97.5 % of the time fewer are seen (Poisson, by its normal approximation and a bit).
        let most = runs.lost() as f64 + 2.0 * libm::sqrt(runs.lost() as f64) + 3.7;
        let p = digits_up((most / runs.sent() as f64).min(0.5));
        notes.push(format!(
            "with fewer than {RUNS_MIN} runs nothing can be said of bursts; losses are taken as independent, and as frequent as that allows for"
        ));
        return p.parse().map(|loss| (loss, Vec::new())).map_err(|error| format!("{error}"));
    }
    let fitted = runs.fit().map_err(|error| error.to_string())?;
    let rivals: Vec<String> = fitted.iter().map(|fitted| format!("{} (BIC {:.0})", fitted.model, fitted.bic)).collect();
    notes.push(format!("fitted to the runs, best first: {}", rivals.join("; ")));
    let longest = runs.longest();
    notes.push(format!("runs longer than {longest} were never seen: how rare they are is the fitted model's tail"));
    let model = |fitted: &Fitted| {
        fitted.model.parse::<Loss>().map_err(|error| format!("the fitted model {} can't be: {error}", fitted.model))
    };
    Ok((model(&fitted[0])?, fitted[1..].iter().map(model).collect::<Result<_, String>>()?))
}

/// Bursts last as many seconds at every interval if they were measured finely enough to tell.
fn bursts(interval: Option<Span>, detect_within: Span, notes: &mut Vec<String>) -> Option<Span> {
    let Some(interval) = interval else {
        notes.push(
            "at which interval that was isn't known, so a burst is taken as so many heartbeats, however fast they come; \
             --measured-every says it"
                .into(),
        );
        return None;
    };
    if interval <= detect_within {
        return Some(interval);
    }
    let (interval, within) = (interval.compact(), detect_within.compact());
    notes.push(format!(
        "measured every {interval}, it says nothing of what happens within {within}: a burst is taken as so many heartbeats, however fast they come"
    ));
    None
}

/// How late each heartbeat came after the one before and the interval had foretold, as a monitor counts it but for
/// those after a loss: the slow wandering of a sender's clock, which a detector follows, isn't among it.
fn lateness(series: &Series) -> Vec<Span> {
    let Some(interval) = series.interval() else { return Vec::new() };
    let arrived: Vec<_> = series.beats.iter().filter_map(|beat| Some((beat.life, beat.seq, beat.arrival?))).collect();
    let pairs = arrived.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[1].1 == pair[0].1 + 1);
    pairs.map(|pair| pair[1].2.since(pair[0].2) - interval).collect()
}

/// A law of some twenty steps, each of which is as long as its longest delay.
fn histogram(name: &str, delays: impl Iterator<Item = (Span, u64)>) -> Result<Delay, String> {
    let mut counts = BTreeMap::new();
    for (delay, count) in delays {
        *counts.entry(rounded_up(delay)).or_insert(0) += count;
    }
    let all: u64 = counts.values().sum();
    let (mut steps, mut ends) = (Vec::new(), SHARES.iter().map(|share| (share * all as f64) as u64));
    let (mut seen, mut held, mut end) = (0, 0, ends.next());
    for (delay, count) in counts {
        (seen, held) = (seen + count, held + count);
        if end.is_some_and(|end| seen > end) || seen == all {
            steps.push((delay, held));
            held = 0;
            while end.is_some_and(|end| seen > end) {
                end = ends.next();
            }
        }
    }
    Histogram::new(steps).map(Delay::Histogram).map_err(|error| format!("{name}: {error}"))
}

/// The delay with its two leading digits, rounded up; nothing below a microsecond is told apart.
fn rounded_up(delay: Span) -> Span {
    let mut unit = 1_000;
    while delay.nanos() > unit * 99 {
        unit *= 10;
    }
    Span::from_nanos(delay.nanos().div_ceil(unit) * unit)
}

/// Where a step of the law of delays ends.
const SHARES: [f64; 18] =
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999];

const LATENESS: &str =
    "delays are how late heartbeats came after the one before: more than they vary, and without what all of them take";

/// Fewer heartbeats say next to nothing about losses of one in a hundred.
const SENT_MIN: u64 = 1_000;
/// Fewer runs say nothing about how long they are.
const RUNS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_keeps_two_digits_and_is_never_taken_for_less() {
        for (nanos, up) in [(0, 0), (1, 1_000), (99_000, 99_000), (99_001, 100_000), (123_456_789, 130_000_000)] {
            assert_eq!(rounded_up(Span::from_nanos(nanos)), Span::from_nanos(up));
        }
    }

    #[test]
    fn a_law_of_few_steps_is_nowhere_quicker_than_what_was_measured() {
        let mut delays: Vec<Span> = (1..10_000u64).map(|n| Span::from_nanos(n * n * 1_000)).collect();
        let law = histogram("test", delays.iter().map(|delay| (*delay, 1))).expect("a law");
        let Delay::Histogram(law) = law else { panic!("a histogram was asked for") };
        delays.sort_unstable();
        assert!(law.buckets().count() <= SHARES.len() + 1 && law.count() == 9_999);
        for share in [0.0, 0.05, 0.5, 0.905, 0.99, 0.9995, 1.0] {
            let real = delays[((share * 9_999.0) as usize).min(9_998)];
            assert!(law.quantile(share) >= real, "{share}: {} {real}", law.quantile(share));
        }
        assert!(law.quantile(0.999) <= delays[9_994].scale(1.1));
    }

    #[test]
    fn a_trace_of_arrivals_is_late_against_the_heartbeat_before_and_not_against_a_clock_that_wanders() {
        let network = from_trace("lorawan", Span::from_secs(15)).expect("a shipped trace");
        assert!(network.reach() < Span::from_secs(10), "{}", network.reach());
        assert_eq!(network.measured_every, None);
        assert!(network.loss.to_string().starts_with("fritchman:"), "{}", network.loss);
    }

    #[test]
    fn a_monitor_that_has_seen_too_little_says_how_much_is_missing() {
        let profile = r#"{"group":"edge","interval_ms":1000.0,"nodes":10,"heartbeats":900,"lost":0,
            "lateness":{"count":900,"buckets":[{"up_to_ms":2.0,"count":900}]},"loss_runs":[]}"#;
        let mut profile: Profile = serde_json::from_str(profile).expect("a profile");
        let fault = from_profile(&profile, "http://m:2329", Span::from_secs(15)).expect_err("too little");
        assert!(fault.ends_with("wait for 100, some 11s more at 10 nodes"), "{fault}");
        profile.lateness.count = 100_000;
        let unknown = Profile { interval_ms: None, ..profile.clone() };
        let network = from_profile(&unknown, "http://m:2329", Span::from_secs(15)).expect("enough");
        assert!(network.notes.iter().any(|note| note.contains("--measured-every")), "{:?}", network.notes);
        let network = from_profile(&profile, "http://m:2329", Span::from_secs(15)).expect("enough");
        assert_eq!((network.loss.to_string(), network.measured_every), ("0.00003702".into(), Some(Span::from_secs(1))));
    }
}
