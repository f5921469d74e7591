//! The tickets, one an order.

use std::{collections::BTreeSet, time::Duration};

use ::store::{FromValue, Many, StoreError, ToValue, Tx, Value, ValueRef, params};
use contracts::{OrderId, api::audit::TicketFact};
use events::Announce as _;

use super::{from_text, to_text};
use crate::domain::{
    round::{Dish, Waiting},
    ticket::{Ticket, TicketStatus},
};

pub(super) const OPEN_TICKET: Many = Many {
    each: "INSERT INTO tickets (order_id, number, status, dish, recipe_version, needs, cooking_time_ms, traceparent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (order_id) DO NOTHING",
    all: "INSERT INTO tickets (order_id, number, status, dish, recipe_version, needs, cooking_time_ms, traceparent)
         SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[],
             $7::BIGINT[], $8::TEXT[])
         ON CONFLICT (order_id) DO NOTHING RETURNING order_id",
};
pub(super) const RESERVE_TICKET: Many = Many {
    each: "UPDATE tickets SET status = 'reserved' WHERE order_id = ?1 AND status = 'requested'",
    all: "UPDATE tickets SET status = 'reserved'
         WHERE order_id = ANY($1::TEXT[]) AND status = 'requested' RETURNING order_id",
};
pub(super) const CANCEL_TICKET: Many = Many {
    each: "UPDATE tickets SET status = 'cancelled'
         WHERE order_id = ?1 AND status IN ('requested', 'reserved')",
    all: "UPDATE tickets SET status = 'cancelled'
         WHERE order_id = ANY($1::TEXT[]) AND status IN ('requested', 'reserved') RETURNING order_id",
};
pub(super) const ADVANCE_TICKET: Many = Many {
    each: "UPDATE tickets SET status = ?2 WHERE order_id = ?1 AND status = ?3",
    all: "UPDATE tickets SET status = given.after
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS given (order_id, after, before)
         WHERE tickets.order_id = given.order_id AND tickets.status = given.before",
};
pub(super) const STATUS: Many = Many {
    each: "SELECT order_id, status FROM tickets WHERE order_id = ?1",
    all: "SELECT order_id, status FROM tickets WHERE order_id = ANY($1::TEXT[])",
};
// The condition of the index `tickets_open`, word for word: SQLite uses the index only then.
pub(super) const COUNT_OPEN: &str =
    "SELECT COUNT(*) FROM tickets WHERE status IN ('requested', 'reserved', 'cooking')";
pub(super) const HAS_WORK: &str =
    "SELECT 1 FROM tickets WHERE status IN ('requested', 'reserved', 'cooking')
     AND status IN ('reserved', 'cooking') LIMIT 1";
pub(super) const WAITING: &str = "SELECT order_id, dish, cooking_time_ms, traceparent FROM tickets
     WHERE status IN ('requested', 'reserved', 'cooking') AND status = 'reserved' ORDER BY number, order_id LIMIT ?1";
pub(super) const COUNT_RESERVED: &str = "SELECT COUNT(*) FROM tickets
     WHERE status IN ('requested', 'reserved', 'cooking') AND status = 'reserved'";
pub(super) const FIRST_RESERVED: &str = "SELECT order_id FROM tickets
     WHERE status IN ('requested', 'reserved', 'cooking') AND status = 'reserved' ORDER BY number, order_id LIMIT 1";
pub(super) const TICKET_FACTS: &str = "SELECT order_id, status, dish, needs FROM tickets WHERE order_id > ?1 ORDER BY order_id LIMIT ?2";

impl ToValue for TicketStatus {
    fn to_value(&self) -> Value {
        Value::Text(self.name().to_owned())
    }
}

impl FromValue for TicketStatus {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(name) => Self::called(name),
            _ => None,
        }
    }
}

/// Opens tickets; returns for each whether the order had none.
pub(crate) fn open_tickets(
    tx: &mut Tx<'_>,
    tickets: &[Ticket<'_>],
) -> Result<Vec<bool>, StoreError> {
    let mut rows = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        let order = ticket.order;
        let trace = tx.trace_of(&order.order.to_string());
        let (dish, version, needs, cooking_time_ms) = match ticket.recipe {
            Ok(recipe) => (
                recipe.name.as_str(),
                recipe.version,
                to_text(&recipe.ingredients)?,
                recipe.cooking_time_ms,
            ),
            Err(_) => ("", 0, "{}".to_owned(), 0),
        };
        let status = ticket.status();
        rows.push(params![
            order.order,
            order.number,
            status,
            dish,
            version,
            needs,
            cooking_time_ms,
            trace
        ]);
    }
    tx.change_all(&OPEN_TICKET, rows)
}

/// Opens tickets that are cancelled from the start; returns the orders that had none.
pub(crate) fn open_cancelled(
    tx: &mut Tx<'_>,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<OrderId>, StoreError> {
    let nothing = Value::Null;
    let rows = orders.iter().map(|order| {
        params![order, 0_i64, TicketStatus::Cancelled, "", 0_i64, "{}", 0_i64, nothing]
    });
    let opened = tx.change_all(&OPEN_TICKET, rows)?;
    Ok(those_that_changed(orders, opened))
}

/// Notes that tickets have their ingredients; returns the orders whose tickets did not wait for them.
pub(crate) fn reserve_tickets(
    tx: &mut Tx<'_>,
    orders: &[OrderId],
) -> Result<Vec<OrderId>, StoreError> {
    let changed = tx.change_all(&RESERVE_TICKET, orders.iter().map(|order| params![order]))?;
    Ok(orders
        .iter()
        .zip(changed)
        .filter(|(_, changed)| !changed)
        .map(|(order, _)| *order)
        .collect())
}

/// Cancels tickets that are on no stove yet; returns their orders.
pub(crate) fn cancel_tickets(
    tx: &mut Tx<'_>,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<OrderId>, StoreError> {
    let changed = tx.change_all(&CANCEL_TICKET, orders.iter().map(|order| params![order]))?;
    Ok(those_that_changed(orders, changed))
}

fn those_that_changed(orders: &BTreeSet<OrderId>, changed: Vec<bool>) -> Vec<OrderId> {
    orders.iter().zip(changed).filter(|(_, changed)| *changed).map(|(order, _)| *order).collect()
}

/// Returns how tickets stand; orders that have none are left out.
pub(crate) fn statuses<'a>(
    tx: &mut Tx<'_>,
    orders: impl IntoIterator<Item = &'a OrderId>,
) -> Result<Vec<(OrderId, TicketStatus)>, StoreError> {
    let rows = orders.into_iter().map(|order| params![order]);
    tx.query_all(&STATUS, rows, |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Returns how many tickets are requested, reserved or cooking.
pub(crate) fn count_open(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_OPEN, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns how many dishes wait for a stove, and the order of the first.
pub(crate) fn reserved(tx: &mut Tx<'_>) -> Result<(i64, Option<OrderId>), StoreError> {
    let count = tx.query_one(COUNT_RESERVED, &[], |row| row.get(0))?.unwrap_or(0);
    Ok((count, tx.query_one(FIRST_RESERVED, &[], |row| row.get(0))?))
}

/// Returns whether a ticket is reserved or cooking.
pub(crate) fn has_work(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    Ok(tx.query_one(HAS_WORK, &[], |_| Ok(()))?.is_some())
}

/// Returns up to `limit` reserved tickets in the order of arrival, each with its own cooking time or that which is said.
/// Their events join the trace of their order.
pub(crate) fn waiting(
    tx: &mut Tx<'_>,
    limit: i64,
    cooking_time: Option<Duration>,
) -> Result<Vec<Waiting>, StoreError> {
    let found = tx.query(WAITING, &params![limit], |row| {
        let its_own = Duration::from_millis(u64::try_from(row.get::<i64>(2)?).unwrap_or(0));
        let dish = Dish { order: row.get(0)?, name: row.get(1)? };
        Ok((Waiting { dish, cooking_time: cooking_time.unwrap_or(its_own) }, row.get(3)?))
    })?;
    let mut all = Vec::with_capacity(found.len());
    for (waiting, trace) in found {
        follow(tx, waiting.dish.order, trace);
        all.push(waiting);
    }
    Ok(all)
}

pub(super) fn follow(tx: &mut Tx<'_>, order: OrderId, trace: Option<String>) {
    if let Some(trace) = trace {
        tx.follow(order.to_string(), trace);
    }
}

/// Returns a page of tickets with orders above `after`.
pub(crate) fn ticket_facts(
    tx: &mut Tx<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<TicketFact>, StoreError> {
    tx.query(TICKET_FACTS, &params![after, limit], |row| {
        Ok(TicketFact {
            order: row.get(0)?,
            status: row.get(1)?,
            dish: row.get(2)?,
            needs: from_text(&row.get::<String>(3)?)?,
        })
    })
}
