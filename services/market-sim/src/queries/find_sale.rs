//! A sale that may have been made, by its key.

use ::store::{StoreError, Tx};
use contracts::api::market_sim::Sale;

use crate::{commands::sell::Key, store};

/// What the simulated market knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The sale.
    Sale(Sale),
    /// No sale has this key.
    NoSale,
    /// The simulated market answers no call.
    Outage,
}

/// Returns the sale with this key.
pub(crate) fn find_sale(tx: &mut Tx<'_>, key: &Key) -> Result<Found, StoreError> {
    if store::state(tx)?.settings.outage {
        return Ok(Found::Outage);
    }
    let sales = store::sales_by_key(tx, [key.text()])?;
    Ok(sales
        .into_iter()
        .next()
        .map_or(Found::NoSale, |(_, made)| Found::Sale(Sale { quantity_sold: made.quantity })))
}
