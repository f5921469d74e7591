//! Events on their way out.
//!
//! An announced event is a row of the outbox, written in the transaction of the change that it tells. After the commit the
//! writer hands the rows to the [`Relay`], which offers them to the bus at once and marks them once they are taken over.
//! What may not be on its way yet stays in the table and is read when there is room: on the writer's own thread, between
//! two commits, so that no row is missed and none overtakes another.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use contracts::{
    Timestamp,
    events::{
        Envelope, SpecVersion,
        catalogue::{self, Key},
        source_of,
    },
};
use serde_json::value::RawValue;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::{
    bus::Bus,
    database::{Connection, Database, Row, StoreError, Tx, Work},
    params,
};

/// How many events of one service are on their way at once. At 500 bytes an event this bounds a service to 2 MiB.
pub const IN_FLIGHT_MAX: usize = 4_096;
/// How often the relay looks without being woken: the safety net.
const POLL: Duration = Duration::from_secs(1);
/// How many events that were taken over are marked without waiting for more.
const MARKED_AT_ONCE: usize = 512;
/// How long an event that was taken over may wait to be marked. Marking is a commit: at a thousand orders a second this
/// saves most of them, and what a crash leaves unmarked is known to its readers.
const MARKED_WITHIN: Duration = Duration::from_millis(20);

const INSERT: &str = "INSERT INTO outbox (id, kind, subject, time, traceparent, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const QUEUE: &str = "INSERT INTO unpublished (seq) VALUES (?1)";
const INSERT_ALL: &str = "WITH told AS (
         INSERT INTO outbox (id, kind, subject, time, traceparent, data)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::TEXT[], $6::TEXT[])
         RETURNING seq
     ), queued AS (INSERT INTO unpublished (seq) SELECT seq FROM told)
     SELECT seq FROM told ORDER BY seq";
const MARK: &str = "DELETE FROM unpublished WHERE seq = ?1";
const MARK_ALL: &str = "DELETE FROM unpublished WHERE seq = ANY($1)";
const UNPUBLISHED: &str = "SELECT seq, id, kind, subject, time, traceparent, data FROM outbox
     WHERE seq IN (SELECT seq FROM unpublished WHERE seq > ?1 ORDER BY seq LIMIT ?2) ORDER BY seq";
const COUNT_UNPUBLISHED: &str = "SELECT COUNT(*) FROM unpublished";
const LAST: &str = "SELECT MAX(seq) FROM outbox";
const OF_SUBJECT: &str = "SELECT seq, id, kind, subject, time, traceparent, data FROM outbox
     WHERE subject = ?1 ORDER BY seq LIMIT ?2";

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 7] =
    [INSERT, QUEUE, MARK, UNPUBLISHED, COUNT_UNPUBLISHED, LAST, OF_SUBJECT];

/// An event that is saved.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its place in its service's outbox.
    pub seq: i64,
    /// The event.
    pub event: Arc<Envelope>,
}

/// Who is told what a commit saved.
pub trait OnCommit: Send + Sync {
    /// Takes the events of one commit, in order. Called by the writer, so it must not wait.
    fn committed(&self, events: Vec<Stored>);
}

/// Writes what a transaction announced; returns it with its places.
pub(crate) fn append(tx: &mut Tx<'_>) -> Result<Vec<Stored>, StoreError> {
    let events = std::mem::take(&mut tx.announced);
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<i64> = match &mut *tx.connection {
        Connection::Sqlite(sqlite) => {
            let mut seqs = Vec::with_capacity(events.len());
            for event in &events {
                let (trace, data) = (&event.traceparent, event.data.get());
                sqlite.execute(
                    INSERT,
                    &params![event.id, event.kind, event.subject, event.time, trace, data],
                )?;
                let seq = sqlite.last_insert_rowid();
                sqlite.execute(QUEUE, &params![seq])?;
                seqs.push(seq);
            }
            seqs
        }
        Connection::Postgres(postgres) => {
            let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
            let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
            let subjects: Vec<&str> = events.iter().map(|event| event.subject.as_str()).collect();
            let times: Vec<i64> = events.iter().map(|event| event.time.as_micros()).collect();
            let traces: Vec<Option<&str>> =
                events.iter().map(|event| event.traceparent.as_deref()).collect();
            let data: Vec<&str> = events.iter().map(|event| event.data.get()).collect();
            let rows =
                postgres.rows(INSERT_ALL, &[&ids, &kinds, &subjects, &times, &traces, &data])?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
        }
    };
    Ok(seqs
        .into_iter()
        .zip(events)
        .map(|(seq, event)| Stored { seq, event: Arc::new(event) })
        .collect())
}

fn mark(tx: &mut Tx<'_>, seqs: &[i64]) -> Result<(), StoreError> {
    if let Connection::Postgres(postgres) = &mut *tx.connection {
        return postgres.rows(MARK_ALL, &[&seqs]).map(|_| ());
    }
    tx.execute_each(MARK, seqs.iter().map(|seq| params![*seq])).map(|_| ())
}

fn read_stored(service: &str, row: &Row<'_>) -> Result<Stored, StoreError> {
    let data =
        RawValue::from_string(row.get(6)?).map_err(|error| StoreError::piece(error.to_string()))?;
    let event = Envelope {
        specversion: SpecVersion::V1,
        id: row.get::<Uuid>(1)?,
        source: source_of(service),
        kind: row.get(2)?,
        subject: row.get(3)?,
        time: row.get::<Timestamp>(4)?,
        traceparent: row.get(5)?,
        data,
    };
    Ok(Stored { seq: row.get(0)?, event: Arc::new(event) })
}

/// Returns how many events no one has taken over yet.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn count_unpublished(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_UNPUBLISHED, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns the place of the last event that was written; 0 if none ever was.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn last(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(LAST, &[], |row| row.get::<Option<i64>>(0))?.flatten().unwrap_or(0))
}

/// Returns the first events about a subject, oldest first, up to `limit`.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn events_of(tx: &mut Tx<'_>, subject: &str, limit: i64) -> Result<Vec<Envelope>, StoreError> {
    let service = tx.service();
    tx.query(OF_SUBJECT, &params![subject, limit], |row| {
        read_stored(service, row).map(|stored| Arc::unwrap_or_clone(stored.event))
    })
}

/// Carries the events of one service from its outbox to the bus.
pub struct Relay {
    service: &'static str,
    bus: Bus,
    this: Weak<Self>,
    state: Mutex<RelayState>,
    changed: Notify,
    marking: AtomicBool,
}

struct RelayState {
    /// Offered, not marked yet.
    in_flight: usize,
    /// Taken over, not marked yet.
    taken_over: Vec<i64>,
    /// The last place that was offered.
    last: i64,
    /// Whether there may be rows after `last` that are only in the table.
    behind: bool,
    /// Whether they are being read.
    catching_up: bool,
}

impl fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Relay").field("service", &self.service).finish_non_exhaustive()
    }
}

impl OnCommit for Relay {
    fn committed(&self, events: Vec<Stored>) {
        let service = self.service;
        for Stored { event, .. } in &events {
            let (name, subject) = (event.name(), event.subject.as_str());
            let order = (catalogue::key_of(name) == Some(Key::Order)).then_some(subject);
            tracing::info!(
                service,
                order_id = order,
                event = name,
                "Announced {name} for {subject}"
            );
        }
        let mut state = self.lock();
        if state.behind || state.in_flight + events.len() > IN_FLIGHT_MAX {
            state.behind = true;
            drop(state);
            self.changed.notify_one();
        } else {
            self.offer(state, events);
        }
    }
}

impl Relay {
    /// Makes the relay of a service. It begins behind: whatever a former process left is offered first.
    #[must_use]
    pub fn new(service: &'static str, bus: Bus) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            service,
            bus,
            this: this.clone(),
            state: Mutex::new(RelayState {
                in_flight: 0,
                taken_over: Vec::new(),
                last: 0,
                behind: true,
                catching_up: false,
            }),
            changed: Notify::new(),
            marking: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers events. Only the writer's thread does, so they are offered in the order of their commits.
    fn offer(&self, mut state: MutexGuard<'_, RelayState>, events: Vec<Stored>) {
        let Some(last) = events.last() else { return };
        state.last = last.seq;
        state.in_flight += events.len();
        drop(state);
        self.bus.offer(&self.this, events);
    }

    /// Notes that an event was taken over: every reader has committed it, or the broker keeps it.
    pub(crate) fn taken_over(&self, seqs: &[i64]) {
        let mut state = self.lock();
        let before = state.taken_over.len();
        state.taken_over.extend_from_slice(seqs);
        let after = state.taken_over.len();
        drop(state);
        // The relay has to know of the first, for it is the one that must not wait too long, and of a full batch.
        if before == 0 || (before < MARKED_AT_ONCE && after >= MARKED_AT_ONCE) {
            self.changed.notify_one();
        }
    }

    /// Marks what is taken over, and catches up with what was left in the table, until it is told to stop.
    pub(crate) async fn run(self: Arc<Self>, database: Database, stop: CancellationToken) {
        let mut looked_at = Instant::now();
        let mut mark_at: Option<Instant> = None;
        loop {
            let next = mark_at.map_or(looked_at + POLL, |mark_at| mark_at.min(looked_at + POLL));
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let now = Instant::now();
            let polls = now >= looked_at + POLL;
            let (may_catch_up, taken_over) = {
                let mut state = self.lock();
                let room = state.in_flight <= IN_FLIGHT_MAX / 2;
                let may_catch_up = room && (state.behind || polls) && !state.catching_up;
                state.catching_up |= may_catch_up;
                (may_catch_up, state.taken_over.len())
            };
            if polls {
                looked_at = now;
            }
            if taken_over >= MARKED_AT_ONCE || mark_at.is_some_and(|mark_at| now >= mark_at) {
                self.mark_taken_over(&database);
                mark_at = None;
            } else if taken_over > 0 && mark_at.is_none() {
                mark_at = Some(now + MARKED_WITHIN);
            }
            if may_catch_up {
                database.push(Box::new(CatchUp {
                    relay: Arc::clone(&self),
                    rows: Vec::new(),
                    complete: false,
                }));
            }
        }
        // What is not marked is offered again by the next process; its readers would know it, but it need not come.
        self.mark_taken_over(&database);
    }

    /// Marks what was taken over, one batch at a time: what comes meanwhile is the next.
    fn mark_taken_over(self: &Arc<Self>, database: &Database) {
        if self.marking.load(Ordering::Acquire) {
            return;
        }
        let mut seqs = std::mem::take(&mut self.lock().taken_over);
        if seqs.is_empty() {
            return;
        }
        // In one order everywhere, so that two relays of one schema never wait for each other in a circle.
        seqs.sort_unstable();
        self.marking.store(true, Ordering::Release);
        database.push(Box::new(Mark { relay: Arc::clone(self), seqs }));
    }
}

/// Marks events as published.
struct Mark {
    relay: Arc<Relay>,
    seqs: Vec<i64>,
}

impl Work for Mark {
    fn gather(&mut self) -> usize {
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        mark(tx, &self.seqs)
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        let mut state = self.relay.lock();
        match outcome {
            Ok(()) => state.in_flight -= self.seqs.len(),
            Err(error) => {
                warn!(
                    service = self.relay.service,
                    "Could not mark {} events: {error}",
                    self.seqs.len()
                );
                state.taken_over.append(&mut self.seqs);
            }
        }
        drop(state);
        self.relay.marking.store(false, Ordering::Release);
        // After a failure the poll tries again: at once would be a busy loop.
        if self.seqs.is_empty() {
            return;
        }
        self.relay.changed.notify_one();
    }
}

/// Reads what is only in the table, between two commits.
struct CatchUp {
    relay: Arc<Relay>,
    rows: Vec<Stored>,
    complete: bool,
}

impl Work for CatchUp {
    fn gather(&mut self) -> usize {
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        let (last, room) = {
            let state = self.relay.lock();
            (state.last, IN_FLIGHT_MAX.saturating_sub(state.in_flight))
        };
        let limit = i64::try_from(room).unwrap_or(0);
        let service = self.relay.service;
        self.rows =
            tx.query(UNPUBLISHED, &params![last, limit], |row| read_stored(service, row))?;
        self.complete = self.rows.len() < room;
        Ok(())
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        let mut state = self.relay.lock();
        state.catching_up = false;
        if outcome.is_err() {
            return;
        }
        state.behind = !self.complete;
        self.relay.offer(state, std::mem::take(&mut self.rows));
    }
}
