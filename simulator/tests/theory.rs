//! Theory against published and hand-made numbers, and against itself.

use proptest::prelude::*;
use systole_sim::theory::{
    Choice, DAY, DelayLaw, FixedTimeout, Known, LossLaw, NfdS, Requirement, Unachievable, false_failures_per_day,
};

/// `value` rounded to as many decimals as `text` shows is `text`.
fn assert_prints(value: f64, text: &str) {
    let decimals = text.split_once('.').map_or(0, |(_, after)| after.len());
    assert_eq!(format!("{value:.decimals$}"), text, "{value} in full");
}

fn assert_close(value: f64, expected: f64, relative: f64) {
    assert!((value / expected - 1.0).abs() <= relative, "{value} is not {expected}");
}

const EXP_20_MS: DelayLaw = DelayLaw::Exponential { mean: 0.02 };
const EXP_200_MS: DelayLaw = DelayLaw::Exponential { mean: 0.2 };

#[test]
fn nfd_s_gives_the_reference_table_to_every_digit() {
    for (loss, delay, delta, recurrence, duration) in [
        (0.01, EXP_20_MS, 0.5, "101.010101", "0.530101009"),
        (0.01, EXP_20_MS, 1.0, "101.010101", "0.0301010101"),
        (0.01, EXP_20_MS, 1.5, "10101.0101", "0.530101009"),
        (0.1, EXP_200_MS, 0.5, "6.39376797", "0.548191201"),
        (0.1, EXP_200_MS, 1.0, "10.4763158", "0.29904572"),
        (0.1, EXP_200_MS, 1.5, "63.586039", "0.546018712"),
    ] {
        let nfd_s = NfdS::new(1.0, delta, loss, delay);
        assert_prints(nfd_s.mistake_recurrence(), recurrence);
        assert_prints(nfd_s.mistake_duration().expect("mistakes happen"), duration);
        assert_eq!(nfd_s.detection_bound(), delta + 1.0);
    }
}

/// With D exponential, u is a polynomial in exp(-x/mean) on the whole interval while delta is at
/// most an interval: a second way to the integral, without any quadrature.
#[test]
fn the_quadrature_agrees_with_an_integral_done_by_hand() {
    let (loss, mean, delta) = (0.1, 0.2, 0.5);
    // p_0(x) = p + (1-p) e^-(delta+x)/mean everywhere; p_1(x) is 1 until delta + x = 1, then p + (1-p) e^-(x-1/2)/mean.
    let e = |x: f64| (-x / mean).exp();
    let before = loss * 0.5 + 0.9 * mean * (e(0.5) - e(1.0));
    let after = loss * loss * 0.5
        + loss * 0.9 * mean * (e(1.0) - e(1.5))
        + loss * 0.9 * mean * (1.0 - e(0.5))
        + 0.81 * 0.5 * mean * e(1.0) * (1.0 - e(1.0));
    let accuracy = 1.0 - (before + after);
    assert_close(NfdS::new(1.0, delta, loss, EXP_200_MS).query_accuracy(), accuracy, 1e-13);
}

/// A constant delay makes u a staircase: whatever is missing jumps when it would have arrived.
#[test]
fn under_constant_delay_nfd_s_is_a_fixed_timeout_of_delta_and_what_the_delay_leaves() {
    for (delta, timeout) in [(0.5, 1.3), (1.5, 2.3), (2.9, 3.7)] {
        let nfd_s = NfdS::new(1.0, delta, 0.1, DelayLaw::Constant { delay: 0.2 });
        let fixed = FixedTimeout::new(1.0, timeout, LossLaw::Independent { loss: 0.1 });
        assert_close(nfd_s.mistake_recurrence(), fixed.mistake_recurrence(), 1e-12);
        assert_close(nfd_s.mistake_duration().expect("some"), fixed.mistake_duration().expect("some"), 1e-11);
        assert_close(nfd_s.query_accuracy(), fixed.query_accuracy(), 1e-12);
    }
}

#[test]
fn where_nothing_is_lost_or_late_there_are_no_mistakes() {
    let nfd_s = NfdS::new(1.0, 1.5, 0.0, DelayLaw::Uniform { least: 0.0, most: 0.4 });
    assert_eq!(
        (nfd_s.mistake_recurrence(), nfd_s.mistake_duration(), nfd_s.query_accuracy()),
        (f64::INFINITY, None, 1.0)
    );
    let fixed = FixedTimeout::new(1.0, 1.5, LossLaw::Independent { loss: 0.0 });
    assert_eq!(
        (fixed.mistake_recurrence(), fixed.mistake_duration(), fixed.query_accuracy()),
        (f64::INFINITY, None, 1.0)
    );
}

#[test]
fn a_fixed_timeout_fails_by_runs_of_lost_heartbeats() {
    // p = 0.1: every ninth gap of the hundred that follow an arrival, 0.9 * 0.1, is a mistake.
    let fixed = |timeout, loss| FixedTimeout::new(1.0, timeout, loss);
    let independent = LossLaw::Independent { loss: 0.1 };
    assert_close(fixed(1.5, independent).mistake_recurrence(), 1.0 / 0.09, 1e-13);
    assert_close(fixed(2.5, independent).mistake_recurrence(), 1.0 / 0.009, 1e-13);
    assert_close(fixed(2.5, independent).mistake_duration().expect("some"), 0.5 + 0.1 / 0.9, 1e-13);
    // Runs of five in the mean, b = 1/5: one heartbeat in fifty begins a run, four in five go on.
    let gilbert = LossLaw::Gilbert { loss: 0.1, burst: 5.0 };
    assert_close(fixed(1.5, gilbert).mistake_recurrence(), 50.0, 1e-13);
    assert_close(fixed(2.5, gilbert).mistake_recurrence(), 62.5, 1e-13);
    assert_close(fixed(2.5, gilbert).mistake_duration().expect("some"), 0.5 + 4.0, 1e-13);
}

#[test]
fn bursts_of_the_length_that_chance_gives_are_no_bursts() {
    for timeout in [0.5, 1.5, 2.5, 6.5] {
        let independent = FixedTimeout::new(1.0, timeout, LossLaw::Independent { loss: 0.2 });
        let gilbert = FixedTimeout::new(1.0, timeout, LossLaw::Gilbert { loss: 0.2, burst: 1.25 });
        assert_close(gilbert.mistake_recurrence(), independent.mistake_recurrence(), 1e-12);
        assert_close(gilbert.mistake_duration().expect("some"), independent.mistake_duration().expect("some"), 1e-12);
        assert_close(gilbert.detection_mean(0.1), independent.detection_mean(0.1), 1e-12);
    }
}

#[test]
fn a_timeout_of_whole_intervals_waits_for_the_heartbeat_at_its_end() {
    for (interval, timeout, run) in [(0.1, 0.3, 3), (1.0, 3.0, 3), (0.7, 4.2, 6), (1.0, 2.999, 2)] {
        assert_eq!(FixedTimeout::new(interval, timeout, LossLaw::Independent { loss: 0.1 }).fatal_run(), run);
    }
}

#[test]
fn a_crash_is_detected_half_an_interval_before_the_bound_and_sooner_after_losses() {
    let none = FixedTimeout::new(1.0, 1.5, LossLaw::Independent { loss: 0.0 });
    assert_close(none.detection_mean(0.02), 1.52 - 0.5, 1e-14);
    assert_eq!(none.detection_bound(0.02), 1.52);
    // 0.9: got through, half an interval old on average. 0.09: one lost since, 1 to 2 intervals
    // old, and of those only the first half is not suspected yet, 0.25 s on average.
    let lossy = FixedTimeout::new(1.0, 1.5, LossLaw::Independent { loss: 0.1 });
    assert_close(lossy.detection_mean(0.0), 0.9 + 0.09 * 0.5 * 0.25, 1e-14);
}

#[test]
fn the_fleet_table_is_true() {
    let per_day = |timeout| {
        let fixed = FixedTimeout::new(1.0, timeout, LossLaw::Independent { loss: 0.01 });
        false_failures_per_day(1_000_000, fixed.mistake_recurrence())
    };
    assert_prints(per_day(3.5) / DAY, "0.99");
    assert_prints(per_day(5.5), "8.6");
    assert_prints(per_day(6.5), "0.09");
    assert_prints(1.0 / (per_day(8.5) * 365.25), "320");
    // Ten million nodes, 30 s in five heartbeats: what the formula for independent losses says.
    let fixed = FixedTimeout::new(6.0, 30.5, LossLaw::Independent { loss: 0.01 });
    assert_prints(false_failures_per_day(10_000_000, fixed.mistake_recurrence()), "14");
}

/// The paper's example: found within 30 s, one mistake in 30 days, corrected within 60 s.
const WORKED: Requirement =
    Requirement { detection: 30.0, recurrence: 30.0 * DAY, duration: 60.0, interval_min: 0.001 };

#[test]
fn the_worked_configurations_come_out_to_every_digit() {
    let Choice { interval, margin } =
        WORKED.configure(&Known::Law { loss: 0.01, delay: EXP_20_MS }).expect("it can be met");
    assert_prints(interval, "9.976");
    assert_prints(margin, "20.02");
    let Choice { interval, margin } =
        WORKED.configure(&Known::Moments { loss: 0.01, mean: 0.02, variance: 0.02 }).expect("it can be met");
    assert_prints(interval, "9.7098");
    assert_prints(margin, "20.2902");
}

#[test]
fn unsynchronised_clocks_are_the_case_of_a_mean_of_zero() {
    let relative = WORKED.configure(&Known::Unsynchronised { loss: 0.01, variance: 0.02 }).expect("it can be met");
    let zero = WORKED.configure(&Known::Moments { loss: 0.01, mean: 0.0, variance: 0.02 }).expect("it can be met");
    assert_eq!(relative, zero);
}

#[test]
fn a_longer_interval_beyond_a_gap_is_not_overlooked() {
    // Two heartbeats fit into 3 s at 1.4 s and at 1 s; in between f falls and rises again.
    let known = Known::Law { loss: 0.3, delay: DelayLaw::Exponential { mean: 0.3 } };
    let f = |interval| known.recurrence(3.0, interval);
    let (mut rising, mut falling) = (0, 0);
    for step in 0..2_000 {
        let at = 0.9 + 0.001 * f64::from(step);
        if f(at + 0.001) > f(at) { rising += 1 } else { falling += 1 }
    }
    assert!(rising > 100 && falling > 100, "the example has to rise and fall: {rising} {falling}");

    // Against a plain scan from above, for requirements all along the way.
    for recurrence in [2.0, 3.0, 5.0, 6.0, 8.0, 12.0, 30.0] {
        let requirement = Requirement { detection: 3.0, recurrence, duration: 1e6, interval_min: 0.01 };
        let found = requirement.configure(&known).expect("fast enough heartbeats meet it").interval;
        let scan = (0..299_000).map(|step| 3.0 - 1e-5 * f64::from(step)).find(|&at| f(at) >= recurrence);
        let scan = scan.expect("the scan meets it too");
        assert!(found >= scan - 1e-9 && found <= scan + 1.1e-5, "{recurrence}: {found}, the scan says {scan}");
    }
}

#[test]
fn what_cannot_be_met_names_the_nearest_that_can() {
    let known = Known::Law { loss: 0.01, delay: DelayLaw::Uniform { least: 0.5, most: 1.5 } };
    let asked = Requirement { detection: 0.4, recurrence: DAY, duration: 60.0, interval_min: 0.1 };
    assert_eq!(asked.configure(&known), Err(Unachievable::Detection { asked: 0.4, least: 0.5 }));

    let asked = Requirement { detection: 2.0, recurrence: DAY, duration: 0.05, interval_min: 0.1 };
    let Err(Unachievable::Duration { least, .. }) = asked.configure(&known) else { panic!("it is too short") };
    assert_close(least, 0.1 / 0.99, 1e-12);

    let asked = Requirement { detection: 2.0, recurrence: 365.0 * DAY * 1e6, duration: 60.0, interval_min: 0.5 };
    let error = asked.configure(&known).expect_err("two heartbeats in time can't do it");
    let Unachievable::Recurrence { most, detection: Some(detection), .. } = error else { panic!("{error}") };
    let nearest = Requirement { recurrence: most, ..asked };
    assert!(nearest.configure(&known).is_ok(), "{error}");
    assert!(Requirement { recurrence: most * 1.01, ..asked }.configure(&known).is_err(), "{error}");
    assert!(Requirement { detection, ..asked }.configure(&known).is_ok(), "{error}");
    assert!(Requirement { detection: detection * 0.99, ..asked }.configure(&known).is_err(), "{error}");
    let said = error.to_string();
    assert!(said.contains(&format!("{most:.4}")) && said.contains(&format!("{detection:.4}")), "{said}");
}

fn delay() -> impl Strategy<Value = DelayLaw> {
    prop_oneof![
        (0.0..0.5).prop_map(|delay| DelayLaw::Constant { delay }),
        (0.0..0.2, 0.001..0.3).prop_map(|(least, width)| DelayLaw::Uniform { least, most: least + width }),
        (0.001..0.5).prop_map(|mean| DelayLaw::Exponential { mean }),
        (0.001..0.3, 0.1..1.5).prop_map(|(median, sigma)| DelayLaw::Lognormal { median, sigma }),
        (0.001..0.3, 0.5..3.0).prop_map(|(scale, shape)| DelayLaw::Weibull { scale, shape }),
        (0.001..0.3, 1.5..5.0).prop_map(|(scale, shape)| DelayLaw::Pareto { scale, shape }),
    ]
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![
        (0.001..0.4, delay()).prop_map(|(loss, delay)| Known::Law { loss, delay }),
        (0.001..0.4, 0.001..0.3, 1e-5..0.1).prop_map(|(loss, mean, variance)| Known::Moments { loss, mean, variance }),
        (0.001..0.4, 1e-5..0.1).prop_map(|(loss, variance)| Known::Unsynchronised { loss, variance }),
    ]
}

proptest! {
    #[test]
    fn accuracy_is_a_probability_and_one_less_the_share_of_mistakes(
        delta in 0.0..8.0, loss in 0.0..0.9, delay in delay(),
    ) {
        let nfd_s = NfdS::new(1.0, delta, loss, delay);
        let accuracy = nfd_s.query_accuracy();
        prop_assert!((0.0..=1.0).contains(&accuracy), "{accuracy}");
        if let Some(duration) = nfd_s.mistake_duration() {
            let share = duration / nfd_s.mistake_recurrence();
            prop_assert!((1.0 - share - accuracy).abs() < 1e-12);
        }
    }

    #[test]
    fn more_loss_means_more_mistakes(
        means in 3.0..50.0, loss in 0.0..0.4, more in 0.001..0.05, mean in 0.001..0.5,
    ) {
        // Where few are late. Else, and where half are lost, a heartbeat more that is lost rather
        // makes one mistake out of two.
        let recurrence = |loss| NfdS::new(1.0, means * mean, loss, DelayLaw::Exponential { mean }).mistake_recurrence();
        prop_assert!(recurrence(loss + more) < recurrence(loss));
    }

    #[test]
    fn more_loss_means_less_accuracy(delta in 0.0..8.0, loss in 0.0..0.9, more in 0.001..0.05, delay in delay()) {
        let accuracy = |loss| NfdS::new(1.0, delta, loss, delay).query_accuracy();
        prop_assert!(accuracy(loss + more) <= accuracy(loss) + 1e-12);
    }

    #[test]
    fn a_longer_wait_means_fewer_mistakes(delta in 0.1..5.0, more in 0.001..2.0, loss in 0.0..0.5, mean in 0.001..0.5) {
        let law = DelayLaw::Exponential { mean };
        let recurrence = |delta| NfdS::new(1.0, delta, loss, law).mistake_recurrence();
        prop_assert!(recurrence(delta + more) >= recurrence(delta) * (1.0 - 1e-12));
        let accuracy = |delta| NfdS::new(1.0, delta, loss, law).query_accuracy();
        prop_assert!(accuracy(delta + more) >= accuracy(delta) - 1e-12);
    }

    #[test]
    fn what_is_suspected_falls_from_one_freshness_point_to_the_next(
        delta in 0.0..5.0, loss in 0.0..0.9, delay in delay(), x in 0.0..1.0f64, y in 0.0..1.0f64,
    ) {
        let nfd_s = NfdS::new(1.0, delta, loss, delay);
        prop_assert!(nfd_s.suspected(x.min(y)) >= nfd_s.suspected(x.max(y)));
    }

    #[test]
    fn bursts_of_a_heartbeat_more_never_help(loss in 0.01..0.4, burst in 2.0..10.0f64, timeout in 1.01..9.0) {
        let independent = FixedTimeout::new(1.0, timeout, LossLaw::Independent { loss });
        let gilbert = FixedTimeout::new(1.0, timeout, LossLaw::Gilbert { loss, burst });
        prop_assert!(gilbert.mistake_duration() >= independent.mistake_duration());
        prop_assert!((0.0..=1.0).contains(&gilbert.query_accuracy()));
        prop_assert!(gilbert.query_accuracy() <= independent.query_accuracy() + 1e-12);
    }

    #[test]
    fn a_choice_meets_its_requirement_and_a_longer_interval_does_not(
        known in known(), detection in 2.0..60.0, recurrence in 1e2..1e8, duration in 1.0..100.0,
    ) {
        let requirement = Requirement { detection, recurrence, duration, interval_min: 0.01 };
        match requirement.configure(&known) {
            Ok(Choice { interval, margin }) => {
                prop_assert!((0.01..=requirement.interval_max(&known)).contains(&interval));
                prop_assert!(margin >= 0.0 && (interval + margin - detection).abs() < 1e-12);
                prop_assert!(known.recurrence(detection, interval) >= recurrence * (1.0 - 1e-9));
                for longer in [1e-6, 1e-3, 0.01, 0.1] {
                    let interval = interval * (1.0 + longer);
                    let fails = interval > requirement.interval_max(&known)
                        || known.recurrence(detection, interval) < recurrence;
                    prop_assert!(fails, "{interval} would do as well");
                }
                if let Known::Law { loss, delay } = known {
                    let nfd_s = NfdS::new(interval, margin, loss, delay);
                    prop_assert!(nfd_s.detection_bound() <= detection * (1.0 + 1e-12));
                    prop_assert!(nfd_s.mistake_recurrence() >= recurrence * (1.0 - 1e-9));
                    prop_assert!(nfd_s.mistake_duration().unwrap_or(0.0) <= duration * (1.0 + 1e-9));
                }
            }
            Err(error) => prop_assert!(matches!(error, Unachievable::Recurrence { .. }), "{error}"),
        }
    }

    #[test]
    fn what_two_moments_promise_holds_for_the_law_they_came_from(
        loss in 0.001..0.3, delay in delay(), recurrence in 1e2..1e6,
    ) {
        prop_assume!(delay.variance().is_finite() && delay.mean() < 1.0);
        let requirement = Requirement { detection: 20.0, recurrence, duration: 60.0, interval_min: 0.01 };
        let known = Known::Moments { loss, mean: delay.mean(), variance: delay.variance() };
        if let Ok(Choice { interval, margin }) = requirement.configure(&known) {
            let nfd_s = NfdS::new(interval, margin, loss, delay);
            prop_assert!(nfd_s.mistake_recurrence() >= recurrence * (1.0 - 1e-9));
            prop_assert!(nfd_s.mistake_duration().unwrap_or(0.0) <= 60.0 * (1.0 + 1e-9));
        }
    }
}
