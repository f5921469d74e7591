//! What the kitchen did to orders.

use ::store::{StoreError, Tx};
use contracts::{
    OrderId,
    events::{
        CancellationRefused, CookingStarted, DishCancelled, DishPrepared, DishRefused,
        OrderCancelled, OrderDelivered, OrderRejected,
    },
};
use events::Announce as _;

use crate::{domain::Order, store};

/// Notes that orders are on a stove.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn cook_orders(tx: &mut Tx, started: &[CookingStarted]) -> Result<(), StoreError> {
    change(tx, started, |event| event.order, |order, event| order.cook(&event.dish)).map(|_| ())
}

/// Delivers the dishes that are prepared, and announces each delivery.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn deliver_orders(tx: &mut Tx, prepared: &[DishPrepared]) -> Result<(), StoreError> {
    let now = tx.now();
    let delivered =
        change(tx, prepared, |event| event.order, |order, event| order.deliver(&event.dish, now))?;
    tx.announce_all(delivered.into_iter().map(|Order { id, dish, placed_at, .. }| {
        OrderDelivered { order: id, dish: dish.unwrap_or_default(), placed_at, delivered_at: now }
    }));
    Ok(())
}

/// Ends the orders whose dishes are cancelled, and announces each end.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn end_cancelled(tx: &mut Tx, cancelled: &[DishCancelled]) -> Result<(), StoreError> {
    let now = tx.now();
    let ended = change(tx, cancelled, |event| event.order, |order, _| order.cancel(now))?;
    tx.announce_all(ended.into_iter().map(|order| OrderCancelled { order: order.id }));
    Ok(())
}

/// Lets orders go on that were to be cancelled too late.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn go_on(tx: &mut Tx, refused: &[CancellationRefused]) -> Result<(), StoreError> {
    change(tx, refused, |event| event.order, |order, event| order.go_on(&event.reason)).map(|_| ())
}

/// Rejects the orders whose dishes the kitchen can't make, and announces each end.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn reject_orders(tx: &mut Tx, refused: &[DishRefused]) -> Result<(), StoreError> {
    let now = tx.now();
    let rejected =
        change(tx, refused, |event| event.order, |order, event| order.reject(&event.reason, now))?;
    tx.announce_all(
        rejected.into_iter().map(|order| OrderRejected {
            order: order.id,
            reason: order.reason.unwrap_or_default(),
        }),
    );
    Ok(())
}

/// Decides about the order of each event, and saves and returns those that change.
fn change<E>(
    tx: &mut Tx,
    events: &[E],
    about: impl Fn(&E) -> OrderId,
    decide: impl Fn(Order, &E) -> Option<Order>,
) -> Result<Vec<Order>, StoreError> {
    let ids: Vec<OrderId> = events.iter().map(&about).collect();
    let mut orders = store::load(tx, &ids)?;
    // An order met twice in a batch is gone the second time: its first event has decided.
    let changed: Vec<Order> =
        events.iter().filter_map(|event| decide(orders.remove(&about(event))?, event)).collect();
    store::advance(tx, &changed)?;
    Ok(changed)
}
