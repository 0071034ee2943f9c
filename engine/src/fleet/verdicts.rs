//! Was the monitor right? Its verdicts, held against what really happened.
//!
//! ```text
//!        last arrived   began                 due = last arrived + bound + slack
//!  *   *   *   *          |                         |
//!              |----------|-------------------------|---------------->
//!                 false   |    failed, once         |  late, or missed
//! ```
//!
//! Every silence that lasts beyond `due` must bring one "failed" between `began` and `due`. A shorter one may bring
//! one. Every other "failed" is false. Who is heard again must become alive again; who says goodbye must become left,
//! and nothing else. Suspicions are never wrong here, see `quality`. It looks at everything at once, afterwards, in one pass over both lists sorted by node; it
//! trusts nothing that the monitor says of itself but the time of the verdict.

use hdrhistogram::Histogram;
use systole_core::{Instant, Liveness, Span};

use super::truth::{Farewell, Silence, Truth};

/// What the monitor said of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The event's number.
    pub event: u64,
    /// Whom it is about.
    pub node: u32,
    /// When it was decided, with the origin 1970.
    pub at: Instant,
    /// What is believed since.
    pub to: Liveness,
    /// When the deadline, and for "failed" the confirm time, were over, by the monitor's own evidence.
    pub due: Option<Instant>,
    /// By how much it was put off or withheld, by the monitor's own account.
    pub put_off: Span,
}

/// What the monitor promises, and how closely it can be held to it.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The longest time from a group's last heartbeat to "failed", group by group; nothing where none is promised.
    pub bounds: &'a [Option<Span>],
    /// What a verdict may be late, since both sides wait for the processor.
    pub slack: Span,
    /// When the last look was taken: what is due later can't be asked for.
    pub end: Instant,
    /// Whether verdicts were withheld then because many nodes fell silent together.
    pub held: bool,
}

/// One way in which a verdict can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// A silent node wasn't failed.
    Missed,
    /// It was, but after the bound.
    Late,
    /// It was, but before the instant that the monitor itself said it would wait for.
    Early,
    /// A node was failed that wasn't silent.
    False,
    /// A node was failed twice in one silence.
    Twice,
    /// A failed node was heard again and didn't become alive.
    NotBack,
    /// A node became alive of which nothing was sent.
    Ghost,
    /// A node said goodbye and didn't become left.
    NotLeft,
    /// A node became left that didn't say goodbye.
    LeftFalsely,
}

/// One wrong verdict, or one that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub wrong: Wrong,
    /// Whom it is about.
    pub node: u32,
    /// When it was said, or should have been.
    pub at: Instant,
    /// The event's number; nothing for one that is missing.
    pub event: Option<u64>,
}

/// What came of the comparison.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Silences that had to be noticed.
    pub expected: u64,
    /// Silences at the end that weren't due yet.
    pub pending: u64,
    /// Silences that were noticed.
    pub failed: u64,
    /// Failed nodes that were heard again and had to become alive.
    pub returns: u64,
    /// Goodbyes that had to be noticed.
    pub goodbyes: u64,
    /// Goodbyes that were noticed.
    pub left: u64,
    /// How often each thing was wrong, in the order of [`Wrong::ALL`].
    pub wrong: [u64; Wrong::ALL.len()],
    /// The first complaints, `COMPLAINTS` at most.
    pub complaints: Vec<Complaint>,
    /// From when the last heartbeat was sent to "failed", in microseconds.
    pub detection: Histogram<u64>,
    /// From the crash to "failed", in microseconds.
    pub since_crash: Histogram<u64>,
    /// From the instant that the monitor waited for to "failed", in microseconds.
    pub lateness: Histogram<u64>,
    /// By how much the slowest verdict on a silence stayed below its bound, or above it if negative; in milliseconds.
    pub to_bound_ms: Option<i64>,
}

/// How many complaints are kept.
pub(super) const COMPLAINTS: usize = 100;

/// Times are told in whole milliseconds, cut off, by two clocks that are read a moment apart.
pub(super) const TOLERANCE: Span = Span::from_millis(3);
/// So long after it was sent, the last heartbeat may still be on its way, and the next be noticed.
const TRANSIT: Span = Span::from_secs(1);
/// What takes longer than a week counts as one.
const LONGEST_US: u64 = 7 * 86_400 * 1_000_000;

impl Wrong {
    /// Every way, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Missed,
        Self::Late,
        Self::Early,
        Self::False,
        Self::Twice,
        Self::NotBack,
        Self::Ghost,
        Self::NotLeft,
        Self::LeftFalsely,
    ];

    /// What is said of a node.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Missed => "fell silent and wasn't failed in time",
            Self::Late => "was failed too late",
            Self::Early => "was failed before its own deadline",
            Self::False => "was failed though it wasn't silent",
            Self::Twice => "was failed twice in one silence",
            Self::NotBack => "was heard again and didn't become alive",
            Self::Ghost => "became alive though nothing of it was sent",
            Self::NotLeft => "said goodbye and didn't become left",
            Self::LeftFalsely => "became left though it said no goodbye",
        }
    }
}

impl Findings {
    fn new() -> Self {
        let histogram = || Histogram::new_with_max(LONGEST_US, 3).expect("three digits of a week fit");
        Self {
            expected: 0,
            pending: 0,
            failed: 0,
            returns: 0,
            goodbyes: 0,
            left: 0,
            wrong: [0; Wrong::ALL.len()],
            complaints: Vec::new(),
            detection: histogram(),
            since_crash: histogram(),
            lateness: histogram(),
            to_bound_ms: None,
        }
    }

    /// How often one thing was wrong.
    pub const fn count(&self, wrong: Wrong) -> u64 {
        self.wrong[wrong as usize]
    }

    /// Whether there is nothing to complain of.
    pub fn flawless(&self) -> bool {
        self.wrong.iter().all(|count| *count == 0)
    }

    fn complain(&mut self, wrong: Wrong, node: u32, at: Instant, event: Option<u64>) {
        self.wrong[wrong as usize] += 1;
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push(Complaint { wrong, node, at, event });
        }
    }

    fn object(&mut self, wrong: Wrong, verdict: &Verdict) {
        self.complain(wrong, verdict.node, verdict.at, Some(verdict.event));
    }
}

/// Compares. `group_of` says which of the bounds is a node's. Verdicts may come in any order.
pub fn check(truth: &Truth, verdicts: &[Verdict], group_of: impl Fn(u32) -> usize, terms: &Terms<'_>) -> Findings {
    let mut silences = truth.silences().to_vec();
    silences.sort_unstable_by_key(|silence| (silence.node, silence.began));
    let mut farewells = truth.farewells().to_vec();
    farewells.sort_unstable_by_key(|farewell| farewell.node);
    let mut verdicts: Vec<Verdict> = verdicts.iter().filter(|verdict| verdict.at <= terms.end).copied().collect();
    verdicts.sort_unstable_by_key(|verdict| (verdict.node, verdict.event));

    let mut findings = Findings::new();
    let (mut silences, mut farewells, mut verdicts) = (&silences[..], &farewells[..], &verdicts[..]);
    loop {
        let heads = [
            silences.first().map(|silence| silence.node),
            farewells.first().map(|farewell| farewell.node),
            verdicts.first().map(|verdict| verdict.node),
        ];
        let Some(node) = heads.into_iter().flatten().min() else { break };
        let story = Story {
            silences: take(&mut silences, |silence| silence.node == node),
            said: take(&mut farewells, |farewell: &Farewell| farewell.node == node).first().map(|f| f.said),
            verdicts: take(&mut verdicts, |verdict| verdict.node == node),
            bound: terms.bounds.get(group_of(node)).copied().flatten(),
        };
        story.verdicts.iter().enumerate().for_each(|(i, verdict)| story.judge(i, verdict, terms, &mut findings));
        story.silences.iter().for_each(|silence| story.demand(silence, terms, &mut findings));
        story.demand_left(node, terms, &mut findings);
    }
    findings
}

/// Cuts the part that fits off the front.
pub(super) fn take<'a, T>(rest: &mut &'a [T], fits: impl Fn(&T) -> bool) -> &'a [T] {
    let (front, back) = rest.split_at(rest.partition_point(fits));
    *rest = back;
    front
}

/// Everything about one node, in order.
struct Story<'a> {
    silences: &'a [Silence],
    said: Option<Instant>,
    verdicts: &'a [Verdict],
    bound: Option<Span>,
}

impl Story<'_> {
    /// Is what was said true?
    fn judge(&self, index: usize, verdict: &Verdict, terms: &Terms<'_>, findings: &mut Findings) {
        match verdict.to {
            Liveness::Failed => self.judge_failed(index, verdict, terms, findings),
            Liveness::Left => {
                let before = self.verdicts[..index].iter().any(|former| former.to == Liveness::Left);
                if before || self.said.is_none_or(|said| verdict.at + TOLERANCE < said) {
                    findings.object(Wrong::LeftFalsely, verdict);
                } else {
                    findings.left += 1;
                }
            }
            Liveness::Alive => {
                let after_goodbye = self.said.is_some_and(|said| verdict.at > said + TRANSIT);
                let in_silence = self.silences.iter().any(|silence| {
                    verdict.at > silence.began.max(silence.last.arrived) + TRANSIT
                        && silence.ended.is_none_or(|ended| verdict.at + TOLERANCE < ended)
                });
                if after_goodbye || in_silence {
                    findings.object(Wrong::Ghost, verdict);
                }
            }
            Liveness::Suspect | Liveness::Unseen => {}
        }
    }

    fn judge_failed(&self, index: usize, verdict: &Verdict, terms: &Terms<'_>, findings: &mut Findings) {
        if verdict.due.is_some_and(|due| verdict.at + TOLERANCE < due) {
            findings.object(Wrong::Early, verdict);
        }
        let Some(silence) = self.about(verdict) else {
            return findings.object(Wrong::False, verdict);
        };
        if !self.settles(silence, verdict) {
            return; // True, though a heartbeat that was on its way will refute it; then it is to be said again.
        }
        if self.verdicts[..index].iter().any(|former| self.settles(silence, former)) {
            return findings.object(Wrong::Twice, verdict);
        }
        findings.failed += 1;
        let detection = verdict.at.since(silence.last.arrived);
        record(&mut findings.detection, verdict.at.since(silence.last.sent));
        record(&mut findings.since_crash, verdict.at.since(silence.began));
        if let Some(due) = verdict.due {
            record(&mut findings.lateness, verdict.at.since(due));
        }
        if let Some(bound) = self.bound {
            let left = (bound + verdict.put_off).millis() as i64 - detection.millis() as i64;
            findings.to_bound_ms = Some(findings.to_bound_ms.map_or(left, |least| least.min(left)));
            if detection > bound + verdict.put_off + terms.slack {
                findings.object(Wrong::Late, verdict);
            }
        }
    }

    /// Was what had to be said said?
    fn demand(&self, silence: &Silence, terms: &Terms<'_>, findings: &mut Findings) {
        let noticed = self.verdicts.iter().find(|verdict| self.settles(silence, verdict));
        if let Some(bound) = self.bound {
            let due = silence.last.arrived + bound + terms.slack;
            let lasted = silence.ended.is_none_or(|ended| ended > due);
            let held = terms.held && noticed.is_none() && self.suspected(silence);
            if lasted && due < terms.end && !held {
                findings.expected += 1;
                if noticed.is_none() && !self.failed_before(silence) {
                    findings.complain(Wrong::Missed, silence.node, due, None);
                }
            } else if lasted && noticed.is_none() {
                findings.pending += 1;
            }
        }
        if let (Some(failed), Some(ended)) = (noticed, silence.ended)
            && ended + TRANSIT < terms.end
        {
            findings.returns += 1;
            let back = |verdict: &Verdict| verdict.to == Liveness::Alive && verdict.event > failed.event;
            if !self.verdicts.iter().any(back) {
                findings.complain(Wrong::NotBack, silence.node, ended, None);
            }
        }
    }

    fn demand_left(&self, node: u32, terms: &Terms<'_>, findings: &mut Findings) {
        let Some(said) = self.said.filter(|said| *said + TRANSIT < terms.end) else { return };
        findings.goodbyes += 1;
        if !self.verdicts.iter().any(|verdict| verdict.to == Liveness::Left) {
            findings.complain(Wrong::NotLeft, node, said, None);
        }
    }

    /// The silence that a verdict is about: one alone, though with the tolerance it may touch the next one.
    fn about(&self, verdict: &Verdict) -> Option<&Silence> {
        self.silences.iter().find(|silence| covers(silence, verdict))
    }

    /// Whether a verdict is the one that a silence has to bring.
    fn settles(&self, silence: &Silence, verdict: &Verdict) -> bool {
        let last_word = verdict.at + TOLERANCE >= silence.last.arrived;
        verdict.to == Liveness::Failed
            && last_word
            && covers(silence, verdict)
            && self.about(verdict).is_some_and(|about| about.began == silence.began)
    }

    /// Whether the node is suspect because of this silence, and nothing more was said.
    fn suspected(&self, silence: &Silence) -> bool {
        self.verdicts.last().is_some_and(|last| last.to == Liveness::Suspect && last.at > silence.last.arrived)
    }

    /// Whether the node was failed, falsely, when it fell silent, and stayed it: then nothing is left to be said.
    fn failed_before(&self, silence: &Silence) -> bool {
        let before = |verdict: &Verdict| verdict.at + TOLERANCE < silence.began;
        let back = |verdict: &Verdict| {
            verdict.to == Liveness::Alive && silence.ended.is_none_or(|ended| verdict.at + TOLERANCE < ended)
        };
        self.verdicts.iter().rposition(before).is_some_and(|last| {
            self.verdicts[last].to == Liveness::Failed && !self.verdicts[last + 1..].iter().any(back)
        })
    }
}

/// Whether a verdict falls into a silence.
fn covers(silence: &Silence, verdict: &Verdict) -> bool {
    verdict.at + TOLERANCE >= silence.began && silence.ended.is_none_or(|ended| verdict.at <= ended + TOLERANCE)
}

fn record(histogram: &mut Histogram<u64>, span: Span) {
    histogram.saturating_record(span.nanos() / 1_000);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::random::Random;
    use crate::fleet::truth::{LastBeat, Why};
    use proptest::prelude::*;

    const BOUND: Span = Span::from_millis(7_380);
    const SLACK: Span = Span::from_millis(10);
    const END: Instant = at(100_000);

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos((1_700_000_000_000 + millis) * 1_000_000)
    }

    fn terms() -> Terms<'static> {
        Terms { bounds: &[Some(BOUND)], slack: SLACK, end: END, held: false }
    }

    fn judge(truth: &Truth, verdicts: &[Verdict]) -> Findings {
        check(truth, verdicts, |_| 0, &terms())
    }

    fn verdict(event: u64, node: u32, millis: u64, to: Liveness) -> Verdict {
        Verdict { event, node, at: at(millis), to, due: None, put_off: Span::ZERO }
    }

    fn complaints(findings: &Findings) -> Vec<Wrong> {
        findings.complaints.iter().map(|complaint| complaint.wrong).collect()
    }

    /// Node 1 beats at 9,500 for the last time and is killed at 10,000.
    fn one_crash() -> Truth {
        let mut truth = Truth::default();
        truth.begin(1, sent(9_500), at(10_000), Why::Killed);
        truth
    }

    /// A last heartbeat that arrived as soon as it was sent.
    const fn sent(millis: u64) -> LastBeat {
        LastBeat { sent: at(millis), arrived: at(millis) }
    }

    #[test]
    fn a_crash_is_to_be_noticed_once_and_within_the_bound() {
        use Liveness::Failed;
        let truth = one_crash();
        let right = judge(&truth, &[verdict(1, 1, 15_750, Failed)]);
        assert!(right.flawless());
        assert_eq!((right.expected, right.failed, right.pending, right.to_bound_ms), (1, 1, 0, Some(1_130)));
        assert_eq!((right.detection.max() / 10_000, right.since_crash.max() / 10_000), (625, 575));

        assert_eq!(complaints(&judge(&truth, &[])), [Wrong::Missed]);
        let late = 9_500 + BOUND.millis() + SLACK.millis() + 1;
        assert_eq!(complaints(&judge(&truth, &[verdict(1, 1, late - 1, Failed)])), []);
        assert_eq!(complaints(&judge(&truth, &[verdict(1, 1, late, Failed)])), [Wrong::Late]);
        let before = judge(&truth, &[verdict(1, 1, 9_900, Failed)]);
        assert_eq!(complaints(&before), [Wrong::False]);
        let twice = judge(&truth, &[verdict(1, 1, 15_750, Failed), verdict(2, 1, 15_751, Failed)]);
        assert_eq!(complaints(&twice), [Wrong::Twice]);
        let other = judge(&truth, &[verdict(1, 1, 15_750, Failed), verdict(2, 2, 15_750, Failed)]);
        assert_eq!(complaints(&other), [Wrong::False]);
    }

    #[test]
    fn a_false_failure_before_the_crash_is_one_fault_and_not_two() {
        let truth = one_crash();
        let failed = verdict(1, 1, 5_000, Liveness::Failed);
        assert_eq!(complaints(&judge(&truth, &[failed])), [Wrong::False]);
        let back = verdict(2, 1, 6_000, Liveness::Alive);
        assert_eq!(complaints(&judge(&truth, &[failed, back])), [Wrong::False, Wrong::Missed]);
    }

    #[test]
    fn a_verdict_ahead_of_the_monitors_own_deadline_is_early() {
        let early = Verdict { due: Some(at(15_760)), ..verdict(1, 1, 15_750, Liveness::Failed) };
        assert_eq!(complaints(&judge(&one_crash(), &[early])), [Wrong::Early]);
        let rounded = Verdict { due: Some(at(15_751)), ..early };
        assert!(judge(&one_crash(), &[rounded]).flawless());
    }

    #[test]
    fn a_silence_shorter_than_the_bound_may_be_noticed_or_not() {
        let mut truth = one_crash();
        truth.end(1, at(16_000));
        let none = judge(&truth, &[]);
        assert!(none.flawless() && none.expected == 0 && none.pending == 0);
        let story = [verdict(1, 1, 15_750, Liveness::Failed), verdict(2, 1, 16_000, Liveness::Alive)];
        assert!(judge(&truth, &story).flawless());
        assert_eq!(complaints(&judge(&truth, &story[..1])), [Wrong::NotBack]);
        assert_eq!(complaints(&judge(&truth, &[verdict(1, 1, 16_100, Liveness::Failed)])), [Wrong::False]);
    }

    #[test]
    fn a_heartbeat_on_its_way_at_the_crash_moves_the_bound_and_may_refute_a_failure() {
        use Liveness::{Alive, Failed};
        let mut truth = Truth::default();
        truth.begin(1, LastBeat { sent: at(9_500), arrived: at(14_000) }, at(10_000), Why::Killed);
        let late = 14_000 + BOUND.millis() + SLACK.millis();
        let right = judge(&truth, &[verdict(1, 1, late, Failed)]);
        assert!(right.flawless());
        assert_eq!((right.failed, right.to_bound_ms), (1, Some(-10)));
        assert_eq!(right.detection.max() / 10_000, (late - 9_500) / 10, "from when it was sent");
        assert_eq!(complaints(&judge(&truth, &[verdict(1, 1, late + 1, Failed)])), [Wrong::Late]);

        let (early, back) = (verdict(1, 1, 12_000, Failed), verdict(2, 1, 14_000, Alive));
        let story = judge(&truth, &[early, back, verdict(3, 1, 20_250, Failed)]);
        assert!(story.flawless() && story.failed == 1, "{:?}", story.complaints);
        assert_eq!(complaints(&judge(&truth, &[early, back])), [Wrong::Missed]);
    }

    #[test]
    fn what_is_due_after_the_last_look_is_pending() {
        let mut truth = Truth::default();
        truth.begin(1, sent(95_000), at(95_500), Why::Killed);
        let findings = judge(&truth, &[]);
        assert!(findings.flawless());
        assert_eq!((findings.expected, findings.pending), (0, 1));
    }

    #[test]
    fn the_dead_do_not_come_alive() {
        let story = [verdict(1, 1, 15_750, Liveness::Failed), verdict(2, 1, 20_000, Liveness::Alive)];
        assert_eq!(complaints(&judge(&one_crash(), &story)), [Wrong::Ghost]);
    }

    #[test]
    fn who_was_noticed_to_be_back_just_before_it_fell_silent_must_be_failed_again() {
        let mut truth = one_crash();
        truth.end(1, at(30_000));
        truth.begin(1, sent(30_000), at(30_002), Why::Killed);
        let mut story = vec![verdict(1, 1, 15_750, Liveness::Failed), verdict(2, 1, 30_000, Liveness::Alive)];
        assert_eq!(complaints(&judge(&truth, &story)), [Wrong::Missed]);
        story.push(verdict(3, 1, 36_250, Liveness::Failed));
        assert!(judge(&truth, &story).flawless());
    }

    #[test]
    fn a_failure_at_the_very_end_of_a_silence_says_nothing_of_the_next_one() {
        let mut truth = one_crash();
        truth.end(1, at(15_753));
        truth.begin(1, sent(15_753), at(15_753), Why::Killed);
        let mut story = vec![verdict(1, 1, 15_750, Liveness::Failed), verdict(2, 1, 15_753, Liveness::Alive)];
        assert_eq!(complaints(&judge(&truth, &story)), [Wrong::Missed]);
        story.push(verdict(3, 1, 22_003, Liveness::Failed));
        assert!(judge(&truth, &story).flawless());
    }

    #[test]
    fn a_goodbye_makes_left_and_never_failed() {
        use Liveness::{Failed, Left};
        let mut truth = Truth::default();
        truth.farewell(3, at(10_000));
        assert!(judge(&truth, &[verdict(1, 3, 10_000, Left)]).flawless());
        assert_eq!(complaints(&judge(&truth, &[])), [Wrong::NotLeft]);
        let failed = [verdict(1, 3, 10_000, Left), verdict(2, 3, 16_000, Failed)];
        assert_eq!(complaints(&judge(&truth, &failed)), [Wrong::False]);
        let of_another = [verdict(1, 4, 10_000, Left)];
        assert_eq!(complaints(&judge(&truth, &of_another)), [Wrong::NotLeft, Wrong::LeftFalsely]);
    }

    #[test]
    fn where_no_bound_is_promised_nothing_is_late_or_missed() {
        let terms = Terms { bounds: &[None], ..terms() };
        assert!(check(&one_crash(), &[], |_| 0, &terms).flawless());
        let late = [verdict(1, 1, 60_000, Liveness::Failed)];
        assert!(check(&one_crash(), &late, |_| 0, &terms).flawless());
    }

    /// What happens to one node, and what an ideal monitor says of it. Every node beats each second until it is silenced.
    fn node_story(node: u32, seed: u64, truth: &mut Truth, said: &mut Vec<Verdict>) {
        let mut random = Random::new(seed);
        let mut clock = 5_000 + random.below(1_000);
        let mut say = |at, to| said.push(Verdict { event: 0, ..verdict(0, node, at, to) });
        for _ in 0..random.below(4) {
            let last = clock + 1_000 * random.below(10);
            let began = last + random.below(1_000);
            let length = 1_000 + random.below(20_000);
            truth.begin(node, sent(last), at(began), Why::Killed);
            let patience = 6_250 + random.below(1_130);
            let heard = last.next_multiple_of(1_000).max(began) + length;
            let forever = random.chance(0.3);
            if forever || last + patience < heard {
                if last + patience <= began {
                    return; // can't be: a silence begins within a second
                }
                say(last + patience, Liveness::Failed);
            }
            if forever {
                return;
            }
            truth.end(node, at(heard));
            if last + patience < heard {
                say(heard, Liveness::Alive);
            }
            clock = heard;
        }
        if random.chance(0.2) {
            let bye = clock + random.below(3_000);
            truth.farewell(node, at(bye));
            say(bye + random.below(3), Liveness::Left);
        }
    }

    fn world(seed: u64) -> (Truth, Vec<Verdict>) {
        let (mut truth, mut said) = (Truth::default(), vec![]);
        for node in 0..50 {
            node_story(node, seed.wrapping_mul(50).wrapping_add(u64::from(node)), &mut truth, &mut said);
        }
        said.sort_by_key(|verdict| verdict.at);
        said.iter_mut().zip(1..).for_each(|(verdict, event)| verdict.event = event);
        (truth, said)
    }

    /// The silence that a "failed" is about.
    fn silence_of(truth: &Truth, verdict: &Verdict) -> Silence {
        let fits = |silence: &&Silence| silence.node == verdict.node && covers(silence, verdict);
        *truth.silences().iter().find(fits).expect("an ideal monitor has reasons")
    }

    proptest! {
        #[test]
        fn an_ideal_monitor_gives_no_reason_to_complain(seed: u64) {
            let (truth, said) = world(seed);
            let findings = judge(&truth, &said);
            prop_assert!(findings.flawless(), "{:?}", findings.complaints);
            prop_assert!(findings.expected <= findings.failed);
        }

        #[test]
        fn one_verdict_removed_is_noticed(seed: u64, pick: prop::sample::Index) {
            let (truth, mut said) = world(seed);
            prop_assume!(!said.is_empty());
            let removed = said.remove(pick.index(said.len()));
            let due = |silence: &Silence| silence.last.arrived + BOUND + SLACK;
            let demanded = match removed.to {
                Liveness::Failed => {
                    let silence = silence_of(&truth, &removed);
                    due(&silence) < END && silence.ended.is_none_or(|ended| ended > due(&silence))
                }
                Liveness::Alive | Liveness::Left => removed.at + TRANSIT < END
                    // A later return of the same node can't be told from the one that is missing.
                    && !said.iter().any(|v| v.node == removed.node && v.to == Liveness::Alive && v.event > removed.event),
                Liveness::Suspect | Liveness::Unseen => unreachable!(),
            };
            prop_assert_eq!(!judge(&truth, &said).flawless(), demanded);
        }

        #[test]
        fn one_verdict_added_is_noticed(seed: u64, node in 0u32..60, millis in 0u64..100_000, to: bool) {
            let (truth, mut said) = world(seed);
            let added = verdict(u64::MAX, node, millis, if to { Liveness::Failed } else { Liveness::Left });
            let open = |silence: &Silence| silence.node == node
                && covers(silence, &added)
                && !said.iter().any(|v| v.node == node && v.to == Liveness::Failed && covers(silence, v));
            // The first word on a silence, or on a goodbye, may be true.
            prop_assume!(!(to && truth.silences().iter().any(open)));
            said.push(added);
            prop_assert!(!judge(&truth, &said).flawless());
        }

        #[test]
        fn one_failure_moved_before_its_silence_is_noticed(seed: u64, pick: prop::sample::Index, early in 10u64..900) {
            let (truth, mut said) = world(seed);
            let failures: Vec<usize> = (0..said.len()).filter(|i| said[*i].to == Liveness::Failed).collect();
            prop_assume!(!failures.is_empty());
            let moved = &mut said[failures[pick.index(failures.len())]];
            moved.at = silence_of(&truth, moved).began - Span::from_millis(early);
            // It may fall into the silence before, and be true of that one.
            prop_assume!(!truth.silences().iter().any(|silence| silence.node == moved.node && covers(silence, moved)));
            prop_assert!(!judge(&truth, &said).flawless());
        }
    }
}
