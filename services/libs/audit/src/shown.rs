//! The orders that the board shows, beside what the service that took them says of them.

use std::collections::BTreeMap;

use backends::{Backends, LIST_WAIT_MAX};
use contracts::{
    OrderId,
    api::{
        live::{BoardView, IN_FLIGHT_SHOWN_MAX, Ticket},
        orders::Order,
    },
    services::BOARD,
};

use crate::{
    AuditError,
    finding::Finding,
    orders::{Orders, states},
};

/// Returns the orders that the board shows: a bounded part of all.
pub(crate) async fn read(services: &Backends) -> Result<Vec<Ticket>, AuditError> {
    let Some(board) = services.get(BOARD) else { return Ok(Vec::new()) };
    let view: BoardView = board
        .get("/internal/live", LIST_WAIT_MAX)
        .await
        .map_err(|source| AuditError::Unanswered { service: BOARD, facts: "orders", source })?;
    Ok(view.orders)
}

/// Checks the orders that the board showed before the orders themselves were read: what it had heard of them by then had
/// happened.
///
/// # Errors
/// [`AuditError`] if the orders service did not answer.
pub(crate) async fn check(
    services: &Backends,
    shown: &[Ticket],
    orders: &Orders,
    live: bool,
) -> Result<Finding, AuditError> {
    let mut finding = Finding::new(
        "board.orders",
        "The orders that the board shows are where the orders themselves are.",
    );
    let known = states(services, shown.iter().map(|ticket| ticket.id).collect()).await?;
    let known: BTreeMap<OrderId, Order> =
        known.into_iter().map(|order| (order.id, order)).collect();
    for ticket in shown {
        let broken = match known.get(&ticket.id) {
            Some(order) => judge(ticket, order, live),
            // The order is lost, which is another rule's finding.
            None if !orders.balance.holds() => continue,
            None => Some("is shown by the board, but no order was taken".to_owned()),
        };
        finding.count(1, i64::from(broken.is_none()));
        if let Some(what) = broken {
            finding.breach(format_args!("{} {what}", ticket.id));
        }
    }
    let in_flight = orders.sums.in_flight().min(count(IN_FLIGHT_SHOWN_MAX));
    let shown = count(shown.iter().filter(|ticket| !ticket.state.is_end()).count());
    if shown < in_flight && !live {
        finding.count(in_flight - shown, 0);
        finding.breach(format_args!(
            "{shown} orders in flight are shown by the board instead of {in_flight}"
        ));
    }
    Ok(finding)
}

/// Returns what the board shows wrongly of an order. `live` allows that it has not heard of the end yet.
fn judge(shown: &Ticket, order: &Order, live: bool) -> Option<String> {
    let (state, status) = (shown.state.name(), order.status.name());
    let may_differ = !shown.state.is_end() && (live || !order.status.is_end());
    if state != status && !may_differ {
        return Some(format!("is {status}, but the board shows it as {state}"));
    }
    if shown.number != order.number {
        let (number, other) = (order.number, shown.number);
        return Some(format!("has the number {number}, but the board shows {other}"));
    }
    match (&order.dish, &shown.dish) {
        (Some(dish), Some(other)) if dish != other => {
            Some(format!("is of {dish}, but the board shows {other}"))
        }
        _ => None,
    }
}

fn count(orders: usize) -> i64 {
    i64::try_from(orders).unwrap_or(i64::MAX)
}
