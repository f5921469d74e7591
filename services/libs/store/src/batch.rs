//! Pieces of one kind for the writer: together in a batch, each with a caller that waits for its answer.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    StoreError, Tx,
    writer::{Queue, Work},
};

/// How many pieces a batch has at the most: enough that a commit costs each piece little, few enough that the first of
/// them does not wait long for the last.
pub const BATCH_MAX: usize = 256;
/// How many rows the pieces of a batch have in all: four of the heaviest requests, so that a transaction takes tenths of a
/// second and, with its events, less than 8 MiB.
pub const BATCH_ROWS_MAX: usize = 4_096;
/// How many pieces of one kind wait at the most; more are refused at once. At 20,000 a second this is a fifth of a
/// second of work.
pub const WAITING_MAX: usize = 4_096;
/// How many rows the pieces of one kind that wait have in all; more are refused at once. At 20,000 a second this is less
/// than a second of work, and at 200 bytes a row less than 4 MiB.
pub const WAITING_ROWS_MAX: usize = 16_384;

/// Does the pieces of a batch, and answers each.
pub(crate) type Command<P, A> =
    dyn Fn(&mut Tx<'_>, &[P]) -> Result<Vec<A>, StoreError> + Send + Sync;

/// Returns how many rows a piece has.
pub(crate) type Weigh<P> = dyn Fn(&P) -> usize + Send + Sync;

/// Carries a piece's answer to its caller.
pub(crate) type Reply<A> = oneshot::Sender<Result<A, StoreError>>;

/// A batch of pieces of one kind, each with a caller that waits for its answer.
pub(crate) struct Batch<P, A> {
    /// Whether no other work may be in its transaction.
    pub(crate) is_exclusive: bool,
    command: Arc<Command<P, A>>,
    pieces: Vec<P>,
    answers: Vec<Option<A>>,
    replies: Vec<Option<Reply<A>>>,
}

impl<P, A> Batch<P, A> {
    pub(crate) fn new(command: Arc<Command<P, A>>, pieces: Vec<(P, Reply<A>)>) -> Self {
        let (answers, replies) = (Vec::new(), Vec::new());
        let mut batch = Self { is_exclusive: false, command, pieces: Vec::new(), answers, replies };
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
    fn is_exclusive(&self) -> bool {
        self.is_exclusive
    }

    fn gather(&mut self) -> usize {
        self.pieces.len()
    }

    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError> {
        let answers = (self.command)(tx, &self.pieces[pieces.clone()])?;
        if answers.len() != pieces.len() {
            return Err(StoreError::rejected("the command did not answer each piece"));
        }
        for (slot, answer) in self.answers[pieces].iter_mut().zip(answers) {
            *slot = Some(answer);
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
                // The caller may have gone; the piece stays saved.
                let _ = reply.send(answer);
            }
        }
    }
}

/// The work of a [`BatchQueue`](crate::BatchQueue): takes the pieces that wait when the writer runs it.
pub(crate) struct QueuedBatch<P, A> {
    pending: Arc<PendingPieces<P, A>>,
    batch: Batch<P, A>,
}

/// The pieces that wait in a [`BatchQueue`](crate::BatchQueue).
pub(crate) struct PendingPieces<P, A> {
    command: Arc<Command<P, A>>,
    queue: Arc<Queue>,
    /// Returns how many rows a piece has.
    weigh: Box<Weigh<P>>,
    waiting: Mutex<Waiting<P, A>>,
}

struct Waiting<P, A> {
    pieces: VecDeque<(P, Reply<A>)>,
    rows: usize,
    is_queued: bool,
}

impl<P: Send + 'static, A: Send + 'static> PendingPieces<P, A> {
    pub(crate) fn new(
        queue: Arc<Queue>,
        command: Arc<Command<P, A>>,
        weigh: Box<Weigh<P>>,
    ) -> Arc<Self> {
        let waiting = Waiting { pieces: VecDeque::new(), rows: 0, is_queued: false };
        Arc::new(Self { command, queue, weigh, waiting: Mutex::new(waiting) })
    }

    pub(crate) fn submit(
        self: &Arc<Self>,
        piece: P,
    ) -> Result<oneshot::Receiver<Result<A, StoreError>>, StoreError> {
        let rows = (self.weigh)(&piece);
        if rows > BATCH_ROWS_MAX {
            let text = format!("{rows} rows at once, and {BATCH_ROWS_MAX} is the most");
            return Err(StoreError::rejected(text));
        }
        let (reply, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.pieces.len() >= WAITING_MAX || waiting.rows + rows > WAITING_ROWS_MAX {
            let pieces = waiting.pieces.len();
            drop(waiting);
            self.queue.refused();
            return Err(StoreError::Busy { waiting: pieces });
        }
        waiting.pieces.push_back((piece, reply));
        waiting.rows += rows;
        self.queue.rows_came(rows);
        let must_queue = !std::mem::replace(&mut waiting.is_queued, true);
        drop(waiting);
        if must_queue {
            self.enqueue();
        }
        Ok(answer)
    }

    fn enqueue(self: &Arc<Self>) {
        let batch = Batch::new(Arc::clone(&self.command), Vec::new());
        self.queue.push(Box::new(QueuedBatch { pending: Arc::clone(self), batch }), None);
    }
}

impl<P: Send + 'static, A: Send + 'static> Work for QueuedBatch<P, A> {
    fn gather(&mut self) -> usize {
        let mut waiting = self.pending.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut rows) = (0, 0);
        for (piece, _) in waiting.pieces.iter().take(BATCH_MAX) {
            let weight = (self.pending.weigh)(piece);
            if rows + weight > BATCH_ROWS_MAX {
                break;
            }
            (taken, rows) = (taken + 1, rows + weight);
        }
        self.batch.add(waiting.pieces.drain(..taken));
        let counted = waiting.rows;
        waiting.rows = counted.saturating_sub(rows);
        self.pending.queue.rows_went(rows);
        waiting.is_queued = !waiting.pieces.is_empty();
        let more = waiting.is_queued;
        drop(waiting);
        if more {
            self.pending.enqueue();
        }
        // Last: if this panics, the pieces that still wait are queued and get their answers.
        assert!(rows <= counted && counted <= WAITING_ROWS_MAX, "rows are counted wrong");
        taken
    }

    fn run(&mut self, tx: &mut Tx<'_>, pieces: Range<usize>) -> Result<(), StoreError> {
        self.batch.run(tx, pieces)
    }

    fn settle(&mut self, pieces: Range<usize>, outcome: Result<(), StoreError>) {
        self.batch.settle(pieces, outcome);
    }
}
