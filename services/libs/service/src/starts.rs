//! How often a service has started, so that its status shows a restart that nobody saw happen.

use contracts::Timestamp;
use store::{StoreError, Tx, params};

const NOTE: &str =
    "INSERT INTO starts (one, starts, started_at) VALUES (1, 1, ?1) ON CONFLICT (one) DO UPDATE SET
         starts = starts.starts + 1,
         started_at = CASE WHEN starts.started_at < ?1 THEN ?1 ELSE starts.started_at END";
const READ: &str = "SELECT starts, started_at FROM starts";

/// Every statement of this file, for the test that prepares them.
pub const STATEMENTS: [&str; 2] = [NOTE, READ];

/// Notes that a process started at this moment.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn note(tx: &mut Tx<'_>, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(NOTE, &params![at]).map(|_| ())
}

/// Returns how many processes started, and when the last one did; `None` before the first one is noted.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn read(tx: &mut Tx<'_>) -> Result<Option<(i64, Timestamp)>, StoreError> {
    tx.query_one(READ, &[], |row| Ok((row.get(0)?, row.get(1)?)))
}
