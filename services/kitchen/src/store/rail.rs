//! The stoves, and saving a cooking round.

use ::store::{Many, Row, StoreError, Tx, params, timers};
use contracts::Timestamp;

use super::tickets::{ADVANCE_TICKET, follow};
use crate::domain::{
    round::{Dish, Round, Stove},
    stoves::Installation,
};

/// The kind of the timers that say when a dish is prepared; their subject is the order.
pub(crate) const COOKING: &str = "cooking";

// The row lock is what counts. The column keeps the name of its migration, as replicas of the version before use it, too.
pub(super) const LOCK_RAIL: &str = "UPDATE rail SET turns = turns + 1 WHERE id = 1";
pub(super) const STOVES: &str = "SELECT stoves.number, retiring, ticket, dish, traceparent
     FROM stoves LEFT JOIN tickets ON order_id = ticket ORDER BY stoves.number";
pub(super) const CHANGE_STOVE: Many = Many {
    each: "UPDATE stoves SET ticket = ?2 WHERE number = ?1 AND COALESCE(ticket, '') = COALESCE(?3, '')",
    all: "UPDATE stoves SET ticket = given.after
         FROM UNNEST($1::BIGINT[], $2::TEXT[], $3::TEXT[]) AS given (number, after, before)
         WHERE stoves.number = given.number AND COALESCE(stoves.ticket, '') = COALESCE(given.before, '')",
};
pub(super) const ADD_STOVE: Many = Many {
    each: "INSERT INTO stoves (number, ticket, retiring) VALUES (?1, NULL, 0)",
    all: "INSERT INTO stoves (number, ticket, retiring) SELECT number, NULL, 0 FROM UNNEST($1::BIGINT[]) AS number",
};
pub(super) const RETIRE_STOVE: Many = Many {
    each: "UPDATE stoves SET retiring = ?2 WHERE number = ?1",
    all: "UPDATE stoves SET retiring = given.retiring
         FROM UNNEST($1::BIGINT[], $2::BIGINT[]) AS given (number, retiring)
         WHERE stoves.number = given.number",
};
pub(super) const REMOVE_RETIRED: &str = "DELETE FROM stoves WHERE retiring = 1 AND ticket IS NULL";

/// Locks the rail: no other transaction changes stoves or open tickets until this one ends. SQLite has one writer anyway, so it
/// takes no lock.
pub(crate) fn lock_rail(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    if tx.is_sqlite() {
        return Ok(());
    }
    tx.execute(LOCK_RAIL, &[]).map(|_| ())
}

/// Returns the stoves by number. The events of what is on them join the trace of their order.
pub(crate) fn stoves(tx: &mut Tx<'_>) -> Result<Vec<Stove>, StoreError> {
    let read = |row: &Row<'_>| {
        let dish = match row.get(2)? {
            Some(order) => Some(Dish { order, name: row.get(3)? }),
            None => None,
        };
        Ok((Stove { number: row.get(0)?, retiring: row.get(1)?, dish }, row.get(4)?))
    };
    let found = tx.query(STOVES, &[], read)?;
    let mut stoves = Vec::with_capacity(found.len());
    for (stove, trace) in found {
        if let Some(dish) = &stove.dish {
            follow(tx, dish.order, trace);
        }
        stoves.push(stove);
    }
    Ok(stoves)
}

/// Puts stoves in and takes them out.
pub(crate) fn install(tx: &mut Tx<'_>, installation: &Installation) -> Result<(), StoreError> {
    let Installation { added, retired, kept } = installation;
    tx.execute_all(&ADD_STOVE, added.iter().map(|number| params![number]))?;
    let marked = retired.iter().map(|number| params![number, true]);
    tx.execute_all(&RETIRE_STOVE, marked.chain(kept.iter().map(|number| params![number, false])))?;
    tx.execute(REMOVE_RETIRED, &[]).map(|_| ())
}

/// Saves a round: a timer for each dish that is cooking now, none for those that are prepared, the stoves, the tickets.
///
/// # Errors
/// [`StoreError::Conflict`] if something is not as it was when the round was decided; nothing may be saved then.
pub(crate) fn save_round(tx: &mut Tx<'_>, round: &Round) -> Result<(), StoreError> {
    let due: Vec<(String, Timestamp)> =
        round.cooking.iter().map(|(order, due_at)| (order.to_string(), *due_at)).collect();
    timers::set(tx, COOKING, due.iter().map(|(order, due_at)| (order.as_str(), *due_at)))?;
    let prepared: Vec<String> = round.prepared.iter().map(ToString::to_string).collect();
    let completed = timers::complete(tx, COOKING, prepared.iter().map(String::as_str))?;
    if !completed.iter().all(|completed| *completed) {
        return Err(StoreError::conflict("another kitchen has finished the same dish"));
    }
    let stoves = round.stoves.iter().map(|(number, before, after)| params![number, after, before]);
    if tx.execute_all(&CHANGE_STOVE, stoves)? != round.stoves.len() as u64 {
        return Err(StoreError::conflict("another kitchen has taken the same stove"));
    }
    let tickets = round.tickets.iter().map(|(order, before, after)| params![order, after, before]);
    if tx.execute_all(&ADVANCE_TICKET, tickets)? != round.tickets.len() as u64 {
        return Err(StoreError::conflict("another kitchen has taken the same ticket"));
    }
    if round.freed_retiring {
        tx.execute(REMOVE_RETIRED, &[])?;
    }
    Ok(())
}
