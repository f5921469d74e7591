//! Where certain orders are.

use ::store::{StoreError, Tx};
use contracts::{OrderId, api};

use crate::store;

/// Returns the orders with these ids, by id. Those that do not exist are left out.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn find_orders(
    tx: &mut Tx,
    ids: &[OrderId],
) -> Result<Vec<api::orders::Order>, StoreError> {
    let mut found: Vec<api::orders::Order> =
        store::load(tx, ids)?.into_values().map(Into::into).collect();
    found.sort_unstable_by_key(|order| order.id);
    Ok(found)
}
