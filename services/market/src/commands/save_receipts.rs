//! Saves what came of the calls.

use std::collections::HashMap;

use ::store::{StoreError, Tx};
use contracts::PurchaseId;

use crate::{domain::Status, store};

/// What came of the calls for a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) purchase: PurchaseId,
    pub(crate) status: Status,
}

/// Saves each receipt and returns how each purchase stands then: as the receipt says, unless another replica ended it first.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn save_receipts(
    tx: &mut Tx<'_>,
    receipts: &[Receipt],
) -> Result<Vec<Status>, StoreError> {
    let saved = store::end_calls(tx, receipts)?;
    if saved.len() == receipts.len() {
        return Ok(receipts.iter().map(|receipt| receipt.status).collect());
    }
    let late: Vec<PurchaseId> =
        receipts.iter().map(|receipt| receipt.purchase).filter(|id| !saved.contains(id)).collect();
    let ended: HashMap<_, _> = store::purchases(tx, &late)?.into_iter().collect();
    let standing = |receipt: &Receipt| {
        ended.get(&receipt.purchase).map_or(receipt.status, |purchase| purchase.status)
    };
    Ok(receipts.iter().map(standing).collect())
}
