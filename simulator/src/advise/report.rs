//! The answer as text for people and as JSON for programs.
//!
//! First what to do and the lines to paste, then how sure that is, what it costs, what the
//! neighbours would, how it was found, and what it rests on.

use std::fmt::Write;

use serde_json::{Value, json};
use systole_core::Span;
use systole_core::wire::HEADER;

use super::advice::{Advice, Care, Unachievable};
use super::network::Network;
use super::search::{Demand, Tried, Verdict};
use super::settings::Settings;
use crate::frequency::Frequency;
use crate::latency::Delay;
use crate::qos::Times;
use crate::rare::Rarity;
use crate::report::{VERSION, number};
use crate::scenario::{Group, Scenario};
use crate::traffic::HEADERS;

/// What is asked, before anything can fail: one line.
pub(super) fn head(demands: &[Demand], network: &Network, care: Care) -> String {
    let Demand { detect_within, false_failures, nodes, max_rate, kind: _ } = &demands[0];
    let kinds: Vec<&str> = demands.iter().map(|demand| demand.kind.name()).collect();
    let max_rate = max_rate.map_or("none".into(), |rate| rate.to_string());
    format!(
        "systole-sim {VERSION}: advise detect-within={} false-failures={false_failures} nodes={nodes} \
         max-rate={max_rate} detector={} network={} loss={} delay={} seed={} pains={:?}",
        detect_within.compact(),
        kinds.join("|"),
        network.name,
        network.loss,
        delays(network),
        care.seed,
        care.pains
    )
}

/// The settings, and why; `others` says what the detectors that were not chosen would have taken.
pub(super) fn advice(
    demand: &Demand,
    network: &Network,
    care: Care,
    advice: &Advice,
    others: Option<String>,
) -> String {
    let mut out = String::new();
    let settings = &advice.choice.settings;
    let (rate, within) = (heartbeats_per_s(demand, settings), demand.detect_within.compact());
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    line(format!(
        "One heartbeat every {}; {}, confirm {}.",
        settings.interval.compact(),
        settings.detector,
        settings.confirm.compact()
    ));
    line(format!(
        "Failed at most {} after a crash ({} allowed), {} false failures in the fleet ({} allowed).",
        latest(network, settings).compact(),
        within,
        often(demand, &advice.choice.failures),
        demand.false_failures,
    ));
    others.into_iter().for_each(&mut line);
    line(String::new());
    line("In the monitor's configuration, and at each node:".into());
    line(String::new());
    line(paste(settings));
    line(String::new());
    line("Cost".into());
    line(format!("  heartbeats        {} per second", number(rate)));
    line(format!(
        "  on the wire       {} Mbit/s: {HEADER} bytes of heartbeat, {HEADERS} of UDP and IPv4 headers, the link's own not counted",
        number(bits_per_s(rate) / 1e6)
    ));
    line(String::new());
    line("Quality".into());
    line(format!("  false failures    {}", interval_of(demand, &advice.choice.failures)));
    line(format!("  suspicions        {}", interval_of(demand, &advice.suspicions)));
    line(format!("  until suspect     {}", times(&advice.found.detection_time_s)));
    line(format!("  until failed      {}", times(&advice.found.failure_time_s)));
    line(format!(
        "                    in {} crashes, {} of them never noticed",
        advice.found.crashes, advice.found.missed
    ));
    line(String::new());
    line("Neighbours, with the same detection time".into());
    line(format!("  {:<18}{:<10}{:<14}{:<24}{}", "", "every", "heartbeats/s", "false failures", "settings"));
    line(row(demand, "chosen", &advice.choice));
    for neighbour in &advice.neighbours {
        line(row(demand, &neighbour.what, &neighbour.tried));
    }
    line(String::new());
    line("How it was found".into());
    for text in method(demand, network, care, advice) {
        line(format!("  {text}"));
    }
    line(String::new());
    line("What it rests on".into());
    for text in assumptions(network) {
        line(format!("  {text}"));
    }
    for (loss, interval) in &advice.rivals {
        let what = interval.map_or("nothing".into(), |interval| format!("one in {}", interval.compact()));
        line(format!("  were losses {loss}, which explains what was measured less well, {what} would do"));
    }
    line(String::new());
    line("To confirm".into());
    line(format!("  {}", again(demand, network, care)));
    line(format!("  {}", flags(&advice.scenario)));
    out
}

/// Why nothing does, and what would.
pub(super) fn unachievable(demand: &Demand, network: &Network, refused: &Unachievable) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes everything");
    line(format!(
        "Can't be met: {} within {} for {} nodes: {}.",
        demand.false_failures,
        demand.detect_within.compact(),
        demand.nodes,
        refused.why
    ));
    line(String::new());
    line("The nearest that can be".into());
    match &refused.later {
        Some((within, tried)) => {
            line(format!("  --detect-within {}, with {}", within.compact(), tried.settings));
        }
        None => line("  no longer detection time that was tried helps".into()),
    }
    match &refused.oftener {
        Some((often, tried)) => line(format!("  --false-failures {often}, with {}", tried.settings)),
        None => line("  more false failures alone don't help".into()),
    }
    if !refused.tried.is_empty() {
        line(String::new());
        line(format!("  {:<18}{:<10}{:<14}{:<24}{}", "tried", "every", "heartbeats/s", "false failures", "settings"));
        for tried in &refused.tried {
            line(row(demand, "", tried));
        }
    }
    line(String::new());
    line("What it rests on".into());
    for text in assumptions(network) {
        line(format!("  {text}"));
    }
    out
}

/// Everything. Times are in seconds, rates per second of one node unless they say otherwise.
pub(super) fn json(demand: &Demand, network: &Network, care: Care, answer: Result<&Advice, &Unachievable>) -> Value {
    let mut value = json!({
        "version": VERSION,
        "seed": care.seed,
        "pains": care.pains,
        "achievable": answer.is_ok(),
        "demand": {
            "detect_within_s": demand.detect_within.secs_f64(),
            "false_failures": demand.false_failures,
            "false_failures_per_s": demand.false_failures.per_second(),
            "nodes": demand.nodes,
            "max_rate_per_s": demand.max_rate.map(Frequency::per_second),
            "detector": demand.kind.name(),
        },
        "network": {
            "name": network.name,
            "loss": network.loss.to_string(),
            "delay": network.delay.to_string(),
            "measured_every_s": network.measured_every.map(Span::secs_f64),
        },
        "assumptions": assumptions(network),
    });
    let more = match answer {
        Ok(advice) => {
            let settings = &advice.choice.settings;
            let rate = heartbeats_per_s(demand, settings);
            json!({
                "choice": tried(demand, &advice.choice),
                "interval_s": settings.interval.secs_f64(),
                "detector": settings.detector.to_string(),
                "confirm_s": settings.confirm.secs_f64(),
                "detection_bound_s": latest(network, settings).secs_f64(),
                "heartbeats_per_s": rate,
                "bits_per_s": bits_per_s(rate),
                "config": paste(settings),
                "suspicions": advice.suspicions,
                "detection_time_s": advice.found.detection_time_s,
                "failure_time_s": advice.found.failure_time_s,
                "crashes": advice.found.crashes,
                "missed": advice.found.missed,
                "neighbours": advice.neighbours.iter().map(|neighbour| {
                    let mut value = tried(demand, &neighbour.tried);
                    value["what"] = neighbour.what.clone().into();
                    value
                }).collect::<Vec<Value>>(),
                "tried": advice.tried.iter().map(|each| tried(demand, each)).collect::<Vec<Value>>(),
                "chen": advice.chen,
                "rivals": advice.rivals.iter().map(|(loss, interval)| {
                    json!({"loss": loss.to_string(), "interval_s": interval.map(Span::secs_f64)})
                }).collect::<Vec<Value>>(),
                "effort": advice.effort,
                "confirm_with": [again(demand, network, care), flags(&advice.scenario)],
            })
        }
        Err(refused) => json!({
            "why": refused.why,
            "nearest": {
                "detect_within_s": refused.later.as_ref().map(|(within, _)| within.secs_f64()),
                "detect_within": refused.later.as_ref().map(|(_, each)| tried(demand, each)),
                "false_failures": refused.oftener.as_ref().map(|(often, _)| often),
                "false_failures_per_s": refused.oftener.as_ref().map(|(often, _)| often.per_second()),
                "false_failures_with": refused.oftener.as_ref().map(|(_, each)| tried(demand, each)),
            },
            "tried": refused.tried.iter().map(|each| tried(demand, each)).collect::<Vec<Value>>(),
        }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn tried(demand: &Demand, tried: &Tried) -> Value {
    let mut value = serde_json::to_value(tried).expect("numbers and texts are JSON");
    let nodes = demand.nodes as f64;
    value["heartbeats_per_s"] = heartbeats_per_s(demand, &tried.settings).into();
    value["fleet_per_week"] = json!({
        "value": tried.failures.rate_per_s * nodes * WEEK,
        "ci_low": tried.failures.ci_low * nodes * WEEK,
        "ci_high": tried.failures.ci_high * nodes * WEEK,
    });
    value
}

fn method(demand: &Demand, network: &Network, care: Care, advice: &Advice) -> Vec<String> {
    let mut lines = Vec::new();
    for bracket in &advice.chen {
        lines.push(match &bracket.interval {
            Ok(interval) => format!(
                "Chen's configurator, knowing share lost and {}: {}, if losses were independent",
                bracket.known,
                interval.compact()
            ),
            Err(why) => format!("Chen's configurator, knowing share lost and {}: {why}", bracket.known),
        });
    }
    lines.push(format!(
        "That leaves out bursts ({}), that a detector learns, and the part of the time that is kept to confirm.",
        network.loss
    ));
    let longer: Vec<String> = advice.tried.iter().map(|tried| tried.settings.interval.compact().to_string()).collect();
    if !longer.is_empty() {
        lines.push(format!(
            "Round intervals on the product's own detector, longest first; these failed: {}",
            longer.join(" ")
        ));
    }
    let failures = &advice.choice.failures;
    lines.push(format!(
        "False failures by multilevel splitting: {} levels, {} replicates, {} heartbeats, seed {}; standard error {} %",
        failures.levels.len(),
        failures.replicates.len(),
        failures.heartbeats,
        advice.choice.seed,
        failures.relative_error.map_or("?".into(), |error| format!("{:.1}", 100.0 * error)),
    ));
    lines.push(format!("The search had seed {}, suspicions seed {}.", care.seed, care.seed + 2));
    lines.push(format!(
        "Until suspect 52 % of an ordinary silence, as in the defaults (3.25 of 6.25 intervals); the bound of {} for {} is {}.",
        demand.kind.name(),
        advice.choice.settings.interval.compact(),
        advice.choice.settings.bound().compact(),
    ));
    lines.push("Detection times by a run of the whole simulator, encoded heartbeats and crashes.".into());
    lines
}

fn assumptions(network: &Network) -> Vec<String> {
    let mut lines = network.notes.clone();
    lines.push(format!("losses {}, delays {}, alike and independent at all nodes", network.loss, delays(network)));
    lines.push(network.bursts());
    lines.push(format!(
        "99.9 % of the delays are below {}; a crash after a slower heartbeat is found later by the rest",
        network.reach().compact()
    ));
    lines.push("no pauses of senders or monitor, no partitions: they come on top".into());
    lines
}

fn row(demand: &Demand, what: &str, tried: &Tried) -> String {
    let settings = &tried.settings;
    let verdict = match tried.verdict {
        Verdict::Meets => "",
        Verdict::Fails => " ✕",
        Verdict::Unsure => " ?",
    };
    format!(
        "  {:<18}{:<10}{:<14}{:<24}{} confirm={}",
        what,
        settings.interval.compact().to_string(),
        number(heartbeats_per_s(demand, settings)),
        often(demand, &tried.failures) + verdict + " ",
        settings.detector,
        settings.confirm.compact()
    )
}

/// The law of the delays, and of one that was measured its percentiles.
fn delays(network: &Network) -> String {
    let Delay::Histogram(law) = &network.delay else { return network.delay.to_string() };
    let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| law.quantile(share).compact());
    format!("as measured (p50 {p50}, p99 {p99}, p99.9 {p999}, max {max})")
}

/// In the fleet, at most.
fn often(demand: &Demand, rarity: &Rarity) -> String {
    format!("at most {}", Frequency::about(rarity.ci_high * demand.nodes as f64))
}

fn interval_of(demand: &Demand, rarity: &Rarity) -> String {
    let nodes = demand.nodes as f64;
    let per_week = |rate: f64| number(rate * nodes * WEEK);
    let doubt = rarity.doubt.map_or(String::new(), |doubt| format!("; {doubt}"));
    format!(
        "{} per week in the fleet  ({} to {}){doubt}",
        per_week(rarity.rate_per_s),
        per_week(rarity.ci_low),
        per_week(rarity.ci_high)
    )
}

fn times(times: &Times) -> String {
    let time = |time: Option<f64>| time.map_or("?".into(), number);
    format!(
        "p50 {}  p90 {}  p99 {}  p99.9 {}  max {} s",
        time(times.p50),
        time(times.p90),
        time(times.p99),
        time(times.p999),
        time(times.max)
    )
}

/// As the product reads it.
fn paste(settings: &Settings) -> String {
    let (interval, confirm) = (settings.interval.compact(), settings.confirm.compact());
    format!(
        "  [[group]]\n  name = \"fleet\"\n  match = {{ node = \"*\" }}\n  interval = \"{interval}\"\n  detector = \"{}\"\n  \
         confirm = \"{confirm}\"\n\n  systole beat NODE --every {interval}",
        settings.detector
    )
}

/// From the crash to `failed`, at most.
fn latest(network: &Network, settings: &Settings) -> Span {
    network.reach() + settings.bound() + Span::from_millis(1)
}

fn heartbeats_per_s(demand: &Demand, settings: &Settings) -> f64 {
    demand.nodes as f64 / settings.interval.secs_f64()
}

fn bits_per_s(heartbeats_per_s: f64) -> f64 {
    heartbeats_per_s * 8.0 * (HEADER as u64 + HEADERS) as f64
}

/// The same question with another seed.
fn again(demand: &Demand, network: &Network, care: Care) -> String {
    let max_rate = demand.max_rate.map_or(String::new(), |rate| format!(" --max-rate {rate}"));
    format!(
        "systole-sim advise --detect-within {} --false-failures {} --nodes {}{max_rate}{} --detector {} --seed {} --thorough",
        demand.detect_within.compact(),
        demand.false_failures,
        demand.nodes,
        network.flags,
        demand.kind.name(),
        care.seed + 1_000
    )
}

/// The run that measured the detection times.
fn flags(scenario: &Scenario) -> String {
    let Group { nodes, interval, detector, confirm, loss, delay, heartbeats, crashes, .. } = &scenario.groups[0];
    format!(
        "systole-sim run --nodes {nodes} --interval {} --detector {detector} --confirm {confirm} --loss {} --delay {} \
         --heartbeats {heartbeats} --crashes {crashes} --seed {}",
        interval.compact(),
        quoted(loss),
        quoted(delay),
        scenario.seed
    )
}

/// As a shell takes it for one word.
fn quoted(model: &impl ToString) -> String {
    let text = model.to_string();
    if text.contains(['|', '>', '&', ' ']) { format!("'{text}'") } else { text }
}

const WEEK: f64 = 604_800.0;
