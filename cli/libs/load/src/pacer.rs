//! Releases orders at their planned times.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::Schedule;

/// The longest sleep of the pacer, so that it notices its end.
const NAP_MAX: Duration = Duration::from_millis(50);

/// A thread that sleeps until the next planned order. The runtime's timers have whole milliseconds, longer than a good
/// environment takes for an order; a thread wakes up within a tenth of that.
#[derive(Debug)]
pub(super) struct Pacer {
    due: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
}

impl Pacer {
    /// Releases the orders of the schedule from `start` on, and then one more for each of `waiters`, so that none waits
    /// for ever.
    ///
    /// # Errors
    /// The system's error if it can't start a thread.
    pub(super) fn start(schedule: Schedule, start: Instant, waiters: usize) -> io::Result<Self> {
        let due = Arc::new(Semaphore::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let pacer = Self { due: Arc::clone(&due), stopped: Arc::clone(&stopped) };
        thread::Builder::new().name("pacer".into()).spawn(move || {
            let mut out = 0;
            while out < schedule.total() && !stopped.load(Ordering::Relaxed) {
                let elapsed = start.elapsed();
                let now = schedule.due(elapsed);
                if now > out {
                    due.add_permits(usize::try_from(now - out).unwrap_or(Semaphore::MAX_PERMITS));
                    out = now;
                } else {
                    thread::sleep(schedule.planned(out).saturating_sub(elapsed).min(NAP_MAX));
                }
            }
            due.add_permits(waiters);
        })?;
        Ok(pacer)
    }

    /// Waits until one more order is due.
    pub(super) async fn wait(&self) {
        if let Ok(permit) = self.due.acquire().await {
            permit.forget();
        }
    }

    /// Stops releasing orders.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop();
    }
}
