//! How a library takes part in every write transaction without the store knowing it.

use crate::{StoreError, Tx};

/// What runs on the writer's thread once a transaction is committed. It must not wait.
pub type AfterCommit = Box<dyn FnOnce() + Send>;

/// Takes part in every write transaction of a database.
pub trait CommitHook: Send + Sync {
    /// Runs on the writer's thread, in the transaction, behind all of its work; what the work left for the hook lies in
    /// [`Tx::attached`]. What it returns runs if the transaction is committed.
    ///
    /// # Errors
    /// [`StoreError`] if nothing of the transaction may be saved.
    fn before_commit(&self, tx: &mut Tx<'_>) -> Result<Option<AfterCommit>, StoreError>;
}

/// A hook that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHook;

impl CommitHook for NoHook {
    fn before_commit(&self, _: &mut Tx<'_>) -> Result<Option<AfterCommit>, StoreError> {
        Ok(None)
    }
}
