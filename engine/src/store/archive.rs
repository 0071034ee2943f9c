//! Events on disk: one table that people can ask with `sqlite3 events.db`.
//!
//! An event is kept as it is shown (`model::Event`), each field in a column of its name; a field that
//! has no column goes to `more`, and one that an event doesn't have is NULL. So what comes back is
//! what readers saw, whatever kinds of events there are. The column `belief` is for the next life of
//! the monitor: what it must know of a node and no event tells.
//!
//! Written in WAL mode with every commit synced: what was committed survives a power failure, and
//! readers never wait for the writer, nor it for them.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use systole_core::{Called, Incarnation, Interval, Liveness, NodeId, Seq, Span};

use super::folder::{Folder, with_suffix};
use crate::model::Event;

/// The journal on disk, to be written by one thread.
#[derive(Debug)]
pub(super) struct Archive {
    db: Connection,
}

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It never will be: it is damaged, foreign or of a newer version.
    #[error("{0}")]
    Refused(String),
    /// It can't be read or written as it stands, and may be later.
    #[error(transparent)]
    Disk(#[from] rusqlite::Error),
}

/// What the next life must know of a node beyond the event that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Its life; none if it was never heard.
    pub(super) incarnation: Option<u64>,
    /// Its last heartbeat in that life.
    pub(super) seq: u64,
    /// How often it beats.
    pub(super) interval_ms: u64,
    /// Whether it declared that itself.
    pub(super) interval_declared: bool,
}

/// One change of belief, as the next life reads it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// The node.
    pub(super) id: NodeId,
    /// Its name, if it has travelled.
    pub(super) name: Option<Box<str>>,
    /// The group it was in.
    pub(super) group: Option<Box<str>>,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    /// What is believed from then on; nothing if the node was forgotten.
    pub(super) to: Option<Liveness>,
    /// Whether it was forgotten before this, and what was known of it doesn't count.
    pub(super) anew: bool,
    /// Its last heartbeat.
    pub(super) last: Option<(Incarnation, Seq)>,
    /// The interval that it declared.
    pub(super) interval: Option<Interval>,
}

/// Some events in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Old {
    /// Oldest first.
    pub(super) events: Vec<Event>,
    /// The number up to which was looked.
    pub(super) next: u64,
}

impl Archive {
    /// Opens the journal of a state directory, or makes one. One that is damaged, foreign or newer is
    /// kept aside. Says whether that happened.
    ///
    /// # Errors
    /// The disk doesn't let it be read and written.
    pub(super) fn open(folder: &Folder) -> Result<(Self, bool), rusqlite::Error> {
        match Self::try_open(&folder.events()) {
            Ok(archive) => return Ok((archive, false)),
            Err(Unusable::Disk(error)) => return Err(error),
            Err(Unusable::Refused(why)) => folder.refuse(&folder.events(), &why),
        }
        for suffix in ["-wal", "-shm"] {
            // They belong to the one before; one that stays would spoil the new one.
            let part = with_suffix(&folder.events(), suffix);
            let _ = fs::rename(&part, with_suffix(&with_suffix(&folder.events(), ".refused"), suffix));
        }
        match Self::try_open(&folder.events()) {
            Ok(archive) => Ok((archive, true)),
            Err(Unusable::Disk(error)) => Err(error),
            // It couldn't be renamed.
            Err(Unusable::Refused(_)) => Err(rusqlite::Error::InvalidPath(folder.events())),
        }
    }

    fn try_open(path: &Path) -> Result<Self, Unusable> {
        make(path);
        let db = refuse_damage(Connection::open_with_flags(path, WRITE))?;
        db.busy_timeout(BUSY)?;
        refuse_damage(prepare(&db))??;
        Ok(Self { db })
    }

    /// The first and the last number in it; nothing if it is empty.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn span(&self) -> rusqlite::Result<Option<(u64, u64)>> {
        span(&self.db)
    }

    /// When its last event was, in milliseconds since 1970; nothing if it is empty.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn last_at(&self) -> rusqlite::Result<Option<u64>> {
        let at: Option<String> = self.db.query_row(LAST_AT, [], |row| row.get(0)).optional()?;
        Ok(at.as_deref().map(unix_millis))
    }

    /// Adds events and the last of them is on the disk when this returns. All or none.
    ///
    /// # Errors
    /// The disk doesn't take them.
    pub(super) fn append(&mut self, events: impl Iterator<Item = (Event, Option<Known>)>) -> rusqlite::Result<()> {
        let transaction = self.db.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for (event, known) in events {
                // By name, so that a field that is new here can't be forgotten.
                let Event { seq, at, node, group, scope, from, to, cause, reason, evidence } = event;
                let [from, to] = [from, to].map(|state| state.map(|state| Liveness::from(state).name()));
                let evidence = evidence.and_then(|evidence| serde_json::to_string(&evidence).ok());
                let more = scope.map(|scope| serde_json::json!({ "scope": scope }).to_string());
                let belief = known.and_then(|known| serde_json::to_string(&known).ok());
                insert.execute(params![seq, at, node, group, from, to, cause, reason, evidence, more, belief])?;
            }
        }
        transaction.commit()
    }

    /// Removes a bite of the oldest events: those up to number `over`, and those before the time `before`
    /// up to number `free`. Says whether there may be more.
    ///
    /// # Errors
    /// The disk doesn't let it.
    pub(super) fn trim(&mut self, over: u64, before: &str, free: u64) -> rusqlite::Result<bool> {
        let mut trim = self.db.prepare_cached(TRIM)?;
        let removed = trim.execute(params![over, before, free, BITE])?;
        Ok(removed as u64 == BITE)
    }

    /// Every change of belief after number `after`, in order.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn changes(&self, after: u64, mut change: impl FnMut(Change)) -> rusqlite::Result<()> {
        let mut select = self.db.prepare(CHANGES)?;
        let mut rows = select.query([after])?;
        while let Some(row) = rows.next()? {
            if let Some(found) = read_change(row)? {
                change(found);
            }
        }
        Ok(())
    }

    /// Writes everything into the one file, as far as readers let it.
    pub(super) fn close(self) {
        // What stays in the WAL is read from there by the next life.
        let _ = self.db.close();
    }
}

/// The journal on disk, to be read by others than its writer.
#[derive(Debug)]
pub(super) struct Reader {
    db: Connection,
    /// Whether it sees what is written from now on too.
    lasting: bool,
}

impl Reader {
    /// Opens the journal at `path`, which must be there. Works on a disk that can't be written to.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let shared = Connection::open_with_flags(path, READ).and_then(|db| {
            db.busy_timeout(BUSY)?;
            span(&db).map(|_| db)
        });
        match shared {
            Ok(db) => Ok(Self { db, lasting: true }),
            // Where nothing can be written there is no shared index of the WAL to be had. Nobody writes, and the
            // directory is ours: without locks then, and with an index of our own.
            Err(error) if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) => {
                let db = Connection::open_with_flags_and_vfs(path, READ, "unix-none")?;
                db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
                span(&db).map(|_| Self { db, lasting: false })
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it sees what is written from now on too. One that doesn't is to be opened anew.
    pub(super) const fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The first and the last number in it; nothing if it is empty.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn span(&self) -> rusqlite::Result<Option<(u64, u64)>> {
        span(&self.db)
    }

    /// See [`Archive::changes`].
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn changes(self, after: u64, change: impl FnMut(Change)) -> rusqlite::Result<()> {
        let archive = Archive { db: self.db };
        archive.changes(after, change)
    }

    /// Up to `most` events that are `wanted`, with numbers after `since` and not after `until`. One call
    /// looks at no more than 4,096.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn page(
        &self,
        since: u64,
        until: u64,
        most: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> rusqlite::Result<Old> {
        let mut select = self.db.prepare_cached(PAGE)?;
        let mut rows = select.query(params![since, until, LOOK])?;
        let mut page = Old { events: Vec::new(), next: since };
        let mut looked = 0;
        while let Some(row) = rows.next()? {
            if page.events.len() == most {
                return Ok(page);
            }
            looked += 1;
            page.next = row.get(0)?;
            // One that no longer reads as an event is skipped like one that isn't wanted.
            page.events.extend(read_event(row)?.filter(&wanted));
        }
        if looked < LOOK && page.events.len() < most {
            page.next = until;
        }
        Ok(page)
    }
}

/// An empty file for us alone, if there is none: who is in a fleet is nobody else's business. Its WAL will be like it.
fn make(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Whatever prevents it, the database says it better.
    let _ = options.open(path);
}

fn prepare(db: &Connection) -> rusqlite::Result<Result<(), Unusable>> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (APPLICATION, VERSION, _) => {}
        (APPLICATION, newer, _) if newer > VERSION => {
            return Ok(Err(Unusable::Refused(format!(
                "it has format {newer}, and this version reads format {VERSION}; a newer version wrote it"
            ))));
        }
        (0, 0, 0) => {}
        (_, _, _) => return Ok(Err(Unusable::Refused("it is no journal of a Systole monitor".to_owned()))),
    }
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update_and_check(None, "journal_size_limit", WAL_MAX, |_| Ok(()))?;
    if tables == 0 {
        db.execute_batch(&format!(
            "BEGIN; {TABLE}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    // Opened for writing, it may be read-only all the same; then the first event would tell.
    db.execute_batch("BEGIN IMMEDIATE; ROLLBACK;")?;
    span(db).map(|_| Ok(()))
}

/// Damage is told apart from a disk that will be better later.
fn refuse_damage<T>(done: rusqlite::Result<T>) -> Result<T, Unusable> {
    done.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Unusable::Refused(format!("it is damaged: {error}"))
        }
        Some(_) | None => Unusable::Disk(error),
    })
}

fn span(db: &Connection) -> rusqlite::Result<Option<(u64, u64)>> {
    let row = db.query_row("SELECT min(seq), max(seq) FROM events", [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (first, last): (Option<u64>, Option<u64>) = row.optional()?.unwrap_or_default();
    Ok(first.zip(last))
}

fn read_event(row: &Row<'_>) -> rusqlite::Result<Option<Event>> {
    let more: Option<String> = row.get(9)?;
    let more = more.and_then(|more| serde_json::from_str::<Map<String, Value>>(&more).ok());
    let mut fields = more.unwrap_or_default();
    fields.insert("seq".to_owned(), Value::from(row.get::<_, u64>(0)?));
    for (column, name) in (1..).zip(TEXTS) {
        if let Some(text) = row.get::<_, Option<String>>(column)? {
            fields.insert(name.to_owned(), Value::String(text));
        }
    }
    let evidence: Option<String> = row.get(8)?;
    if let Some(evidence) = evidence.and_then(|evidence| serde_json::from_str(&evidence).ok()) {
        fields.insert("evidence".to_owned(), evidence);
    }
    Ok(serde_json::from_value(Value::Object(fields)).ok())
}

/// Nothing sensible is 1970.
fn unix_millis(at: &str) -> u64 {
    at.parse::<jiff::Timestamp>().map_or(0, |at| at.as_millisecond().try_into().unwrap_or(0))
}

/// Nothing for an event that isn't about a node's belief.
fn read_change(row: &Row<'_>) -> rusqlite::Result<Option<Change>> {
    let (at, node, group): (String, Option<String>, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (to, cause, known): (Option<String>, Option<String>, Option<String>) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let Some((node, id)) = node.and_then(|node| Called::id_of(&node).map(|id| (node, id))) else { return Ok(None) };
    let to = to.as_deref().and_then(Liveness::from_name);
    let known: Option<Known> = known.and_then(|known| serde_json::from_str(&known).ok());
    let forgotten = cause.as_deref() == Some(FORGOTTEN);
    if !forgotten && (to.is_none() || known.is_none()) {
        return Ok(None);
    }
    let to = to.filter(|_| !forgotten);
    let last = known.and_then(|known| Some((Incarnation::new(known.incarnation?), Seq::new(known.seq))));
    let declared = known.filter(|known| known.interval_declared);
    Ok(Some(Change {
        id,
        name: (!node.starts_with('#')).then(|| node.into()),
        group: group.map(Box::from),
        at: unix_millis(&at),
        anew: to.is_none(),
        to,
        last,
        interval: declared.map(|known| Interval::Declared(Span::from_millis(known.interval_ms))),
    }))
}

/// How long to wait for somebody who has locked the file with a tool of their own.
const BUSY: Duration = Duration::from_secs(1);
/// Events removed at once.
const BITE: u64 = 5_000;
/// Events looked at for one page.
const LOOK: u64 = 4_096;
/// How large the WAL may stay, in bytes.
const WAL_MAX: i64 = 64 << 20;
/// "Syst" in ASCII.
const APPLICATION: i64 = 0x5379_7374;
const VERSION: i64 = 1;
/// The cause of the event that a node isn't known any more.
const FORGOTTEN: &str = "forgotten";

const WRITE: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE).union(OpenFlags::SQLITE_OPEN_NO_MUTEX);
const READ: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The columns that are plain texts, in their order.
const TEXTS: [&str; 7] = ["at", "node", "group", "from", "to", "cause", "reason"];

const TABLE: &str = r#"
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,  -- its number; a gap is as many events that were lost
    at       TEXT,                 -- when it was decided: RFC 3339, UTC, milliseconds
    node     TEXT,                 -- whom it is about
    "group"  TEXT,                 -- the node's group
    "from"   TEXT,                 -- what was believed before
    "to"     TEXT,                 -- what is believed now
    cause    TEXT,                 -- why, in a word
    reason   TEXT,                 -- why, in a sentence
    evidence TEXT,                 -- JSON: what a verdict of silence rests on
    more     TEXT,                 -- JSON: what else the event says
    belief   TEXT                  -- JSON: for the next life of the monitor
) STRICT"#;

const INSERT: &str = r#"
INSERT INTO events (seq, at, node, "group", "from", "to", cause, reason, evidence, more, belief)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"#;

const PAGE: &str = r#"
SELECT seq, at, node, "group", "from", "to", cause, reason, evidence, more
FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"#;

const LAST_AT: &str = "SELECT at FROM events ORDER BY seq DESC LIMIT 1";

const CHANGES: &str = r#"SELECT at, node, "group", "to", cause, belief FROM events WHERE seq > ? ORDER BY seq"#;

const TRIM: &str = "
DELETE FROM events WHERE seq IN (
    SELECT seq FROM (SELECT seq, at FROM events ORDER BY seq LIMIT ?4)
    WHERE seq <= ?1 OR (at < ?2 AND seq <= ?3)
)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::tests::{PROOF, T, record};
    use crate::show;
    use crate::store::{Record, Told, What};
    use systole_core::event::Cause;
    use systole_core::guard::{self, Tally};

    struct Place {
        folder: Folder,
        _dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            Self { folder: Folder::open(dir.path()).expect("it is free"), _dir: dir }
        }

        fn archive(&self) -> Archive {
            let (archive, refused) = Archive::open(&self.folder).expect("it opens");
            assert!(!refused);
            archive
        }

        fn reader(&self) -> Reader {
            Reader::open(&self.folder.events()).expect("it opens")
        }
    }

    fn story() -> Vec<Record> {
        use Liveness::{Alive, Failed, Left, Suspect, Unseen};
        let steps = [
            (Unseen, Alive, Cause::FirstHeartbeat),
            (Alive, Suspect, Cause::Silence),
            (Suspect, Failed, Cause::Confirmed),
            (Failed, Left, Cause::Goodbye),
        ];
        let records = (1..).zip(steps).map(|(seq, (from, to, cause))| {
            let record = record(from, to, cause, T + seq, PROOF);
            Record { seq, ..record }
        });
        records.collect()
    }

    fn append(archive: &mut Archive, records: &[Record]) {
        archive.append(records.iter().map(|record| (show::event(record), record.known()))).expect("it is written");
    }

    #[test]
    fn an_event_comes_back_as_it_was_shown() {
        let place = Place::new();
        let story = story();
        append(&mut place.archive(), &story);
        let page = place.reader().page(0, u64::MAX >> 1, 10, |_| true).expect("a page");
        assert_eq!(page.events, story.iter().map(show::event).collect::<Vec<_>>());
        assert!(page.events[2].evidence.is_some());
        let page = place.reader().page(1, 3, 1, |_| true).expect("a page");
        assert_eq!((page.events.len(), page.next), (1, 2), "no more than wanted");
        let page = place.reader().page(1, 3, 10, |event| event.seq == 9).expect("a page");
        assert_eq!((page.events.len(), page.next), (0, 3), "and none that isn't");
    }

    #[test]
    fn what_changes_no_belief_is_kept_whole_and_is_nothing_to_the_next_life() {
        let place = Place::new();
        let tally = Tally { silent: 57, alive: 143, absent: 0 };
        let hold = What::Hold { scope: "group web".into(), change: guard::Change::Held, tally, until: T + 600_000 };
        let conflict = Told::Conflict { incarnation: 1, rival: 2, seq: 3 };
        let noted = What::Noted { node: "a".into(), group: "g".into(), liveness: Liveness::Suspect, note: conflict };
        let notes = [(1, hold), (2, noted)].map(|(seq, what)| Record { seq, skipped: 0, shard: 0, at: T, what });
        let mut archive = place.archive();
        append(&mut archive, &notes);
        let page = place.reader().page(0, 10, 10, |_| true).expect("a page");
        assert_eq!(page.events, notes.each_ref().map(show::event));
        assert_eq!(page.events[0].scope.as_deref(), Some("group web"));
        archive.changes(0, |change| panic!("{change:?}")).expect("they are read");
    }

    #[test]
    fn the_next_life_is_told_what_it_must_know() {
        let place = Place::new();
        let mut archive = place.archive();
        let never = record(Liveness::Unseen, Liveness::Failed, Cause::NeverSeen, T, PROOF);
        append(&mut archive, &[&story()[..], &[Record { seq: 5, ..never }]].concat());
        let mut changes = Vec::new();
        archive.changes(2, |change| changes.push(change)).expect("they are read");
        assert_eq!(
            changes.iter().map(|change| change.to).collect::<Vec<_>>(),
            [Some(Liveness::Failed), Some(Liveness::Left), Some(Liveness::Failed)]
        );
        let failed = &changes[0];
        assert_eq!((failed.id, failed.name.as_deref()), (NodeId::of("web-1"), Some("web-1")));
        assert_eq!((failed.at, failed.group.as_deref()), (T + 3, Some("edge")));
        assert_eq!(failed.last, Some((Incarnation::new(7), Seq::new(41))));
        assert_eq!(failed.interval, Some(Interval::Declared(Span::from_secs(1))));
        assert_eq!(changes[2].last, None, "one that was never seen has no last heartbeat");
    }

    #[test]
    fn the_largest_numbers_of_a_node_survive() {
        let place = Place::new();
        let proof = crate::store::Proof { incarnation: u64::MAX, seq: u64::MAX - 1, ..PROOF };
        let record = record(Liveness::Unseen, Liveness::Alive, Cause::FirstHeartbeat, T, proof);
        append(&mut place.archive(), &[record]);
        let mut last = None;
        place.reader().changes(0, |change| last = change.last).expect("they are read");
        assert_eq!(last, Some((Incarnation::new(u64::MAX), Seq::new(u64::MAX - 1))));
    }

    #[test]
    fn a_batch_is_written_whole_or_not_at_all() {
        let place = Place::new();
        let mut archive = place.archive();
        let story = story();
        append(&mut archive, &story[1..2]);
        let twice = story.iter().map(|record| (show::event(record), None));
        assert!(archive.append(twice).is_err(), "number 2 is taken");
        assert_eq!(archive.span().expect("it is read"), Some((2, 2)));
    }

    #[test]
    fn old_events_go_in_bites_and_those_that_are_needed_stay() {
        let place = Place::new();
        let mut archive = place.archive();
        let one = record(Liveness::Unseen, Liveness::Alive, Cause::FirstHeartbeat, T, PROOF);
        let many: Vec<Record> = (1..=12_000).map(|seq| Record { seq, at: T + seq, ..one.clone() }).collect();
        append(&mut archive, &many);
        let at = |millis| crate::clock::rfc3339(T + millis);
        let first = |archive: &Archive| archive.span().expect("it is read").expect("some").0;
        assert!(!archive.trim(0, &at(0), 12_000).expect("it is trimmed"));
        assert_eq!(first(&archive), 1);
        assert!(archive.trim(0, &at(11_000), 7_000).expect("it is trimmed"));
        assert_eq!(first(&archive), 5_001, "a bite of those that are too old");
        assert!(!archive.trim(0, &at(11_000), 7_000).expect("it is trimmed"));
        assert_eq!(first(&archive), 7_001, "and none that a snapshot needs");
        assert!(!archive.trim(9_000, &at(0), 0).expect("it is trimmed"));
        assert_eq!(first(&archive), 9_001, "but never more than there may be");
    }

    #[test]
    fn what_is_no_journal_is_kept_aside() {
        for (bytes, why) in [(&b"hello, world, this is no database at all, only some text"[..], "damaged"), (&[], "")] {
            let place = Place::new();
            fs::write(place.folder.events(), bytes).expect("written");
            let (archive, refused) = Archive::open(&place.folder).expect("it opens");
            assert_eq!(refused, !why.is_empty());
            assert_eq!(archive.span().expect("it is read"), None);
        }
        let place = Place::new();
        Connection::open(place.folder.events()).expect("SQLite").execute_batch("CREATE TABLE other (a)").expect("SQL");
        assert!(Archive::open(&place.folder).expect("it opens").1, "another program's");
        place.archive().db.pragma_update(None, "user_version", 2).expect("SQL");
        assert!(Archive::open(&place.folder).expect("it opens").1, "a newer version's");
        assert!(with_suffix(&place.folder.events(), ".refused").exists());
    }
}
