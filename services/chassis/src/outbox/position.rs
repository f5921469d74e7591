//! What is known of the broker, if there is one: which it is, and up to where all readers have acknowledged.
//!
//! A broker may forget what it took over. So an event counts as published only when everyone who reads it has
//! acknowledged it: from the place up to which that is so, the position, everything can be sent again.

use crate::{
    database::{StoreError, Tx},
    params,
};

pub(crate) const READ: &str = "SELECT identity, position FROM broker";
pub(crate) const CONTACT: &str = "INSERT INTO broker (one, identity, position) VALUES (1, ?1,
         COALESCE((SELECT MIN(seq) - 1 FROM unpublished), (SELECT MAX(seq) FROM outbox), 0))
     ON CONFLICT (one) DO NOTHING";
pub(crate) const MOVE: &str =
    "UPDATE broker SET position = ?2 WHERE identity = ?1 AND position < ?2";
pub(crate) const RECOGNISE: &str = "UPDATE broker SET identity = ?1";
pub(crate) const AGAIN: &str = "INSERT INTO unpublished (seq)
     SELECT seq FROM outbox WHERE seq > ?1 AND seq <= ?2 ON CONFLICT (seq) DO NOTHING";
pub(crate) const COMPLETE: &str =
    "SELECT COALESCE((SELECT MIN(seq) - 1 FROM unpublished), (SELECT MAX(seq) FROM outbox), 0)";
// Behind a reader that is away may be millions: those are not counted one by one.
pub(crate) const COUNT_UNPUBLISHED: &str =
    "SELECT CASE WHEN NOT EXISTS (SELECT one FROM broker) THEN (SELECT COUNT(*) FROM unpublished)
         WHEN (SELECT MAX(seq) FROM outbox) > (SELECT position FROM broker) + 20000
             THEN (SELECT MAX(seq) FROM outbox) - (SELECT position FROM broker)
         ELSE (SELECT COUNT(*) FROM outbox WHERE seq > (SELECT position FROM broker)) END";
// Who changes the outbox is waited for, so that nobody's place is passed over.
const SETTLE_SQLITE: &str = "SELECT 1";
const SETTLE_POSTGRES: &str = "LOCK TABLE outbox IN SHARE MODE";
const FORGET: &str = "DELETE FROM broker";

/// The broker, as a service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Which broker it is, and which of its lives.
    pub(crate) identity: String,
    /// The place up to which every reader has acknowledged everything.
    pub(crate) position: i64,
}

/// Returns the broker that the service knows, if it knows one.
pub(crate) fn read(tx: &mut Tx<'_>) -> Result<Option<Known>, StoreError> {
    tx.query_one(READ, &[], |row| Ok(Known { identity: row.get(0)?, position: row.get(1)? }))
}

/// Notes the first broker that the service meets. What was published before was acknowledged without it.
pub(crate) fn note_first_contact(tx: &mut Tx<'_>, identity: &str) -> Result<(), StoreError> {
    if read(tx)?.is_some() {
        return Ok(());
    }
    let settle = tx.either(SETTLE_SQLITE, SETTLE_POSTGRES);
    tx.query(settle, &[], |_| Ok(()))?;
    tx.execute(CONTACT, &params![identity]).map(|_| ())
}

/// Puts events with places above the first, up to the second, back on their way.
pub(crate) fn send_again(tx: &mut Tx<'_>, above: i64, upto: i64) -> Result<u64, StoreError> {
    tx.execute(AGAIN, &params![above, upto])
}

/// Notes that the broker is another.
pub(crate) fn recognise(tx: &mut Tx<'_>, identity: &str) -> Result<(), StoreError> {
    tx.execute(RECOGNISE, &params![identity]).map(|_| ())
}

/// Returns the place up to which the broker was given everything.
pub(crate) fn complete(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COMPLETE, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Moves the position of this broker forward.
pub(crate) fn advance(tx: &mut Tx<'_>, identity: &str, position: i64) -> Result<(), StoreError> {
    tx.execute(MOVE, &params![identity, position]).map(|_| ())
}

/// Forgets the broker: there is none any more.
pub(crate) fn forget(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    match read(tx)? {
        Some(_) => tx.execute(FORGET, &[]).map(|_| ()),
        None => Ok(()),
    }
}

/// Returns how many events are not published: not everyone who reads them has acted on them.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn count_unpublished(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_UNPUBLISHED, &[], |row| row.get(0))?.unwrap_or(0))
}
