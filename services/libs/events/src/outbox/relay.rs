//! The relay: what is committed goes to the bus at once if it may, else it is read from the table when there is room.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use contracts::events::catalogue::{self, Key};
use store::{AfterCommit, CommitHook, Database, StoreError, Tx};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    IN_FLIGHT_MAX, Stored, append,
    cursor::Cursor,
    works::{CatchUp, Mark},
};
use crate::bus::Bus;

/// How often the relay looks without being woken: the safety net.
const POLL: Duration = Duration::from_secs(1);
/// How many events that were taken over are marked without waiting for more.
const MARKED_AT_ONCE: usize = 512;
/// How long an event that was taken over may wait to be marked. Marking is a commit: at a thousand orders a second this
/// saves most of them, and what a crash leaves unmarked is known to its readers.
const MARKED_WITHIN: Duration = Duration::from_millis(20);

/// Carries the events of one service from its outbox to the bus.
pub struct Relay {
    service: &'static str,
    bus: Arc<dyn Bus>,
    /// Whether it marks each event that was taken over.
    pub(super) marks: bool,
    this: Weak<Self>,
    state: Mutex<RelayState>,
    pub(super) changed: Notify,
    /// Told of commits while it rests: another replica may be the one to offer them.
    left_to_others: Notify,
    pub(super) marking: AtomicBool,
}

pub(super) struct RelayState {
    /// How often it began again from what the table says. What belongs to an earlier round is over.
    pub(super) round: u64,
    /// Whether it may not offer anything now.
    pub(super) resting: bool,
    /// Offered, not taken over or not marked yet.
    pub(super) in_flight: BTreeSet<i64>,
    /// Offered, behind the place up to which all are seen. Only kept where nothing is marked.
    pub(super) offered: BTreeSet<i64>,
    /// Taken over, not marked yet.
    pub(super) taken_over: Vec<i64>,
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

    /// Goes on to a place, where nothing is marked.
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
        let events = append(tx, self.marks)?;
        let relay = self.this.upgrade().filter(|_| !events.is_empty());
        Ok(relay.map(|relay| Box::new(move || relay.committed(events)) as AfterCommit))
    }
}

impl Relay {
    /// Takes the events of one commit, in order. Called by the writer, so it must not wait.
    fn committed(&self, events: Vec<Stored>) {
        let service = self.service;
        for Stored { event, .. } in &events {
            let (name, subject) = (event.name(), event.subject.as_str());
            let order = (catalogue::key_of(name) == Some(Key::Order)).then_some(subject);
            tracing::debug!(
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
            state.offered.clear();
            self.offer(state, events);
        } else {
            state.behind = true;
            let told = if state.resting { &self.left_to_others } else { &self.changed };
            told.notify_one();
        }
    }

    /// Makes the relay of a service. It begins behind: whatever a former process left is offered first. It rests until
    /// [`Relay::begin`] if its bus has to be found first.
    #[must_use]
    pub fn new(service: &'static str, bus: Arc<dyn Bus>) -> Arc<Self> {
        let resting = bus.is_broker();
        Arc::new_cyclic(|this| Self {
            service,
            bus,
            marks: !resting,
            this: this.clone(),
            state: Mutex::new(RelayState {
                round: 0,
                resting,
                in_flight: BTreeSet::new(),
                offered: BTreeSet::new(),
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
        let first = state.in_flight.first().map_or(i64::MAX, |first| first - 1);
        let place = first.min(state.cursor.seen());
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
        if !self.marks {
            let seen = state.cursor.seen();
            let unseen = events.iter().map(|stored| stored.seq).filter(|seq| *seq > seen);
            state.offered.extend(unseen);
        }
        let round = state.round;
        drop(state);
        self.bus.offer(&self.this, self.service, round, events);
    }

    /// Notes that events of a round were taken over: every reader has committed them, or the broker keeps them.
    pub fn taken_over(&self, round: u64, seqs: &[i64]) {
        let mut state = self.lock();
        if state.round != round {
            return;
        }
        if !self.marks {
            for seq in seqs {
                state.in_flight.remove(seq);
            }
            if state.behind {
                self.changed.notify_one();
            }
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
    pub async fn run(self: Arc<Self>, database: Database, stop: CancellationToken) {
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
        let mut seqs = std::mem::take(&mut state.taken_over);
        drop(state);
        if seqs.is_empty() {
            return;
        }
        // In one order everywhere, so that two relays of one schema never wait for each other in a circle.
        seqs.sort_unstable();
        self.marking.store(true, Ordering::Release);
        database.push(Box::new(Mark { relay: Arc::clone(self), seqs }));
    }
}
