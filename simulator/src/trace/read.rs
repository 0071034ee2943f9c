//! From the bytes of a file to its series: columns, rows, and everything that is wrong with them.
//!
//! Numbers are read as decimals into whole nanoseconds, never through a float, so that a time of
//! day in milliseconds keeps every digit. What is broken is collected and told at once.

use std::collections::BTreeMap;
use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder};
use flate2::read::MultiGzDecoder;
use systole_core::{Instant, Span};

use super::{Beat, Heard, Series, Trace};

/// Why a trace can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// No file has this name, and no shipped trace.
    #[error("there is neither a file nor a shipped trace {name}; the shipped ones are {shipped}")]
    Nowhere {
        /// What was asked for.
        name: String,
        /// What there would be.
        shipped: String,
    },
    /// The file can't be read.
    #[error("can't read the trace {name}: {why}")]
    Open {
        /// What was asked for.
        name: String,
        /// What the system says.
        why: io::Error,
    },
    /// It breaks off or isn't what its first bytes say.
    #[error("trace {name}: {why} after line {line}; is the file whole?")]
    Torn {
        /// Which trace.
        name: String,
        /// The last line that could be read.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The columns aren't those of a trace, or some of them say the same.
    #[error("trace {name}: {fault}; its header must have {HEADER}")]
    Header {
        /// Which trace.
        name: String,
        /// What is wrong with the header.
        fault: String,
    },
    /// A header and nothing below it.
    #[error("trace {name} is empty: there is no row below the header")]
    Empty {
        /// Which trace.
        name: String,
    },
    /// Some rows are broken.
    #[error("trace {name}: {} broken; correct or leave out{}{}", rows(*.count), listed(.faults), more(*.count, .faults.len()))]
    Rows {
        /// Which trace.
        name: String,
        /// The first twenty of them, by line.
        faults: Vec<RowFault>,
        /// How many there are.
        count: usize,
    },
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct RowFault {
    /// The line of the file; the header is line 1.
    pub line: u64,
    /// The column with its value, and what was expected.
    pub message: String,
}

/// So many broken rows are shown; what is wrong with the others will be the same.
const SHOWN: usize = 20;

pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Trace, TraceError> {
    let name = name.to_string();
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    let text: Box<dyn Read + '_> = if packed { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut record = ByteRecord::new();
    let mut line = 0;
    let mut next = |record: &mut ByteRecord| -> Result<Option<u64>, TraceError> {
        match reader.read_byte_record(record) {
            Ok(true) => {
                line = record.position().map_or(line + 1, csv::Position::line);
                Ok(Some(line))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(TraceError::Torn { name: name.clone(), line, why: error.to_string() }),
        }
    };
    if next(&mut record)?.is_none() {
        return Err(TraceError::Header { name, fault: "there is no header".into() });
    }
    let columns = match Columns::find(&record) {
        Ok(columns) => columns,
        Err(fault) => return Err(TraceError::Header { name, fault }),
    };
    let mut table = Table::default();
    while let Some(line) = next(&mut record)? {
        table.take(&columns, line, &record);
    }
    let (series, mut faults) = table.finish(columns.form);
    if !faults.is_empty() {
        faults.sort();
        let count = faults.len();
        faults.truncate(SHOWN);
        return Err(TraceError::Rows { name, faults, count });
    }
    if series.is_empty() {
        return Err(TraceError::Empty { name });
    }
    Ok(Trace { name, series })
}

/// Whether a file tells what was sent, or what arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Sent,
    Arrived,
}

/// Where the columns are that matter, and how they are called.
#[derive(Debug)]
struct Columns {
    names: Vec<String>,
    form: Form,
    series: Option<usize>,
    seq: Option<usize>,
    /// When it was sent or arrived, in units of so many nanoseconds.
    time: (usize, i128),
    /// How long it took; only where the file tells when it was sent.
    delay: Option<usize>,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Self, String> {
        let names: Vec<String> =
            header.iter().map(|name| text(name).trim_start_matches('\u{feff}').to_string()).collect();
        let one_of = |choice: &[&str]| -> Result<Option<usize>, String> {
            let found: Vec<usize> = (0..names.len()).filter(|place| choice.contains(&names[*place].as_str())).collect();
            match found[..] {
                [] => Ok(None),
                [place] => Ok(Some(place)),
                [one, other, ..] => {
                    Err(format!("{} and {} stand for the same; leave one out", names[one], names[other]))
                }
            }
        };
        let series = one_of(&["run", "src"])?;
        let seq = one_of(&["seq"])?;
        let sent = one_of(&["send_time_s", "due_s"])?;
        let delay = one_of(&["rtt_ms", "delay_ms", "arrival_delay_ms"])?;
        let arrival = one_of(&["arrival_unix_ms", "arrival_s"])?;
        let columns = format!("{:?}", names.join(","));
        let (form, time, delay) = match (sent, delay, arrival) {
            (Some(sent), Some(delay), None) => (Form::Sent, (sent, SECOND), Some(delay)),
            (None, None, Some(arrival)) if seq.is_some() => {
                let unit = if names[arrival].ends_with("_ms") { MILLISECOND } else { SECOND };
                (Form::Arrived, (arrival, unit), None)
            }
            (None, None, Some(_)) => return Err(format!("{columns} has no seq")),
            (Some(_), None, None) => return Err(format!("{columns} has no delay")),
            (None, Some(_), None) => return Err(format!("{columns} has no time of sending")),
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                return Err(format!("{columns} tells both sendings and arrivals; leave one out"));
            }
            (None, None, None) => return Err(format!("{columns} has neither")),
        };
        Ok(Self { names, form, series, seq, time, delay })
    }
}

/// One row, in nanoseconds of the file's own clock.
#[derive(Clone, Copy, Debug)]
struct Row {
    line: u64,
    at: i64,
    seq: Option<u64>,
    delay: Option<Span>,
}

/// The rows so far, apart by series.
#[derive(Debug, Default)]
struct Table {
    places: BTreeMap<String, usize>,
    series: Vec<(String, Vec<Row>)>,
    faults: Vec<RowFault>,
}

impl Table {
    fn take(&mut self, columns: &Columns, line: u64, record: &ByteRecord) {
        if record.len() != columns.names.len() {
            let (has, should) = (record.len(), columns.names.len());
            let message = format!("it has {has} fields; expected {should}, as in the header");
            return self.faults.push(RowFault { line, message });
        }
        let mut fault = |place: usize, expected: &str| {
            let message = format!("{} {:?}; expected {expected}", columns.names[place], text(&record[place]));
            self.faults.push(RowFault { line, message });
        };
        let (place, unit) = columns.time;
        let at = decimal(&text(&record[place]), unit).and_then(|at| i64::try_from(at).ok());
        let at = at.filter(|at| at.unsigned_abs() <= LATEST);
        if at.is_none() {
            fault(place, if unit == SECOND { "seconds, such as 1.25" } else { "milliseconds, such as 1687514517004" });
        }
        let mut seq = None;
        if let Some(place) = columns.seq {
            seq = text(&record[place]).parse().ok().filter(|seq| *seq <= SEQ_MAX);
            if seq.is_none() {
                fault(place, "a whole number from 0 on");
            }
        }
        let mut delay = None;
        if let Some(place) = columns.delay.filter(|place| !text(&record[*place]).is_empty()) {
            let nanos = decimal(&text(&record[place]), MILLISECOND).and_then(|nanos| u64::try_from(nanos).ok());
            delay = nanos.map(Span::from_nanos).filter(|delay| *delay <= crate::spec::LONGEST);
            if delay.is_none() {
                fault(place, "milliseconds from 0 to 365 days, or nothing for a lost heartbeat");
            }
        }
        let Some(at) = at else { return };
        let name = columns.series.map_or_else(|| "all".into(), |place| text(&record[place]));
        let place = *self.places.entry(name).or_insert_with_key(|name| {
            self.series.push((name.clone(), Vec::new()));
            self.series.len() - 1
        });
        self.series[place].1.push(Row { line, at, seq, delay });
    }

    fn finish(self, form: Form) -> (Vec<Series>, Vec<RowFault>) {
        let mut faults = self.faults;
        if !faults.is_empty() {
            return (Vec::new(), faults);
        }
        let mut left = BEATS_MAX;
        let series = self.series.into_iter().map(|(name, mut rows)| {
            // Stable: what has the same time keeps the order of the file.
            rows.sort_by_key(|row| row.at);
            let mut tally = Tally::new(name, rows[0].at, left);
            for (row, next) in rows.iter().zip(rows.iter().skip(1).map(Some).chain([None])) {
                if let Err(fault) = tally.take(form, row, next) {
                    faults.push(fault);
                    break;
                }
            }
            // Rows that are there may be more than that; only holes are refused.
            left = left.saturating_sub(tally.series.beats.len());
            tally.series
        });
        let series = series.collect();
        (series, faults)
    }
}

/// One series, as far as its rows have been counted off.
#[derive(Debug)]
struct Tally {
    series: Series,
    origin: i64,
    /// Where the present life begins in `series.beats`.
    life: usize,
    /// No more heartbeats than this.
    limit: usize,
}

impl Tally {
    fn new(name: String, origin: i64, limit: usize) -> Self {
        Self { series: Series { name, beats: Vec::new(), repeats: Vec::new() }, origin, life: 0, limit }
    }

    fn take(&mut self, form: Form, row: &Row, next: Option<&Row>) -> Result<(), RowFault> {
        let at = Instant::from_nanos(row.at.abs_diff(self.origin));
        let (sent, arrival) = match form {
            Form::Sent => (Some(at), row.delay.map(|delay| at + delay)),
            Form::Arrived => (None, Some(at)),
        };
        let last = self.series.beats.last().copied();
        let highest = last.map(|last| last.seq);
        let seq = row.seq.unwrap_or_else(|| highest.map_or(1, |highest| highest + 1));
        match highest {
            Some(highest) if seq == highest => self.again(seq, arrival),
            Some(highest) if seq < highest && self.out_of_order(form, seq, highest, next) => self.again(seq, arrival),
            Some(highest) if seq > highest => {
                let life = self.series.beats[self.life].life;
                let missing = seq - highest - 1;
                let room = (self.limit.saturating_sub(self.series.beats.len() + 1)) as u64;
                if missing > MISSING_MAX.min(room) {
                    return Err(hole(row.line, seq, highest));
                }
                let lost = (highest + 1..seq).map(|seq| Beat { life, seq, sent: None, arrival: None });
                self.series.beats.extend(lost);
                self.series.beats.push(Beat { life, seq, sent, arrival });
            }
            Some(_) | None => {
                let life = last.map_or(1, |last| last.life + 1);
                self.life = self.series.beats.len();
                self.series.beats.push(Beat { life, seq, sent, arrival });
            }
        }
        Ok(())
    }

    /// Whether a fall of the count is the network's doing rather than a restart.
    fn out_of_order(&self, form: Form, seq: u64, highest: u64, next: Option<&Row>) -> bool {
        let near = highest - seq < REORDERED && seq >= self.series.beats[self.life].seq;
        let goes_on = next.and_then(|next| next.seq).is_none_or(|next| next > highest);
        match form {
            // In the order of sending nothing overtakes.
            Form::Sent => false,
            Form::Arrived => near && (self.series.beats[self.place(seq)].arrival.is_none() || goes_on),
        }
    }

    /// A heartbeat of this life that was counted already: as lost, or as arrived.
    fn again(&mut self, seq: u64, arrival: Option<Instant>) {
        let Some(at) = arrival else { return };
        let place = self.place(seq);
        let beat = &mut self.series.beats[place];
        match beat.arrival {
            None => beat.arrival = Some(at),
            Some(first) => {
                beat.arrival = Some(first.min(at));
                self.series.repeats.push(Heard { at: first.max(at), life: beat.life, seq });
            }
        }
    }

    /// Where a number of this life stands: it has no holes any more.
    fn place(&self, seq: u64) -> usize {
        self.life + (seq - self.series.beats[self.life].seq) as usize
    }
}

fn hole(line: u64, seq: u64, highest: u64) -> RowFault {
    let message = format!(
        "seq {seq} is far beyond {highest} before it; expected at most {MISSING_MAX} missing in a row, and \
         {BEATS_MAX} heartbeats in all: separate series by a column run or src"
    );
    RowFault { line, message }
}

/// A field without blanks around it; what isn't UTF-8 shows as such.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim().to_string()
}

/// So many units as nanoseconds, to the nearest: `1.25`, `-3`, `1e-05`.
fn decimal(text: &str, unit: i128) -> Option<i128> {
    let (minus, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !(plain(whole) && plain(fraction)) || digits.len() > DIGITS_MAX {
        // With an exponent, or longer than any clock is exact.
        let number: f64 = text.parse().ok()?;
        return number.is_finite().then(|| libm::round(number * unit as f64) as i128);
    }
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10i128.pow(fraction.len() as u32);
    let nanos = (2 * number * unit + scale) / (2 * scale);
    Some(if minus { -nanos } else { nanos })
}

fn rows(count: usize) -> String {
    if count == 1 { "a row is".into() } else { format!("{count} rows are") }
}

fn listed(faults: &[RowFault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

fn more(count: usize, shown: usize) -> String {
    if count > shown { format!("\n  and {} more", count - shown) } else { String::new() }
}

const HEADER: &str = "either send_time_s (or due_s) with one of rtt_ms, delay_ms, arrival_delay_ms, \
                      or arrival_unix_ms (or arrival_s) with seq; run or src separates series";
const SECOND: i128 = 1_000_000_000;
const MILLISECOND: i128 = 1_000_000;
/// 146 years: twice that still fits into an instant.
const LATEST: u64 = 1 << 62;
const SEQ_MAX: u64 = 1 << 62;
/// A number that fell by less may have been overtaken.
const REORDERED: u64 = 64;
/// A longer hole is a mistake in the file, not an outage.
const MISSING_MAX: u64 = 1_000_000;
/// Some 800 MB of them.
const BEATS_MAX: usize = 20_000_000;
/// More digits would not fit into an i128 together with the nanoseconds of a second.
const DIGITS_MAX: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn read(text: &str) -> Trace {
        parse("t", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn complaint(text: &str) -> String {
        parse("t", text.as_bytes()).expect_err("broken").to_string()
    }

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Span::from_millis(millis)
    }

    /// Life, number and arrival in milliseconds of each.
    fn beats(series: &Series) -> Vec<(u32, u64, Option<u64>)> {
        let millis = |at: Instant| at.nanos() / 1_000_000;
        series.beats.iter().map(|beat| (beat.life, beat.seq, beat.arrival.map(millis))).collect()
    }

    #[test]
    fn sendings_with_their_delay_are_read() {
        let trace = read("run,send_time_s,speed,rtt_ms\r\na,5.0,1,20\r\na,5.1,1,\r\nb,0,1,7.5\r\na,5.2,1,0.25\r\n");
        let names: Vec<&str> = trace.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let beat = |seq, sent, arrival| Beat { life: 1, seq, sent: Some(at(sent)), arrival };
        let last = Some(at(200) + Span::from_nanos(250_000));
        assert_eq!(trace.series[0].beats, [beat(1, 0, Some(at(20))), beat(2, 100, None), beat(3, 200, last)]);
        assert_eq!(trace.series[1].arrivals(), [Heard { at: Instant::from_nanos(7_500_000), life: 1, seq: 1 }]);
    }

    #[test]
    fn a_hole_in_the_numbers_is_a_lost_heartbeat() {
        let trace = read("arrival_unix_ms,seq\n1687514517004,7\n1687514518004,8\n1687514520004,10\n");
        assert_eq!(trace.series[0].name, "all");
        assert_eq!(beats(&trace.series[0]), [(1, 7, Some(0)), (1, 8, Some(1_000)), (1, 9, None), (1, 10, Some(3_000))]);
        let lost: Vec<bool> = trace.series[0].losses().collect();
        assert_eq!(lost, [false, false, true, false]);
    }

    #[test]
    fn a_number_that_falls_begins_a_new_life() {
        let trace = read("arrival_s,seq\n0,1\n1,2\n2,3\n9,0\n10,1\n11,2\n12,3\n13,4\n");
        let lives: Vec<(u32, u64)> = trace.series[0].beats.iter().map(|beat| (beat.life, beat.seq)).collect();
        assert_eq!(lives, [(1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4)]);
        assert_eq!(trace.series[0].repeats, []);
    }

    #[test]
    fn what_was_overtaken_or_came_twice_is_neither_lost_nor_a_restart() {
        let trace = read("arrival_s,seq\n0,1\n1,4\n2,2\n3,3\n4,3\n5,5\n6,5\n");
        let series = &trace.series[0];
        let millis =
            [(1, 1, Some(0)), (1, 2, Some(2_000)), (1, 3, Some(3_000)), (1, 4, Some(1_000)), (1, 5, Some(5_000))];
        assert_eq!(beats(series), millis);
        let repeats: Vec<u64> = series.repeats.iter().map(|heard| heard.seq).collect();
        assert_eq!(repeats, [3, 5]);
        let order: Vec<u64> = series.arrivals().iter().map(|heard| heard.seq).collect();
        assert_eq!(order, [1, 4, 2, 3, 3, 5, 5]);
    }

    #[test]
    fn rows_are_taken_by_time_whatever_their_order() {
        let trace = read("send_time_s,delay_ms\n2,1\n1,1\n3,1\n");
        assert_eq!(beats(&trace.series[0]), [(1, 1, Some(1)), (1, 2, Some(1_001)), (1, 3, Some(2_001))]);
    }

    #[test]
    fn a_measured_stall_is_read_from_when_the_heartbeat_was_due() {
        let trace = read("src,seq,due_s,send_late_ms,arrival_delay_ms\n0,0,0.0000,2.1109,2.1811\n0,1,0.0100,,\n");
        assert_eq!(trace.series[0].beats[0].arrival, Some(Instant::from_nanos(2_181_100)));
        assert_eq!(trace.series[0].beats[1], Beat { life: 1, seq: 1, sent: Some(at(10)), arrival: None });
    }

    #[test]
    fn a_gzipped_file_is_known_by_its_first_bytes() {
        let text = "send_time_s,rtt_ms\n0,1\n1,2\n";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).expect("into memory");
        let packed = packed.finish().expect("into memory");
        assert_eq!(parse("t", &packed).expect("gzipped"), read(text));
        let torn = parse("t", &packed[..packed.len() - 6]).expect_err("its end is missing");
        assert!(matches!(torn, TraceError::Torn { .. }), "{torn}");
    }

    #[test]
    fn every_broken_row_is_named_with_its_line() {
        let text = "send_time_s,rtt_ms\n0,5\nx,5\n1,-3\n2\n3,nan\n4,\n";
        assert_eq!(
            complaint(text),
            "trace t: 4 rows are broken; correct or leave out\n  \
             line 3: send_time_s \"x\"; expected seconds, such as 1.25\n  \
             line 4: rtt_ms \"-3\"; expected milliseconds from 0 to 365 days, or nothing for a lost heartbeat\n  \
             line 5: it has 1 fields; expected 2, as in the header\n  \
             line 6: rtt_ms \"nan\"; expected milliseconds from 0 to 365 days, or nothing for a lost heartbeat"
        );
        let many = format!("send_time_s,rtt_ms\n{}", "x,1\n".repeat(25));
        assert!(complaint(&many).ends_with("and 5 more"), "{}", complaint(&many));
    }

    #[test]
    fn a_header_that_is_no_header_says_what_it_must_have() {
        for (text, said) in [
            ("", "there is no header"),
            ("time,latency\n0,1\n", "\"time,latency\" has neither"),
            ("send_time_s\n0\n", "\"send_time_s\" has no delay"),
            ("rtt_ms\n0\n", "\"rtt_ms\" has no time of sending"),
            ("arrival_s\n0\n", "\"arrival_s\" has no seq"),
            ("send_time_s,rtt_ms,delay_ms\n0,1,1\n", "rtt_ms and delay_ms stand for the same; leave one out"),
            ("send_time_s,rtt_ms,arrival_s,seq\n0,1,1,1\n", "tells both sendings and arrivals; leave one out"),
        ] {
            let complaint = complaint(text);
            assert!(complaint.contains(said) && complaint.contains("must have either send_time_s"), "{complaint}");
        }
    }

    #[test]
    fn a_header_alone_is_an_empty_trace() {
        assert_eq!(complaint("send_time_s,rtt_ms\n"), "trace t is empty: there is no row below the header");
    }

    #[test]
    fn a_hole_that_no_outage_makes_is_refused() {
        let complaint = complaint("arrival_s,seq\n0,1\n1,4000000000\n");
        assert!(complaint.contains("line 3: seq 4000000000 is far beyond 1 before it"), "{complaint}");
    }

    #[test]
    fn times_keep_every_digit() {
        for (text, unit, nanos) in [
            ("1687514517004", MILLISECOND, Some(1_687_514_517_004_000_000)),
            ("0.1", SECOND, Some(100_000_000)),
            ("-1.000000001", SECOND, Some(-1_000_000_001)),
            ("0.0000000005", SECOND, Some(1)),
            ("1e-05", SECOND, Some(10_000)),
            ("", SECOND, None),
            (".", SECOND, None),
            ("1,5", SECOND, None),
            ("inf", SECOND, None),
        ] {
            assert_eq!(decimal(text, unit), nanos, "{text}");
        }
    }

    proptest! {
        /// What was overtaken by up to sixty others is found at its place, and only holes are lost.
        #[test]
        fn arrivals_in_any_near_order_are_one_life(each in proptest::collection::vec((0u64..60_000, any::<bool>()), 1..300)) {
            // Sent every second; the first one arrives at once and is not lost.
            let mut heard: Vec<(u64, u64)> = (2..).zip(&each).filter(|(_, (_, lost))| !lost)
                .map(|(seq, (delay, _))| (seq * 1_000 + delay, seq)).collect();
            heard.push((1_000, 1));
            heard.sort_unstable();
            let rows: String = heard.iter().map(|(at, seq)| format!("{at},{seq}\n")).collect();
            let trace = read(&format!("arrival_unix_ms,seq\n{rows}"));
            let series = &trace.series[0];
            let highest = heard.iter().map(|(_, seq)| *seq).max().expect("the first");
            let expected: Vec<(u32, u64, Option<u64>)> = (1..=highest)
                .map(|seq| (1, seq, heard.iter().find(|(_, other)| *other == seq).map(|(at, _)| at - 1_000)))
                .collect();
            prop_assert_eq!(beats(series), expected);
            prop_assert!(series.repeats.is_empty());
            prop_assert_eq!(series.arrivals().len(), heard.len());
        }

        /// Whatever the bytes are, it is a trace or an error.
        #[test]
        fn no_bytes_make_it_panic(rows in "[-0-9.,eanx\"\n ]{0,200}", arrived in any::<bool>()) {
            let header = if arrived { "arrival_s,seq" } else { "send_time_s,rtt_ms" };
            let _ = parse("t", format!("{header}\n{rows}").as_bytes());
        }
    }
}
