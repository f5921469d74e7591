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
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, oneshot};
use tracing::{debug, error, warn};

use super::{Access, Connection, StoreError, Tx};
use crate::{clock::Clock, outbox};

/// How many pieces a batch has at the most: enough that a commit costs each piece little, few enough that the first of
/// them does not wait long for the last.
pub const BATCH_MAX: usize = 256;
/// How many pieces of one kind wait at the most; more are refused at once. At 20,000 a second this is a fifth of a
/// second of work.
pub const WAITING_MAX: usize = 4_096;
/// How often work is decided at the most when others change the same at the same time.
const DECISIONS_MAX: usize = 5;
/// How much work of other kinds one transaction takes along.
const WORKS_PER_TURN_MAX: usize = 16;

/// Work for the writer: some pieces, done together or apart.
pub(crate) trait Work: Send {
    /// Takes what is waiting now; returns how many pieces that is.
    fn gather(&mut self) -> usize;
    /// Does some of the pieces. May be called again for the same pieces after a roll-back.
    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError>;
    /// Tells some of the pieces how it ended: saved, or why not.
    fn settle(&mut self, pieces: Range<usize>, outcome: Result<(), StoreError>);
}

/// The queue before the writer.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct QueueState {
    works: VecDeque<Box<dyn Work>>,
    closed: bool,
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
        self.waiting.fetch_add(1, Ordering::Relaxed);
        drop(state);
        self.changed.notify_one();
    }

    /// Returns how much work waits.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Lets the writer finish what waits, and then end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn next_turn(&self) -> Option<Vec<Box<dyn Work>>> {
        let mut state = self.lock();
        while state.works.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = state.works.len().min(WORKS_PER_TURN_MAX);
        self.waiting.fetch_sub(taken, Ordering::Relaxed);
        Some(state.works.drain(..taken).collect())
    }
}

/// What the writer thread needs.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) queue: Arc<Queue>,
    pub(crate) service: &'static str,
    pub(crate) clock: Clock,
    pub(crate) on_commit: Arc<dyn outbox::OnCommit>,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(works) = self.queue.next_turn() {
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
    }

    fn turn(&mut self, works: &mut [(Box<dyn Work>, usize)]) {
        match self.transaction(|tx| {
            works.iter_mut().try_for_each(|(work, pieces)| work.run(tx, 0..*pieces))
        }) {
            Ok(saved) => {
                for (work, pieces) in works {
                    work.settle(0..*pieces, Ok(()));
                }
                self.hand_over(saved);
            }
            Err(StoreError::Piece(why)) => {
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
                for (work, pieces) in works {
                    self.alone(work.as_mut(), *pieces);
                }
            }
            Err(error) => {
                warn!(service = self.service, "Saved nothing: {error}");
                for (work, pieces) in works {
                    work.settle(0..*pieces, Err(error.clone()));
                }
            }
        }
    }

    fn alone(&mut self, work: &mut dyn Work, pieces: usize) {
        match self.decided_again(|tx, work| work.run(tx, 0..pieces), work) {
            Ok(saved) => {
                work.settle(0..pieces, Ok(()));
                self.hand_over(saved);
            }
            Err(StoreError::Piece(why)) => self.piece_by_piece(work, pieces, &why),
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
                    debug!(service = self.service, "Decides again: {why}");
                }
                done => return done,
            }
        }
        self.transaction(|tx| body(tx, work))
    }

    fn piece_by_piece(&mut self, work: &mut dyn Work, pieces: usize, why: &Arc<str>) {
        if pieces == 1 {
            work.settle(0..1, Err(StoreError::Piece(Arc::clone(why))));
            return;
        }
        for piece in 0..pieces {
            match self.decided_again(|tx, work| work.run(tx, piece..piece + 1), work) {
                Ok(saved) => {
                    work.settle(piece..piece + 1, Ok(()));
                    self.hand_over(saved);
                }
                Err(error) => work.settle(piece..piece + 1, Err(error)),
            }
        }
    }

    fn transaction(
        &mut self,
        body: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError>,
    ) -> Result<Saved, StoreError> {
        self.connection.ready()?;
        if let Err(error) = self.connection.begin(Access::Write) {
            self.connection.roll_back();
            return Err(error);
        }
        let mut tx = Tx::new(&mut self.connection, self.service, &self.clock);
        // A bug in one piece of work must not end the writer for all: it is refused like any other bad piece.
        let done = catch_unwind(AssertUnwindSafe(|| {
            body(&mut tx)?;
            outbox::append(&mut tx, self.on_commit.marks())
        }))
        .unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words =
                words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            error!(service = self.service, "Work panicked: {words}");
            Err(StoreError::piece(format!("the work panicked: {words}")))
        });
        let wakes = std::mem::take(&mut tx.wakes);
        match done.and_then(|events| self.connection.commit().map(|()| Saved { events, wakes })) {
            Ok(saved) => Ok(saved),
            Err(error) => {
                self.connection.roll_back();
                Err(error)
            }
        }
    }

    fn hand_over(&self, saved: Saved) {
        if !saved.events.is_empty() {
            self.on_commit.committed(saved.events);
        }
        for signal in saved.wakes {
            signal.notify_one();
        }
    }
}

/// What a commit lets out.
struct Saved {
    events: Vec<outbox::Stored>,
    wakes: Vec<Arc<Notify>>,
}

/// Does the pieces of a batch, and answers each.
pub(crate) type Command<P, A> =
    dyn Fn(&mut Tx<'_>, &[P]) -> Result<Vec<A>, StoreError> + Send + Sync;

/// What one who waits is told.
pub(crate) type Reply<A> = oneshot::Sender<Result<A, StoreError>>;

/// A batch of pieces of one kind, each with one who waits for its answer.
pub(crate) struct Batch<P, A> {
    command: Arc<Command<P, A>>,
    pieces: Vec<P>,
    answers: Vec<Option<A>>,
    replies: Vec<Option<Reply<A>>>,
}

impl<P, A> Batch<P, A> {
    pub(crate) fn new(command: Arc<Command<P, A>>, pieces: Vec<(P, Reply<A>)>) -> Self {
        let mut batch =
            Self { command, pieces: Vec::new(), answers: Vec::new(), replies: Vec::new() };
        batch.add(pieces);
        batch
    }

    fn add(&mut self, pieces: impl IntoIterator<Item = (P, Reply<A>)>) {
        for (piece, reply) in pieces {
            self.pieces.push(piece);
            self.answers.push(None);
            self.replies.push(Some(reply));
        }
    }
}

impl<P: Send, A: Send> Work for Batch<P, A> {
    fn gather(&mut self) -> usize {
        self.pieces.len()
    }

    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError> {
        let answers = (self.command)(tx, &self.pieces[pieces.clone()])?;
        if answers.len() != pieces.len() {
            return Err(StoreError::piece("the command did not answer each piece"));
        }
        for (place, answer) in self.answers[pieces].iter_mut().zip(answers) {
            *place = Some(answer);
        }
        Ok(())
    }

    fn settle(&mut self, pieces: Range<usize>, outcome: Result<(), StoreError>) {
        for piece in pieces {
            let answer = match &outcome {
                Ok(()) => self.answers[piece].take().ok_or(StoreError::Closed),
                Err(error) => Err(error.clone()),
            };
            if let Some(reply) = self.replies[piece].take() {
                // Whoever asked may have gone; what was saved stays saved.
                let _ = reply.send(answer);
            }
        }
    }
}

/// The turn of a [`Form`](super::Form): takes what is waiting when it comes.
pub(crate) struct FormTurn<P, A> {
    form: Arc<FormQueue<P, A>>,
    batch: Batch<P, A>,
}

/// What waits at a form.
pub(crate) struct FormQueue<P, A> {
    command: Arc<Command<P, A>>,
    queue: Arc<Queue>,
    waiting: Mutex<Waiting<P, A>>,
}

struct Waiting<P, A> {
    pieces: VecDeque<(P, Reply<A>)>,
    has_turn: bool,
}

impl<P: Send + 'static, A: Send + 'static> FormQueue<P, A> {
    pub(crate) fn new(queue: Arc<Queue>, command: Arc<Command<P, A>>) -> Arc<Self> {
        Arc::new(Self {
            command,
            queue,
            waiting: Mutex::new(Waiting { pieces: VecDeque::new(), has_turn: false }),
        })
    }

    pub(crate) fn submit(
        self: &Arc<Self>,
        piece: P,
    ) -> Result<oneshot::Receiver<Result<A, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.pieces.len() >= WAITING_MAX {
            return Err(StoreError::Busy { waiting: waiting.pieces.len() });
        }
        waiting.pieces.push_back((piece, reply));
        let needs_turn = !std::mem::replace(&mut waiting.has_turn, true);
        drop(waiting);
        if needs_turn {
            self.ask_for_turn();
        }
        Ok(answer)
    }

    fn ask_for_turn(self: &Arc<Self>) {
        let batch = Batch::new(Arc::clone(&self.command), Vec::new());
        self.queue.push(Box::new(FormTurn { form: Arc::clone(self), batch }));
    }
}

impl<P: Send + 'static, A: Send + 'static> Work for FormTurn<P, A> {
    fn gather(&mut self) -> usize {
        let mut waiting = self.form.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.pieces.len().min(BATCH_MAX);
        self.batch.add(waiting.pieces.drain(..taken));
        waiting.has_turn = !waiting.pieces.is_empty();
        let more = waiting.has_turn;
        drop(waiting);
        if more {
            self.form.ask_for_turn();
        }
        taken
    }

    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError> {
        self.batch.run(tx, pieces)
    }

    fn settle(&mut self, pieces: Range<usize>, outcome: Result<(), StoreError>) {
        self.batch.settle(pieces, outcome);
    }
}
