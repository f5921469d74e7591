//! A bounded pool of connections that only read.
//!
//! A read holds a permit from before it takes a connection until the connection is back, on the thread that asks: a caller
//! that drops its read frees nothing early, so there are never more connections than permits. The dropped query is
//! cancelled, and the connection with it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::metrics::histogram::Histogram;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::Span;

use crate::{
    Clock, Execution, StoreError, Tx,
    database::Opened,
    health::Health,
    metrics::SECONDS,
    postgres::Canceller,
    service_span,
    transaction::{Access, Connection},
};

/// How many reads of a pool run at once, and so how many connections it has at most.
pub(super) const READERS_MAX: usize = 4;
/// How many reads wait for a reader of a pool at most; further reads are refused at once. At a millisecond a read this is a
/// quarter of a second, and the largest question (1,000 ids) weighs 16 kB: 16 MiB.
pub const READS_WAITING_MAX: usize = 1_024;

/// How many rows a look-up reads at most. At less than 10 us a row it holds up the other tasks of its thread by a third of a
/// millisecond.
pub const LOOK_UP_ROWS_MAX: usize = 32;

/// How often an abandoned query is cancelled: between two statements nothing hears it.
const CANCEL_EVERY: Duration = Duration::from_millis(100);
/// How often at most: then PostgreSQL's own time limit for a statement, 30 s, is over, too.
const CANCELS_MAX: usize = 300;

/// The pool.
pub(super) struct Readers {
    location: Opened,
    service: &'static str,
    span: Span,
    clock: Clock,
    health: Arc<Health>,
    execution: Execution,
    connections_max: usize,
    permits: Arc<Semaphore>,
    /// Permits to wait for one of `permits`.
    waiting: Semaphore,
    idle: Mutex<Vec<Pooled>>,
    open: Arc<AtomicUsize>,
    refused: AtomicU64,
    wait_seconds: Histogram,
}

impl Readers {
    /// Makes a pool of up to `connections_max` connections; none is opened before it is needed.
    pub(super) fn new(
        location: Opened,
        service: &'static str,
        clock: Clock,
        health: Arc<Health>,
        execution: Execution,
        connections_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            location,
            service,
            span: service_span(service),
            clock,
            health,
            execution,
            connections_max,
            permits: Arc::new(Semaphore::new(connections_max)),
            waiting: Semaphore::new(READS_WAITING_MAX),
            idle: Mutex::default(),
            open: Arc::default(),
            refused: AtomicU64::new(0),
            wait_seconds: Histogram::new(SECONDS),
        })
    }

    /// Asks a question; a connection that died before it answered is made anew, and asked once more.
    ///
    /// # Errors
    /// [`StoreError::Busy`], at once, if [`READS_WAITING_MAX`] reads wait already; else what the question or the database
    /// says.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.permit().await?;
        let caller = Caller(Arc::default());
        let (readers, query) = (Arc::clone(self), Arc::clone(&caller.0));
        let ask = move || {
            let answer = readers.span.in_scope(|| readers.answer(&query, &question));
            drop(permit);
            answer
        };
        self.execution.blocking(self.service, ask).await
    }

    /// Asks a question that reads few rows by their keys, on this thread if there is an idle connection to SQLite.
    ///
    /// # Errors
    /// As [`Readers::read`].
    pub(super) async fn look_up<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.answer_here(&question) {
            Some(answer) => answer,
            None => self.read(question).await,
        }
    }

    fn answer_here<T>(
        &self,
        question: &impl Fn(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        let is_sqlite = matches!(self.location, Opened::Sqlite { .. });
        let has_threads = matches!(self.execution, Execution::Threads(_));
        let is_here = is_sqlite && has_threads && !self.idle().is_empty();
        let _permit = is_here.then(|| self.permits.try_acquire().ok())??;
        self.wait_seconds.observe(0.0);
        Some(self.span.in_scope(|| self.answer(&Query::default(), question)))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let waiting = self.waiting.try_acquire().map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            StoreError::Busy { waiting: READS_WAITING_MAX }
        })?;
        let began = Instant::now();
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        self.wait_seconds.observe(began.elapsed().as_secs_f64());
        drop(waiting);
        permit.map_err(|_| StoreError::Closed)
    }

    fn answer<T>(
        &self,
        query: &Query,
        question: &impl Fn(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Pooled::new(self.location.reader()?, &self.open, self.connections_max),
        };
        let answer = self.ask(&mut connection.connection, query, question);
        if let Err(error) = &answer {
            self.health.note(error);
        }
        if query.ended() {
            let mut idle = self.idle();
            assert!(idle.len() < self.connections_max, "more idle readers than permits");
            idle.push(connection);
        }
        answer
    }

    fn ask<T>(
        &self,
        connection: &mut Connection,
        query: &Query,
        question: &impl Fn(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        connection.ready()?;
        match self.ask_once(connection, query, question) {
            Err(_) if connection.is_lost() => {
                connection.ready()?;
                self.ask_once(connection, query, question)
            }
            answer => answer,
        }
    }

    fn ask_once<T>(
        &self,
        connection: &mut Connection,
        query: &Query,
        question: &impl Fn(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        query.begun(connection.cancel())?;
        connection.begin(Access::Read)?;
        let answer = question(&mut Tx::new(connection, self.service, &self.clock));
        connection.roll_back();
        answer
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Pooled>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.idle().clear();
    }

    /// Returns how many reads wait for a reader.
    pub(super) fn waiting(&self) -> usize {
        READS_WAITING_MAX.saturating_sub(self.waiting.available_permits())
    }

    /// Returns how long reads waited for a reader.
    pub(super) const fn wait_seconds(&self) -> &Histogram {
        &self.wait_seconds
    }

    /// Returns how many connections answer a read.
    pub(super) fn busy(&self) -> usize {
        self.connections().saturating_sub(self.idle().len())
    }

    /// Returns how many connections the pool has.
    pub(super) fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns how many reads were refused because too many waited.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A connection that the pool counts for as long as it exists, also if the question on it panics.
struct Pooled {
    connection: Connection,
    open: Arc<AtomicUsize>,
}

impl Pooled {
    fn new(connection: Connection, open: &Arc<AtomicUsize>, connections_max: usize) -> Self {
        let before = open.fetch_add(1, Ordering::Relaxed);
        assert!(before < connections_max, "a reader without a permit");
        Self { connection, open: Arc::clone(open) }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How the engine is told to end a query.
pub(super) enum Cancel {
    Sqlite(rusqlite::InterruptHandle),
    Postgres(Arc<Canceller>),
}

impl Cancel {
    /// Cancels what runs now; between two statements that is nothing.
    async fn send(&self) {
        match self {
            Self::Sqlite(interrupt) => interrupt.interrupt(),
            Self::Postgres(canceller) => canceller.send().await,
        }
    }
}

/// What the thread that asks and the task that waits know of each other.
#[derive(Default)]
struct Query {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Resting,
    Asking(Cancel),
    /// The caller has gone, and the query runs on.
    Abandoned,
    Over,
}

impl Query {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how to cancel the query that begins; an error if the caller has gone.
    fn begun(&self, cancel: Option<Cancel>) -> Result<(), StoreError> {
        let mut state = self.lock();
        if matches!(*state, State::Abandoned) {
            return Err(StoreError::Closed);
        }
        *state = cancel.map_or(State::Resting, State::Asking);
        Ok(())
    }

    /// Notes that the query has ended; returns whether the connection may be used again. A cancellation that is under way could
    /// meet the next query on it.
    fn ended(&self) -> bool {
        let mut state = self.lock();
        !matches!(std::mem::replace(&mut *state, State::Over), State::Abandoned)
    }
}

/// The task that waits for an answer: cancels the query when it is dropped before that.
struct Caller(Arc<Query>);

impl Drop for Caller {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Over) {
            return;
        }
        let State::Asking(cancel) = std::mem::replace(&mut *state, State::Abandoned) else {
            return;
        };
        drop(state);
        let query = Arc::clone(&self.0);
        // Without a runtime the process ends, and its connections with it.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            for _ in 0..CANCELS_MAX {
                cancel.send().await;
                tokio::time::sleep(CANCEL_EVERY).await;
                if matches!(*query.lock(), State::Over) {
                    return;
                }
            }
        });
    }
}
