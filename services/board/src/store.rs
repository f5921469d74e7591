//! All SQL of the board.

use chassis::{
    database::{StoreError, Tx},
    params,
};

use crate::projection::Counters;

const ADD: &str = "INSERT INTO counters (name, value) VALUES (?1, ?2)
     ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value";
const ALL: &str = "SELECT name, value FROM counters";

/// Every statement of this file.
pub const STATEMENTS: [&str; 2] = [ADD, ALL];

/// Adds to counters, in the order of their names, so that two replicas never wait for each other in a circle.
pub(crate) fn add(tx: &mut Tx, added: &Counters) -> Result<(), StoreError> {
    tx.execute_each(ADD, added.iter().map(|(name, value)| params![name, value])).map(|_| ())
}

/// Returns all counters.
pub(crate) fn counters(tx: &mut Tx) -> Result<Counters, StoreError> {
    Ok(tx.query(ALL, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}
