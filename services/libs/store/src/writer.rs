//! One writer: a queue of work, and rounds that take what waits into one transaction. Callers are answered after the commit.
//!
//! A round first does all its work together. If a piece is rejected, or another replica changed the same rows, the round is
//! rolled back and each work is done again in a transaction of its own, and rejected work piece by piece: a bad piece costs
//! the others only time. That needs no savepoints, because work is a function of its pieces and the database.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;
use tracing::{debug, error, warn};

use crate::{
    Access, AfterCommit, Clock, CommitHook, Connection, Execution, StoreError, Tx, health::Health,
    metrics::WriterMetrics,
};

/// How many attempts work has when other replicas change the same rows at the same time.
const DECISIONS_MAX: usize = 5;
/// How many works one transaction has.
const WORKS_PER_ROUND_MAX: usize = 16;
/// How many changes by [`Database::write`](super::Database::write) wait at most; more are refused at once. Such work is rare:
/// frequent changes go through a [`BatchQueue`](crate::BatchQueue).
pub const WRITES_WAITING_MAX: usize = 256;
/// How much work waits beside those at most: a batch queue, a relay, a consumer and a worker queue no second work before
/// their first is done, and a service has a few of each.
const OTHER_WORKS_MAX: usize = 64;

/// Work for the writer: some pieces, done in one transaction or in one each.
pub trait Work: Send {
    /// Takes the pieces that wait now; returns how many they are.
    fn gather(&mut self) -> usize;
    /// Does some of the pieces. May be called again for the same pieces after a roll-back.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed; then nothing of these pieces is saved.
    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError>;
    /// Reports the outcome of some of the pieces: saved, or why not.
    fn settle(&mut self, pieces: Range<usize>, outcome: Result<(), StoreError>);
    /// Returns whether no other work may be in its transaction.
    fn is_exclusive(&self) -> bool {
        false
    }
}

/// The queue of the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    /// Gets the writer a thread.
    serve: OnceLock<Box<dyn Fn() + Send + Sync>>,
    waiting: AtomicUsize,
    rows: AtomicUsize,
    refused: AtomicU64,
    pub(crate) metrics: WriterMetrics,
}

#[derive(Default)]
struct QueueState {
    works: VecDeque<Box<dyn Work>>,
    /// Whether the writer has a thread, or waits for one.
    is_served: bool,
    closed: bool,
}

/// What the queue has for the writer.
pub(crate) enum Next {
    /// The works of a round.
    Works(Vec<Box<dyn Work>>),
    /// Nothing now; `serve` is called when there is.
    Nothing,
    /// Nothing, and never again: the queue is closed.
    End,
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues work. After [`Queue::close`] it is settled at once with [`StoreError::Closed`].
    pub(crate) fn push(&self, mut work: Box<dyn Work>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            let pieces = work.gather();
            work.settle(0..pieces, Err(StoreError::Closed));
            return;
        }
        state.works.push_back(work);
        debug_assert!(
            state.works.len() <= WRITES_WAITING_MAX + OTHER_WORKS_MAX,
            "work is queued without a bound"
        );
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.tell(state);
    }

    /// Sets how the idle writer gets a thread; `serve` is called at once if there is work already.
    pub(crate) fn serve_by(&self, serve: impl Fn() + Send + Sync + 'static) {
        let _first = self.serve.set(Box::new(serve));
        let state = self.lock();
        if !state.works.is_empty() || state.closed {
            self.tell(state);
        }
    }

    fn tell(&self, mut state: MutexGuard<'_, QueueState>) {
        let Some(serve) = self.serve.get() else { return };
        let was_served = std::mem::replace(&mut state.is_served, true);
        drop(state);
        if !was_served {
            serve();
        }
    }

    /// Returns how much work waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many rows wait in all batch queues.
    pub(crate) fn waiting_rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn rows_came(&self, rows: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn rows_went(&self, rows: usize) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// Counts a work that was refused because too much waits.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many works were refused because too much waited.
    pub(super) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lets the writer do the queued work, and then end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.tell(state);
    }

    /// Returns the works of the next round.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.lock();
        if !state.works.is_empty() {
            Next::Works(self.take_round(&mut state))
        } else if state.closed {
            Next::End
        } else {
            state.is_served = false;
            Next::Nothing
        }
    }

    /// Returns whether the writer needs another round; else it is idle until `serve` is called.
    pub(crate) fn needs_round(&self) -> bool {
        let mut state = self.lock();
        state.is_served = !state.works.is_empty() || state.closed;
        state.is_served
    }

    fn take_round(&self, state: &mut QueueState) -> Vec<Box<dyn Work>> {
        let together = state.works.iter().take_while(|work| !work.is_exclusive()).count();
        let taken = together.clamp(1, WORKS_PER_ROUND_MAX);
        self.waiting.fetch_sub(taken, Ordering::Relaxed);
        state.works.drain(..taken).collect()
    }
}

/// The writer of one database. It has the only connection that writes.
pub(super) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) queue: Arc<Queue>,
    pub(crate) service: &'static str,
    pub(crate) clock: Clock,
    pub(crate) hook: Arc<dyn CommitHook>,
    pub(super) health: Arc<Health>,
    pub(crate) execution: Execution,
}

impl Writer {
    /// Works as a task of a simulation until the queue is closed and empty.
    #[cfg(feature = "testing")]
    pub(crate) async fn run_as_task(mut self, steps: Arc<dyn crate::Steps>) {
        let told = Arc::new(Notify::new());
        let tells = Arc::clone(&told);
        self.queue.serve_by(move || tells.notify_one());
        steps.pause(self.service).await;
        loop {
            match self.queue.next() {
                Next::Works(works) => {
                    self.gather_and_run(works);
                    steps.pause(self.service).await;
                }
                Next::Nothing => told.notified().await,
                Next::End => return,
            }
        }
    }

    pub(crate) fn gather_and_run(&mut self, works: Vec<Box<dyn Work>>) {
        let mut works: Vec<(Box<dyn Work>, usize)> = works
            .into_iter()
            .map(|mut work| {
                let pieces = work.gather();
                (work, pieces)
            })
            .filter(|(_, pieces)| *pieces > 0)
            .collect();
        if !works.is_empty() {
            self.round(&mut works);
        }
    }

    fn round(&mut self, works: &mut [(Box<dyn Work>, usize)]) {
        match self.transaction(|tx| {
            works.iter_mut().try_for_each(|(work, pieces)| work.run(tx, 0..*pieces))
        }) {
            Ok(saved) => {
                let pieces = works.iter().map(|(_, pieces)| pieces).sum();
                self.queue.metrics.committed(works.len(), pieces);
                for (work, pieces) in works {
                    work.settle(0..*pieces, Ok(()));
                }
                Self::hand_over(saved);
            }
            Err(StoreError::Rejected(why)) => {
                let is_only = works.len() == 1;
                for (work, pieces) in works {
                    if is_only {
                        self.piece_by_piece(work.as_mut(), *pieces, &why);
                    } else {
                        self.exclusive(work.as_mut(), *pieces);
                    }
                }
            }
            Err(StoreError::Conflict(_)) => {
                self.queue.metrics.retried();
                for (work, pieces) in works {
                    self.exclusive(work.as_mut(), *pieces);
                }
            }
            Err(error) => {
                warn!("Saved nothing: {error}");
                for (work, pieces) in works {
                    work.settle(0..*pieces, Err(error.clone()));
                }
            }
        }
    }

    fn exclusive(&mut self, work: &mut dyn Work, pieces: usize) {
        match self.decided_again(|tx, work| work.run(tx, 0..pieces), work) {
            Ok(saved) => {
                self.queue.metrics.committed(1, pieces);
                work.settle(0..pieces, Ok(()));
                Self::hand_over(saved);
            }
            Err(StoreError::Rejected(why)) => self.piece_by_piece(work, pieces, &why),
            Err(error) => work.settle(0..pieces, Err(error)),
        }
    }

    /// Does work in a transaction of its own; again, up to [`DECISIONS_MAX`] times, if another replica changed the same rows.
    fn decided_again(
        &mut self,
        body: impl Fn(&mut Tx<'_>, &mut dyn Work) -> Result<(), StoreError>,
        work: &mut dyn Work,
    ) -> Result<Saved, StoreError> {
        for _ in 1..DECISIONS_MAX {
            match self.transaction(|tx| body(tx, work)) {
                Err(StoreError::Conflict(why)) => {
                    self.queue.metrics.retried();
                    debug!("Decides again: {why}");
                }
                done => return done,
            }
        }
        self.transaction(|tx| body(tx, work))
    }

    fn piece_by_piece(&mut self, work: &mut dyn Work, pieces: usize, why: &Arc<str>) {
        if pieces == 1 {
            work.settle(0..1, Err(StoreError::Rejected(Arc::clone(why))));
            return;
        }
        for piece in 0..pieces {
            match self.decided_again(|tx, work| work.run(tx, piece..piece + 1), work) {
                Ok(saved) => {
                    self.queue.metrics.committed(1, 1);
                    work.settle(piece..piece + 1, Ok(()));
                    Self::hand_over(saved);
                }
                Err(error) => work.settle(piece..piece + 1, Err(error)),
            }
        }
    }

    /// Does work in a transaction; once more if the connection died before `COMMIT` was sent, since then nothing is saved.
    fn transaction(
        &mut self,
        mut body: impl FnMut(&mut Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<Saved, StoreError> {
        let before = self.connection.changes();
        let done = self.connection.ready().and_then(|()| match self.attempt(&mut body) {
            Err(StoreError::Engine(why)) if self.connection.is_lost() => {
                self.queue.metrics.retried();
                debug!("Begins again on a new connection: {why}");
                self.connection.ready()?;
                self.attempt(&mut body)
            }
            done => done,
        });
        match &done {
            // A commit of nothing writes nothing, so it proves nothing.
            Ok(_) if before.is_some() && before == self.connection.changes() => {}
            Ok(_) => self.health.committed(),
            Err(error) => self.health.note(error),
        }
        done
    }

    fn attempt(
        &mut self,
        mut body: impl FnMut(&mut Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<Saved, StoreError> {
        if let Err(error) = self.connection.begin(Access::Write) {
            self.connection.roll_back();
            return Err(error);
        }
        let mut tx = Tx::new(&mut self.connection, self.service, &self.clock);
        // A bug in one piece of work must not end the writer for all: it is refused like any other bad piece.
        let done = catch_unwind(AssertUnwindSafe(|| {
            body(&mut tx)?;
            self.hook.before_commit(&mut tx)
        }))
        .unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words =
                words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            error!("Work panicked: {words}");
            Err(StoreError::rejected(format!("the work panicked: {words}")))
        });
        let wakes = std::mem::take(&mut tx.wakes);
        let committed = done.and_then(|after| {
            self.execution.before_commit(self.service)?;
            let began = Instant::now();
            self.connection.commit()?;
            self.queue.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
            self.execution.after_commit(self.service)?;
            Ok(Saved { after, wakes })
        });
        match committed {
            Ok(saved) => Ok(saved),
            Err(error) => {
                self.connection.roll_back();
                Err(error)
            }
        }
    }

    fn hand_over(saved: Saved) {
        if let Some(after) = saved.after {
            after();
        }
        for signal in saved.wakes {
            signal.notify_one();
        }
    }
}

/// What is called after a commit.
struct Saved {
    after: Option<AfterCommit>,
    wakes: Vec<Arc<Notify>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn exclusive_work_has_a_round_of_its_own() {
        let queue = Queue::default();
        for is_exclusive in [false, false, true, true, false] {
            let mut batch = Batch::<(), ()>::new(Arc::new(|_, _| Ok(Vec::new())), Vec::new());
            batch.is_exclusive = is_exclusive;
            queue.push(Box::new(batch));
        }
        queue.close();
        let rounds: Vec<usize> = std::iter::from_fn(|| match queue.next() {
            Next::Works(works) => Some(works.len()),
            Next::Nothing | Next::End => None,
        })
        .collect();
        assert_eq!((rounds, queue.waiting()), (vec![2, 1, 1, 1], 0));
    }
}
