//! The relay: what is committed goes to the bus at once if it may, else it is read from the table when there is room.

use std::{
    collections::HashSet,
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use contracts::events::catalogue::{self, Key};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    AT, IN_FLIGHT_MAX, OnCommit, Stored, UNPUBLISHED, UNPUBLISHED_BEFORE, cursor::Cursor, last,
    mark, read_stored,
};
use crate::{
    bus::Bus,
    database::{Connection, Database, Row, StoreError, Tx, Work},
    params,
};

/// How often the relay looks without being woken: the safety net.
const POLL: Duration = Duration::from_secs(1);
/// How many events that were taken over are marked without waiting for more.
const MARKED_AT_ONCE: usize = 512;
/// How long an event that was taken over may wait to be marked. Marking is a commit: at a thousand orders a second this
/// saves most of them, and what a crash leaves unmarked is known to its readers.
const MARKED_WITHIN: Duration = Duration::from_millis(20);

const TRANSACTIONS: &str = "SELECT CAST(CAST(pg_snapshot_xmin(now) AS TEXT) AS BIGINT),
         CAST(CAST(pg_snapshot_xmax(now) AS TEXT) AS BIGINT)
     FROM pg_current_snapshot() AS now";

/// Carries the events of one service from its outbox to the bus.
pub(crate) struct Relay {
    service: &'static str,
    bus: Bus,
    this: Weak<Self>,
    state: Mutex<RelayState>,
    changed: Notify,
    /// Told of commits while it rests: another replica may be the one to offer them.
    left_to_others: Notify,
    marking: AtomicBool,
}

struct RelayState {
    /// How often it began again from what the table says. What belongs to an earlier round is over.
    round: u64,
    /// Whether it may not offer anything now.
    resting: bool,
    /// Offered, not marked yet.
    in_flight: HashSet<i64>,
    /// Taken over, not marked yet.
    taken_over: Vec<i64>,
    /// Up to where the table was seen.
    cursor: Cursor,
    /// Whether there may be rows that are only in the table.
    behind: bool,
    /// Whether they are being read.
    catching_up: bool,
}

impl RelayState {
    fn room(&self) -> usize {
        IN_FLIGHT_MAX.saturating_sub(self.in_flight.len())
    }
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
        let places: Vec<i64> = events.iter().map(|stored| stored.seq).collect();
        let mut state = self.lock();
        let at_once = !state.resting
            && !state.behind
            && events.len() <= state.room()
            && state.cursor.continues_with(&places);
        if at_once {
            state.cursor.go_on(&places);
            self.offer(state, events);
        } else {
            state.behind = true;
            let told = if state.resting { &self.left_to_others } else { &self.changed };
            told.notify_one();
        }
    }
}

impl Relay {
    /// Makes the relay of a service. It begins behind: whatever a former process left is offered first. It rests until
    /// [`Relay::begin`] if its bus has to be found first.
    #[must_use]
    pub(crate) fn new(service: &'static str, bus: Bus) -> Arc<Self> {
        let resting = bus.has_to_be_found();
        Arc::new_cyclic(|this| Self {
            service,
            bus,
            this: this.clone(),
            state: Mutex::new(RelayState {
                round: 0,
                resting,
                in_flight: HashSet::new(),
                taken_over: Vec::new(),
                cursor: Cursor::default(),
                behind: true,
                catching_up: false,
            }),
            changed: Notify::new(),
            left_to_others: Notify::new(),
            marking: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whose it is.
    pub(crate) const fn service(&self) -> &'static str {
        self.service
    }

    /// Returns the place up to which every place was seen, or never will be.
    pub(crate) fn seen(&self) -> i64 {
        self.lock().cursor.seen()
    }

    /// Waits until something was committed while it rests.
    pub(crate) async fn leaves_to_others(&self) {
        self.left_to_others.notified().await;
    }

    /// Lets it look into the table: another replica has committed.
    pub(crate) fn wake(&self) {
        self.lock().behind = true;
        self.changed.notify_one();
    }

    /// Forgets what is on its way, and rests: what is not marked by now is offered again after [`Relay::begin`].
    pub(crate) fn rest(&self) {
        let mut state = self.lock();
        state.round += 1;
        state.resting = true;
        state.in_flight.clear();
        state.taken_over.clear();
        state.cursor = Cursor::default();
        state.behind = true;
    }

    /// Ends the rest: begins with the lowest place that is not marked. Returns the round that begins.
    pub(crate) fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.resting = false;
        let round = state.round;
        drop(state);
        self.changed.notify_one();
        round
    }

    /// Offers events. Only the writer's thread does, so they are offered in the order of their commits.
    fn offer(&self, mut state: MutexGuard<'_, RelayState>, events: Vec<Stored>) {
        if events.is_empty() {
            return;
        }
        state.in_flight.extend(events.iter().map(|stored| stored.seq));
        let round = state.round;
        drop(state);
        self.bus.offer(&self.this, self.service, round, events);
    }

    /// Notes that events of a round were taken over: every reader has committed them, or the broker keeps them.
    pub(crate) fn taken_over(&self, round: u64, seqs: &[i64]) {
        let mut state = self.lock();
        if state.round != round {
            return;
        }
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
                let room = state.in_flight.len() <= IN_FLIGHT_MAX / 2;
                let asked = (state.behind || polls) && !state.resting;
                let may_catch_up = room && asked && !state.catching_up;
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
                database.push(Box::new(CatchUp::new(Arc::clone(&self), polls)));
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
        let mut state = self.lock();
        let (round, mut seqs) = (state.round, std::mem::take(&mut state.taken_over));
        drop(state);
        if seqs.is_empty() {
            return;
        }
        // In one order everywhere, so that two relays of one schema never wait for each other in a circle.
        seqs.sort_unstable();
        self.marking.store(true, Ordering::Release);
        database.push(Box::new(Mark { relay: Arc::clone(self), round, seqs }));
    }
}

/// Marks events of a round as published.
struct Mark {
    relay: Arc<Relay>,
    round: u64,
    seqs: Vec<i64>,
}

impl Work for Mark {
    fn gather(&mut self) -> usize {
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        // A round ends before its events are put back on their way: a mark that comes later would lose them.
        if self.relay.lock().round != self.round {
            return Ok(());
        }
        mark(tx, &self.seqs)
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        let mut state = self.relay.lock();
        let is_over = state.round != self.round;
        let failed = match outcome {
            _ if is_over => false,
            Ok(()) => {
                for seq in &self.seqs {
                    state.in_flight.remove(seq);
                }
                false
            }
            Err(error) => {
                let (service, count) = (self.relay.service, self.seqs.len());
                warn!(service, "Could not mark {count} events: {error}");
                state.taken_over.append(&mut self.seqs);
                true
            }
        };
        drop(state);
        self.relay.marking.store(false, Ordering::Release);
        // After a failure the poll tries again: at once would be a busy loop.
        if !failed {
            self.relay.changed.notify_one();
        }
    }
}

/// Reads what is only in the table, between two commits.
struct CatchUp {
    relay: Arc<Relay>,
    /// Whether it looks for anything that was missed, too.
    thorough: bool,
    round: u64,
    cursor: Cursor,
    rows: Vec<Stored>,
    complete: bool,
}

impl CatchUp {
    fn new(relay: Arc<Relay>, thorough: bool) -> Self {
        let (round, cursor) = (0, Cursor::default());
        Self { relay, thorough, round, cursor, rows: Vec::new(), complete: false }
    }

    /// Returns the places before the last one whose transactions ended later than those of greater places.
    fn late(&self, tx: &mut Tx<'_>, cursor: Cursor) -> Result<Vec<i64>, StoreError> {
        let from = if self.thorough { 0 } else { cursor.seen() };
        if from == cursor.last() {
            return Ok(Vec::new());
        }
        let unpublished: Vec<i64> =
            tx.query(UNPUBLISHED_BEFORE, &params![from, cursor.last()], |row| row.get(0))?;
        let state = self.relay.lock();
        Ok(unpublished.into_iter().filter(|seq| !state.in_flight.contains(seq)).collect())
    }
}

impl Work for CatchUp {
    fn gather(&mut self) -> usize {
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        let room = {
            let state = self.relay.lock();
            (self.round, self.cursor) = (state.round, state.cursor);
            state.room()
        };
        let is_alone = matches!(&*tx.connection, Connection::Sqlite(_));
        let ended = match self.cursor.is_waiting() {
            true => Some(transactions(tx)?.0),
            false => None,
        };
        let mut cursor = self.cursor;
        if cursor == Cursor::default() {
            cursor.begin_at(first_unseen(tx)?);
        }
        let late = if is_alone { Vec::new() } else { self.late(tx, cursor)? };
        let read = |row: &Row<'_>| read_stored(self.relay.service, row);
        let some = late.iter().take(room).map(|seq| params![*seq]);
        self.rows = tx.query_each(AT, some, read)?;
        self.complete = false;
        if late.len() > room {
            return Ok(());
        }
        let room = room - late.len();
        let limit = i64::try_from(room).unwrap_or(0);
        let mut rows = tx.query(UNPUBLISHED, &params![cursor.last(), limit], read)?;
        let places: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        if is_alone {
            cursor.go_on(&places);
        } else if cursor.read(&places, ended) {
            cursor.wait_for(transactions(tx)?.1);
        }
        self.complete = rows.len() < room;
        self.rows.append(&mut rows);
        self.cursor = cursor;
        Ok(())
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        let mut state = self.relay.lock();
        state.catching_up = false;
        if outcome.is_err() {
            return;
        }
        if state.round != self.round || state.resting {
            drop(state);
            self.relay.changed.notify_one();
            return;
        }
        state.cursor = self.cursor;
        state.behind = !self.complete;
        self.relay.offer(state, std::mem::take(&mut self.rows));
    }
}

/// Returns the place behind which everything unpublished lies.
fn first_unseen(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    const FIRST: &str = "SELECT MIN(seq) FROM unpublished";
    let first = tx.query_one(FIRST, &[], |row| row.get::<Option<i64>>(0))?.flatten();
    first.map_or_else(|| last(tx), |first| Ok(first - 1))
}

/// Returns below which number all transactions of PostgreSQL have ended, and from which on none has begun.
fn transactions(tx: &mut Tx<'_>) -> Result<(i64, i64), StoreError> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = tx.query_one(TRANSACTIONS, &[], read)?;
    found.ok_or_else(|| StoreError::engine("the database does not know its transactions"))
}
