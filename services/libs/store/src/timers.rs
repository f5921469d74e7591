//! Things to be done at a time: rows, so that a crash forgets none. Whoever completes one deletes it in the same
//! transaction, so that it is done once.

use contracts::Timestamp;

use crate::{Many, StoreError, Tx, params};

const SET: Many = Many {
    each: "INSERT INTO timers (subject, kind, due_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at",
    all: "INSERT INTO timers (subject, kind, due_at)
         SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[])
         ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at",
};
const DUE: &str =
    "SELECT subject FROM timers WHERE kind = ?1 AND due_at <= ?2 ORDER BY due_at, subject LIMIT ?3";
const COMPLETE: Many = Many {
    each: "DELETE FROM timers WHERE subject = ?1 AND kind = ?2",
    all: "DELETE FROM timers USING UNNEST($1::TEXT[], $2::TEXT[]) AS done (subject, kind)
         WHERE timers.subject = done.subject AND timers.kind = done.kind RETURNING timers.subject",
};
const NEXT: &str = "SELECT MIN(due_at) FROM timers WHERE kind = ?1";

/// Every statement of this file that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 2] = [DUE, NEXT];
/// Every statement of this file for many rows.
pub const MANY: [Many; 2] = [SET, COMPLETE];

/// Sets a timer for each subject, of which no two are the same; one that is set already is moved.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn set<'a>(
    tx: &mut Tx,
    kind: &str,
    timers: impl IntoIterator<Item = (&'a str, Timestamp)>,
) -> Result<(), StoreError> {
    tx.execute_all(&SET, timers.into_iter().map(|(subject, due_at)| params![subject, kind, due_at]))
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
    tx.change_all(&COMPLETE, subjects.into_iter().map(|subject| params![subject, kind]))
}

/// Returns when the next timer of this kind is due.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn next(tx: &mut Tx, kind: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(tx.query_one(NEXT, &params![kind], |row| row.get(0))?.flatten())
}
