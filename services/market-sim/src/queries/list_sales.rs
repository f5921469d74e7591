//! The sales, for the audit.

use ::store::{StoreError, Tx};
use contracts::api::audit::{FactsQuery, PurchaseFact};
use events::facts;

use crate::store;

/// Returns a page of the sales whose key is a purchase's id. The others belong to nobody who could compare them.
pub(crate) fn list_sales(
    tx: &mut Tx<'_>,
    query: &FactsQuery,
) -> Result<Vec<PurchaseFact>, StoreError> {
    let (after, limit) = facts::page(query);
    store::purchases_after(tx, &after, limit)
}
