//! Orders are cancelled: what they had goes back.

use std::collections::{HashMap, HashSet};

use ::store::{StoreError, Tx};
use contracts::{
    OrderId, Quantities,
    events::{DishCancelled, IngredientsReleased},
};
use events::Announce as _;

use super::serve_waiting;
use crate::{
    Signals,
    domain::Basket,
    store::{self, Reservation, Status},
};

/// Gives back what each order had, lets it leave the queue, or notes that it is not to have anything when it asks later.
/// A repeat changes nothing. What came free goes to those who wait.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn release_ingredients(
    tx: &mut Tx<'_>,
    cancelled: &[DishCancelled],
    signals: &Signals,
) -> Result<(), StoreError> {
    let mut shelves = store::lock_shelves(tx)?;
    let mut seen = HashSet::with_capacity(cancelled.len());
    let orders: Vec<OrderId> =
        cancelled.iter().map(|event| event.order).filter(|order| seen.insert(*order)).collect();
    let known: HashMap<OrderId, (Status, Basket)> = store::reservations(tx, &orders)?
        .into_iter()
        .map(|(order, status, needs)| (order, (status, needs)))
        .collect();
    let mut ended = Vec::new();
    let mut tombstones = Vec::new();
    for order in orders {
        let (released, left_queue) = match known.get(&order) {
            Some((Status::Reserved, needs)) => {
                shelves.release(needs);
                ended.push((order, Status::Released));
                (needs.quantities(), false)
            }
            Some((Status::Waiting, needs)) => {
                shelves.leave_queue(needs);
                ended.push((order, Status::Left));
                (Quantities::new(), true)
            }
            None => {
                let (status, needs) = (Status::Tombstone, Basket::default());
                tombstones.push(Reservation { order, number: 0, status, needs });
                (Quantities::new(), false)
            }
            Some((Status::Released | Status::Left | Status::Tombstone, _)) => continue,
        };
        tx.announce(&IngredientsReleased { order, released, left_queue });
    }
    let something_came_free = !ended.is_empty();
    store::set_statuses(tx, ended)?;
    store::insert_reservations(tx, &tombstones)?;
    if something_came_free {
        let served = serve_waiting(tx, &mut shelves, &HashSet::new())?;
        signals.after_serving(tx, &served);
    }
    store::save_shelves(tx, shelves)
}
