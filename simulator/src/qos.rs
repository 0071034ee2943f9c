/// What a run says about its detector, by Chen's names, with 95 % confidence intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Qos {
    /// Times that a node was suspected while it was up: S-transitions.
    pub mistakes: u64,
    /// Times that a node was failed while it was up.
    pub false_failures: u64,
    /// Lives that ended in a crash after they had been noticed.
    pub crashes: u64,
    /// Crashes not suspected before the node was back, or by the end of the run.
    pub missed: u64,
    /// T_MR: from one mistake to the next, mean: up time over mistakes.
    pub mistake_recurrence_s: Estimate,
    /// T_M: how long a mistake lasts, mean.
    pub mistake_duration_s: Estimate,
    /// P_A: the probability that a node which is up isn't suspected.
    pub query_accuracy: Estimate,
    /// Mistakes per second and node that is up: 1 / T_MR.
    pub mistake_rate_per_s: Estimate,
    /// False failures per day in the whole fleet.
    pub false_failures_per_fleet_day: Estimate,
    /// The same per node and year.
    pub false_failures_per_node_year: Estimate,
    /// T_D: from a crash to the suspicion that lasts.
    pub detection_time_s: Times,
    /// From a crash to the failure that lasts.
    pub failure_time_s: Times,
}

/// A distribution of times in seconds. Nothing where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// Their mean, and its confidence interval.
    pub mean: Option<f64>,
    /// The lower end of the mean's interval.
    pub ci_low: Option<f64>,
    /// The upper end.
    pub ci_high: Option<f64>,
    /// Half of them are at most this long; percentiles are exact to a thousandth of themselves.
    pub p50: Option<f64>,
    /// Nine of ten.
    pub p90: Option<f64>,
    /// 99 of 100.
    pub p99: Option<f64>,
    /// 999 of 1,000.
    pub p999: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}
