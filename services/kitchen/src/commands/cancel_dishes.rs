use std::collections::BTreeSet;

use ::store::{StoreError, Tx};
use contracts::{
    OrderId,
    events::{CancellationRequested, DishCancelled},
};
use events::Announce as _;

use crate::{domain::ticket::cancellation_refused, store};

/// Cancels each dish that is not on a stove yet, and refuses the others.
///
/// - Requested or reserved: cancelled.
/// - Cooking or prepared: refused, each time that it is asked.
/// - Cancelled or refused already: nothing, for the order's end was told.
/// - No ticket: one is opened that is cancelled from the start, so that the order, should it come, does nothing.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn cancel_dishes(
    tx: &mut Tx<'_>,
    requested: &[CancellationRequested],
) -> Result<(), StoreError> {
    store::lock_rail(tx)?;
    let mut orders: BTreeSet<OrderId> = requested.iter().map(|event| event.order).collect();
    let never_came = store::open_cancelled(tx, &orders)?;
    orders.retain(|order| !never_came.contains(order));
    let in_time = store::cancel_tickets(tx, &orders)?;
    orders.retain(|order| !in_time.contains(order));
    tx.announce_all(never_came.into_iter().chain(in_time).map(|order| DishCancelled { order }));
    for (order, status) in store::statuses(tx, &orders)? {
        if let Some(reason) = status.too_late() {
            tx.announce(&cancellation_refused(order, reason));
        }
    }
    Ok(())
}
