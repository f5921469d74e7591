//! The saved state of the bus: its identity, and the position up to which all readers have acknowledged every event.
//!
//! The bus within a process forgets everything with the process, and a broker may forget what it took over. So an event counts as published only when everyone who reads it has
//! acknowledged it: above the `seq` up to which that is so, the position, every event can be sent again.

use contracts::Timestamp;
use store::{StoreError, Tx, params};

pub(crate) const READ: &str = "SELECT identity, position, handed_over FROM broker";
pub(crate) const CONTACT: &str =
    "INSERT INTO broker (one, identity, position, handed_over) SELECT 1, ?1, place, place FROM (
         SELECT COALESCE((SELECT MIN(seq) - 1 FROM unpublished), (SELECT MAX(seq) FROM outbox), 0) AS place
     ) AS here WHERE place >= 0 ON CONFLICT (one) DO NOTHING";
pub(crate) const MEET: &str = "UPDATE broker SET identity = ?1, handed_over = position";
pub(crate) const ADVANCE: &str = "UPDATE broker SET
         position = CASE WHEN position < ?2 THEN ?2 ELSE position END,
         handed_over = CASE WHEN handed_over < ?3 THEN ?3 ELSE handed_over END
     WHERE identity = ?1";
// Behind a reader that is away may be millions: those are not counted one by one.
pub(crate) const COUNT_UNPUBLISHED: &str =
    "SELECT CASE WHEN (SELECT MAX(seq) FROM outbox) > (SELECT position FROM broker) + 20000
             THEN (SELECT MAX(seq) FROM outbox) - (SELECT position FROM broker)
         ELSE (SELECT COUNT(*) FROM outbox WHERE seq > (SELECT position FROM broker)) END";
pub(crate) const OLDEST_UNPUBLISHED: &str = "SELECT time FROM outbox WHERE seq =
         (SELECT MIN(seq) FROM outbox WHERE seq > (SELECT position FROM broker))";
// Waits for transactions that insert into the outbox, so that no `seq` of theirs is skipped.
const SETTLE_SQLITE: &str = "SELECT 1";
const SETTLE_POSTGRES: &str = "LOCK TABLE outbox IN SHARE MODE";
// An earlier version marked each event that was not published.
const FORGET_MARKS: &str = "DELETE FROM unpublished";

/// The identity of a broker that has not answered yet.
pub const UNKNOWN: &str = "";
/// The identity of the bus within a process.
pub const PROCESS: &str = "process";

/// The broker, as a service knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The broker's identity; another after it lost its data.
    pub identity: String,
    /// The `seq` up to which every reader has acknowledged every event.
    pub position: i64,
    /// The `seq` up to which the broker was given every event.
    pub handed_over: i64,
}

fn read(tx: &mut Tx<'_>) -> Result<Option<Known>, StoreError> {
    tx.query_one(READ, &[], |row| {
        Ok(Known { identity: row.get(0)?, position: row.get(1)?, handed_over: row.get(2)? })
    })
}

/// Prepares for a broker whose identity is not known yet. Events that were published so far were acknowledged without it.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn expect(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if read(tx)?.is_none() {
        let settle = tx.either(SETTLE_SQLITE, SETTLE_POSTGRES);
        tx.query(settle, &[], |_| Ok(()))?;
        tx.execute(CONTACT, &params![UNKNOWN])?;
        tx.execute(FORGET_MARKS, &[])?;
    }
    Ok(())
}

/// Notes the broker's identity. A broker with another identity, or one that lost its data, has no event above the position.
/// Returns the state before and after.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn meet(tx: &mut Tx<'_>, identity: &str) -> Result<(Known, Known), StoreError> {
    let nothing = || StoreError::engine("no broker was expected");
    let before = read(tx)?.ok_or_else(nothing)?;
    if before.identity != identity {
        tx.execute(MEET, &params![identity])?;
    }
    let now = read(tx)?.ok_or_else(nothing)?;
    Ok((before, now))
}

/// Raises the position and the end of what was handed over, if the broker still has this identity.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn advance(
    tx: &mut Tx<'_>,
    identity: &str,
    position: i64,
    handed_over: i64,
) -> Result<(), StoreError> {
    tx.execute(ADVANCE, &params![identity, position, handed_over]).map(|_| ())
}

/// Prepares for the bus within the process; returns the position above which the relay offers every event again.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn begin_in_process(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    expect(tx)?;
    let (_, now) = meet(tx, PROCESS)?;
    Ok(now.position)
}

/// Returns when the oldest event that is not published was announced.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn oldest_unpublished(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    tx.query_one(OLDEST_UNPUBLISHED, &[], |row| row.get(0))
}

/// Returns how many events are not published: some reader has not acted on them.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub fn count_unpublished(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_UNPUBLISHED, &[], |row| row.get(0))?.unwrap_or(0))
}
