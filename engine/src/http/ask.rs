//! Questions to the shards, and how long an answer is waited for.
//!
//! A shard answers between two batches of heartbeats. When its queue of questions is full, the
//! question is put again a little later; after two seconds without an answer, whoever asked is
//! told that it isn't available.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use systole_core::guard::Order;
use systole_core::{NodeId, Share};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::App;
use crate::query::{Filter, GroupReport, Query, Report, Row, ShardHandle, Slice, Unavailable};

/// How long a shard may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long to leave a shard alone whose queue is full.
const ASK_AGAIN: Duration = Duration::from_millis(5);

impl App {
    /// How every shard is doing, in the order of their numbers.
    pub(super) async fn reports(&self) -> Result<Vec<Report>, Unavailable> {
        try_join_all(self.control.shards.iter().map(|shard| ask(shard, Query::Report))).await
    }

    /// What every shard knows of its groups, or of the one with this name.
    pub(super) async fn groups(
        &self,
        name: Option<&str>,
    ) -> Result<impl Iterator<Item = GroupReport> + use<>, Unavailable> {
        let turn = Arc::clone(&self.surveys).acquire_owned().await.expect("the semaphore is never closed");
        let question = |reply| Query::Groups(name.map(Box::from), reply);
        let reports = try_join_all(self.control.shards.iter().map(|shard| ask(shard, question))).await?;
        // The turn is over when all of it has been looked at.
        Ok(reports.into_iter().flatten().inspect(move |_| _ = &turn))
    }

    /// One node, from the shard that owns it.
    pub(super) async fn node(&self, id: NodeId) -> Result<Option<Row>, Unavailable> {
        let shards = &self.control.shards;
        let share = Share::new(0, u32::try_from(shards.len()).unwrap_or(u32::MAX));
        let owner = share.map_or(0, |share| share.owner(id));
        let shard = shards.get(owner as usize).ok_or(Unavailable::Silent(owner))?;
        ask(shard, |reply| Query::Node(id, reply)).await
    }

    /// Tells every shard what is to become of a hold. Whether any has one.
    pub(super) async fn order(&self, scope: &str, order: Order) -> Result<bool, Unavailable> {
        let question = |reply| Query::Order(scope.into(), order, reply);
        let done = try_join_all(self.control.shards.iter().map(|shard| ask(shard, question))).await?;
        Ok(done.contains(&true))
    }

    /// Part of the table of shard number `shard`, which exists.
    pub(super) async fn slice(
        &self,
        shard: usize,
        from: usize,
        most: usize,
        filter: &Arc<Filter>,
    ) -> Result<Slice, Unavailable> {
        let question = |reply| Query::Slice { from, most, filter: Arc::clone(filter), reply };
        ask(&self.control.shards[shard], question).await
    }
}

async fn ask<T>(shard: &ShardHandle, question: impl Fn(oneshot::Sender<T>) -> Query) -> Result<T, Unavailable> {
    let until = Instant::now() + ANSWER_WITHIN;
    loop {
        let (reply, answer) = oneshot::channel();
        match shard.ask(question(reply)) {
            Ok(()) => {
                let answer = timeout_at(until, answer).await;
                return answer.ok().and_then(Result::ok).ok_or(Unavailable::Silent(shard.shard));
            }
            Err(Unavailable::Busy(_)) if Instant::now() + ASK_AGAIN < until => sleep(ASK_AGAIN).await,
            Err(unavailable @ (Unavailable::Busy(_) | Unavailable::Silent(_))) => return Err(unavailable),
        }
    }
}
