//! One writer: a queue of work before it, and one transaction for all that waits when it turns. Everyone is answered
//! after the commit.
//!
//! A turn first does all work together. If a piece is refused, or another replica was in the way, the whole turn is rolled back and its work is done again
//! in transactions of its own, and refused work piece by piece, so that one bad piece costs the others nothing but time.
//! No savepoints are needed for that, because work is a function of its pieces and the database.

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

/// How often work is decided at the most when others change the same at the same time.
const DECISIONS_MAX: usize = 5;
/// How much work of other kinds one transaction takes along.
const WORKS_PER_TURN_MAX: usize = 16;
/// How many changes by [`Database::write`](super::Database::write) wait at most; more are refused at once. Such work is rare:
/// what comes often is handed in at a form.
pub const WRITES_WAITING_MAX: usize = 256;
/// How much work waits beside those at most: a form, a relay, a consumer and a worker put no second work here before their
/// first is done, and a service has a few of each.
const OTHER_WORKS_MAX: usize = 64;

/// Work for the writer: some pieces, done together or apart.
pub trait Work: Send {
    /// Takes what is waiting now; returns how many pieces that is.
    fn gather(&mut self) -> usize;
    /// Does some of the pieces. May be called again for the same pieces after a roll-back.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed; then nothing of these pieces is saved.
    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError>;
    /// Tells some of the pieces how it ended: saved, or why not.
    fn settle(&mut self, pieces: Range<usize>, outcome: Result<(), StoreError>);
    /// Returns whether no other work may be in its transaction.
    fn is_exclusive(&self) -> bool {
        false
    }
}

/// The queue before the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    /// Brings the writer to the queue.
    serve: OnceLock<Box<dyn Fn() + Send + Sync>>,
    waiting: AtomicUsize,
    rows: AtomicUsize,
    refused: AtomicU64,
    pub(crate) metrics: WriterMetrics,
}

#[derive(Default)]
struct QueueState {
    works: VecDeque<Box<dyn Work>>,
    /// Whether the writer was told and has not rested since.
    is_served: bool,
    closed: bool,
}

/// What the writer finds before it.
pub(crate) enum Next {
    /// The works of a turn.
    Works(Vec<Box<dyn Work>>),
    /// None; it is told of the next.
    Nothing,
    /// None, and there will never be any.
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

    /// Puts work before the writer. What comes after the end is settled at once.
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
            "something puts work before the writer without a bound"
        );
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.tell(state);
    }

    /// Says how the writer is brought to the queue: at once, and whenever there is work and it rests.
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

    /// Returns how many rows wait at all forms.
    pub(crate) fn waiting_rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    pub(super) fn rows_came(&self, rows: usize) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn rows_went(&self, rows: usize) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// Counts work that was refused because too much waits.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how much work was refused so.
    pub(super) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lets the writer finish what waits, and then end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.tell(state);
    }

    /// Returns what the writer does next.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.lock();
        if !state.works.is_empty() {
            Next::Works(self.take_turn(&mut state))
        } else if state.closed {
            Next::End
        } else {
            state.is_served = false;
            Next::Nothing
        }
    }

    /// Returns whether the writer has something to do; else it rests until it is told.
    pub(crate) fn stays_in_line(&self) -> bool {
        let mut state = self.lock();
        state.is_served = !state.works.is_empty() || state.closed;
        state.is_served
    }

    fn take_turn(&self, state: &mut QueueState) -> Vec<Box<dyn Work>> {
        let together = state.works.iter().take_while(|work| !work.is_exclusive()).count();
        let taken = together.clamp(1, WORKS_PER_TURN_MAX);
        self.waiting.fetch_sub(taken, Ordering::Relaxed);
        state.works.drain(..taken).collect()
    }
}

/// What the writer needs.
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
                    self.gather_and_turn(works);
                    steps.pause(self.service).await;
                }
                Next::Nothing => told.notified().await,
                Next::End => return,
            }
        }
    }

    pub(crate) fn gather_and_turn(&mut self, works: Vec<Box<dyn Work>>) {
        let mut works: Vec<(Box<dyn Work>, usize)> = works
            .into_iter()
            .map(|mut work| {
                let pieces = work.gather();
                (work, pieces)
            })
            .filter(|(_, pieces)| *pieces > 0)
            .collect();
        if !works.is_empty() {
            self.turn(&mut works);
        }
    }

    fn turn(&mut self, works: &mut [(Box<dyn Work>, usize)]) {
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
                let alone = works.len() == 1;
                for (work, pieces) in works {
                    if alone {
                        self.piece_by_piece(work.as_mut(), *pieces, &why);
                    } else {
                        self.alone(work.as_mut(), *pieces);
                    }
                }
            }
            Err(StoreError::Conflict(_)) => {
                self.queue.metrics.retried();
                for (work, pieces) in works {
                    self.alone(work.as_mut(), *pieces);
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

    fn alone(&mut self, work: &mut dyn Work, pieces: usize) {
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

    /// Does work in a transaction of its own, and again if somebody else changed the same meanwhile.
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

    /// Does work in a transaction; once more if the connection died before the commit was asked for, for then nothing is
    /// saved.
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

/// What a commit lets out.
struct Saved {
    after: Option<AfterCommit>,
    wakes: Vec<Arc<Notify>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;

    #[test]
    fn who_wants_to_be_alone_has_a_turn_of_its_own() {
        let queue = Queue::default();
        for is_exclusive in [false, false, true, true, false] {
            let mut batch = Batch::<(), ()>::new(Arc::new(|_, _| Ok(Vec::new())), Vec::new());
            batch.is_exclusive = is_exclusive;
            queue.push(Box::new(batch));
        }
        queue.close();
        let turns: Vec<usize> = std::iter::from_fn(|| match queue.next() {
            Next::Works(works) => Some(works.len()),
            Next::Nothing | Next::End => None,
        })
        .collect();
        assert_eq!((turns, queue.waiting()), (vec![2, 1, 1, 1], 0));
    }
}
