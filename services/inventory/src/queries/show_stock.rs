//! The stock on hand, and the orders that wait for it.

use ::store::{StoreError, Tx};
use contracts::api::{inventory::Stock, service::Waiting};

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

/// Returns the orders that wait for ingredients, since the first of them was placed, and the purchases that the market has not
/// answered.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn list_waiting(tx: &mut Tx<'_>) -> Result<Vec<Waiting>, StoreError> {
    let mut waiting = Vec::new();
    if let Some(first) = store::first_waiting(tx)? {
        let shelves = store::shelf_lines(tx)?;
        let missing = shelves.iter().filter(|shelf| shelf.missing > 0);
        let missing: Vec<String> =
            missing.map(|shelf| format!("{} {}", shelf.missing, shelf.ingredient)).collect();
        let orders = store::count_waiting(tx, i64::MAX)?;
        waiting.extend(Waiting::some("orders", orders, first.made_at(), &missing.join(", ")));
    }
    if let Some(since) = store::oldest_open_purchase(tx)? {
        let purchases = store::count_open_purchases(tx)?;
        waiting.extend(Waiting::some("purchases", purchases, Some(since), "the market"));
    }
    Ok(waiting)
}
