//! The timing wheel through its public face: every promise against a map, and the traps by name.

use proptest::prelude::*;
use systole_core::wheel::check::{Op, check};
use systole_core::wheel::{Budget, Wheel};
use systole_core::{NodeIx, Tick};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_wheel_agrees_with_a_map_whatever_is_done_to_it(
        start in start(),
        ops in prop::collection::vec(prop_oneof![6 => ordinary(), 4 => interrupted()], 1..80),
    ) {
        check(Tick::from_count(start), &ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_few_neighbours_moved_between_all_emissions_agree_with_a_map(
        start in start(),
        ops in prop::collection::vec(prop_oneof![
            (0u32..18, -3i64..70).prop_map(|(node, after)| Op::Arm(node, after)),
            (0u32..18).prop_map(Op::Disarm),
            (0u64..70).prop_map(Op::Pass),
            (1u16..5).prop_map(Op::Step),
        ], 1..300),
    ) {
        let ops = [&ops[..], &[Op::Drain(1)]].concat();
        check(Tick::from_count(start), &ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn the_same_operations_give_the_same_at_any_start(
        before in 0u64..5_000,
        ops in prop::collection::vec(ordinary_but_for_edges(), 1..60),
    ) {
        // The tick that looks like "none" is taken as the one after it, so the borders would show.
        prop_assume!(ticks(before, &ops).all(|tick| (tick + 1) % (1 << 31) != 5_000));
        let trace = |start| check(Tick::from_count(start), &ops).map_err(TestCaseError::fail);
        let expected = trace(before)?;
        for power in [31, 32, 36, 42, 63] {
            prop_assert_eq!(&trace((1 << power) - 5_000 + before)?, &expected, "near 2^{}", power);
        }
    }

    #[test]
    fn two_advances_equal_one(
        start in start(),
        deadlines in prop::collection::vec(distance(), 1..200),
        steps in prop::collection::vec(distance(), 1..6),
    ) {
        let [mut once, mut often] = [start; 2].map(|start| armed(start, &deadlines));
        let mut now = start;
        let mut in_steps = Vec::new();
        for step in steps {
            now += step;
            in_steps.extend(due(&mut often, now));
        }
        let mut at_once = due(&mut once, now);
        at_once.sort_unstable();
        in_steps.sort_unstable();
        prop_assert_eq!(at_once, in_steps);
    }

    #[test]
    fn moving_a_node_between_two_emissions_equals_moving_it_after_them(
        start in start(),
        deadlines in prop::collection::vec(1u64..5_000, 20..100),
        again in 1u64..10_000,
    ) {
        // Every node that is handed out is armed again: at once in one wheel, afterwards in the other.
        let [mut between, mut after] = [start; 2].map(|start| armed(start, &deadlines));
        let now = start + 2_500;
        let next = Tick::from_count(now + again);
        let mut moved = Vec::new();
        let mut budget = Budget::UNLIMITED;
        while let Some(node) = between.expire(tick(now), &mut budget) {
            between.arm(node, next);
            moved.push(node);
        }
        let mut handed_out = due(&mut after, now);
        handed_out.iter().for_each(|node| after.arm(*node, next));
        moved.sort_unstable();
        handed_out.sort_unstable();
        prop_assert_eq!(moved, handed_out);
        for later in [now, now + again / 2, now + again, now + 20_000] {
            let [mut one, mut other] = [&mut between, &mut after].map(|wheel| due(wheel, later));
            one.sort_unstable();
            other.sort_unstable();
            prop_assert_eq!(one, other);
        }
    }
}

#[test]
fn an_empty_wheel_never_asks_to_be_called() {
    let mut wheel = Wheel::new(tick(7));
    wheel.grow(100);
    assert_eq!(wheel.poll_timeout(), None);
    assert_eq!(due(&mut wheel, DAY), []);
    assert_eq!(wheel.poll_timeout(), None);
}

#[test]
fn a_node_is_due_at_its_deadline_and_not_before() {
    for after in [0, 1, 63, 64, 65, 4_095, 4_096, 4_097, HOUR, DAY, Wheel::HORIZON - 1, Wheel::HORIZON] {
        let mut wheel = armed(1_000, &[after]);
        if after > 0 {
            assert_eq!(due(&mut wheel, 999 + after), [], "{after}");
        }
        assert_eq!(due(&mut wheel, 1_000 + after), [node(0)], "{after}");
        assert_eq!(wheel.deadline(node(0)), None);
    }
}

#[test]
fn a_reused_slot_inherits_nothing() {
    let mut wheel = armed(0, &[50]);
    wheel.disarm(node(0));
    wheel.arm(node(0), tick(90));
    assert_eq!(due(&mut wheel, 89), []);
    assert_eq!(due(&mut wheel, 90), [node(0)]);
    assert_eq!(due(&mut wheel, DAY), []);
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = armed(5_000, &[HOUR]);
    assert_eq!(due(&mut wheel, 6_000), []);
    wheel.arm(node(0), tick(17));
    assert!(wheel.poll_timeout() <= Some(tick(6_000)));
    assert_eq!(due(&mut wheel, 6_000), [node(0)]);
}

#[test]
fn a_clock_that_goes_back_does_nothing() {
    let mut wheel = armed(5_000, &[100, 200]);
    assert_eq!(due(&mut wheel, 5_150), [node(0)]);
    assert_eq!(due(&mut wheel, 0), []);
    assert_eq!(due(&mut wheel, 5_199), []);
    assert_eq!(due(&mut wheel, 5_200), [node(1)]);
}

#[test]
fn a_jump_of_a_century_hands_out_every_node_once() {
    let mut wheel = armed(1_000, &[5, 70, 5_000, HOUR, DAY, Wheel::HORIZON]);
    let mut nodes = due(&mut wheel, 36_500 * DAY);
    nodes.sort_unstable();
    assert_eq!(nodes, (0..6).map(node).collect::<Vec<_>>());
    assert_eq!(wheel.poll_timeout(), None);
}

#[test]
fn a_wait_beyond_the_horizon_is_exact_if_the_caller_looks_again() {
    let mut wheel = Wheel::new(tick(1_000));
    wheel.grow(1);
    let deadline = tick(100 * DAY + 123);
    wheel.arm(node(0), deadline);
    let mut looks = 0;
    loop {
        let now = wheel.poll_timeout().expect("the node is armed");
        if due(&mut wheel, now.count()).is_empty() {
            continue;
        }
        if now == deadline {
            break;
        }
        assert!(now < deadline);
        looks += 1;
        wheel.arm(node(0), deadline);
    }
    assert_eq!(looks, 4, "100 days are four horizons of 24.8 days and a little");
}

#[test]
fn the_horizon_moves_along_with_time_though_nothing_expires() {
    let mut wheel = armed(0, &[]);
    wheel.grow(1);
    assert_eq!(due(&mut wheel, 100 * DAY), []);
    let farthest = tick(100 * DAY + Wheel::HORIZON);
    wheel.arm(node(0), farthest);
    assert_eq!(wheel.deadline(node(0)), Some(farthest));
}

#[test]
fn a_node_that_is_rearmed_in_the_past_stops_at_the_budget_and_lets_its_tick_mates_through() {
    let mut wheel = armed(0, &[10; 100]);
    let mut budget = Budget::new(1_000);
    let (mut rearmed, mut others) = (0, 0);
    while let Some(due) = wheel.expire(tick(10), &mut budget) {
        if due == node(0) {
            wheel.arm(due, tick(3));
            rearmed += 1;
        } else {
            others += 1;
        }
    }
    assert!(rearmed > 100, "{rearmed}");
    assert_eq!((others, budget.left()), (99, 0));
    assert!(wheel.poll_timeout() <= Some(tick(10)));
}

#[test]
fn a_mass_expiry_is_worked_off_in_slices() {
    let mut wheel = armed(0, &[30_000; 10_000]);
    let (mut calls, mut nodes) = (0, 0);
    while wheel.poll_timeout().is_some_and(|next| next <= tick(30_000)) {
        let mut budget = Budget::new(64);
        while wheel.expire(tick(30_000), &mut budget).is_some() {
            nodes += 1;
        }
        calls += 1;
    }
    assert_eq!(nodes, 10_000);
    assert!((157..250).contains(&calls), "10,000 nodes, 64 units a call: {calls} calls");
}

#[test]
fn time_ends_without_a_panic() {
    let mut wheel = armed(u64::MAX, &[0]);
    wheel.arm(node(0), tick(u64::MAX));
    assert_eq!(due(&mut wheel, u64::MAX), [], "time stands still 50 days before the last tick");
    assert!(wheel.poll_timeout().is_some());
}

/// A wheel at `start` whose node `i` is due `after[i]` ticks later.
fn armed(start: u64, after: &[u64]) -> Wheel {
    let mut wheel = Wheel::new(tick(start));
    wheel.grow(after.len());
    for (index, after) in after.iter().enumerate() {
        wheel.arm(node(index), tick(start.saturating_add(*after)));
    }
    wheel
}

fn due(wheel: &mut Wheel, now: u64) -> Vec<NodeIx> {
    let mut budget = Budget::UNLIMITED;
    std::iter::from_fn(|| wheel.expire(tick(now), &mut budget)).collect()
}

fn node(index: usize) -> NodeIx {
    NodeIx::new(index)
}

fn tick(count: u64) -> Tick {
    Tick::from_count(count)
}

/// Every tick that is or was "now", or that a node was armed for.
fn ticks(start: u64, ops: &[Op]) -> impl Iterator<Item = u64> {
    ops.iter().scan(start, |now, op| {
        let tick = match op {
            Op::Arm(_, after) => now.saturating_add_signed(*after),
            Op::Pass(ticks) => {
                *now += ticks;
                *now
            }
            Op::Drain(_) | Op::Disarm(_) => *now,
            Op::ArmEdge(..) | Op::Step(_) | Op::Back(_) | Op::DropEntries => unreachable!("not the same at any start"),
        };
        Some(tick)
    })
}

fn start() -> impl Strategy<Value = u64> {
    let near = |power: u32| ((1u64 << power) - 5_000)..((1 << power) + 100);
    prop_oneof![0u64..5_000, near(31), near(32), near(36), near(42), near(63)]
}

fn distance() -> impl Strategy<Value = u64> {
    let exact = prop::sample::select(vec![0, 1, 63, 64, 65, 4_095, 4_096, 4_097, 262_144, HOUR, 5 * HOUR]);
    prop_oneof![4 => exact, 2 => 0u64..200, 2 => 0u64..100_000, 1 => 0..3 * DAY]
}

fn a_node() -> impl Strategy<Value = u32> {
    // Neighbours in a few blocks, on both sides of the border between two segments.
    prop_oneof![4 => 0u32..40, 1 => 65_530u32..65_545]
}

/// What a monitor does: nodes beat and leave, time passes, everything due is worked off.
fn ordinary() -> impl Strategy<Value = Op> {
    let arm_edge = (a_node(), 0u8..7, -2i8..3).prop_map(|(node, power, offset)| Op::ArmEdge(node, power, offset));
    prop_oneof![5 => ordinary_but_for_edges(), 2 => arm_edge]
}

fn ordinary_but_for_edges() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (a_node(), distance()).prop_map(|(node, after)| Op::Arm(node, after as i64)),
        1 => (a_node(), -5_000i64..0).prop_map(|(node, after)| Op::Arm(node, after)),
        1 => a_node().prop_map(Op::Disarm),
        3 => distance().prop_map(Op::Pass),
        3 => prop::sample::select(vec![0, 1, 2, 300]).prop_map(Op::Drain),
    ]
}

/// What only a slow, confused or hostile caller does.
fn interrupted() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (1u16..9).prop_map(Op::Step),
        2 => distance().prop_map(Op::Back),
        1 => (a_node(), (1u64 << 30)..(1 << 33)).prop_map(|(node, after)| Op::Arm(node, after as i64)),
        1 => a_node().prop_map(|node| Op::Arm(node, i64::MIN)),
        1 => a_node().prop_map(|node| Op::Arm(node, i64::MAX)),
        1 => ((1u64 << 29)..(1 << 33)).prop_map(Op::Pass),
        1 => Just(Op::DropEntries),
    ]
}
