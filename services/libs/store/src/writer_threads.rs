//! The threads on which the writers of a process run.
//!
//! A writer with work stands in line; a thread takes the first in line and lets it do one turn. When a commit gives work to
//! another writer, as an event does to its reader, the thread that committed comes to it right after its turn: no thread is
//! woken for it, and the event's way through several services takes one thread. Only what stands behind that in the line
//! wakes another thread, so under load as many writers run at once as there are cores for.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::oneshot;
use tracing::{Span, error};

use crate::{
    service_span,
    writer::{Next, Queue, Writer},
};

thread_local! {
    /// The address of the pool whose thread this is; 0 on any other.
    static POOL: Cell<usize> = const { Cell::new(0) };
}

/// A pool of threads: at most one a writer. Clones are the same pool.
#[derive(Clone, Default)]
pub struct WriterThreads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    /// Writers that have work and wait for a thread. A writer is in it once.
    line: VecDeque<Arc<Seat>>,
    /// How many writers there are: at zero, the threads end.
    writers: usize,
    threads: usize,
    /// How many threads sleep and nobody has woken.
    idle: usize,
    /// How many threads were woken and still sleep.
    waking: usize,
}

/// The place of a writer: in the line, on a thread, or at rest.
pub(crate) struct Seat {
    pool: WriterThreads,
    queue: Arc<Queue>,
    /// In which its turns log.
    span: Span,
    /// Nothing once it has ended. Only the thread that took the seat from the line locks it.
    writer: Mutex<Option<Writer>>,
    ended: Mutex<Option<oneshot::Sender<()>>>,
}

/// A writer that runs on these threads. Dropped before its end, it ends after its turn.
pub(crate) struct RunningSeat {
    seat: Arc<Seat>,
    ended: oneshot::Receiver<()>,
}

impl fmt::Debug for WriterThreads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WriterThreads").finish_non_exhaustive()
    }
}

impl WriterThreads {
    /// Lets a writer run until its queue is closed and empty.
    ///
    /// # Errors
    /// The system's, if the first thread can't be made.
    pub(crate) fn start(&self, writer: Writer) -> io::Result<RunningSeat> {
        let (ends, ended) = oneshot::channel();
        let mut state = self.lock();
        if state.threads == 0 {
            self.spawn(&mut state)?;
        }
        state.writers += 1;
        drop(state);
        let queue = Arc::clone(&writer.queue);
        let seat = Arc::new(Seat {
            pool: self.clone(),
            queue: Arc::clone(&queue),
            span: service_span(writer.service),
            writer: Mutex::new(Some(writer)),
            ended: Mutex::new(Some(ends)),
        });
        let waiting = Arc::downgrade(&seat);
        queue.serve_by(move || {
            if let Some(seat) = waiting.upgrade() {
                seat.pool.clone().line_up(seat);
            }
        });
        Ok(RunningSeat { seat, ended })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn spawn(&self, state: &mut State) -> io::Result<()> {
        let pool = self.clone();
        thread::Builder::new().name("writer".into()).spawn(move || pool.run())?;
        state.threads += 1;
        Ok(())
    }

    /// Puts a writer in the line, and wakes a thread if none will come to it.
    fn line_up(&self, seat: Arc<Seat>) {
        let mut state = self.lock();
        state.line.push_back(seat);
        let comes_itself = POOL.get() == self.address();
        if state.line.len() <= usize::from(comes_itself) {
            return;
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.waking += 1;
            drop(state);
            self.0.woken.notify_one();
        } else if state.threads < state.writers {
            // Without a further thread, those that are there come to it later.
            let _ = self.spawn(&mut state);
        }
    }

    /// Lets writers do their turns until there is no writer any more.
    fn run(self) {
        POOL.set(self.address());
        while let Some(seat) = self.next() {
            if seat.turn() {
                self.line_up(seat);
            }
        }
    }

    fn next(&self) -> Option<Arc<Seat>> {
        let mut state = self.lock();
        loop {
            if let Some(seat) = state.line.pop_front() {
                return Some(seat);
            }
            if state.writers == 0 {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            while state.waking == 0 {
                state = self.0.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waking -= 1;
        }
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.writers -= 1;
        if state.writers == 0 {
            state.waking += std::mem::take(&mut state.idle);
            drop(state);
            self.0.woken.notify_all();
        }
    }
}

impl Seat {
    /// Lets the writer do one turn; returns whether it has more to do.
    fn turn(&self) -> bool {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(working) = writer.as_mut() else { return false };
        match self.queue.next() {
            Next::Works(works) => {
                let _in_span = self.span.enter();
                let done = catch_unwind(AssertUnwindSafe(|| working.gather_and_turn(works)));
                if done.is_err() {
                    error!("The writer panicked and has ended");
                    self.queue.close();
                }
                self.queue.stays_in_line()
            }
            Next::Nothing => false,
            Next::End => {
                // The connection is closed before anyone hears of the end.
                *writer = None;
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(ended) = ended {
                    let _ = ended.send(());
                }
                false
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.leave();
    }
}

impl RunningSeat {
    /// Waits until the writer has ended.
    pub(crate) async fn ended(self) {
        let _ = self.ended.await;
        drop(self.seat);
    }
}
