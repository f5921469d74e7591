//! Acting on events: read a batch, note it in the inbox, react, commit, acknowledge.

use std::{collections::HashMap, fmt, ops::Range, sync::Arc, time::Duration};

use contracts::events::{Envelope, catalogue::Catalogue};
use store::{BATCH_MAX, Database, Many, StoreError, Tx, Work, chain, jittered, params};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    announce::Announce as _,
    bus::{Delivery, Guard, Subscription},
    dead_letters, deferred,
    metrics::{ConsumerMetrics, ReaderMetrics},
};

/// How often an event that can't be acted on is tried before it is set aside.
pub const ATTEMPTS_MAX: i64 = 3;
/// How long to wait after the first failure of an event; doubled each time.
const PIECE_PAUSE: Duration = Duration::from_millis(10);
/// How long to wait after the first failure of the database; doubled up to the next figure.
const ENGINE_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause while the database is away.
const ENGINE_PAUSE_MAX: Duration = Duration::from_secs(2);

const NOTE: Many = Many {
    each: "INSERT INTO inbox (id, name, handled_at) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING",
    all: "INSERT INTO inbox (id, name, handled_at)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[])
         ON CONFLICT (id) DO NOTHING RETURNING id",
};

/// Every statement of this file for many rows, for the test that prepares them.
pub const MANY: [Many; 1] = [NOTE];

/// What a service does about events: a plain function from a transaction and a batch of events.
pub type Reaction = dyn Fn(&mut Tx<'_>, &[Arc<Envelope>]) -> Result<(), StoreError> + Send + Sync;

/// Makes a reaction of what a service does about events of one name: their name, and as many of them as can be acted on together.
pub fn by_name(
    react: impl Fn(&mut Tx<'_>, &str, &[Arc<Envelope>]) -> Result<(), StoreError>,
) -> impl Fn(&mut Tx<'_>, &[Arc<Envelope>]) -> Result<(), StoreError> {
    move |tx, events| in_runs(events).iter().try_for_each(|(name, events)| react(tx, name, events))
}

/// Acts on the events among these that this version knows and that were not acted on before; defers the others.
///
/// # Errors
/// [`StoreError::Rejected`] if one of them can't be acted on, [`StoreError::Engine`] if the database failed.
pub fn handle(
    tx: &mut Tx<'_>,
    catalogue: Catalogue,
    react: &Reaction,
    events: &[Arc<Envelope>],
) -> Result<(), StoreError> {
    let known = deferred::defer(tx, catalogue, events)?;
    act(tx, react, &known)
}

/// Acts on the events among these that were not acted on before.
pub(crate) fn act(
    tx: &mut Tx<'_>,
    react: &Reaction,
    events: &[Arc<Envelope>],
) -> Result<(), StoreError> {
    let fresh = note(tx, events)?;
    for event in &fresh {
        if let Some(trace) = &event.traceparent {
            tx.follow(event.subject.clone(), trace.clone());
        }
    }
    if fresh.is_empty() { Ok(()) } else { react(tx, &fresh) }
}

/// Notes events as acted on; returns those that were not.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    events: &[Arc<Envelope>],
) -> Result<Vec<Arc<Envelope>>, StoreError> {
    let now = tx.now();
    let noted =
        tx.change_all(&NOTE, events.iter().map(|event| params![event.id, event.name(), now]))?;
    let fresh = events.iter().zip(noted).filter(|(_, noted)| *noted);
    Ok(fresh.map(|(event, _)| Arc::clone(event)).collect())
}

/// Puts events of the same name together, as few batches as keep the events of each subject in their order.
fn in_runs(events: &[Arc<Envelope>]) -> Vec<(&str, Vec<Arc<Envelope>>)> {
    let mut runs: Vec<(&str, Vec<Arc<Envelope>>)> = Vec::new();
    let mut last_of: HashMap<&str, usize> = HashMap::new();
    for event in events {
        let earliest = last_of.get(event.subject.as_str()).copied().unwrap_or(0);
        let found = runs
            .iter()
            .skip(earliest)
            .position(|(name, _)| *name == event.name())
            .map(|at| at + earliest);
        let at = found.unwrap_or_else(|| {
            runs.push((event.name(), Vec::new()));
            runs.len() - 1
        });
        last_of.insert(&event.subject, at);
        runs[at].1.push(Arc::clone(event));
    }
    runs
}

/// Which events of a reader gather after a batch, so that one commit is for several: it saves CPU, and these events are
/// behind by the pause at most. Other events take those that gather with them at once.
#[derive(Clone, Copy, Debug)]
pub struct Gathering {
    /// The name of the events that gather; `None` for all.
    pub only: Option<&'static str>,
    /// How long they gather after a batch with such events.
    pub pause: Duration,
    /// How many events wait at most: so many are acted on at once.
    pub events_max: usize,
}

impl Gathering {
    /// No event gathers.
    pub const NONE: Self = Self { only: None, pause: Duration::ZERO, events_max: 1 };

    /// Returns whether events of this name gather.
    pub(crate) fn includes(&self, name: &str) -> bool {
        !self.pause.is_zero() && self.only.is_none_or(|only| only == name)
    }
}

/// One service's consumer. Clones are the same.
#[derive(Clone)]
pub struct Consumer {
    database: Database,
    catalogue: Catalogue,
    react: Arc<Reaction>,
    gathering: Gathering,
    /// How long all events gather after each batch from a broker that was not full.
    pause: Duration,
    metrics: Arc<ReaderMetrics>,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Consumer").field("service", &self.service()).finish_non_exhaustive()
    }
}

/// Why a batch was not done.
enum Undone {
    /// One of its events can't be acted on.
    Refused(Arc<str>),
    /// Another process acts on them now.
    Moved,
    /// The service ends.
    Stopped,
}

impl Consumer {
    /// Makes the consumer of the service whose database this is, which knows the events of a catalogue and counts them in
    /// the metrics of its process.
    #[must_use]
    pub fn new(
        database: Database,
        catalogue: Catalogue,
        react: Arc<Reaction>,
        metrics: &ConsumerMetrics,
    ) -> Self {
        let metrics = Arc::new(metrics.of(database.service(), catalogue));
        let (gathering, pause) = (Gathering::NONE, Duration::ZERO);
        Self { database, catalogue, react, gathering, pause, metrics }
    }

    /// Sets which events gather.
    #[must_use]
    pub const fn with_gathering(mut self, gathering: Gathering) -> Self {
        self.gathering = gathering;
        if gathering.only.is_none() {
            self.pause = gathering.pause;
        }
        self
    }

    /// Lets all events from a broker gather for at least so long after each batch that was not full.
    #[must_use]
    pub fn with_pause_at_least(mut self, pause: Duration) -> Self {
        self.pause = self.pause.max(pause);
        self
    }

    /// Returns which events gather.
    pub(crate) const fn gathering(&self) -> &Gathering {
        &self.gathering
    }

    /// Returns the database of its service.
    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// Returns what it counts.
    pub(crate) fn metrics(&self) -> &ReaderMetrics {
        &self.metrics
    }

    /// Acts on events, see [`handle`].
    ///
    /// # Errors
    /// As [`handle`].
    pub(crate) fn handle(
        &self,
        tx: &mut Tx<'_>,
        events: &[Arc<Envelope>],
    ) -> Result<(), StoreError> {
        handle(tx, self.catalogue, &*self.react, events)
    }

    /// Returns the catalogue of the events that it knows.
    #[must_use]
    pub const fn catalogue(&self) -> Catalogue {
        self.catalogue
    }

    /// Returns the service that it is of.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.database.service()
    }

    /// Consumes until `stop` is cancelled. What is under way then is finished.
    pub async fn run<S: Subscription>(self, mut subscription: S, stop: CancellationToken) {
        loop {
            let batch = tokio::select! {
                () = stop.cancelled() => break,
                batch = subscription.next(BATCH_MAX) => batch,
            };
            let guard = subscription.guard(&batch);
            let events: Vec<Arc<Envelope>> =
                batch.iter().map(|delivery| Arc::clone(&delivery.event)).collect();
            self.metrics.took(&events);
            let done = match self.attempt(events, &guard, &stop).await {
                Err(Undone::Refused(_)) => self.one_by_one(&batch, &guard, &stop).await,
                outcome => outcome,
            };
            match done {
                Ok(()) => {
                    self.metrics.committed();
                    subscription.acknowledge(&batch);
                }
                Err(Undone::Moved) => {
                    self.metrics.gave_up();
                    subscription.give_up();
                }
                // Only the end of the service leaves a batch undone: the bus keeps it.
                Err(Undone::Refused(_) | Undone::Stopped) => break,
            }
            if !self.pause.is_zero() && batch.len() < BATCH_MAX {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(self.pause) => {}
                }
            }
        }
        subscription.close().await;
    }

    /// Tries until the database has saved or refused it.
    async fn attempt(
        &self,
        events: Vec<Arc<Envelope>>,
        guard: &impl Guard,
        stop: &CancellationToken,
    ) -> Result<(), Undone> {
        let events: Arc<[Arc<Envelope>]> = events.into();
        let mut pause = ENGINE_PAUSE;
        loop {
            let (reply, answer) = oneshot::channel();
            let (react, events) = (Arc::clone(&self.react), Arc::clone(&events));
            let (catalogue, reply) = (self.catalogue, Some(reply));
            self.database.push(Box::new(Handling {
                catalogue,
                react,
                events,
                guard: guard.clone(),
                reply,
            }));
            match answer.await.unwrap_or(Err(StoreError::Closed)) {
                Ok(()) => return Ok(()),
                Err(StoreError::Rejected(why)) => return Err(Undone::Refused(why)),
                Err(StoreError::Closed) => return Err(Undone::Stopped),
                // A commit that may have happened is tried again, too: the inbox knows.
                Err(error) => self.wait(&error, guard, &mut pause, stop).await?,
            }
        }
    }

    /// Waits before the database is tried again.
    async fn wait(
        &self,
        why: &StoreError,
        guard: &impl Guard,
        pause: &mut Duration,
        stop: &CancellationToken,
    ) -> Result<(), Undone> {
        self.metrics.retried();
        warn!("Waits for its database: {why}");
        tokio::select! {
            () = stop.cancelled() => return Err(Undone::Stopped),
            () = tokio::time::sleep(jittered(*pause)) => {}
        }
        *pause = (*pause * 2).min(ENGINE_PAUSE_MAX);
        if guard.is_over() { Err(Undone::Moved) } else { Ok(()) }
    }

    /// Acts on each event by itself, in order; sets aside those that can't be acted on.
    async fn one_by_one(
        &self,
        batch: &[Delivery<impl Sync>],
        guard: &impl Guard,
        stop: &CancellationToken,
    ) -> Result<(), Undone> {
        for delivery in batch {
            let event = &delivery.event;
            let mut attempts = 1;
            let mut pause = PIECE_PAUSE;
            while let Err(undone) = self.attempt(vec![Arc::clone(event)], guard, stop).await {
                let Undone::Refused(why) = undone else { return Err(undone) };
                self.metrics.failed(event);
                if attempts == ATTEMPTS_MAX {
                    let (id, subject) = (event.id, event.subject.as_str());
                    error!(
                        order_id = subject,
                        "Set aside event {id} after {attempts} attempts: {why}"
                    );
                    self.set_aside(event, &why, attempts, guard, stop).await?;
                    break;
                }
                attempts += 1;
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Ok(())
    }

    async fn set_aside(
        &self,
        event: &Arc<Envelope>,
        why: &Arc<str>,
        attempts: i64,
        guard: &impl Guard,
        stop: &CancellationToken,
    ) -> Result<(), Undone> {
        let mut pause = ENGINE_PAUSE;
        loop {
            let (event, why, checked) = (Arc::clone(event), Arc::clone(why), guard.clone());
            let saved = self.database.write(move |tx| {
                checked.check(tx)?;
                note(tx, std::slice::from_ref(&event))?;
                dead_letters::insert(tx, &event, &why, attempts)
            });
            match saved.await {
                Ok(()) => return Ok(()),
                Err(StoreError::Closed) => return Err(Undone::Stopped),
                Err(error) => self.wait(&error, guard, &mut pause, stop).await?,
            }
        }
    }
}

/// A batch of events before the writer: done together or not at all.
struct Handling<G> {
    catalogue: Catalogue,
    react: Arc<Reaction>,
    events: Arc<[Arc<Envelope>]>,
    guard: G,
    reply: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl<G: Guard> Work for Handling<G> {
    fn gather(&mut self) -> usize {
        1
    }

    fn run(&mut self, tx: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        self.guard.check(tx)?;
        handle(tx, self.catalogue, &*self.react, &self.events)
    }

    fn settle(&mut self, _: Range<usize>, outcome: Result<(), StoreError>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(outcome);
        }
    }
}

/// Reads an event as what its name says it is.
///
/// # Errors
/// [`StoreError::Rejected`] if it can't be read.
pub fn read<E: contracts::events::Event>(event: &Envelope) -> Result<E, StoreError> {
    event.read().map_err(|error| StoreError::rejected(chain(&error)))
}

/// Reads all events of a batch as what their name says they are.
///
/// # Errors
/// [`StoreError::Rejected`] if one can't be read.
pub fn read_all<E: contracts::events::Event>(
    events: &[Arc<Envelope>],
) -> Result<Vec<E>, StoreError> {
    events.iter().map(|event| read(event)).collect()
}

/// Returns the failure of a service that is sent an event which it does not read.
#[must_use]
pub fn unexpected(name: &str) -> StoreError {
    StoreError::rejected(format!("`{name}` is not an event that this service reads"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use contracts::{
        OrderId, Timestamp,
        events::{CancellationRequested, Envelope, OrderCancelled},
        services::ORDERS,
    };

    use super::in_runs;

    #[test]
    fn runs_are_few_and_keep_each_subject_in_order() {
        let (first, second) = (OrderId::new(), OrderId::new());
        let requested = |order| {
            Envelope::new(ORDERS, &CancellationRequested { order }, Timestamp::default(), None)
        };
        let cancelled =
            |order| Envelope::new(ORDERS, &OrderCancelled { order }, Timestamp::default(), None);
        let events = [
            requested(first),
            cancelled(first),
            requested(second),
            cancelled(second),
            requested(first),
        ];
        let events = events.map(Arc::new);
        let runs = in_runs(&events);
        let shape: Vec<(&str, usize)> =
            runs.iter().map(|(name, events)| (*name, events.len())).collect();
        assert_eq!(
            shape,
            [
                ("order.cancellation_requested", 2),
                ("order.cancelled", 2),
                ("order.cancellation_requested", 1)
            ]
        );
    }
}
