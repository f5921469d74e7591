//! All SQL of the board.

use std::{collections::BTreeMap, time::Duration};

use ::store::{Many, Row, StoreError, Tx, params};
use contracts::{
    OrderId,
    api::live::{
        BoardView, DISHES_SHOWN_MAX, ENDED_SHOWN_MAX, IN_FLIGHT_SHOWN_MAX, Ticket, TicketState,
    },
};

use crate::{
    projection::{self, Counters, DishDeliveries},
    tickets::Told,
};

/// After how many commits old orders are deleted.
pub(crate) const DELETE_EVERY: i64 = 64;
/// How many orders at their end are kept, beside those that end within [`DELETE_EVERY`] commits.
const ENDED_KEPT: usize = 1_000;
/// How long they are kept: those that ended before are deleted with the next ones.
const ENDED_KEPT_MAX: Duration = Duration::from_hours(24);
/// How long an order is kept whose `order.placed` is missing: a late event was about one that is deleted already.
const INCOMPLETE_KEPT_MAX: Duration = Duration::from_hours(1);

const ADD: Many = Many {
    each: "INSERT INTO counters (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
    all: "INSERT INTO counters (name, value) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[])
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
};
const ADD_DELIVERIES: Many = Many {
    each: "INSERT INTO dish_deliveries (dish, bucket, deliveries) VALUES (?1, ?2, ?3)
         ON CONFLICT (dish, bucket) DO UPDATE SET deliveries = dish_deliveries.deliveries + excluded.deliveries",
    all: "INSERT INTO dish_deliveries (dish, bucket, deliveries) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[])
         ON CONFLICT (dish, bucket) DO UPDATE SET deliveries = dish_deliveries.deliveries + excluded.deliveries",
};
const DELIVERIES: Many = Many {
    each: "SELECT dish, bucket, deliveries FROM dish_deliveries WHERE dish = ?1",
    all: "SELECT dish, bucket, deliveries FROM dish_deliveries WHERE dish = ANY($1::TEXT[])",
};
/// What a row of [`TELL`] does, given where it comes from.
macro_rules! tell {
    ($rows:literal) => {
        concat!(
            "INSERT INTO tickets (id, number, dish, state, placed_at, changed_at, ended_at, stove, missing) ",
            $rows,
            " ON CONFLICT (id) DO UPDATE SET
                 number = COALESCE(tickets.number, excluded.number),
                 dish = COALESCE(tickets.dish, excluded.dish),
                 changed_at = CASE WHEN excluded.state > tickets.state THEN excluded.changed_at ELSE tickets.changed_at END,
                 state = CASE WHEN excluded.state > tickets.state THEN excluded.state ELSE tickets.state END,
                 placed_at = COALESCE(tickets.placed_at, excluded.placed_at),
                 ended_at = COALESCE(tickets.ended_at, excluded.ended_at),
                 stove = COALESCE(tickets.stove, excluded.stove),
                 missing = COALESCE(tickets.missing, excluded.missing)"
        )
    };
}
const TELL: Many = Many {
    each: tell!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
    all: tell!(
        "SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[],
             $8::BIGINT[], $9::TEXT[])"
    ),
};
// On PostgreSQL it locks the row: a transaction changes several tables, and two replicas that do so at once would wait for each other
// in a circle. So revisions grow in the order of the commits.
const TAKE_TURN: &str = "UPDATE turn SET revision = revision + 1 WHERE id = 1 RETURNING revision";
const REVISION: &str = "SELECT revision FROM turn WHERE id = 1";
const ALL: &str = "SELECT name, value FROM counters";
const IN_FLIGHT: &str = "SELECT id, number, dish, state, placed_at, changed_at, stove, missing FROM tickets
     WHERE ended_at IS NULL AND number IS NOT NULL AND placed_at IS NOT NULL ORDER BY number LIMIT ?1";
const ENDED: &str = "SELECT id, number, dish, state, placed_at, changed_at, stove, missing FROM tickets
     WHERE ended_at IS NOT NULL AND number IS NOT NULL AND placed_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT ?1";
const LAST_KEPT: &str = "SELECT ended_at FROM tickets WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1 OFFSET ?1";
// A row stays as long as an event about its order is a dead letter. An `order.placed` that is replayed would begin another row else,
// one that never ends. It can't be too late for that: the events of one writer about one order are acted on, or set aside, in their
// order, and what ends an order comes from the writer of its `order.placed`.
const DELETE_ENDED: &str =
    "DELETE FROM tickets WHERE ended_at < ?1 AND id NOT IN (SELECT subject FROM dead_letters)";
const DELETE_INCOMPLETE: &str = "DELETE FROM tickets WHERE ended_at IS NULL AND (number IS NULL OR placed_at IS NULL) AND changed_at < ?1
     AND id NOT IN (SELECT subject FROM dead_letters)";

/// Every statement of this file that both engines run.
pub const STATEMENTS: [&str; 8] =
    [TAKE_TURN, REVISION, ALL, IN_FLIGHT, ENDED, LAST_KEPT, DELETE_ENDED, DELETE_INCOMPLETE];
/// Every statement of this file for many rows.
pub const MANY: [Many; 4] = [ADD, ADD_DELIVERIES, DELIVERIES, TELL];

/// Returns the next revision, which this transaction makes: no other replica changes the board until it ends.
pub(crate) fn take_turn(tx: &mut Tx) -> Result<i64, StoreError> {
    let revision = tx.query_one(TAKE_TURN, &[], |row| row.get(0))?;
    revision.ok_or_else(|| StoreError::rejected("the board has no turn"))
}

/// Adds to counters.
pub(crate) fn add(tx: &mut Tx, added: &Counters) -> Result<(), StoreError> {
    tx.execute_all(&ADD, added.iter().map(|(name, value)| params![name, value])).map(|_| ())
}

/// Adds to the deliveries of dishes.
pub(crate) fn add_deliveries(tx: &mut Tx, added: &DishDeliveries) -> Result<(), StoreError> {
    let rows = added.iter().map(|((dish, bucket), count)| params![dish, bucket, count]);
    tx.execute_all(&ADD_DELIVERIES, rows).map(|_| ())
}

/// Adds what was told of orders to what is known of them.
pub(crate) fn tell(tx: &mut Tx, told: &BTreeMap<OrderId, Told>) -> Result<(), StoreError> {
    let rows = told.iter().map(|(order, told)| {
        let missing = told.missing.as_ref().and_then(|missing| serde_json::to_string(missing).ok());
        params![
            order,
            told.number,
            told.dish,
            told.state as i64,
            told.placed_at,
            told.changed_at,
            told.ended_at(),
            told.stove,
            missing
        ]
    });
    tx.execute_all(&TELL, rows).map(|_| ())
}

/// Deletes orders that ended, if they are too many or too old.
pub(crate) fn delete_old(tx: &mut Tx) -> Result<(), StoreError> {
    let now = tx.now();
    let oldest = now.minus(ENDED_KEPT_MAX);
    let last_kept = tx.query_one(LAST_KEPT, &params![limit(ENDED_KEPT)], |row| row.get(0))?;
    tx.execute(DELETE_ENDED, &params![last_kept.map_or(oldest, |last| oldest.max(last))])?;
    tx.execute(DELETE_INCOMPLETE, &params![now.minus(INCOMPLETE_KEPT_MAX)])?;
    Ok(())
}

/// Returns the revision of the board.
pub(crate) fn revision(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(tx.query_one(REVISION, &[], |row| row.get(0))?.unwrap_or_default())
}

/// Returns all counters.
pub(crate) fn counters(tx: &mut Tx) -> Result<Counters, StoreError> {
    Ok(tx.query(ALL, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}

/// Returns what viewers see.
pub(crate) fn view(tx: &mut Tx) -> Result<BoardView, StoreError> {
    let revision = revision(tx)?;
    let summary = projection::summary(&counters(tx)?);
    let dishes = summary.dishes.keys().take(DISHES_SHOWN_MAX).map(|dish| params![dish]);
    let deliveries =
        tx.query_all(&DELIVERIES, dishes, |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    let dishes = projection::dish_figures(deliveries.into_iter().collect());
    let mut orders = tx.query(IN_FLIGHT, &params![limit(IN_FLIGHT_SHOWN_MAX)], ticket)?;
    orders.append(&mut tx.query(ENDED, &params![limit(ENDED_SHOWN_MAX)], ticket)?);
    orders.sort_by_key(|order| (order.number, order.id));
    Ok(BoardView { revision, summary, dishes, orders })
}

fn ticket(row: &Row<'_>) -> Result<Ticket, StoreError> {
    let state: i64 = row.get(3)?;
    let state = usize::try_from(state).ok().and_then(|state| TicketState::ALL.get(state)).copied();
    let missing: Option<String> = row.get(7)?;
    let missing = missing.map(|missing| serde_json::from_str(&missing)).transpose();
    Ok(Ticket {
        id: row.get(0)?,
        number: row.get(1)?,
        dish: row.get(2)?,
        state: state.ok_or_else(|| StoreError::rejected("an order has a state that is none"))?,
        placed_at: row.get(4)?,
        changed_at: row.get(5)?,
        stove: row.get(6)?,
        missing: missing
            .map_err(|error| StoreError::rejected(format!("what an order misses: {error}")))?
            .unwrap_or_default(),
    })
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
