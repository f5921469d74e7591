//! What is on the shelves, and who waits for it.

use ::store::{StoreError, Tx};
use contracts::api::inventory::Stock;

use crate::store;

/// Returns all shelves and how many orders wait.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn show_stock(tx: &mut Tx<'_>) -> Result<Stock, StoreError> {
    Ok(Stock {
        stock: store::shelf_lines(tx)?,
        waiting_orders: store::count_waiting(tx, i64::MAX)?,
    })
}

/// Returns how much is not done yet: orders that wait, and purchases that are open.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn count_open(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(store::count_waiting(tx, i64::MAX)? + store::count_open_purchases(tx)?)
}
