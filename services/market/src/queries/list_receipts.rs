//! The receipts, for the audit.

use ::store::{StoreError, Tx};
use contracts::api::audit::{FactsQuery, PurchaseFact};
use events::facts;

use crate::store;

/// Returns a page of the purchases.
pub(crate) fn list_receipts(
    tx: &mut Tx<'_>,
    query: &FactsQuery,
) -> Result<Vec<PurchaseFact>, StoreError> {
    let (after, limit) = facts::page(query);
    store::purchases_after(tx, &after, limit)
}
