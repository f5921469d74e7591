//! Things to be done at a time: rows, so that a crash forgets none. Whoever completes one deletes it in the same
//! transaction, so that it is done once.

use contracts::Timestamp;

use crate::{
    database::{StoreError, Tx},
    params,
};

const SET: &str = "INSERT INTO timers (kind, subject, due_at) VALUES (?1, ?2, ?3)
     ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at";
const DUE: &str =
    "SELECT subject FROM timers WHERE kind = ?1 AND due_at <= ?2 ORDER BY due_at, subject LIMIT ?3";
const COMPLETE: &str = "DELETE FROM timers WHERE kind = ?1 AND subject = ?2";
const NEXT: &str = "SELECT MIN(due_at) FROM timers WHERE kind = ?1";

/// Every statement of this file, for the test that prepares them.
pub const STATEMENTS: [&str; 4] = [SET, DUE, COMPLETE, NEXT];

/// Sets a timer for each subject; one that is set already is moved.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn set<'a>(
    tx: &mut Tx,
    kind: &str,
    timers: impl IntoIterator<Item = (&'a str, Timestamp)>,
) -> Result<(), StoreError> {
    tx.execute_each(SET, timers.into_iter().map(|(subject, due_at)| params![kind, subject, due_at]))
        .map(|_| ())
}

/// Returns up to `limit` subjects whose time has come, the longest overdue first.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn due(tx: &mut Tx, kind: &str, now: Timestamp, limit: i64) -> Result<Vec<String>, StoreError> {
    tx.query(DUE, &params![kind, now, limit], |row| row.get(0))
}

/// Completes timers; returns for each subject whether this call did so. One that another transaction completed, or that
/// was never set, was not.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn complete<'a>(
    tx: &mut Tx,
    kind: &str,
    subjects: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<bool>, StoreError> {
    let rows = subjects.into_iter().map(|subject| params![kind, subject]);
    Ok(tx.execute_each(COMPLETE, rows)?.into_iter().map(|deleted| deleted == 1).collect())
}

/// Returns when the next timer of this kind is due.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn next(tx: &mut Tx, kind: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(tx.query_one(NEXT, &params![kind], |row| row.get(0))?.flatten())
}
