//! One belief as bytes.
//!
//! ```text
//!   0 id   16 what follows (u16)   18 liveness   19 since (ms since 1970)
//!   27 [name] [group] [incarnation, seq] [interval] [planned] [load] [version] [metrics] [labels]
//! ```
//!
//! All numbers are little-endian; a text is its length in one byte and its bytes. A shard writes
//! this between two batches, straight from its table.

use systole_core::{Belief, Incarnation, Interval, Liveness, NodeId, Payload, Seq, Span};

use super::format::Refusal;
use crate::clock::Reading;
use crate::store::Carried;

/// Adds a belief to `out`; `reading` leads from the monitor's time line to the wall clock.
pub fn emit(belief: &Belief<'_>, reading: Reading, out: &mut Vec<u8>) {
    let payload = belief.payload.filter(|payload| payload.version().is_some() || has_extras(payload));
    let (declared, learned) = match belief.interval {
        Some(Interval::Declared(_)) => (DECLARED, 0),
        Some(Interval::Learned(_)) => (0, LEARNED),
        None => (0, 0),
    };
    let flag = |there: bool, flag: u16| if there { flag } else { 0 };
    let flags = flag(belief.name.is_some(), NAME)
        | flag(belief.group.is_some(), GROUP)
        | flag(belief.last.is_some(), LAST)
        | declared
        | learned
        | flag(belief.planned_until.is_some(), PLANNED)
        | flag(belief.load.is_some(), LOAD)
        | flag(payload.is_some(), PAYLOAD)
        | flag(payload.is_some_and(|payload| payload.version().is_some()), VERSION);
    out.extend_from_slice(belief.id.bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.push(belief.liveness as u8);
    number(reading.unix_millis(belief.since), out);
    [belief.name, belief.group].into_iter().flatten().for_each(|name| text(name, out));
    if let Some((incarnation, seq)) = belief.last {
        number(incarnation.number(), out);
        number(seq.number(), out);
    }
    match belief.interval {
        Some(Interval::Declared(span) | Interval::Learned(span)) => number(span.nanos(), out),
        None => {}
    }
    if let Some(until) = belief.planned_until {
        number(until.since(reading.now).nanos(), out);
    }
    if let Some(load) = belief.load {
        out.extend_from_slice(&load.to_bits().to_le_bytes());
    }
    let Some(payload) = payload else { return };
    payload.version().into_iter().for_each(|version| text(version, out));
    out.push(payload.metrics().count() as u8);
    for (name, value) in payload.metrics() {
        text(name, out);
        number(value.to_bits(), out);
    }
    out.push(payload.labels().count() as u8);
    for (name, value) in payload.labels() {
        text(name, out);
        text(value, out);
    }
}

/// Takes one belief off the front of `bytes`.
///
/// # Errors
/// It is cut short, or says what no monitor can have believed.
pub(super) fn parse(bytes: &mut &[u8]) -> Result<Carried, Refusal> {
    let id = NodeId::from_bytes(array(bytes)?);
    let flags = u16::from_le_bytes(array(bytes)?);
    let has = |flag: u16| flags & flag != 0;
    if flags & !ALL != 0 || has(DECLARED) && has(LEARNED) || has(VERSION) && !has(PAYLOAD) {
        return Err(Refusal::Torn("a belief with marks that don't exist"));
    }
    let [liveness] = array(bytes)?;
    let liveness = Liveness::ALL.into_iter().find(|known| *known as u8 == liveness);
    let liveness = liveness.ok_or(Refusal::Torn("a belief with a state that doesn't exist"))?;
    let since = take_number(bytes)?;
    let name = has(NAME).then(|| take_text(bytes)).transpose()?.map(Box::from);
    let group = has(GROUP).then(|| take_text(bytes)).transpose()?.map(Box::from);
    let last =
        if has(LAST) { Some((Incarnation::new(take_number(bytes)?), Seq::new(take_number(bytes)?))) } else { None };
    let interval = if has(DECLARED) {
        Some(Interval::Declared(Span::from_nanos(take_number(bytes)?)))
    } else if has(LEARNED) {
        Some(Interval::Learned(Span::from_nanos(take_number(bytes)?)))
    } else {
        None
    };
    let planned = has(PLANNED).then(|| take_number(bytes)).transpose()?.map(Span::from_nanos);
    let load = has(LOAD).then(|| array(bytes)).transpose()?.map(|load| f32::from_bits(u32::from_le_bytes(load)));
    if load.is_some_and(|load| !load.is_finite() || load < 0.0) {
        return Err(Refusal::Torn("a belief with a load that is none"));
    }
    let payload = has(PAYLOAD).then(|| take_payload(bytes, has(VERSION))).transpose()?.map(Box::new);
    Ok(Carried { id, name, group, last, liveness, since, interval, planned, load, payload })
}

fn take_payload(bytes: &mut &[u8], versioned: bool) -> Result<Payload, Refusal> {
    let version = versioned.then(|| take_text(bytes)).transpose()?;
    let [metrics] = array(bytes)?;
    let metrics = (0..metrics).map(|_| Ok((take_text(bytes)?, f64::from_bits(take_number(bytes)?))));
    let metrics: Vec<(&str, f64)> = metrics.collect::<Result<_, Refusal>>()?;
    let [labels] = array(bytes)?;
    let labels = (0..labels).map(|_| Ok((take_text(bytes)?, take_text(bytes)?)));
    let labels: Vec<(&str, &str)> = labels.collect::<Result<_, Refusal>>()?;
    Payload::new(version, &metrics, &labels).map_err(|_| Refusal::Torn("a belief with what no node could have told"))
}

fn has_extras(payload: &Payload) -> bool {
    payload.metrics().next().is_some() || payload.labels().next().is_some()
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// No name and no text of a node is longer than 128 bytes.
fn text(text: &str, out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Result<&'b [u8], Refusal> {
    bytes.split_off(..len).ok_or(Refusal::Torn("a belief that is cut short"))
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Refusal> {
    Ok(take(bytes, N)?.try_into().expect("as many as were taken"))
}

fn take_number(bytes: &mut &[u8]) -> Result<u64, Refusal> {
    array(bytes).map(u64::from_le_bytes)
}

fn take_text<'b>(bytes: &mut &'b [u8]) -> Result<&'b str, Refusal> {
    let [len] = array(bytes)?;
    let text = take(bytes, len.into())?;
    str::from_utf8(text).map_err(|_| Refusal::Torn("a belief with a text that is none"))
}

const NAME: u16 = 1;
const GROUP: u16 = 1 << 1;
const LAST: u16 = 1 << 2;
const DECLARED: u16 = 1 << 3;
const LEARNED: u16 = 1 << 4;
const PLANNED: u16 = 1 << 5;
const LOAD: u16 = 1 << 6;
const PAYLOAD: u16 = 1 << 7;
const VERSION: u16 = 1 << 8;
const ALL: u16 = (1 << 9) - 1;
