//! `GET /v1/events/stream`: events as they happen, and all that were missed since a number.
//!
//! The reader pulls. Nothing is sent ahead of what its connection takes: up to 256 events are
//! copied out of the journal when the ones before are gone, so a reader that stands still costs
//! that much memory and delays nobody. One that is so slow that events are dropped from the journal
//! before it gets there is told how many, and goes on with the oldest that are left.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::App;
use super::connections::{Answering, Asker};
use super::params::{EventFilter, Params, number};
use super::problem::Refused;
use crate::model::{self, Problem};
use crate::show;
use crate::store::Journal;

/// How many events are held for one reader.
const HELD: usize = 256;

/// How often a quiet stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const PARAMETERS: &str = "since, to, group, node";

/// What one reader still has to get.
struct Reader {
    journal: Journal,
    latest: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    filter: EventFilter,
    since: u64,
    missed: Option<Missed>,
    held: VecDeque<model::Event>,
    _place: OwnedSemaphorePermit,
}

/// Events that were gone before the reader got there.
#[derive(Clone, Copy, Debug)]
struct Missed {
    events: u64,
    last: u64,
}

/// Events as they happen, as server-sent events.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    operation_id = "event_stream",
    tag = "events",
    params(
        (
            "since" = Option<u64>,
            Query,
            description = "Start with what comes after this number, or with the oldest event that is kept if the number \
                           is greater than the latest (it is from another life of the monitor). Without it and \
                           `Last-Event-ID`: with what happens from now on.",
        ),
        ("Last-Event-ID" = Option<u64>, Header, description = "The number to resume after. Comes before `since`."),
        (
            "to" = Option<String>,
            Query,
            description = "Only changes to these states: a list with commas.",
            example = "failed,left",
        ),
        ("group" = Option<String>, Query, description = "Only of this group."),
        ("node" = Option<String>, Query, description = "Only of this node."),
    ),
    responses(
        (
            status = 200,
            description = "`event: transition` with an `id` and an event as JSON, or `event: note` if no belief \
                           changed; `event: missed` with \
                           `{\"missed\":n}` when n events are gone that should have come; a comment after 15 s of \
                           quiet.",
            body = String,
            content_type = "text/event-stream",
        ),
        (status = 400, description = "A parameter is wrong.", body = Problem),
        (status = 503, description = "As many readers as there may be.", body = Problem),
    ),
)]
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    ConnectInfo(asker): ConnectInfo<Asker>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<impl IntoResponse, Refused> {
    let since = params.number("since", 0..=u64::MAX)?;
    let filter = EventFilter::take(&mut params)?;
    params.finish(PARAMETERS)?;
    let resumed =
        headers.get("last-event-id").map(|id| number("Last-Event-ID", id.to_str().unwrap_or("?"), 0..=u64::MAX));
    let journal = app.control.journal.clone();
    let place = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        Refused::unavailable("as many event streams are open as there may be", "page through /v1/events instead")
    })?;
    let reader = Reader {
        latest: journal.watch(),
        stopping: app.stopping.clone(),
        filter,
        since: resumed.transpose()?.or(since).unwrap_or_else(|| journal.last()),
        missed: None,
        held: VecDeque::new(),
        journal,
        _place: place,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events(reader, asker.answer())).keep_alive(keep_alive))
}

/// The connection counts as answering for as long as the stream lives.
fn events(reader: Reader, answering: Answering) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold((reader, answering), |(mut reader, answering)| async move {
        let event = reader.next().await?;
        Some((Ok(event), (reader, answering)))
    })
}

impl Reader {
    /// What the reader gets next; nothing when the monitor stops.
    async fn next(&mut self) -> Option<Event> {
        while self.held.is_empty() && self.missed.is_none() {
            // Marked as seen before looking, so that what is appended in between wakes us.
            self.latest.mark_unchanged();
            if self.look().await {
                tokio::task::yield_now().await;
            } else {
                tokio::select! {
                    changed = self.latest.changed() => changed.ok()?,
                    _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                }
            }
        }
        match self.missed.take() {
            Some(missed) => Some(missed.event()),
            None => self.held.pop_front().map(|event| told(&event)),
        }
    }

    /// Copies the next events out of the journal. Says whether it got on.
    async fn look(&mut self) -> bool {
        let old = self.filter.clone();
        if let Some(older) = self.journal.older(self.since, HELD, move |event| old.wants_old(event)).await {
            let from = if older.anew { 0 } else { self.since };
            self.missed = (older.missed > 0).then(|| Missed { events: older.missed, last: from + older.missed });
            self.since = older.next;
            self.held.extend(older.events);
            return true;
        }
        let page = self.journal.page(self.since, HELD, |record| self.filter.wants(record));
        let moved = page.next != self.since;
        // A number from another life of the monitor: the page began anew, at the journal's beginning.
        let from = if page.next < self.since { 0 } else { self.since };
        self.missed = (page.missed > 0).then(|| Missed { events: page.missed, last: from + page.missed });
        self.since = page.next;
        self.held.extend(page.records.iter().map(show::event));
        moved
    }
}

impl Missed {
    /// Carries the number of the last one gone, so that a reader which resumes isn't told twice.
    fn event(self) -> Event {
        let data = format!("{{\"missed\":{}}}", self.events);
        Event::default().id(self.last.to_string()).event("missed").data(data)
    }
}

fn told(event: &model::Event) -> Event {
    let json = serde_json::to_string(event).expect("an event has only string keys");
    let kind = if event.is_change() { "transition" } else { "note" };
    Event::default().id(event.seq.to_string()).event(kind).data(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::tests::{T, named};
    use crate::store::{JournalWriter, Record};
    use tokio::sync::Semaphore;

    fn record() -> Record {
        named("a", T)
    }

    fn reader(keep: usize, since: u64) -> (Reader, JournalWriter, watch::Sender<bool>) {
        let (journal, writer) = Journal::new(keep);
        let (stop, stopping) = watch::channel(false);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let reader = Reader {
            latest: journal.watch(),
            stopping,
            filter: EventFilter::default(),
            since,
            missed: None,
            held: VecDeque::new(),
            journal,
            _place: place,
        };
        (reader, writer, stop)
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_holds_a_bounded_number_of_events() {
        let (mut reader, mut writer, _stop) = reader(10_000, 0);
        writer.append((0..5_000).map(|_| record()));
        reader.next().await;
        writer.append((0..5_000).map(|_| record()));
        assert_eq!(reader.held.len(), HELD - 1);
    }

    #[tokio::test]
    async fn a_reader_that_was_too_slow_is_told_how_many_it_missed_and_goes_on() {
        let (mut reader, mut writer, _stop) = reader(1_000, 0);
        writer.append((0..300).map(|_| record()));
        for _ in 0..HELD {
            reader.next().await;
        }
        writer.append((0..2_000).map(|_| record()));
        let told = format!("{:?}", reader.next().await.unwrap());
        assert!(told.contains(r#"{\"missed\":1044}"#), "257 to 1,300 are gone: {told}");
        assert_eq!(reader.held.front().map(|record| record.seq), Some(1_301));
    }

    #[tokio::test]
    async fn a_reader_from_another_life_of_the_monitor_begins_anew() {
        let (mut reader, mut writer, _stop) = reader(3, 99);
        writer.append((0..10).map(|_| record()));
        let told = format!("{:?}", reader.next().await.unwrap());
        assert!(told.contains(r#"{\"missed\":7}"#) && told.contains("id: 7"), "{told}");
        assert_eq!(reader.held.front().map(|record| record.seq), Some(8));
    }

    #[tokio::test]
    async fn a_stopping_monitor_ends_the_stream() {
        let (mut reader, _writer, stop) = reader(10, 0);
        stop.send(true).unwrap();
        assert!(reader.next().await.is_none());
    }
}
