//! The detectors through their public face: what holds for all of them whatever arrives, plain
//! twins in double precision, and what they are worth on a lossy path.

use std::collections::VecDeque;

use proptest::prelude::*;
use systole_core::detector::{Beat, Chen, Detector, Phi, Tail};
use systole_core::{Span, Wait};

const ETA: Span = Span::from_secs(1);

/// A heartbeat that got through: when it was sent and when it came, in nanoseconds, and its number.
#[derive(Clone, Copy)]
struct Arrival {
    sent: u64,
    at: u64,
    seq: u64,
}

/// A sender on a schedule and the path to us.
#[derive(Clone, Copy)]
struct Path {
    loss: f64,
    /// Mean of an exponential delay, in intervals.
    delay: f64,
    /// Every so many heartbeats the sender stops for seven intervals and goes on from there.
    pause_every: u64,
}

const NEVER: u64 = u64::MAX;

impl Path {
    /// What arrives of the first `count` heartbeats and is newer than what came before.
    fn arrivals(self, count: u64, seed: u64) -> Vec<Arrival> {
        let mut random = Random(seed);
        let mut all = Vec::new();
        for seq in 1..=count {
            let delay = -self.delay * libm::log(1.0 - random.next());
            let sent = (ETA * (seq + 7 * (seq / self.pause_every))).nanos();
            if random.next() >= self.loss {
                all.push(Arrival { sent, at: sent + (delay * ETA.nanos() as f64) as u64, seq });
            }
        }
        all.sort_by_key(|arrival| (arrival.at, arrival.seq));
        let mut last = 0;
        all.retain(|arrival| {
            let newer = arrival.seq > last;
            last = last.max(arrival.seq);
            newer
        });
        all
    }
}

/// SplitMix64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn detector(text: &str) -> Detector {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The patience after each arrival but the first, in intervals.
fn patiences(detector: &Detector, arrivals: &[Arrival]) -> Vec<f64> {
    let mut memory = detector.start(ETA);
    let step = |pair: &[Arrival]| {
        let elapsed = Span::from_nanos(pair[1].at - pair[0].at);
        detector.heartbeat(&mut memory, Beat { elapsed, gap: pair[1].seq - pair[0].seq, interval: ETA });
        detector.patience(&memory, ETA).secs_f64()
    };
    arrivals.windows(2).map(step).collect()
}

/// What these patiences are worth on this run.
#[derive(Clone, Copy, Debug)]
struct Worth {
    /// Suspicions of a sender that was alive.
    mistakes: u64,
    /// From sending the last heartbeat to its deadline, in intervals.
    mean: f64,
    worst: f64,
}

fn worth(arrivals: &[Arrival], patiences: &[f64]) -> Worth {
    let eta = ETA.nanos() as f64;
    let mut worth = Worth { mistakes: 0, mean: 0.0, worst: 0.0 };
    for (pair, patience) in arrivals[1..].windows(2).zip(patiences) {
        worth.mistakes += u64::from((pair[1].at - pair[0].at) as f64 / eta > *patience);
        let detection = (pair[0].at - pair[0].sent) as f64 / eta + patience;
        worth.mean += detection / (arrivals.len() - 2) as f64;
        worth.worst = worth.worst.max(detection);
    }
    worth
}

// ---- What they are worth -----------------------------------------------------------------

/// Chen's estimate as the paper has it: the mean of the last 32 arrivals shifted to one schedule.
fn chen_of_the_paper(arrivals: &[Arrival], margin: f64) -> Vec<f64> {
    let eta = ETA.nanos() as f64;
    let mut shifted = VecDeque::new();
    let step = |arrival: &Arrival| {
        shifted.push_back(arrival.at as f64 - arrival.seq as f64 * eta);
        if shifted.len() > 32 {
            shifted.pop_front();
        }
        let expected = shifted.iter().sum::<f64>() / shifted.len() as f64 + (arrival.seq + 1) as f64 * eta;
        (expected - arrival.at as f64) / eta + margin
    };
    arrivals.iter().map(step).skip(1).collect()
}

#[test]
fn one_float_is_as_good_as_a_ring_of_32_arrivals_where_delay_is_stationary() {
    for (loss, delay, margin) in [(0.01, 0.02, 1.0), (0.01, 0.1, 1.0), (0.01, 0.1, 1.25), (0.0, 0.2, 1.0)] {
        let arrivals = Path { loss, delay, pause_every: NEVER }.arrivals(1_000_000, 1);
        let ours = worth(&arrivals, &patiences(&detector(&format!("chen:margin={margin}x")), &arrivals));
        let paper = worth(&arrivals, &chen_of_the_paper(&arrivals, margin));
        let mistakes = ours.mistakes as f64 / paper.mistakes as f64;
        assert!((0.8..=1.05).contains(&mistakes), "loss {loss}, delay {delay}: {ours:?}, the paper {paper:?}");
        assert!((0.999..1.02).contains(&(ours.mean / paper.mean)), "loss {loss}, delay {delay}: {ours:?}, {paper:?}");
    }
}

#[test]
fn the_table_in_the_documentation_of_chen_is_true() {
    for (loss, delay, fixed_mistakes, chen_mistakes, fixed_worst, chen_worst) in
        [(0.01, 0.02, 113, 113, 2.50, 2.30), (0.01, 0.1, 532, 415, 3.51, 2.89), (0.0, 0.2, 188, 89, 4.07, 4.07)]
    {
        let arrivals = Path { loss, delay, pause_every: NEVER }.arrivals(1_000_000, 1);
        let fixed = worth(&arrivals, &patiences(&detector("fixed:timeout=2.25x"), &arrivals));
        let chen = worth(&arrivals, &patiences(&detector("chen:margin=1.25x"), &arrivals));
        assert!((chen.mean - fixed.mean).abs() < 0.02, "{fixed:?} {chen:?}");
        assert_eq!((fixed.mistakes, chen.mistakes), (fixed_mistakes, chen_mistakes), "{fixed:?} {chen:?}");
        assert!((fixed.worst - fixed_worst).abs() < 0.005_001, "{fixed:?}");
        assert!((chen.worst - chen_worst).abs() < 0.005_001, "{chen:?}");
    }
}

/// Phi on a path whose spread is below the least standard deviation, with the threshold at which
/// it takes 2.1 intervals on average.
fn phi_at_equal_detection_time(arrivals: &[Arrival]) -> Worth {
    let tail = Tail::Normal { pause: Wait::Intervals(0.0), sd_min: Wait::Intervals(0.1) };
    let at = |threshold| {
        let phi = Detector::Phi(Phi::new(threshold, tail).expect("in range"));
        worth(arrivals, &patiences(&phi, arrivals))
    };
    let (mut low, mut high) = (0.1, 30.0);
    for _ in 0..30 {
        let threshold = 0.5 * (low + high);
        if at(threshold).mean < 2.1 { low = threshold } else { high = threshold }
    }
    at(high)
}

#[test]
fn dividing_by_the_gap_leaves_phi_a_fortieth_of_its_mistakes_at_1_percent_loss() {
    let arrivals = Path { loss: 0.01, delay: 0.01, pause_every: NEVER }.arrivals(300_000, 3);
    // Numbered as they arrive, each loss looks like a sender that took its time.
    let renumber = |(seq, arrival): (usize, &Arrival)| Arrival { seq: seq as u64, ..*arrival };
    let renumbered: Vec<Arrival> = arrivals.iter().enumerate().map(renumber).collect();
    let divided = phi_at_equal_detection_time(&arrivals);
    let undivided = phi_at_equal_detection_time(&renumbered);
    assert!((divided.mean - undivided.mean).abs() < 0.001, "{divided:?} {undivided:?}");
    assert!(undivided.mistakes > 40 * divided.mistakes, "{divided:?} {undivided:?}");
}

// ---- Twins -------------------------------------------------------------------------------

/// A detector written down once more from its formulas: milliseconds in double precision, and the
/// prediction S as a point in time. Takes an arrival and its gap, returns the patience after it.
type Twin = Box<dyn FnMut(f64, f64) -> f64>;
type NewTwin = fn() -> Twin;

const ETA_MS: f64 = 1_000.0;

/// Where the schedule stands after an arrival: it restarts when that came too late, and stays
/// within half a margin of it.
fn followed(predicted: f64, arrived: f64, too_late: bool, gain: f64, margin: f64) -> f64 {
    if too_late {
        return arrived;
    }
    (predicted + gain * (arrived - predicted)).clamp(arrived - margin / 2.0, arrived + margin / 2.0)
}

fn chen_twin(margin: f64, gain: f64) -> Twin {
    let mut s: Option<f64> = None;
    Box::new(move |arrived, gap| {
        let scheduled = match s {
            None => arrived,
            Some(s) => followed(s + gap * ETA_MS, arrived, arrived > s + gap * ETA_MS + margin, gain, margin),
        };
        s = Some(scheduled);
        scheduled + ETA_MS + margin - arrived
    })
}

fn two_window_twin(margin: f64, gain: f64) -> Twin {
    let mut before: Option<(f64, f64)> = None;
    Box::new(move |arrived, gap| {
        let scheduled = match before {
            None => arrived,
            Some((last, s)) => {
                let too_late = arrived > last.max(s) + gap * ETA_MS + margin;
                followed(s + gap * ETA_MS, arrived, too_late, gain, margin)
            }
        };
        before = Some((arrived, scheduled));
        arrived.max(scheduled) + ETA_MS + margin - arrived
    })
}

fn bertier_twin(margin_min: f64, margin_max: f64) -> Twin {
    let (mut s, mut delay, mut var): (Option<f64>, f64, f64) = (None, 0.0, 0.0);
    Box::new(move |arrived, gap| {
        let scheduled = match s {
            None => arrived,
            Some(s) => {
                let margin = (delay + 4.0 * var).clamp(margin_min, margin_max);
                let predicted = s + gap * ETA_MS;
                let error = (arrived - predicted - delay).clamp(-margin_max, margin_max);
                delay += error / 8.0;
                var += (error.abs() - var) / 8.0;
                followed(predicted, arrived, arrived > predicted + margin, 1.0 / 16.0, margin)
            }
        };
        s = Some(scheduled);
        let margin = (delay + 4.0 * var).clamp(margin_min, margin_max);
        (scheduled - arrived).clamp(-margin / 2.0, margin / 2.0) + ETA_MS + margin
    })
}

fn phi_twin(after: fn(mean: f64, deviation: f64) -> f64) -> Twin {
    let (mut last, mut mean, mut square): (Option<f64>, f64, f64) =
        (None, ETA_MS, ETA_MS * ETA_MS * (1.0 + 1.0 / 16.0));
    Box::new(move |arrived, gap| {
        if let Some(last) = last {
            let distance = ((arrived - last) / gap).min(2.0 * ETA_MS);
            mean += (distance - mean) / 64.0;
            square += (distance * distance - square) / 64.0;
        }
        last = Some(arrived);
        after(mean, (square - mean * mean).sqrt())
    })
}

#[test]
fn every_detector_agrees_with_its_twin_in_double_precision() {
    let twins: [(&str, NewTwin); 8] = [
        ("fixed:timeout=1.5s", || Box::new(|_, _| 1_500.0)),
        ("missed:k=3,margin=200ms", || Box::new(|_, _| 3_200.0)),
        ("chen:margin=2.25x", || chen_twin(2_250.0, 0.0625)),
        ("chen:margin=300ms,gain=0.25", || chen_twin(300.0, 0.25)),
        ("two-window:margin=700ms", || two_window_twin(700.0, 1.0 / 1_024.0)),
        ("bertier:margin-min=100ms,margin-max=6s", || bertier_twin(100.0, 6_000.0)),
        ("phi:threshold=8,pause=3s,sd-min=100ms", || {
            phi_twin(|mean, sd| mean + 3_000.0 + 5.612_001_244 * sd.max(100.0))
        }),
        ("phi:threshold=8,tail=exponential", || phi_twin(|mean, _| 8.0 * std::f64::consts::LN_10 * mean)),
    ];
    for (text, twin) in twins {
        for (seed, delay) in [(1, 0.001), (2, 0.05), (3, 0.3)] {
            let arrivals = Path { loss: 0.02, delay, pause_every: 5_000 }.arrivals(100_000, seed);
            let mut twin = twin();
            twin(arrivals[0].at as f64 / 1e6, 1.0);
            for (pair, patience) in arrivals.windows(2).zip(patiences(&detector(text), &arrivals)) {
                let expected = twin(pair[1].at as f64 / 1e6, (pair[1].seq - pair[0].seq) as f64);
                let off = (1e3 * patience - expected).abs();
                assert!(off < 0.05, "{text}, seed {seed}, heartbeat {}: {patience} s, twin {expected} ms", pair[1].seq);
            }
        }
    }
}

// ---- Whatever arrives --------------------------------------------------------------------

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        (1..100_000u64).prop_map(|millis| Wait::Span(Span::from_millis(millis))),
        (1..4_000u16).prop_map(|percent| Wait::Intervals(f32::from(percent) / 100.0)),
    ]
}

/// Any detector, by the text that a user would write.
fn any_detector() -> impl Strategy<Value = String> {
    let gain = 0.0001f32..=1.0;
    prop_oneof![
        wait().prop_map(|timeout| format!("fixed:timeout={timeout}")),
        (1..=1_000u32, wait()).prop_map(|(k, margin)| format!("missed:k={k},margin={margin}")),
        (wait(), gain.clone()).prop_map(|(margin, gain)| format!("chen:margin={margin},gain={gain}")),
        (wait(), gain.clone()).prop_map(|(margin, gain)| format!("two-window:margin={margin},gain={gain}")),
        (0.1f32..=30.0).prop_map(|threshold| format!("phi:threshold={threshold},tail=exponential")),
        (0.1f32..=30.0, any::<bool>(), wait(), wait()).prop_map(|(threshold, normal, pause, sd_min)| {
            let tail = if normal { "normal" } else { "logistic" };
            format!("phi:threshold={threshold},tail={tail},pause={pause},sd-min={sd_min}")
        }),
        (gain, 0.0f32..=100.0, 0.0f32..=100.0, 0..5_000u32, 5_000..90_000u32).prop_map(
            |(gamma, beta, phi, least, most)| {
                format!("bertier:gamma={gamma},beta={beta},phi={phi},margin-min={least}ms,margin-max={most}ms")
            }
        ),
    ]
}

/// Spans that are ordinary, and spans that no clock should ever have shown.
fn any_span() -> impl Strategy<Value = Span> {
    prop_oneof![
        4 => (0..20_000u64).prop_map(Span::from_millis),
        1 => (0..100 * 86_400u64).prop_map(Span::from_secs),
        1 => any::<u64>().prop_map(Span::from_nanos),
        1 => prop_oneof![Just(Span::ZERO), Just(Span::from_nanos(1)), Just(Span::MAX)],
    ]
}

fn any_beat() -> impl Strategy<Value = Beat> {
    let gap = prop_oneof![4 => 1..10u64, 1 => 1..=u64::MAX, 1 => Just(u64::MAX)];
    (any_span(), gap, any_span()).prop_map(|(elapsed, gap, interval)| Beat { elapsed, gap, interval })
}

fn ordinary_beat() -> impl Strategy<Value = Beat> {
    (0..8_000u64, 1..4u64).prop_map(|(millis, gap)| Beat { elapsed: Span::from_millis(millis), gap, interval: ETA })
}

/// The same margin, and so much more of it.
fn wider(margin: Wait, by: u16) -> Wait {
    match margin {
        Wait::Span(span) => Wait::Span(span + Span::from_millis(u64::from(by))),
        Wait::Intervals(times) => Wait::Intervals(times + f32::from(by) / 1_000.0),
    }
}

proptest! {
    #[test]
    fn whatever_arrives_the_memory_is_made_of_numbers_and_the_bound_holds(
        text in any_detector(),
        first in any_span(),
        beats in proptest::collection::vec(any_beat(), 1..100),
    ) {
        let detector = detector(&text);
        let mut memory = detector.start(first);
        for beat in beats {
            detector.heartbeat(&mut memory, beat);
            // A NaN is not equal to itself.
            prop_assert_eq!(memory, memory);
            let patience = detector.patience(&memory, beat.interval);
            let bound = detector.bound(beat.interval).expect("all of them have one");
            prop_assert!(patience <= bound, "{} > {} ({}, {:?}, {:?})", patience, bound, text, memory, beat);
        }
    }

    #[test]
    fn a_wider_margin_is_never_less_patient(
        margin in wait(),
        by in any::<u16>(),
        beats in proptest::collection::vec(ordinary_beat(), 0..50),
    ) {
        let wide = wider(margin, by);
        for (name, setting) in [
            ("fixed", "timeout"), ("missed", "margin"), ("chen", "margin"), ("two-window", "margin"), ("phi", "pause"),
        ] {
            let [narrow, wide] = [margin, wide].map(|margin| detector(&format!("{name}:{setting}={margin}")));
            let mut memory = narrow.start(ETA);
            for beat in &beats {
                narrow.heartbeat(&mut memory, *beat);
                prop_assert!(narrow.patience(&memory, ETA) <= wide.patience(&memory, ETA), "{} {:?}", narrow, memory);
            }
        }
    }

    #[test]
    fn a_higher_threshold_is_never_less_patient(
        low in 0.1f32..30.0,
        by in 0.0f32..30.0,
        beats in proptest::collection::vec(ordinary_beat(), 0..50),
    ) {
        let high = (low + by).min(30.0);
        for tail in ["normal", "logistic", "exponential"] {
            let [low, high] = [low, high].map(|threshold| detector(&format!("phi:threshold={threshold},tail={tail}")));
            let mut memory = low.start(ETA);
            for beat in &beats {
                low.heartbeat(&mut memory, *beat);
                prop_assert!(low.patience(&memory, ETA) <= high.patience(&memory, ETA), "{} {:?}", low, memory);
            }
        }
    }

    #[test]
    fn chen_is_never_less_patient_than_an_interval_and_half_its_margin(
        margin in wait(),
        beats in proptest::collection::vec(any_beat(), 1..100),
    ) {
        let chen = Detector::Chen(Chen::new(margin, 0.0625).expect("in range"));
        let mut memory = chen.start(ETA);
        for beat in beats {
            chen.heartbeat(&mut memory, beat);
            let least = beat.interval + Span::from_nanos(margin.of(beat.interval).nanos() / 2);
            // At 584 years the sum saturates before the half is taken off again.
            if least < Span::from_secs(1 << 33) {
                prop_assert!(chen.patience(&memory, beat.interval) >= least);
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back(text in any_detector()) {
        let first = detector(&text);
        prop_assert_eq!(detector(&first.to_string()), first, "{}", text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nonsense_is_lived_down(
        text in any_detector(),
        beats in proptest::collection::vec(any_beat(), 1..20),
    ) {
        let detector = detector(&text);
        let mut astray = detector.start(Span::MAX);
        for beat in beats {
            detector.heartbeat(&mut astray, beat);
        }
        let mut fresh = detector.start(ETA);
        // The slowest gain is 1/10,000.
        for _ in 0..200_000 {
            for memory in [&mut astray, &mut fresh] {
                detector.heartbeat(memory, Beat { elapsed: ETA, gap: 1, interval: ETA });
            }
        }
        let [astray, fresh] = [astray, fresh].map(|memory| detector.patience(&memory, ETA).secs_f64());
        prop_assert!((astray - fresh).abs() <= 0.001 * fresh, "{}: {} s, fresh {} s", text, astray, fresh);
    }
}

/// The bits themselves: plain IEEE operations and libm give them on every machine, and a simulation
/// can be repeated anywhere. They change with the formulas, and only with them.
#[test]
fn the_same_heartbeats_give_the_same_bits_on_every_machine() {
    let arrivals = Path { loss: 0.02, delay: 0.2, pause_every: 1_000 }.arrivals(50_000, 7);
    for (text, bits) in [
        ("chen", 0x34fa_51bb_45f5_364e),
        ("two-window", 0x823d_230f_46c1_4d42),
        ("phi", 0xdd2d_0674_448f_1145),
        ("phi:tail=logistic,threshold=5", 0x8063_cee7_a25b_2d37),
        ("phi:tail=exponential", 0xcb0f_74fb_94bb_33a5),
        ("bertier", 0x1160_d4bc_4a5f_43e7),
    ] {
        let fold = |hash: u64, patience: f64| (hash ^ patience.to_bits()).wrapping_mul(0x0100_0000_01b3);
        let hash = patiences(&detector(text), &arrivals).into_iter().fold(0xcbf2_9ce4_8422_2325, fold);
        assert_eq!(hash, bits, "{text}: {hash:#018x}");
    }
}
