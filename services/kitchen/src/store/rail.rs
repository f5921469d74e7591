//! The stoves, and a turn of the rail over them.

use ::store::{Many, Row, StoreError, Tx, params, timers};
use contracts::Timestamp;

use super::tickets::{ADVANCE_TICKET, follow};
use crate::domain::{
    stoves::Installation,
    turn::{Dish, Stove, Turn},
};

/// The kind of the timers that say when a dish is prepared; their subject is the order.
pub(crate) const COOKING: &str = "cooking";

pub(super) const LOCK_RAIL: &str = "UPDATE rail SET turns = turns + 1 WHERE id = 1";
pub(super) const STOVES: &str = "SELECT stoves.number, retiring, ticket, dish, traceparent
     FROM stoves LEFT JOIN tickets ON order_id = ticket ORDER BY stoves.number";
pub(super) const CHANGE_STOVE: Many = Many {
    each: "UPDATE stoves SET ticket = ?2 WHERE number = ?1 AND COALESCE(ticket, '') = COALESCE(?3, '')",
    all: "UPDATE stoves SET ticket = turn.after
         FROM UNNEST($1::BIGINT[], $2::TEXT[], $3::TEXT[]) AS turn (number, after, before)
         WHERE stoves.number = turn.number AND COALESCE(stoves.ticket, '') = COALESCE(turn.before, '')",
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

/// Keeps all others from changing tickets that are open, and stoves, until this transaction ends. SQLite has one writer at a
/// time anyway, and a page less to write.
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

/// Saves a turn: a timer for each dish that is cooking now, none for those that are prepared, the stoves, the tickets.
///
/// # Errors
/// [`StoreError::Conflict`] if something is not as it was when the turn was decided; nothing may be saved then.
pub(crate) fn save_turn(tx: &mut Tx<'_>, turn: &Turn) -> Result<(), StoreError> {
    let due: Vec<(String, Timestamp)> =
        turn.cooking.iter().map(|(order, due_at)| (order.to_string(), *due_at)).collect();
    timers::set(tx, COOKING, due.iter().map(|(order, due_at)| (order.as_str(), *due_at)))?;
    let prepared: Vec<String> = turn.prepared.iter().map(ToString::to_string).collect();
    let completed = timers::complete(tx, COOKING, prepared.iter().map(String::as_str))?;
    if !completed.iter().all(|completed| *completed) {
        return Err(StoreError::conflict("another kitchen has finished the same dish"));
    }
    let stoves = turn.stoves.iter().map(|(number, before, after)| params![number, after, before]);
    if tx.execute_all(&CHANGE_STOVE, stoves)? != turn.stoves.len() as u64 {
        return Err(StoreError::conflict("another kitchen has taken the same stove"));
    }
    let tickets = turn.tickets.iter().map(|(order, before, after)| params![order, after, before]);
    if tx.execute_all(&ADVANCE_TICKET, tickets)? != turn.tickets.len() as u64 {
        return Err(StoreError::conflict("another kitchen has taken the same ticket"));
    }
    if turn.freed_retiring {
        tx.execute(REMOVE_RETIRED, &[])?;
    }
    Ok(())
}
