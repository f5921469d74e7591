//! The threads on which the writers of a process run.
//!
//! A writer with work is in the run queue; a thread takes the first of it and runs one round. When a commit gives work to
//! another writer, as an event does to its reader, the committing thread runs that writer next: it wakes no other thread, and
//! one thread carries an event through several services. Only a second writer in the run queue wakes another thread, so
//! under load as many writers run at once as there are cores.
//!
//! A writer whose work may wait for other work is not in the run queue before that moment. One of the idle threads sleeps
//! until the first such moment; the others sleep until they are woken, last asleep first.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, Thread},
    time::Instant,
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
pub struct WriterThreads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Writers that have work and wait for a thread. Each is in it at most once.
    run_queue: VecDeque<Arc<Seat>>,
    /// Writers that need a thread at a moment. Each is in it at most once.
    later: Vec<(Instant, Weak<Seat>)>,
    /// Until when one of the threads sleeps.
    sleeps_until: Option<Instant>,
    /// How many writers there are: at zero, the threads end.
    writers: usize,
    threads: usize,
    /// The threads that sleep and were not woken. The last is woken first: its caches are the warmest.
    sleeping: Vec<Thread>,
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
        queue.serve_by(move |until| {
            let Some(seat) = waiting.upgrade() else { return };
            match until {
                Some(until) => seat.pool.enqueue_at(until, &waiting),
                None => seat.pool.clone().enqueue(seat),
            }
        });
        Ok(RunningSeat { seat, ended })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        if state.run_queue.len() > usize::from(self.is_current()) && !self.wake(&mut state) {
            // Without a further thread, the existing ones run it later.
            if state.threads < state.writers {
                let _ = self.spawn(&mut state);
            }
        }
    }

    /// Notes that a writer needs a thread at a moment, and sees to it that a thread wakes then.
    fn enqueue_at(&self, until: Instant, seat: &Weak<Seat>) {
        let mut state = self.lock();
        match state.later.iter_mut().find(|(_, other)| other.ptr_eq(seat)) {
            Some((moment, _)) => *moment = until.min(*moment),
            None => state.later.push((until, Weak::clone(seat))),
        }
        // A thread of the pool looks at `later` before it sleeps.
        if !self.is_current() && state.sleeps_until.is_none_or(|moment| until < moment) {
            self.wake(&mut state);
        }
    }

    /// Returns whether this thread is one of the pool.
    fn is_current(&self) -> bool {
        POOL.get() == self.address()
    }

    /// Wakes a thread; returns whether one slept.
    fn wake(&self, state: &mut State) -> bool {
        let woken = state.sleeping.pop();
        if let Some(thread) = &woken {
            thread.unpark();
        }
        woken.is_some()
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
            let due = state.take_due();
            if !due.is_empty() {
                // Unlocked: the last owner of a seat locks the state when it drops it.
                drop(state);
                due.into_iter()
                    .filter(|seat| seat.queue.come_due())
                    .for_each(|it| self.enqueue(it));
                state = self.lock();
            }
            if let Some(seat) = state.run_queue.pop_front() {
                return Some(seat);
            }
            if state.writers == 0 {
                state.threads -= 1;
                return None;
            }
            state = self.sleep(state);
        }
    }

    /// Sleeps until this thread is woken, or until the first moment for which no other thread sleeps.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let first = state.later.iter().map(|(moment, _)| *moment).min();
        let until = first.filter(|first| state.sleeps_until.is_none_or(|other| *first < other));
        if until.is_some() {
            state.sleeps_until = until;
        }
        let this = thread::current();
        state.sleeping.push(this.clone());
        loop {
            drop(state);
            match until {
                Some(until) => {
                    thread::park_timeout(until.saturating_duration_since(Instant::now()));
                }
                None => thread::park(),
            }
            state = self.lock();
            let is_woken = !state.sleeping.iter().any(|thread| thread.id() == this.id());
            if is_woken || until.is_some_and(|until| until <= Instant::now()) {
                break;
            }
        }
        state.sleeping.retain(|thread| thread.id() != this.id());
        if until.is_some() && state.sleeps_until == until {
            state.sleeps_until = None;
        }
        state
    }

    fn leave(&self) {
        let mut state = self.lock();
        state.writers -= 1;
        if state.writers == 0 {
            state.sleeping.drain(..).for_each(|thread| thread.unpark());
        }
    }
}

impl State {
    /// Takes the writers whose moment has come.
    fn take_due(&mut self) -> Vec<Arc<Seat>> {
        if self.later.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let due = self.later.extract_if(.., |(moment, _)| *moment <= now);
        due.filter_map(|(_, seat)| seat.upgrade()).collect()
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
