//! A guest, or several, at the door.

use ::store::{StoreError, Tx};
use contracts::{api::orders::PlacedOrders, events::OrderPlaced};
use events::Announce as _;

use crate::{
    domain::{Menu, Order, UnknownDish},
    store,
};

/// What one request asks for.
#[derive(Clone, Debug)]
pub(crate) struct PlaceRequest {
    /// The dish of each order, if the guest named one.
    pub(crate) dishes: Vec<Option<String>>,
    /// The trace that the orders belong to.
    pub(crate) traceparent: Option<String>,
}

/// Places the orders of each request and announces them, all of a request or none.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then. A refusal is an answer, not an error.
pub(crate) fn place_orders(
    tx: &mut Tx,
    requests: &[&PlaceRequest],
) -> Result<Vec<Result<PlacedOrders, UnknownDish>>, StoreError> {
    let menu = store::menu(tx)?;
    let decided: Vec<Result<&PlaceRequest, UnknownDish>> =
        requests.iter().map(|request| check(request, &menu)).collect();
    let wanted = decided.iter().flatten().map(|request| request.dishes.len()).sum();
    let mut numbers = store::take_numbers(tx, wanted)?..;
    let now = tx.now();
    let placed: Vec<Result<Vec<Order>, UnknownDish>> = decided
        .into_iter()
        .map(|request| {
            let PlaceRequest { dishes, traceparent } = request?;
            let orders: Vec<Order> = dishes
                .iter()
                .zip(&mut numbers)
                .map(|(dish, number)| Order::place(number, dish.clone(), now))
                .collect();
            announce(tx, &orders, traceparent.as_deref());
            Ok(orders)
        })
        .collect();
    store::insert(tx, placed.iter().flatten().flatten())?;
    let answer =
        |orders: Vec<Order>| PlacedOrders { orders: orders.into_iter().map(Into::into).collect() };
    Ok(placed.into_iter().map(|orders| orders.map(answer)).collect())
}

fn check<'r>(request: &'r PlaceRequest, menu: &Menu) -> Result<&'r PlaceRequest, UnknownDish> {
    request.dishes.iter().flatten().try_for_each(|dish| menu.check(dish)).map(|()| request)
}

fn announce(tx: &mut Tx, orders: &[Order], traceparent: Option<&str>) {
    for order in orders {
        if let Some(trace) = traceparent {
            tx.follow(order.id.to_string(), trace);
        }
        let (dish, placed_at) = (order.requested_dish.clone(), order.placed_at);
        tx.announce(&OrderPlaced { order: order.id, number: order.number, dish, placed_at });
    }
}
