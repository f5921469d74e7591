//! The relay: what is committed goes to the bus at once if it may, else it is read from the table when there is room.

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
/// By how many places the position has moved when a commit of other work saves it. What is behind it is offered again after
/// a crash, and its readers know it.
const SAVED_AT: i64 = 512;

/// Carries the events of one service from its outbox to the bus.
pub struct Relay {
    service: &'static str,
    bus: Arc<dyn Bus>,
    this: Weak<Self>,
    state: Mutex<RelayState>,
    pub(super) changed: Notify,
    /// Told of commits while it rests: another replica may be the one to offer them.
    left_to_others: Notify,
}

pub(super) struct RelayState {
    /// How often it began again from what the table says. What belongs to an earlier round is over.
    pub(super) round: u64,
    /// Whether it may not offer anything now.
    pub(super) resting: bool,
    /// Offered, not taken over yet.
    pub(super) in_flight: BTreeSet<i64>,
    /// Offered, behind the place up to which all are seen.
    pub(super) offered: BTreeSet<i64>,
    /// The position that is saved. Only kept where the bus is no broker, which keeps its own.
    saved: i64,
    /// Whether the next commit saves the position, however little it has moved.
    saves: bool,
    /// Up to where the table was seen.
    pub(super) cursor: Cursor,
    /// Whether there may be rows that are only in the table.
    pub(super) behind: bool,
    /// Whether they are being read.
    pub(super) catching_up: bool,
}

impl RelayState {
    pub(super) fn room(&self) -> usize {
        IN_FLIGHT_MAX.saturating_sub(self.in_flight.len())
    }

    /// Returns the place up to which everything was taken over.
    fn place(&self) -> i64 {
        let first = self.in_flight.first().map_or(i64::MAX, |first| first - 1);
        first.min(self.cursor.seen())
    }

    /// Goes on to a place.
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
        let place = self.place_to_save();
        if let Some(place) = place {
            position::advance(tx, PROCESS, place, place)?;
        }
        let happened = !events.is_empty() || place.is_some();
        let relay = self.this.upgrade().filter(|_| happened);
        Ok(relay.map(|relay| Box::new(move || relay.committed(events, place)) as AfterCommit))
    }
}

impl Relay {
    /// Returns the position if this commit is to save it.
    fn place_to_save(&self) -> Option<i64> {
        let state = self.lock();
        let place = state.place();
        let moved = place - state.saved;
        let is_due = moved >= SAVED_AT || (state.saves && moved > 0);
        (is_due && !self.bus.is_broker()).then_some(place)
    }

    /// Takes the events of one commit, in order, and the position that it saved. Called by the writer, so it must not wait.
    fn committed(&self, events: Vec<Stored>, saved: Option<i64>) {
        for Stored { event, .. } in &events {
            let (name, subject) = (event.name(), event.subject.as_str());
            let order = (catalogue::key_of(name) == Some(Key::Order)).then_some(subject);
            tracing::debug!(order_id = order, event = name, "Announced {name} for {subject}");
        }
        let places: Vec<i64> = events.iter().map(|stored| stored.seq).collect();
        let mut state = self.lock();
        if let Some(saved) = saved {
            state.saved = state.saved.max(saved);
            state.saves = false;
        }
        if places.is_empty() {
            return;
        }
        let at_once = !state.resting
            && !state.behind
            && events.len() <= state.room()
            && state.cursor.continues_with(&places);
        if at_once {
            state.cursor.go_on(&places);
            state.offered.clear();
            self.offer(state, events);
        } else {
            state.behind = true;
            let told = if state.resting { &self.left_to_others } else { &self.changed };
            told.notify_one();
        }
    }

    /// Makes the relay of a service. It rests until [`Relay::begin`]; whatever a former process left is offered first then.
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

    /// Returns whose it is.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Returns the place up to which everything was taken over, and whether there is more behind it.
    #[must_use]
    pub fn handed_over(&self) -> (i64, bool) {
        let state = self.lock();
        let place = state.place();
        (place, state.behind || place < state.cursor.last())
    }

    /// Waits until something was committed while it rests.
    pub async fn leaves_to_others(&self) {
        self.left_to_others.notified().await;
    }

    /// Lets it look into the table: another replica has committed.
    pub fn wake(&self) {
        self.lock().behind = true;
        self.changed.notify_one();
    }

    /// Forgets what is on its way, and rests until [`Relay::begin`].
    pub fn rest(&self) {
        let mut state = self.lock();
        state.round += 1;
        state.resting = true;
        state.in_flight.clear();
        state.offered.clear();
        state.behind = true;
    }

    /// Ends the rest: begins behind a place up to which everything was taken over. Returns the round that begins.
    pub fn begin(&self, place: i64) -> u64 {
        let mut state = self.lock();
        state.resting = false;
        state.saved = place;
        state.cursor = Cursor::behind(place);
        let round = state.round;
        drop(state);
        self.changed.notify_one();
        round
    }

    /// Offers events. Only the writer's thread does, so they are offered in the order of their commits.
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

    /// Notes that events of a round were taken over: every reader has committed them, or the broker keeps them.
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
        match self.place_to_save() {
            Some(_) => database.write(|_| Ok(())).await,
            None => Ok(()),
        }
    }

    /// Catches up with what was left in the table, until it is told to stop. The poll is a commit that saves the position.
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
        // What is behind the position is offered again by the next process; its readers would know it, but it need not come.
        let _ = self.save_position(&database).await;
    }
}
