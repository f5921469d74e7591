//! The time, or a fixed one for tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use contracts::Timestamp;

/// Tells the time. Clones tell the same.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// One that stands still until it is moved, for tests.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// Returns a clock that stands at `moment`.
    #[must_use]
    pub fn fixed(moment: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(moment.as_micros())))
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Fixed(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fixed clock forward; the machine's own can't be moved.
    pub fn advance(&self, by: Duration) {
        if let Self::Fixed(micros) = self {
            let moved = |now| Some(Timestamp::from_micros(now).plus(by).as_micros());
            // The function always returns a value, so that this does not fail.
            let _ = micros.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
        }
    }
}
