//! Events that a service could not act on: set aside, so that they hold nobody up, and kept until someone replays or drops
//! them.

use std::sync::Arc;

use contracts::{Timestamp, api::service::DeadLetter, events::Envelope};
use store::{Row, StoreError, Tx, params};
use uuid::Uuid;

use crate::{
    announce::Announce as _,
    consumer::{self, Reaction},
};

const INSERT: &str =
    "INSERT INTO dead_letters (id, kind, subject, event, error, attempts, failed_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
const LIST: &str = "SELECT id, kind, subject, event, error, attempts, failed_at FROM dead_letters
     ORDER BY failed_at, id LIMIT ?1";
const UNTRIED_AFTER: &str =
    "SELECT id, kind FROM dead_letters WHERE attempts = 0 AND id > ?1 ORDER BY id LIMIT ?2";
const TAKE: &str = "DELETE FROM dead_letters WHERE id = ?1
     RETURNING id, kind, subject, event, error, attempts, failed_at";
const COUNT: &str = "SELECT COUNT(*) FROM dead_letters";
const OLDEST: &str = "SELECT MIN(failed_at) FROM dead_letters";
const DELETE: &str = "DELETE FROM dead_letters WHERE id = ?1";
const FAILED_AGAIN: &str =
    "UPDATE dead_letters SET attempts = attempts + 1, error = ?2, failed_at = ?3 WHERE id = ?1";

/// The attempts of an event that no version of the service has tried, because none knew its type.
pub(crate) const UNTRIED: i64 = 0;
/// How many are listed at the most.
const LISTED_MAX: i64 = 1_000;

/// Every statement of this file, for the test that prepares them.
pub const STATEMENTS: [&str; 8] =
    [INSERT, LIST, UNTRIED_AFTER, TAKE, COUNT, OLDEST, DELETE, FAILED_AGAIN];

pub(crate) fn insert(
    tx: &mut Tx<'_>,
    event: &Envelope,
    error: &str,
    attempts: i64,
) -> Result<(), StoreError> {
    let text =
        serde_json::to_string(event).map_err(|error| StoreError::rejected(error.to_string()))?;
    let now = tx.now();
    tx.execute(INSERT, &params![event.id, event.kind, event.subject, text, error, attempts, now])
        .map(|_| ())
}

/// Returns the dead letters, the longest there first, 1,000 at the most.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<DeadLetter>, StoreError> {
    let service = tx.service();
    tx.query(LIST, &params![LISTED_MAX], |row| read(service, row))
}

/// Returns how many there are.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn count(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns when the first of them was set aside.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn oldest(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    Ok(tx.query_one(OLDEST, &[], |row| row.get(0))?.flatten())
}

/// Forgets a dead letter; returns whether it was there.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn drop(tx: &mut Tx<'_>, id: Uuid) -> Result<bool, StoreError> {
    Ok(tx.execute(DELETE, &params![id])? == 1)
}

/// Returns the ids and the types of dead letters that no version has tried, behind an id, oldest first.
pub(crate) fn untried(
    tx: &mut Tx<'_>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, String)>, StoreError> {
    tx.query(UNTRIED_AFTER, &params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Acts on a dead letter once more, and forgets it; returns whether it was there.
///
/// The transaction deletes the row first: a replica that replays the same dead letter meanwhile waits for that row, and then
/// finds it gone.
///
/// # Errors
/// [`StoreError::Rejected`] if it still can't be acted on: it stays. [`StoreError::Engine`] if the database failed.
pub fn replay(tx: &mut Tx<'_>, react: &Reaction, id: Uuid) -> Result<bool, StoreError> {
    let service = tx.service();
    let Some(letter) = tx.query_one(TAKE, &params![id], |row| read(service, row))? else {
        return Ok(false);
    };
    let event: Envelope = serde_json::from_str(&letter.event)
        .map_err(|error| StoreError::rejected(error.to_string()))?;
    if let Some(trace) = &event.traceparent {
        tx.follow(event.subject.clone(), trace.clone());
    }
    let event = Arc::new(event);
    let is_fresh = !consumer::note(tx, std::slice::from_ref(&event))?.is_empty();
    // An untried event may have arrived again, and have been acted on since.
    if is_fresh || letter.attempts > UNTRIED {
        react(tx, std::slice::from_ref(&event))?;
    }
    Ok(true)
}

/// Notes that a replay failed.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn failed_again(tx: &mut Tx<'_>, id: Uuid, error: &str) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(FAILED_AGAIN, &params![id, error, now]).map(|_| ())
}

fn read(service: &str, row: &Row<'_>) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        service: service.to_owned(),
        id: row.get(0)?,
        kind: row.get(1)?,
        subject: row.get(2)?,
        event: row.get(3)?,
        error: row.get(4)?,
        attempts: row.get(5)?,
        failed_at: row.get(6)?,
    })
}
