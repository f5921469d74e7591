//! What is known to be wrong with a storage.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// The last trouble that the storage had, until it is over.
#[derive(Default)]
pub(super) struct Health {
    trouble: Mutex<Option<StoreError>>,
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an error, if it tells of the storage. Damage stays until the service is started again: that other tables can be
    /// written proves nothing.
    pub(super) fn note(&self, error: &StoreError) {
        let mut trouble = self.lock();
        match error {
            StoreError::Damaged(_) => *trouble = Some(error.clone()),
            StoreError::Full(_) | StoreError::Io(_)
                if !matches!(*trouble, Some(StoreError::Damaged(_))) =>
            {
                *trouble = Some(error.clone());
            }
            _ => {}
        }
    }

    /// Notes that the writer has ended and can't be had again before the service is started again.
    pub(super) fn note_writer_ended(&self, why: &str) {
        let mut trouble = self.lock();
        if !matches!(*trouble, Some(StoreError::Damaged(_))) {
            *trouble = Some(StoreError::engine(format!("{why}; start the service again")));
        }
    }

    /// Notes that something was saved: there is room again.
    pub(super) fn committed(&self) {
        let mut trouble = self.lock();
        if !matches!(*trouble, Some(StoreError::Damaged(_))) {
            *trouble = None;
        }
    }

    /// Returns what is wrong.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        self.lock().clone()
    }
}
