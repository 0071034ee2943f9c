//! What the HTTP interface says, as types: the server writes them, the command line reads them.
//!
//! Times are RFC 3339 with milliseconds, durations are whole milliseconds in `_ms` fields. Fields
//! are added over time and never change their meaning; a reader skips those it doesn't know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use systole_core::Liveness;
use utoipa::ToSchema;

/// What is believed of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Listed in the configuration, never heard.
    Unseen,
    /// Heard within its deadline.
    Alive,
    /// Silent beyond its deadline.
    Suspect,
    /// Silent beyond its deadline and the confirm time.
    Failed,
    /// Said goodbye.
    Left,
}

/// How many nodes are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Heard within their deadlines.
    pub alive: u64,
    /// Silent beyond their deadlines.
    pub suspect: u64,
    /// Silent beyond deadline and confirm time.
    pub failed: u64,
    /// Said goodbye.
    pub left: u64,
    /// Listed and never heard.
    pub unseen: u64,
}

/// `GET /v1/status`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The monitor's version.
    pub version: String,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// Nodes by state.
    pub nodes: Counts,
    /// Heartbeats believed since the start.
    pub heartbeats_total: u64,
    /// Heartbeats believed per second, over the last ten seconds.
    pub heartbeats_per_second: f64,
    /// Datagrams that the kernel dropped because nobody fetched them in time.
    pub datagrams_dropped_total: u64,
    /// Messages that weren't believed, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Who is believed.
    pub auth: Auth,
    /// Each thread that receives and judges.
    pub shards: Vec<Shard>,
    /// How well the monitor itself is.
    pub health: Health,
    /// Nodes whose failures are withheld because they fell silent together.
    pub holds: Vec<Hold>,
    /// Verdicts that were due and had to wait, by reason. Of `backlog` the turns in which any had to.
    pub withheld: BTreeMap<String, u64>,
    /// How many nodes go to and fro so often that their changes are kept quiet.
    pub flapping: u64,
    /// In how many nodes' names somebody else speaks too.
    pub conflicts: u64,
    /// The number of the latest event.
    pub events_last: u64,
    /// How the state directory is; null if there is none, and what is known ends with the process.
    #[serde(default)]
    pub state_dir: Option<StateDir>,
    /// The configuration in force.
    pub config: ConfigLoads,
}

/// What is kept over a restart, and whether that works. Where it doesn't, heartbeats, verdicts and events go on in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateDir {
    /// Where it is.
    pub dir: String,
    /// Why events can't be written at present; null while all is well.
    pub failing: Option<String>,
    /// Since when.
    pub failing_since: Option<String>,
    /// Whatever the disk refused since the start: events, snapshots, looks into the past.
    pub errors_total: u64,
    /// The first event on the disk.
    pub events_first: Option<u64>,
    /// The last event on the disk; 0 if there is none. In good health it is the latest there is.
    pub events_last: u64,
    /// Events that were told while the disk failed, and left memory before it took them.
    pub events_unwritten_total: u64,
    /// When the latest snapshot of all beliefs was begun.
    pub snapshot_at: Option<String>,
    /// The last event that is certainly in it.
    pub snapshot_as_of: Option<u64>,
    /// How many nodes are in it.
    pub snapshot_nodes: Option<u64>,
    /// Why no newer one can be written at present; null while all is well.
    pub snapshot_failing: Option<String>,
    /// Since when.
    pub snapshot_failing_since: Option<String>,
    /// Snapshots that couldn't be written since the start.
    pub snapshot_errors_total: u64,
    /// Files that were damaged, foreign or of a newer version at the start: kept aside as `*.refused`.
    pub refused: Vec<String>,
}

/// Keys and tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Auth {
    /// What becomes of messages without a good tag: `off`, nobody looks; `permissive`, they are counted and believed;
    /// `enforce`, they are refused.
    pub mode: String,
    /// The keys of the fleet.
    pub keys: Vec<AuthKey>,
    /// Messages that were believed though `enforce` would have refused them, by reason. When these stand still it is
    /// safe to enforce.
    pub waived: BTreeMap<String, u64>,
}

/// A key of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthKey {
    /// Its id: 1 to 255.
    pub id: u8,
    /// `siphash` or `hmac`.
    pub suite: String,
    /// Messages with its tag that were believed. When this stands still nobody uses the key any more.
    pub accepted_total: u64,
}

/// When the configuration was loaded, and whether it would be again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigLoads {
    /// When what is in force was loaded.
    pub loaded_at: String,
    /// The reload that was refused since then, if one was.
    pub refused: Option<RefusedLoad>,
}

/// A reload that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedLoad {
    /// When it was tried.
    pub at: String,
    /// The first thing that was wrong; the log has all of them.
    pub error: String,
}

/// One thread that owns one socket on each address and the nodes steered to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Shard {
    /// Its number.
    pub shard: u32,
    /// How many nodes it holds.
    pub nodes: u64,
    /// Heartbeats it believed.
    pub heartbeats_total: u64,
    /// Datagrams that it received.
    pub datagrams_total: u64,
    /// Datagrams that the kernel dropped on its sockets.
    pub datagrams_dropped_total: u64,
    /// The kernel's receive buffer on each of its sockets, in bytes.
    pub receive_buffer: u64,
    /// Messages that came to it though another shard owns their nodes.
    pub handed_over_total: u64,
    /// Messages that it couldn't hand over because the owner's queue was full.
    pub handover_dropped_total: u64,
}

/// `GET /v1/holds`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Holds {
    /// All of them.
    pub holds: Vec<Hold>,
}

/// Nodes whose failures are withheld because they fell silent together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Which nodes: `fleet`, `group web`, `label zone=eu-1`.
    pub scope: String,
    /// Since when.
    pub since: String,
    /// Until when at the latest; none if they are being failed now, so many a second.
    pub until: Option<String>,
    /// How many of them are silent.
    pub silent: u64,
    /// How many there are that should be heard.
    pub expected: u64,
    /// The same in a sentence, with the way out.
    pub reason: String,
}

/// How well the monitor itself is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The longest time in which any shard didn't look at its sockets, in the last ten seconds or so.
    pub loop_gap_max_ms: u64,
    /// The longest turn of a monitor: one batch taken in, or what was due declared. What a gap is longer than that
    /// went to the system's calls, or to others on the same processor.
    #[serde(default)]
    pub turn_max_ms: u64,
    /// How far the most backward shard is behind with its sockets; 0 when all are drained.
    pub behind_ms: u64,
    /// Times that the wall clock was seen to jump.
    pub clock_steps_total: u64,
    /// Events that were lost because they couldn't be kept in time.
    pub events_dropped_total: u64,
    /// How often it had troubles of late: 0 is well, 8 the worst. Suspects have 1 + this times their time to confirm.
    pub score: u8,
}

/// `GET /v1/groups`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Groups {
    /// Every group that is configured or has nodes, by name.
    pub groups: Vec<Group>,
}

/// `GET /v1/groups/{group}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Its name.
    pub group: String,
    /// Whether it stands in the configuration.
    pub configured: bool,
    /// Its nodes by state.
    pub nodes: Counts,
    /// How its nodes are judged.
    pub settings: GroupSettings,
    /// Heartbeats that came after another one of the same life in a known rhythm, since the start: those that
    /// `loss` and `lateness_ms` speak of. The first of a life, for one, isn't among them.
    pub heartbeats_in_rhythm_total: u64,
    /// Heartbeats that never came, by gaps in the sequence.
    pub lost_total: u64,
    /// The share of heartbeats that never came, 0 to 1.
    pub loss: f64,
    /// How late heartbeats arrive, compared with the one before and the interval.
    pub lateness_ms: Percentiles,
    /// Verdicts about its nodes that were due and had to wait, by reason.
    pub withheld: BTreeMap<String, u64>,
    /// Why its failures are withheld, if they are.
    pub hold: Option<String>,
}

/// The settings in force for a group, as the configuration writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupSettings {
    /// Such as `chen:margin=2.25x`.
    pub detector: String,
    /// Such as `3x` or `5s`.
    pub confirm: String,
    /// The interval of nodes that declare none, if it is configured.
    pub interval_ms: Option<u64>,
    /// How long a listed node has for its first heartbeat.
    pub grace_ms: u64,
    /// The worst time from the last heartbeat to "failed" of a node that beats every
    /// `detection_bound_interval_ms`; none where the detector promises none.
    pub detection_bound_ms: Option<u64>,
    /// The interval that the bound holds for: the configured one, otherwise a second.
    pub detection_bound_interval_ms: u64,
}

/// Points of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// Nine in ten are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1,000 are below.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// `GET /v1/groups/{group}/profile`: how the heartbeats of a group arrive, in all the detail that there is.
///
/// It speaks of heartbeats that came after another one of the same life in a known rhythm: not of the first of a life,
/// nor of the first after a failure or an announced silence. So what a node lost until it was failed, and while it was,
/// isn't among the losses: that was an outage. After 2^31 heartbeats on one shard all counts are halved, and again
/// after as many as are then missing, so that what is old fades.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// The group's name.
    pub group: String,
    /// The heartbeat interval in force at its nodes that are alive or suspect: the median of a sample, so where more
    /// than half of them agree, exactly what they agree on. The configured one where there are no such nodes; null
    /// where there is none either.
    pub interval_ms: Option<f64>,
    /// Its nodes, in whatever state.
    pub nodes: u64,
    /// Heartbeats that this is about.
    pub heartbeats: u64,
    /// Heartbeats that never came before one of those, by gaps in the sequence.
    pub lost: u64,
    /// How late they came.
    pub lateness: Lateness,
    /// How many were lost in a row: lengths that there were, the shortest first. 1 to 32 are told apart, longer ones
    /// are counted between powers of two.
    pub loss_runs: Vec<LossRuns>,
}

/// How late heartbeats come: after the instant that the one before and the interval foretold. One that came before it
/// isn't late, and counts as 0; so of two heartbeats with independent delays this is the second's less the first's,
/// where it isn't negative.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lateness {
    /// How many heartbeats.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Their standard deviation.
    pub sd_ms: f64,
    /// The latest; an hour at most.
    pub max_ms: f64,
    /// How many came when: buckets that aren't empty, the earliest first, each a hundredth of its lateness wide, or
    /// 0.001 ms.
    pub buckets: Vec<LatenessBucket>,
}

/// Heartbeats that came about equally late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatenessBucket {
    /// They were late by less than this, and by no less than the one before says.
    pub up_to_ms: f64,
    /// How many.
    pub count: u64,
}

/// Runs of lost heartbeats of about one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LossRuns {
    /// At least so many in a row.
    pub from: u64,
    /// At most so many.
    pub to: u64,
    /// How many such runs.
    pub count: u64,
}

/// `GET /v1/nodes`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodePage {
    /// The nodes of this page.
    pub nodes: Vec<Node>,
    /// Give it as `cursor` for the next page; none after the last.
    pub next: Option<String>,
}

/// `GET /v1/nodes/{node}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name, or `#` and its id in hexadecimal while the name hasn't travelled.
    pub node: String,
    /// The group it is in.
    pub group: String,
    /// What is believed of it.
    pub state: State,
    /// Since when.
    pub since: String,
    /// Its present life.
    pub incarnation: u64,
    /// Its last heartbeat in that life.
    pub seq: u64,
    /// When that arrived.
    pub last_arrival: Option<String>,
    /// Until when silence is normal.
    pub deadline: Option<String>,
    /// The heartbeat interval in force.
    pub interval_ms: u64,
    /// Whether the node declares that interval; otherwise it is configured, learned or the default.
    pub interval_declared: bool,
    /// The load it reported last: 0 is idle, 1 is full.
    pub load: Option<f32>,
    /// The version it reported.
    pub version: Option<String>,
    /// The labels it reported.
    pub labels: BTreeMap<String, String>,
    /// The health metrics it reported.
    pub metrics: BTreeMap<String, f64>,
    /// Until when its events are muted.
    pub muted_until: Option<String>,
    /// Whether it goes to and fro so often that its changes are kept quiet.
    pub flapping: bool,
    /// Whether somebody else speaks in its name too.
    pub conflict: bool,
    /// Why its failure is withheld, if it is.
    pub held: Option<String>,
    /// The belief in a sentence, with its numbers.
    pub reason: String,
}

/// `GET /v1/events`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// Events with a number greater than `since`, oldest first. If the latest event's number is smaller than
    /// `since`, that is from another life of the monitor, and the page begins with the oldest event kept.
    pub events: Vec<Event>,
    /// Give it as `since` for what comes after these.
    pub next: u64,
    /// How many events after `since` are no longer kept.
    pub missed: u64,
}

/// One change of belief, or something else that is worth telling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number; they grow by one, and a gap is as many events that were lost.
    pub seq: u64,
    /// When it was decided.
    pub at: String,
    /// Whom it is about; none if it isn't about one node.
    pub node: Option<String>,
    /// The node's group, or the group that is held.
    pub group: Option<String>,
    /// Which nodes are held, if it is about a hold: `fleet`, `group web`, `label zone=eu-1`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope: Option<String>,
    /// What was believed before.
    pub from: Option<State>,
    /// What is believed now. The same as before if it isn't about a change.
    pub to: Option<State>,
    /// Why, in a word: first_heartbeat, heartbeat, restart, silence, confirmed, never_seen, goodbye; without a change:
    /// hold, hold_recovered, hold_expired, hold_confirmed, hold_ended, flapping, steady, conflict, overload,
    /// overload_over.
    pub cause: String,
    /// Why, in a sentence with the numbers.
    pub reason: String,
    /// What a verdict of silence rests on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<Evidence>,
}

/// What a verdict of silence rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// When the last heartbeat arrived.
    pub last_arrival: Option<String>,
    /// When the monitor was restarted, if nothing was heard of the node since: the deadline counts from then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken_over: Option<String>,
    /// Until when silence was normal.
    pub deadline: String,
    /// What had to pass after that before "failed".
    pub confirm_ms: u64,
    /// By how much the verdict was put off because of the monitor's own troubles. `deadline` has its share in it.
    #[serde(default)]
    pub excused_ms: u64,
    /// Which trouble: stall, drops, clock_step, unwell, guard (which came back meanwhile).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub excuse: Option<String>,
    /// For how long the verdict was withheld after it was due.
    #[serde(default)]
    pub held_ms: u64,
    /// By what: guard, flapping.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub withheld: Option<String>,
    /// The heartbeat interval in force.
    pub interval_ms: u64,
    /// The detector that set the deadline.
    pub detector: String,
    /// The life of the node.
    pub incarnation: u64,
    /// Its last heartbeat.
    pub seq: u64,
    /// Of the last `window` heartbeats, how many never came.
    pub lost: u8,
    /// How far `lost` looks back.
    pub window: u8,
    /// How long after the due instant the monitor decided.
    pub monitor_lag_ms: f64,
    /// Heartbeats of whomever that the monitor had lost since its start: dropped by the kernel, or between its threads.
    pub datagrams_dropped: u64,
}

/// Any answer but a good one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What is wrong, with the value.
    pub error: String,
    /// The way out.
    pub hint: String,
}

impl Event {
    /// Whether something else is believed of a node.
    pub fn is_change(&self) -> bool {
        self.from != self.to
    }
}

impl From<Liveness> for State {
    fn from(liveness: Liveness) -> Self {
        match liveness {
            Liveness::Unseen => Self::Unseen,
            Liveness::Alive => Self::Alive,
            Liveness::Suspect => Self::Suspect,
            Liveness::Failed => Self::Failed,
            Liveness::Left => Self::Left,
        }
    }
}

impl From<State> for Liveness {
    fn from(state: State) -> Self {
        match state {
            State::Unseen => Self::Unseen,
            State::Alive => Self::Alive,
            State::Suspect => Self::Suspect,
            State::Failed => Self::Failed,
            State::Left => Self::Left,
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Liveness::from(*self).name())
    }
}

impl Counts {
    /// The number for one state.
    pub const fn get(&self, liveness: Liveness) -> u64 {
        match liveness {
            Liveness::Unseen => self.unseen,
            Liveness::Alive => self.alive,
            Liveness::Suspect => self.suspect,
            Liveness::Failed => self.failed,
            Liveness::Left => self.left,
        }
    }

    /// Adds to the number for one state.
    pub const fn add(&mut self, liveness: Liveness, nodes: u64) {
        match liveness {
            Liveness::Unseen => self.unseen += nodes,
            Liveness::Alive => self.alive += nodes,
            Liveness::Suspect => self.suspect += nodes,
            Liveness::Failed => self.failed += nodes,
            Liveness::Left => self.left += nodes,
        }
    }

    /// All nodes together.
    pub const fn total(&self) -> u64 {
        self.alive + self.suspect + self.failed + self.left + self.unseen
    }
}
