//! What was bought, page by page.

use ::store::{StoreError, Tx};
use contracts::api::inventory::{ListPurchases, PurchasePage};

use crate::store;

/// How many purchases a page has at the most.
pub(crate) const LIMIT_MAX: i64 = 1_000;
/// How many purchases a page has if the request does not say.
const LIMIT: i64 = 100;

/// Returns a page of purchases, newest first.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn list_purchases(
    tx: &mut Tx<'_>,
    query: &ListPurchases,
) -> Result<PurchasePage, StoreError> {
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    // One more than asked for tells whether there is a next page.
    let mut purchases = store::purchases(tx, query.ingredient, query.before, limit + 1)?;
    let full = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_next = purchases.len() > full;
    purchases.truncate(full);
    let next_before = if has_next { purchases.last().map(|purchase| purchase.id) } else { None };
    Ok(PurchasePage { purchases, next_before })
}
