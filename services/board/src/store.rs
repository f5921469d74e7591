//! All SQL of the board.

use ::store::{Many, StoreError, Tx, params};

use crate::projection::Counters;

const ADD: Many = Many {
    each: "INSERT INTO counters (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
    all: "INSERT INTO counters (name, value) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[])
         ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
};
// A transaction adds several times, each time to other counters: two replicas would wait for each other in a circle.
const TAKE_TURN: &str = "SELECT id FROM turn WHERE id = 1";
const TAKE_TURN_LOCKED: &str = "SELECT id FROM turn WHERE id = 1 FOR UPDATE";
const ALL: &str = "SELECT name, value FROM counters";

/// Every statement of this file that both engines run.
pub const STATEMENTS: [&str; 2] = [TAKE_TURN, ALL];
/// Every statement of this file that only PostgreSQL runs.
pub const POSTGRESQL_STATEMENTS: [&str; 1] = [TAKE_TURN_LOCKED];
/// Every statement of this file for many rows.
pub const MANY: [Many; 1] = [ADD];

/// Adds to counters, which no other replica does until this transaction ends.
pub(crate) fn add(tx: &mut Tx, added: &Counters) -> Result<(), StoreError> {
    let take_turn = tx.either(TAKE_TURN, TAKE_TURN_LOCKED);
    tx.query(take_turn, &[], |_| Ok(()))?;
    tx.execute_all(&ADD, added.iter().map(|(name, value)| params![name, value])).map(|_| ())
}

/// Returns all counters.
pub(crate) fn counters(tx: &mut Tx) -> Result<Counters, StoreError> {
    Ok(tx.query(ALL, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}
