//! One writer: a queue of work, and rounds that take what waits into one transaction. Callers are answered after the commit.
//!
//! A round first does all its work together. If a piece is rejected, or another replica changed the same rows, the round is
//! rolled back and each work is done again in a transaction of its own, and rejected work piece by piece: a bad piece costs
//! the others only time. That needs no savepoints, because work is a function of its pieces and the database.

use std::{
    any::Any,
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
///
/// Whatever becomes of the writer, it settles every piece of all work that was pushed. So a caller may wait for
/// [`Work::settle`] without a time limit.
pub trait Work: Send {
    /// Takes the pieces that wait now; returns how many they are.
    fn gather(&mut self) -> usize;
    /// Does some of the pieces. May be called again for the same pieces after a roll-back.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed; then nothing of these pieces is saved.
    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError>;
    /// Reports the outcome of some of the pieces: saved, or why not. If it panics, it is called once more for these pieces, with
    /// [`StoreError::Unknown`], and the writer ends.
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
    /// Gets the writer a thread, at once or at a moment.
    serve: OnceLock<Box<Serve>>,
    waiting: AtomicUsize,
    rows: AtomicUsize,
    refused: AtomicU64,
    pub(crate) metrics: WriterMetrics,
}

/// Gets a writer a thread: at once, or at a moment.
pub(crate) type Serve = dyn Fn(Option<Instant>) + Send + Sync;

#[derive(Default)]
struct QueueState {
    works: VecDeque<Box<dyn Work>>,
    /// Until when all of `works` may wait for other work; `None` if one of them may not.
    until: Option<Instant>,
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

    /// Queues work, which may wait for other work until a moment. After [`Queue::close`] it is settled at once with
    /// [`StoreError::Closed`].
    pub(crate) fn push(&self, work: Box<dyn Work>, until: Option<Instant>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            Taken::new(work).refuse(StoreError::Closed);
            return;
        }
        state.until = match (state.works.is_empty(), state.until) {
            (true, _) => until,
            (false, others) => others.zip(until).map(|(others, until)| others.min(until)),
        };
        state.works.push_back(work);
        debug_assert!(
            state.works.len() <= WRITES_WAITING_MAX + OTHER_WORKS_MAX,
            "work is queued without a bound"
        );
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.tell(state);
    }

    /// Sets how the idle writer gets a thread; `serve` is called at once if there is work already.
    pub(crate) fn serve_by(&self, serve: impl Fn(Option<Instant>) + Send + Sync + 'static) {
        let _first = self.serve.set(Box::new(serve));
        let state = self.lock();
        if !state.works.is_empty() || state.closed {
            self.tell(state);
        }
    }

    /// Ends the wait of work that may wait for other work.
    pub(crate) fn hurry(&self) {
        let mut state = self.lock();
        if state.until.take().is_some() {
            self.tell(state);
        }
    }

    fn tell(&self, mut state: MutexGuard<'_, QueueState>) {
        let Some(serve) = self.serve.get() else { return };
        if state.is_served {
            return;
        }
        let until = state.until.filter(|_| !state.closed);
        state.is_served = until.is_none();
        drop(state);
        serve(until);
    }

    /// Returns whether the writer needs a thread now, since the wait of its work is over; it counts as served then.
    pub(crate) fn come_due(&self) -> bool {
        let mut state = self.lock();
        match state.until {
            Some(until) if !state.is_served && until <= Instant::now() => {
                state.is_served = true;
                true
            }
            // Other work has come since, which waits longer.
            Some(_) => {
                self.tell(state);
                false
            }
            None => false,
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

    /// Closes the queue, and settles the queued work with [`StoreError::Closed`]: the writer can't do it any more.
    fn close_at_once(&self) {
        let mut state = self.lock();
        state.closed = true;
        let works = std::mem::take(&mut state.works);
        self.waiting.fetch_sub(works.len(), Ordering::Relaxed);
        drop(state);
        for work in works {
            Taken::new(work).refuse(StoreError::Closed);
        }
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

    /// Returns whether the writer needs another round now; else it is idle until `serve` is called.
    pub(crate) fn needs_round(&self) -> bool {
        let mut state = self.lock();
        let may_wait = state.works.is_empty() || state.until.is_some();
        state.is_served = !may_wait || state.closed;
        let is_served = state.is_served;
        if !state.works.is_empty() {
            self.tell(state);
        }
        is_served
    }

    fn take_round(&self, state: &mut QueueState) -> Vec<Box<dyn Work>> {
        state.until = None;
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
        self.queue.serve_by(move |until| {
            let Some(until) = until else { return tells.notify_one() };
            let tells = Arc::clone(&tells);
            tokio::spawn(async move {
                tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
                tells.notify_one();
            });
        });
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

    /// Runs one round. If it panics outside of a transaction, the writer ends: what it has of the database may be in the middle
    /// of anything. The work of the round is settled with [`StoreError::Unknown`], since its commit may have happened, and the
    /// work behind it with [`StoreError::Closed`].
    pub(crate) fn gather_and_run(&mut self, works: Vec<Box<dyn Work>>) {
        let mut works: Vec<Taken> = works.into_iter().map(Taken::new).collect();
        let done = catch_unwind(AssertUnwindSafe(|| {
            works.iter_mut().for_each(Taken::gather);
            works.retain(|taken| !taken.unsettled.is_empty());
            if !works.is_empty() {
                self.round(&mut works);
            }
        }));
        if let Err(panic) = done {
            let why = format!("the writer panicked: {}", words_of(&*panic));
            error!("The writer has ended, start the service again: {why}");
            self.health.note_writer_ended(&why);
            for taken in works {
                taken.refuse(StoreError::Unknown(why.as_str().into()));
            }
            self.queue.close_at_once();
        }
    }

    fn round(&mut self, works: &mut [Taken]) {
        match self.transaction(|tx| works.iter_mut().try_for_each(|taken| taken.run(tx))) {
            Ok(saved) => {
                let pieces = works.iter().map(|taken| taken.unsettled.len()).sum();
                self.queue.metrics.committed(works.len(), pieces);
                for taken in works {
                    taken.settle(&Ok(()));
                }
                Self::hand_over(saved);
            }
            Err(StoreError::Rejected(why)) => {
                let is_only = works.len() == 1;
                for taken in works {
                    if is_only {
                        self.piece_by_piece(taken, &why);
                    } else {
                        self.exclusive(taken);
                    }
                }
            }
            Err(StoreError::Conflict(_)) => {
                self.queue.metrics.retried();
                for taken in works {
                    self.exclusive(taken);
                }
            }
            Err(error) => {
                warn!("Saved nothing: {error}");
                let outcome = Err(error);
                for taken in works {
                    taken.settle(&outcome);
                }
            }
        }
    }

    fn exclusive(&mut self, taken: &mut Taken) {
        match self.decided_again(taken, Taken::run) {
            Ok(saved) => {
                self.queue.metrics.committed(1, taken.unsettled.len());
                taken.settle(&Ok(()));
                Self::hand_over(saved);
            }
            Err(StoreError::Rejected(why)) => self.piece_by_piece(taken, &why),
            Err(error) => taken.settle(&Err(error)),
        }
    }

    /// Does work in a transaction of its own; again, up to [`DECISIONS_MAX`] times, if another replica changed the same rows.
    fn decided_again(
        &mut self,
        taken: &mut Taken,
        run: fn(&mut Taken, &mut Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<Saved, StoreError> {
        for _ in 1..DECISIONS_MAX {
            match self.transaction(|tx| run(taken, tx)) {
                Err(StoreError::Conflict(why)) => {
                    self.queue.metrics.retried();
                    debug!("Decides again: {why}");
                }
                done => return done,
            }
        }
        self.transaction(|tx| run(taken, tx))
    }

    fn piece_by_piece(&mut self, taken: &mut Taken, why: &Arc<str>) {
        if taken.unsettled.len() == 1 {
            taken.settle(&Err(StoreError::Rejected(Arc::clone(why))));
            return;
        }
        while !taken.unsettled.is_empty() {
            match self.decided_again(taken, Taken::run_first) {
                Ok(saved) => {
                    self.queue.metrics.committed(1, 1);
                    taken.settle_first(Ok(()));
                    Self::hand_over(saved);
                }
                Err(error) => taken.settle_first(Err(error)),
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
            let words = words_of(&*panic);
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

/// Work that the writer has taken, and which of its pieces it has not settled.
struct Taken {
    work: Box<dyn Work>,
    is_gathered: bool,
    unsettled: Range<usize>,
}

impl Taken {
    const fn new(work: Box<dyn Work>) -> Self {
        Self { work, is_gathered: false, unsettled: 0..0 }
    }

    fn gather(&mut self) {
        self.unsettled = 0..self.work.gather();
        self.is_gathered = true;
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.work.run(tx, self.unsettled.clone())
    }

    fn run_first(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.work.run(tx, self.first())
    }

    fn first(&self) -> Range<usize> {
        self.unsettled.start..self.unsettled.start + 1
    }

    fn settle(&mut self, outcome: &Result<(), StoreError>) {
        self.work.settle(self.unsettled.clone(), outcome.clone());
        self.unsettled.start = self.unsettled.end;
    }

    fn settle_first(&mut self, outcome: Result<(), StoreError>) {
        self.work.settle(self.first(), outcome);
        self.unsettled.start += 1;
    }

    /// Settles what is not settled with this error. The caller has other work to settle, so a panic ends here.
    fn refuse(mut self, error: StoreError) {
        if self.is_gathered && self.unsettled.is_empty() {
            return;
        }
        let told = catch_unwind(AssertUnwindSafe(|| {
            if !self.is_gathered {
                self.gather();
            }
            self.settle(&Err(error));
        }));
        if let Err(panic) = told {
            error!("Work panicked while it was told its outcome: {}", words_of(&*panic));
        }
    }
}

/// Returns what a panic said.
fn words_of(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
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
            queue.push(Box::new(batch), None);
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
