//! What the simulated market is, and what it sold.

use ::store::{StoreError, Tx};
use contracts::api::market_sim::MarketSim;

use crate::store;

/// Returns the simulated market's settings and what it sold.
pub(crate) fn show_market_sim(tx: &mut Tx<'_>) -> Result<MarketSim, StoreError> {
    let settings = store::state(tx)?.settings;
    let stands = store::stands(tx)?;
    let sales = stands.iter().map(|stand| stand.sales).sum();
    let sold = stands.into_iter().map(|stand| (stand.ingredient, stand.sold)).collect();
    Ok(MarketSim { settings, sold, sales })
}
