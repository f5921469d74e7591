use ::store::{StoreError, Tx};
use contracts::{OrderId, events::IngredientsReserved};
use tracing::debug;

use crate::store;

/// Hangs tickets that have their ingredients on the rail. One that was cancelled meanwhile stays so: the inventory hears
/// of the cancellation and takes the ingredients back.
///
/// # Errors
/// [`StoreError::Rejected`] if an order has no ticket at all, for then its ingredients would never be used;
/// [`StoreError::Engine`] if the database failed.
pub(crate) fn reserve_tickets(
    tx: &mut Tx<'_>,
    reserved: &[IngredientsReserved],
) -> Result<(), StoreError> {
    store::lock_rail(tx)?;
    let orders: Vec<OrderId> = reserved.iter().map(|event| event.order).collect();
    let late = store::reserve_tickets(tx, &orders)?;
    if late.is_empty() {
        return Ok(());
    }
    let known = store::statuses(tx, &late)?;
    for order in late {
        match known.iter().find(|(other, _)| *other == order) {
            None => {
                return Err(StoreError::rejected(format!(
                    "the kitchen has no ticket for the order {order}"
                )));
            }
            Some((_, status)) => {
                debug!(order_id = %order, "Ingredients came for {order}, which is {} already", status.name());
            }
        }
    }
    Ok(())
}
