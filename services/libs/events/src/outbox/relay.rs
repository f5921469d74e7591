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

use super::{IN_FLIGHT_MAX, Stored, append, cursor::Cursor, mark, works::CatchUp};
use crate::bus::Bus;

/// How often the relay looks without being woken: the safety net.
const POLL: Duration = Duration::from_secs(1);
/// How many events that were taken over one commit marks at most, and how many are not left to the next commit of other work.
const MARKED_AT_ONCE: usize = 512;

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
}

pub(super) struct RelayState {
    /// How often it began again from what the table says. What belongs to an earlier round is over.
    pub(super) round: u64,
    /// Whether it may not offer anything now.
    pub(super) resting: bool,
    /// Offered, not taken over yet.
    pub(super) in_flight: BTreeSet<i64>,
    /// Offered, behind the place up to which all are seen. Only kept where nothing is marked.
    pub(super) offered: BTreeSet<i64>,
    /// Taken over, not marked yet. The next commit marks them, whatever it is of.
    pub(super) unmarked: BTreeSet<i64>,
    /// Up to where the table was seen.
    pub(super) cursor: Cursor,
    /// Whether there may be rows that are only in the table.
    pub(super) behind: bool,
    /// Whether they are being read.
    pub(super) catching_up: bool,
}

impl RelayState {
    pub(super) fn room(&self) -> usize {
        IN_FLIGHT_MAX.saturating_sub(self.in_flight.len() + self.unmarked.len())
    }

    /// Returns whether an event was offered in this round, and the table may not say yet that it was taken over.
    pub(super) fn is_offered(&self, seq: i64, marks: bool) -> bool {
        match marks {
            true => self.in_flight.contains(&seq) || self.unmarked.contains(&seq),
            false => self.offered.contains(&seq),
        }
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
        // In ascending order everywhere, so that two relays of one schema never wait for each other in a circle.
        let marked: Vec<i64> = self.lock().unmarked.iter().take(MARKED_AT_ONCE).copied().collect();
        mark(tx, &marked)?;
        let happened = !events.is_empty() || !marked.is_empty();
        let relay = self.this.upgrade().filter(|_| happened);
        Ok(relay.map(|relay| Box::new(move || relay.committed(events, &marked)) as AfterCommit))
    }
}

impl Relay {
    /// Takes the events of one commit, in order, and what it marked. Called by the writer, so it must not wait.
    fn committed(&self, events: Vec<Stored>, marked: &[i64]) {
        for Stored { event, .. } in &events {
            let (name, subject) = (event.name(), event.subject.as_str());
            let order = (catalogue::key_of(name) == Some(Key::Order)).then_some(subject);
            tracing::debug!(order_id = order, event = name, "Announced {name} for {subject}");
        }
        let places: Vec<i64> = events.iter().map(|stored| stored.seq).collect();
        let mut state = self.lock();
        for seq in marked {
            state.unmarked.remove(seq);
        }
        if !marked.is_empty() && (state.behind || state.unmarked.len() >= MARKED_AT_ONCE) {
            self.changed.notify_one();
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
                unmarked: BTreeSet::new(),
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
        let mut is_full = false;
        if self.marks {
            let before = state.unmarked.len();
            state.unmarked.extend(seqs);
            is_full = before < MARKED_AT_ONCE && state.unmarked.len() >= MARKED_AT_ONCE;
        }
        if state.behind || is_full {
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Marks what was taken over and would wait for the next commit, so that the table says what is published.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed or is busy.
    pub async fn mark_all(&self, database: &Database) -> Result<(), StoreError> {
        for _ in 0..IN_FLIGHT_MAX / MARKED_AT_ONCE {
            if self.lock().unmarked.is_empty() {
                break;
            }
            database.write(|_| Ok(())).await?;
        }
        Ok(())
    }

    /// Catches up with what was left in the table, until it is told to stop. At each poll, and when much is not marked, this is
    /// the commit that marks.
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
            let may_look = {
                let mut state = self.lock();
                let room = state.room() >= IN_FLIGHT_MAX / 2;
                let asked = (state.behind || polls) && !state.resting;
                let is_full = state.unmarked.len() >= MARKED_AT_ONCE;
                let may_look = ((room && asked) || is_full) && !state.catching_up;
                state.catching_up |= may_look;
                may_look
            };
            if may_look {
                database.push(Box::new(CatchUp::new(Arc::clone(&self), polls)));
            }
        }
        // What is not marked is offered again by the next process; its readers would know it, but it need not come.
        let _ = self.mark_all(&database).await;
    }
}
