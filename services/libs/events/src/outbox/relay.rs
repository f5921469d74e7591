//! The relay: offers a committed event to the bus at once if there is room, else reads it from the table later.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use contracts::events::catalogue::{self, Key};
use store::{AfterCommit, CommitHook, Database, StoreError, Tx};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    IN_FLIGHT_MAX, Stored, append,
    cursor::Cursor,
    position::{self, PROCESS},
    works::CatchUp,
};
use crate::bus::Bus;

/// How often the relay looks without being woken: the safety net.
const POLL: Duration = Duration::from_secs(1);
/// How far the position moves, in `seqs`, before a commit of other work saves it. After a crash the relay offers the events
/// above the saved position again, and the inboxes of their readers know them.
const SAVED_AT: i64 = 512;

/// Carries the events of one service from its outbox to the bus.
pub struct Relay {
    service: &'static str,
    bus: Arc<dyn Bus>,
    this: Weak<Self>,
    state: Mutex<RelayState>,
    pub(super) changed: Notify,
    /// Signalled by commits while the relay rests: another replica may be the one that publishes.
    left_to_others: Notify,
}

pub(super) struct RelayState {
    /// Counts how often the relay started again from the table. Acknowledgements of an earlier round are ignored.
    pub(super) round: u64,
    /// Whether the relay may not offer events now.
    pub(super) resting: bool,
    /// The `seqs` that were offered and that the bus has not taken over yet.
    pub(super) in_flight: BTreeSet<i64>,
    /// The `seqs` that were offered and are above [`Cursor::seen`].
    pub(super) offered: BTreeSet<i64>,
    /// The saved position. Used only with the bus within the process: a broker's progress is saved by its own task.
    saved: i64,
    /// Whether the next commit saves the position, however little it has moved.
    saves: bool,
    /// The part of the table that the relay has seen.
    pub(super) cursor: Cursor,
    /// Whether the table may have rows that were not offered.
    pub(super) behind: bool,
    /// Whether a [`CatchUp`] is in the writer's queue.
    pub(super) catching_up: bool,
}

impl RelayState {
    pub(super) fn room(&self) -> usize {
        IN_FLIGHT_MAX.saturating_sub(self.in_flight.len())
    }

    /// Returns the `seq` up to which the bus has taken over every event.
    fn position(&self) -> i64 {
        let first = self.in_flight.first().map_or(i64::MAX, |first| first - 1);
        first.min(self.cursor.seen())
    }

    /// Forgets the offered `seqs` that [`Cursor::seen`] has passed.
    pub(super) fn forget_seen(&mut self) {
        self.offered = self.offered.split_off(&(self.cursor.seen() + 1));
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Relay").field("service", &self.service).finish_non_exhaustive()
    }
}

impl CommitHook for Relay {
    fn before_commit(&self, tx: &mut Tx<'_>) -> Result<Option<AfterCommit>, StoreError> {
        let events = append(tx)?;
        let position = self.position_to_save();
        if let Some(position) = position {
            position::advance(tx, PROCESS, position, position)?;
        }
        let happened = !events.is_empty() || position.is_some();
        let relay = self.this.upgrade().filter(|_| happened);
        Ok(relay.map(|relay| Box::new(move || relay.committed(events, position)) as AfterCommit))
    }
}

impl Relay {
    /// Returns the position if the commit under way should save it.
    fn position_to_save(&self) -> Option<i64> {
        let state = self.lock();
        let position = state.position();
        let moved = position - state.saved;
        let is_due = moved >= SAVED_AT || (state.saves && moved > 0);
        (is_due && !self.bus.is_broker()).then_some(position)
    }

    /// Takes the events of one commit, in order, and the position that it saved. The writer calls it, so it must not block.
    fn committed(&self, events: Vec<Stored>, saved: Option<i64>) {
        for Stored { event, .. } in &events {
            let (name, subject) = (event.name(), event.subject.as_str());
            let order = (catalogue::key_of(name) == Some(Key::Order)).then_some(subject);
            tracing::debug!(order_id = order, event = name, "Announced {name} for {subject}");
        }
        let seqs: Vec<i64> = events.iter().map(|stored| stored.seq).collect();
        let mut state = self.lock();
        if let Some(saved) = saved {
            state.saved = state.saved.max(saved);
            state.saves = false;
        }
        if seqs.is_empty() {
            return;
        }
        let at_once = !state.resting
            && !state.behind
            && events.len() <= state.room()
            && state.cursor.continues_with(&seqs);
        if at_once {
            state.cursor.go_on(&seqs);
            state.offered.clear();
            self.offer(state, events);
        } else {
            state.behind = true;
            let told = if state.resting { &self.left_to_others } else { &self.changed };
            told.notify_one();
        }
    }

    /// Makes the relay of a service. It rests until [`Relay::begin`], and then first offers what a former process left.
    #[must_use]
    pub fn new(service: &'static str, bus: Arc<dyn Bus>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            service,
            bus,
            this: this.clone(),
            state: Mutex::new(RelayState {
                round: 0,
                resting: true,
                in_flight: BTreeSet::new(),
                offered: BTreeSet::new(),
                saved: 0,
                saves: false,
                cursor: Cursor::default(),
                behind: true,
                catching_up: false,
            }),
            changed: Notify::new(),
            left_to_others: Notify::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, RelayState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the service whose events it relays.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Returns the `seq` up to which the bus has taken over every event, and whether there are events above it.
    #[must_use]
    pub fn handed_over(&self) -> (i64, bool) {
        let state = self.lock();
        let position = state.position();
        (position, state.behind || position < state.cursor.last())
    }

    /// Waits until an event is committed while the relay rests.
    pub async fn leaves_to_others(&self) {
        self.left_to_others.notified().await;
    }

    /// Makes the relay read the table: another replica has committed.
    pub fn wake(&self) {
        self.lock().behind = true;
        self.changed.notify_one();
    }

    /// Forgets the events in flight, and rests until [`Relay::begin`].
    pub fn rest(&self) {
        let mut state = self.lock();
        state.round += 1;
        state.resting = true;
        state.in_flight.clear();
        state.offered.clear();
        state.behind = true;
    }

    /// Ends the rest: offers every event above `position`. Returns the round that begins.
    pub fn begin(&self, position: i64) -> u64 {
        let mut state = self.lock();
        state.resting = false;
        state.saved = position;
        state.cursor = Cursor::behind(position);
        let round = state.round;
        drop(state);
        self.changed.notify_one();
        round
    }

    /// Offers events. Only the writer's thread calls it, so events are offered in the order of their commits.
    pub(super) fn offer(&self, mut state: MutexGuard<'_, RelayState>, events: Vec<Stored>) {
        if events.is_empty() {
            return;
        }
        state.in_flight.extend(events.iter().map(|stored| stored.seq));
        let seen = state.cursor.seen();
        let unseen = events.iter().map(|stored| stored.seq).filter(|seq| *seq > seen);
        state.offered.extend(unseen);
        let round = state.round;
        drop(state);
        Arc::clone(&self.bus).offer(&self.this, self.service, round, events);
    }

    /// Notes that the bus has taken over events of a round: every reader has committed them, or the broker has stored them.
    pub fn taken_over(&self, round: u64, seqs: &[i64]) {
        let mut state = self.lock();
        if state.round != round {
            return;
        }
        for seq in seqs {
            state.in_flight.remove(seq);
        }
        if state.behind {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Saves the position, which would wait for more events or the poll, so that the table says what is published.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed or is busy.
    pub async fn save_position(&self, database: &Database) -> Result<(), StoreError> {
        self.lock().saves = true;
        match self.position_to_save() {
            Some(_) => database.write(|_| Ok(())).await,
            None => Ok(()),
        }
    }

    /// Offers rows that are only in the table, until `stop` is cancelled. The poll is a commit that saves the position, and finds the
    /// events of a commit whose outcome was not known.
    pub async fn run(self: Arc<Self>, database: Database, stop: CancellationToken) {
        let mut looked_at = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(looked_at + POLL) => {}
            }
            let now = Instant::now();
            let polls = now >= looked_at + POLL;
            if polls {
                looked_at = now;
            }
            let may_catch_up = {
                let mut state = self.lock();
                state.saves |= polls;
                let room = state.in_flight.len() <= IN_FLIGHT_MAX / 2;
                let asked = (state.behind || polls) && !state.resting;
                let may_catch_up = room && asked && !state.catching_up;
                state.catching_up |= may_catch_up;
                may_catch_up
            };
            if may_catch_up {
                database.push(Box::new(CatchUp::new(Arc::clone(&self), polls)));
            }
        }
        // Else the next process would offer events again that every reader has acted on.
        let _ = self.save_position(&database).await;
    }
}
