//! All SQL of the orders service.

use std::collections::HashMap;

use ::store::{ByName, Many, Row, StoreError, Tx, params};
use contracts::{
    OrderId,
    api::{
        audit::{FactsQuery, OrderFact},
        orders::ListOrders,
        service::Waiting,
    },
};
use events::facts;

use crate::domain::{Menu, Order};

const TAKE_NUMBERS: &str =
    "UPDATE numbering SET last = last + CAST(?1 AS BIGINT) WHERE name = 'orders' RETURNING last";
const INSERT: Many = Many {
    each: "INSERT INTO orders
             (number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    all: "INSERT INTO orders
             (number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision)
         SELECT * FROM UNNEST($1::BIGINT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[],
             $7::BIGINT[], $8::BIGINT[], $9::BIGINT[])",
};
const BY_ID: Many = Many {
    each: "SELECT number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision
         FROM orders WHERE id = ?1",
    all: "SELECT number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision
         FROM orders WHERE id = ANY($1::TEXT[])",
};
// One text for each set of filters, so that each finds its rows by an index.
const LIST: &str =
    "SELECT number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision
     FROM orders WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
const LIST_BY_STATUS: &str =
    "SELECT number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision
     FROM orders WHERE number < ?1 AND status = ?3 ORDER BY number DESC LIMIT ?2";
const LIST_BY_DISH: &str =
    "SELECT number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision
     FROM orders WHERE number < ?1 AND dish = ?3 ORDER BY number DESC LIMIT ?2";
const LIST_BY_BOTH: &str =
    "SELECT number, id, requested_dish, dish, status, reason, placed_at, ended_at, revision
     FROM orders WHERE number < ?1 AND status = ?3 AND dish = ?4 ORDER BY number DESC LIMIT ?2";
const ADVANCE: Many = Many {
    each: "UPDATE orders SET status = ?2, dish = ?3, reason = ?4, ended_at = ?5, revision = ?6
         WHERE id = ?1 AND revision = ?6 - 1",
    all: "UPDATE orders SET status = given.status, dish = given.dish, reason = given.reason,
             ended_at = given.ended_at, revision = given.revision
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[])
             AS given (id, status, dish, reason, ended_at, revision)
         WHERE orders.id = given.id AND orders.revision = given.revision - 1 RETURNING orders.id",
};
const COUNT_OPEN: &str =
    "SELECT COUNT(*) FROM orders WHERE status IN ('placed', 'cancelling', 'cooking')";
// The first of each status is the first entry of its part of the index.
const OLDEST_OPEN: &str = "SELECT placed_at FROM orders WHERE number = (SELECT MIN(number) FROM (
         SELECT MIN(number) AS number FROM orders WHERE status = 'placed'
         UNION ALL SELECT MIN(number) FROM orders WHERE status = 'cancelling'
         UNION ALL SELECT MIN(number) FROM orders WHERE status = 'cooking') AS oldest)";
const MENU: &str = "SELECT dish FROM menu";
const RAISE_MENU: &str =
    "UPDATE menu_version SET version = ?1 WHERE name = 'menu' AND version < ?1";
const CLEAR_MENU: &str = "DELETE FROM menu";
const ADD_TO_MENU: Many = Many {
    each: "INSERT INTO menu (dish) VALUES (?1) ON CONFLICT DO NOTHING",
    all: "INSERT INTO menu (dish) SELECT UNNEST($1::TEXT[]) ON CONFLICT DO NOTHING",
};
const FACTS: &str = "SELECT id, status, dish FROM orders WHERE id > ?1 ORDER BY id LIMIT ?2";

/// Every statement of this file that both engines run.
pub const STATEMENTS: [&str; 11] = [
    TAKE_NUMBERS,
    LIST,
    LIST_BY_STATUS,
    LIST_BY_DISH,
    LIST_BY_BOTH,
    COUNT_OPEN,
    OLDEST_OPEN,
    MENU,
    RAISE_MENU,
    CLEAR_MENU,
    FACTS,
];
/// Every statement of this file for many rows.
pub const MANY: [Many; 4] = [INSERT, BY_ID, ADVANCE, ADD_TO_MENU];

/// Takes the next `count` running numbers; returns the first of them.
pub(crate) fn take_numbers(tx: &mut Tx, count: usize) -> Result<i64, StoreError> {
    let count = i64::try_from(count).map_err(|error| StoreError::rejected(error.to_string()))?;
    let last: Option<i64> = tx.query_one(TAKE_NUMBERS, &params![count], |row| row.get(0))?;
    last.map(|last| last - count + 1).ok_or_else(|| StoreError::rejected("the numbering is gone"))
}

/// Saves new orders.
pub(crate) fn insert<'o>(
    tx: &mut Tx,
    orders: impl IntoIterator<Item = &'o Order>,
) -> Result<(), StoreError> {
    let rows = orders.into_iter().map(|order| {
        params![
            order.number,
            order.id,
            order.requested_dish,
            order.dish,
            ByName(order.status),
            order.reason,
            order.placed_at,
            order.ended_at,
            order.revision
        ]
    });
    tx.execute_all(&INSERT, rows).map(|_| ())
}

/// Returns the orders with these ids.
pub(crate) fn load(tx: &mut Tx, ids: &[OrderId]) -> Result<HashMap<OrderId, Order>, StoreError> {
    let orders = tx.query_all(&BY_ID, ids.iter().map(|id| params![id]), read)?;
    Ok(orders.into_iter().map(|order| (order.id, order)).collect())
}

/// Returns orders below a number, newest first.
pub(crate) fn list(tx: &mut Tx, query: &ListOrders, limit: i64) -> Result<Vec<Order>, StoreError> {
    let before = query.before.unwrap_or(i64::MAX);
    match (query.status.map(ByName), &query.dish) {
        (None, None) => tx.query(LIST, &params![before, limit], read),
        (Some(status), None) => tx.query(LIST_BY_STATUS, &params![before, limit, status], read),
        (None, Some(dish)) => tx.query(LIST_BY_DISH, &params![before, limit, dish], read),
        (Some(status), Some(dish)) => {
            tx.query(LIST_BY_BOTH, &params![before, limit, status, dish], read)
        }
    }
}

/// Saves orders at their new revision.
///
/// # Errors
/// [`StoreError::Conflict`] if one was changed by another replica meanwhile: the batch is decided again.
pub(crate) fn advance(tx: &mut Tx, orders: &[Order]) -> Result<(), StoreError> {
    let rows =
        orders.iter().map(|Order { id, status, dish, reason, ended_at, revision, .. }| {
            params![id, ByName(*status), dish, reason, ended_at, revision]
        });
    match tx.change_all(&ADVANCE, rows)?.iter().position(|changed| !changed) {
        None => Ok(()),
        Some(at) => {
            Err(StoreError::conflict(format!("order {} was changed meanwhile", orders[at].id)))
        }
    }
}

/// Returns how many orders are not at an end.
pub(crate) fn count_open(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_OPEN, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns the orders that are not delivered yet.
pub(crate) fn waiting(tx: &mut Tx) -> Result<Vec<Waiting>, StoreError> {
    let since = tx.query_one(OLDEST_OPEN, &[], |row| row.get(0))?;
    Ok(Waiting::some("orders", count_open(tx)?, since, "delivery").into_iter().collect())
}

/// Returns the dishes that can be ordered.
pub(crate) fn menu(tx: &mut Tx) -> Result<Menu, StoreError> {
    Ok(Menu { dishes: tx.query(MENU, &[], |row| row.get(0))?.into_iter().collect() })
}

/// Raises the menu's version; returns whether it was lower.
pub(crate) fn raise_menu_version(tx: &mut Tx, version: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(RAISE_MENU, &params![version])? == 1)
}

/// Puts these dishes in the place of those on the menu.
pub(crate) fn replace_menu(tx: &mut Tx, dishes: &[String]) -> Result<(), StoreError> {
    tx.execute(CLEAR_MENU, &[])?;
    tx.execute_all(&ADD_TO_MENU, dishes.iter().map(|dish| params![dish])).map(|_| ())
}

/// Returns a page of facts for the audit.
pub(crate) fn facts(tx: &mut Tx, query: &FactsQuery) -> Result<Vec<OrderFact>, StoreError> {
    let (after, limit) = facts::page(query);
    tx.query(FACTS, &params![after, limit], |row| {
        Ok(OrderFact { order: row.get(0)?, status: row.by_name(1)?, dish: row.get(2)? })
    })
}

fn read(row: &Row<'_>) -> Result<Order, StoreError> {
    Ok(Order {
        number: row.get(0)?,
        id: row.get(1)?,
        requested_dish: row.get(2)?,
        dish: row.get(3)?,
        status: row.by_name(4)?,
        reason: row.get(5)?,
        placed_at: row.get(6)?,
        ended_at: row.get(7)?,
        revision: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use contracts::api::orders::OrderStatus;

    use super::{COUNT_OPEN, OLDEST_OPEN};

    #[test]
    fn open_orders_are_those_that_have_no_end() {
        for status in OrderStatus::ALL {
            for statement in [COUNT_OPEN, OLDEST_OPEN] {
                let named = statement.contains(&format!("'{}'", status.name()));
                assert_eq!(named, !status.is_end(), "{}: {statement}", status.name());
            }
        }
    }
}
