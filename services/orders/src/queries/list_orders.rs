//! All orders, page by page.

use ::store::{StoreError, Tx};
use contracts::api::orders::{ListOrders, OrderPage};

use crate::store;

/// How many orders a page has, unless it is said.
const LIMIT: i64 = 100;
/// How many it has at the most.
pub(crate) const LIMIT_MAX: i64 = 1_000;

/// Returns a page of orders, newest first.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn list_orders(tx: &mut Tx, query: &ListOrders) -> Result<OrderPage, StoreError> {
    let limit = query.limit.unwrap_or(LIMIT);
    let orders = store::list(tx, query, limit)?;
    let full = i64::try_from(orders.len()) == Ok(limit);
    let next_before = if full { orders.last().map(|order| order.number) } else { None };
    Ok(OrderPage { orders: orders.into_iter().map(Into::into).collect(), next_before })
}
