//! Orders ask for ingredients: each gets all, or waits.

use std::collections::{HashMap, HashSet};

use ::store::{StoreError, Tx};
use contracts::{
    OrderId,
    events::{IngredientsAwaited, IngredientsRequested, IngredientsReserved},
};
use events::Announce as _;

use super::serve_waiting;
use crate::{
    Signals,
    domain::{Basket, Decision, WAITING_WINDOW_MAX, Walk},
    store::{self, Reservation, Shelves, Status},
};

/// Reserves for each order all that it needs, or lets it wait, in arrival order behind those who wait already. An order
/// that asked before, or was cancelled before it asked, is passed over.
///
/// # Errors
/// [`StoreError`] if the database failed, or a quantity is none; nothing is saved then.
pub(crate) fn reserve_ingredients(
    tx: &mut Tx<'_>,
    requests: &[IngredientsRequested],
    signals: &Signals,
) -> Result<(), StoreError> {
    let mut shelves = store::lock_shelves(tx)?;
    let orders = in_arrival_order(requests)?;
    let Some(first) = orders.first() else { return Ok(()) };
    let nobody_waits = shelves.wanted().is_empty();
    let last = if nobody_waits { None } else { store::last_waiting(tx)? };
    if last.is_none_or(|last| last < first.number) {
        join_behind(tx, &mut shelves, orders, signals)?;
    } else {
        join_among(tx, &mut shelves, orders, signals)?;
    }
    if !shelves.missing().is_empty() {
        tx.wake_after_commit(&signals.shortage);
    }
    store::save_shelves(tx, shelves)
}

/// Returns each order once, by number.
fn in_arrival_order(requests: &[IngredientsRequested]) -> Result<Vec<Reservation>, StoreError> {
    let mut seen = HashSet::with_capacity(requests.len());
    let mut orders = Vec::with_capacity(requests.len());
    for request in requests {
        let needs = Basket::checked(&request.needs)?;
        if seen.insert(request.order) {
            let (order, number) = (request.order, request.number);
            orders.push(Reservation { order, number, status: Status::Waiting, needs });
        }
    }
    orders.sort_by_key(|order| (order.number, order.order));
    Ok(orders)
}

/// All who wait came earlier, so that what they want together is all that has to be known of them.
fn join_behind(
    tx: &mut Tx<'_>,
    shelves: &mut Shelves,
    mut orders: Vec<Reservation>,
    signals: &Signals,
) -> Result<(), StoreError> {
    let waiting = if shelves.wanted().is_empty() {
        0
    } else {
        store::count_waiting(tx, i64::try_from(WAITING_WINDOW_MAX).unwrap_or(i64::MAX))?
    };
    let waiting = usize::try_from(waiting).unwrap_or(WAITING_WINDOW_MAX);
    let mut walk = Walk::behind(shelves.on_hand(), shelves.wanted(), waiting);
    let decisions: Vec<Decision> = orders.iter().map(|order| walk.decide(&order.needs)).collect();
    for (order, decision) in orders.iter_mut().zip(&decisions) {
        if *decision == Decision::Reserve {
            order.status = Status::Reserved;
        }
    }
    let fresh = store::insert_reservations(tx, &orders)?;
    let mut any_known = false;
    for ((Reservation { order, needs, .. }, decision), fresh) in
        orders.into_iter().zip(decisions).zip(fresh)
    {
        match decision {
            _ if !fresh => any_known = true,
            Decision::Reserve => {
                shelves.reserve(&needs);
                tx.announce(&IngredientsReserved {
                    order,
                    reserved: needs.quantities(),
                    waited: false,
                });
            }
            Decision::Wait { missing } => {
                shelves.join_queue(&needs);
                tx.announce(&IngredientsAwaited { order, missing: missing.quantities() });
            }
        }
    }
    if any_known {
        // Those behind an order that was known already were decided as if it still needed something.
        let served = serve_waiting(tx, shelves, &HashSet::new())?;
        signals.after_serving(tx, &served);
    }
    Ok(())
}

/// Some who wait came later: all of them are walked along.
fn join_among(
    tx: &mut Tx<'_>,
    shelves: &mut Shelves,
    orders: Vec<Reservation>,
    signals: &Signals,
) -> Result<(), StoreError> {
    let fresh = store::insert_reservations(tx, &orders)?;
    let newcomers: Vec<Reservation> =
        orders.into_iter().zip(fresh).filter_map(|(order, fresh)| fresh.then_some(order)).collect();
    newcomers.iter().for_each(|order| shelves.join_queue(&order.needs));
    let ids: HashSet<OrderId> = newcomers.iter().map(|order| order.order).collect();
    let served = serve_waiting(tx, shelves, &ids)?;
    let missing: HashMap<OrderId, Basket> = served.passed_over.iter().copied().collect();
    for Reservation { order, needs, .. } in newcomers {
        if served.served_newcomers.contains(&order) {
            continue;
        }
        let missing = match missing.get(&order) {
            Some(missing) => *missing,
            None => served.walk.missing_behind(&needs),
        };
        tx.announce(&IngredientsAwaited { order, missing: missing.quantities() });
    }
    signals.after_serving(tx, &served);
    Ok(())
}
