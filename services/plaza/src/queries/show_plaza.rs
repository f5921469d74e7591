//! What the plaza is, and what it sold.

use chassis::database::{StoreError, Tx};
use contracts::api::plaza::Plaza;

use crate::store;

/// Returns the plaza's settings and what it sold.
pub(crate) fn show_plaza(tx: &mut Tx<'_>) -> Result<Plaza, StoreError> {
    let settings = store::state(tx)?.settings;
    let stands = store::stands(tx)?;
    let sales = stands.iter().map(|stand| stand.sales).sum();
    let sold = stands.into_iter().map(|stand| (stand.ingredient, stand.sold)).collect();
    Ok(Plaza { settings, sold, sales })
}
