//! The threads on which the writers of a process run.
//!
//! A writer with work is in the run queue; a thread takes the first of it and runs one round. When a commit gives work to
//! another writer, as an event does to its reader, the committing thread runs that writer next: it wakes no other thread, and
//! one thread carries an event through several services. Only a second writer in the run queue wakes another thread, so
//! under load as many writers run at once as there are cores.

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
    /// Writers that have work and wait for a thread. Each is in it at most once.
    run_queue: VecDeque<Arc<Seat>>,
    /// How many writers there are: at zero, the threads end.
    writers: usize,
    threads: usize,
    /// How many threads sleep and were not woken.
    idle: usize,
    /// How many threads were woken and still sleep.
    waking: usize,
}

/// A writer of the pool: in the run queue, on a thread, or idle.
pub(crate) struct Seat {
    pool: WriterThreads,
    queue: Arc<Queue>,
    /// The span in which its rounds log.
    span: Span,
    /// None once it has ended. Only the thread that took the seat from the run queue locks it.
    writer: Mutex<Option<Writer>>,
    ended: Mutex<Option<oneshot::Sender<()>>>,
}

/// A running writer. If this is dropped early, the writer ends after its round.
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
                seat.pool.clone().enqueue(seat);
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

    /// Puts a writer into the run queue, and wakes a thread unless this one takes it next.
    fn enqueue(&self, seat: Arc<Seat>) {
        let mut state = self.lock();
        state.run_queue.push_back(seat);
        let comes_itself = POOL.get() == self.address();
        if state.run_queue.len() <= usize::from(comes_itself) {
            return;
        }
        if state.idle > 0 {
            state.idle -= 1;
            state.waking += 1;
            drop(state);
            self.0.woken.notify_one();
        } else if state.threads < state.writers {
            // Without a further thread, the existing ones run it later.
            let _ = self.spawn(&mut state);
        }
    }

    /// Runs rounds until there is no writer any more.
    fn run(self) {
        POOL.set(self.address());
        while let Some(seat) = self.next() {
            if seat.round() {
                self.enqueue(seat);
            }
        }
    }

    fn next(&self) -> Option<Arc<Seat>> {
        let mut state = self.lock();
        loop {
            if let Some(seat) = state.run_queue.pop_front() {
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
    /// Runs one round of the writer; returns whether it needs another.
    fn round(&self) -> bool {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(working) = writer.as_mut() else { return false };
        match self.queue.next() {
            Next::Works(works) => {
                let _in_span = self.span.enter();
                working.gather_and_run(works);
                self.queue.needs_round()
            }
            Next::Nothing => false,
            Next::End => {
                let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
                // The connection is closed before `ended` is signalled. A panic while it is closed must not take the thread from
                // the other writers.
                if catch_unwind(AssertUnwindSafe(|| *writer = None)).is_err() {
                    error!("The connection of the writer panicked when it was closed");
                }
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
