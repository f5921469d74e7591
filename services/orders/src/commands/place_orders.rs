//! A guest, or several, at the door.

use std::collections::HashMap;

use ::store::{StoreError, Tx};
use contracts::events::OrderPlaced;
use events::Announce as _;

use crate::{
    domain::{Menu, Order, Refusal},
    store::{self, Line},
};

/// What one request asks for: a line is an order.
#[derive(Clone, Debug)]
pub(crate) struct PlaceRequest {
    /// The idempotency key, with whose it is before it.
    pub(crate) key: Option<String>,
    /// The dish of each order, if the guest named one.
    pub(crate) dishes: Vec<Option<String>>,
    /// The trace that the orders belong to.
    pub(crate) traceparent: Option<String>,
}

/// What the door answers.
#[derive(Clone, Debug)]
pub(crate) enum Placement {
    /// The orders are saved.
    Placed(Vec<Order>),
    /// They were saved by an earlier request with this key.
    Repeated(Vec<Order>),
    /// Nothing was saved.
    Refused(Refusal),
}

/// Places the orders of each request and announces them, all of a request or none. A repeat changes nothing.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then. What the environment refuses is an answer, not an error.
pub(crate) fn place_orders(
    tx: &mut Tx,
    requests: &[PlaceRequest],
) -> Result<Vec<Placement>, StoreError> {
    let menu = store::menu(tx)?;
    let refusals: Vec<Option<Refusal>> =
        requests.iter().map(|request| refuse(request, &menu)).collect();
    let taken = || {
        requests
            .iter()
            .zip(&refusals)
            .filter(|(_, refusal)| refusal.is_none())
            .map(|(request, _)| request)
    };
    let wanted: usize = taken().map(|request| request.dishes.len()).sum();
    // A repeated request leaves a gap in the numbers: they say who came first, not how many came.
    let mut number = store::take_numbers(tx, wanted)?;
    let now = tx.now();
    let mut lines = Vec::with_capacity(wanted);
    for request in taken() {
        for (at, dish) in request.dishes.iter().enumerate() {
            let key = request.key.as_deref().map(|key| line_key(key, at));
            lines.push(Line {
                order: Order::place(number, dish.clone(), now),
                key,
                lines: request.dishes.len(),
            });
            number += 1;
        }
    }
    let inserted = store::insert_new(tx, &lines)?;
    let mut lines = lines.into_iter().zip(inserted);
    let mut placements = Vec::with_capacity(requests.len());
    for (request, refusal) in requests.iter().zip(refusals) {
        placements.push(match refusal {
            Some(refusal) => Placement::Refused(refusal),
            None => {
                let lines: Vec<(Line, bool)> = lines.by_ref().take(request.dishes.len()).collect();
                if lines.iter().all(|(_, inserted)| *inserted) {
                    announce(tx, request, lines)
                } else {
                    repeat(tx, request, &lines)?
                }
            }
        });
    }
    Ok(placements)
}

fn refuse(request: &PlaceRequest, menu: &Menu) -> Option<Refusal> {
    request.dishes.iter().flatten().find_map(|dish| menu.refuse(dish))
}

/// The first order of a request has its key; the others have it with their place behind.
fn line_key(key: &str, at: usize) -> String {
    if at == 0 { key.to_owned() } else { format!("{key}#{at}") }
}

fn announce(tx: &mut Tx, request: &PlaceRequest, lines: Vec<(Line, bool)>) -> Placement {
    let orders: Vec<Order> = lines.into_iter().map(|(line, _)| line.order).collect();
    for order in &orders {
        if let Some(trace) = &request.traceparent {
            tx.follow(order.id.to_string(), trace.clone());
        }
        let (dish, placed_at) = (order.requested_dish.clone(), order.placed_at);
        tx.announce(&OrderPlaced { order: order.id, number: order.number, dish, placed_at });
    }
    Placement::Placed(orders)
}

/// Answers a request whose key was used before: alike if it is the same request. Lines that are new although others of
/// their request are not can only be of another request; the error takes the whole of it back.
fn repeat(
    tx: &mut Tx,
    request: &PlaceRequest,
    lines: &[(Line, bool)],
) -> Result<Placement, StoreError> {
    let reused = || Ok(Placement::Refused(Refusal::KeyReused));
    let keys: Vec<&str> = lines.iter().filter_map(|(line, _)| line.key.as_deref()).collect();
    let mut found: HashMap<String, Line> = store::find_by_keys(tx, &keys)?;
    let new: Vec<&Line> =
        lines.iter().filter(|(_, inserted)| *inserted).map(|(line, _)| line).collect();
    if !new.is_empty() {
        store::take_back(tx, &new)?;
        return reused();
    }
    let mut orders = Vec::with_capacity(keys.len());
    for (key, dish) in keys.iter().zip(&request.dishes) {
        match found.remove(*key) {
            Some(line)
                if line.lines == request.dishes.len() && line.order.requested_dish == *dish =>
            {
                orders.push(line.order);
            }
            _ => return reused(),
        }
    }
    Ok(Placement::Repeated(orders))
}
