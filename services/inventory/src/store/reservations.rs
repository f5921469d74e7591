//! What orders have, and who waits for what.

use ::store::{FromValue, Many, StoreError, ToValue, Tx, Value, ValueRef, params};
use contracts::{OrderId, api::audit::ReservationFact};

use crate::domain::Basket;

pub(super) const INSERT_RESERVATION: Many = Many {
    each: "INSERT INTO reservations (order_id, number, status, needs) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (order_id) DO NOTHING",
    all: "INSERT INTO reservations (order_id, number, status, needs)
         SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[])
         ON CONFLICT (order_id) DO NOTHING RETURNING order_id",
};
pub(super) const SET_STATUS: Many = Many {
    each: "UPDATE reservations SET status = ?2 WHERE order_id = ?1",
    all: "UPDATE reservations SET status = given.status
         FROM UNNEST($1::TEXT[], $2::TEXT[]) AS given (order_id, status)
         WHERE reservations.order_id = given.order_id",
};
pub(super) const RESERVATION: Many = Many {
    each: "SELECT order_id, status, needs FROM reservations WHERE order_id = ?1",
    all: "SELECT order_id, status, needs FROM reservations WHERE order_id = ANY($1::TEXT[])",
};
pub(super) const WAITING: &str = "SELECT order_id, number, needs FROM reservations
     WHERE status = 'waiting' AND (number, order_id) > (CAST(?1 AS BIGINT), CAST(?2 AS TEXT))
     ORDER BY number, order_id LIMIT ?3";
pub(super) const LAST_WAITING: &str =
    "SELECT number FROM reservations WHERE status = 'waiting' ORDER BY number DESC LIMIT 1";
pub(super) const FIRST_WAITING: &str =
    "SELECT order_id FROM reservations WHERE status = 'waiting' ORDER BY number, order_id LIMIT 1";
pub(super) const COUNT_WAITING: &str = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM reservations WHERE status = 'waiting' LIMIT ?1) AS waiting";
pub(super) const RESERVATION_FACTS: &str = "SELECT order_id, status, needs FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?2";

/// Where the reservation of an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Waiting,
    Reserved,
    Released,
    Left,
    Tombstone,
}

impl Status {
    const ALL: [Self; 5] =
        [Self::Waiting, Self::Reserved, Self::Released, Self::Left, Self::Tombstone];

    const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reserved => "reserved",
            Self::Released => "released",
            Self::Left => "left",
            Self::Tombstone => "tombstone",
        }
    }
}

impl ToValue for Status {
    fn to_value(&self) -> Value {
        Value::Text(self.name().to_owned())
    }
}

impl FromValue for Status {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(name) => Self::ALL.into_iter().find(|status| status.name() == name),
            _ => None,
        }
    }
}

/// The reservation of one order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    pub(crate) order: OrderId,
    pub(crate) number: i64,
    pub(crate) status: Status,
    pub(crate) needs: Basket,
}

/// Saves reservations; returns for each whether its order had none before.
pub(crate) fn insert_reservations<'a>(
    tx: &mut Tx<'_>,
    reservations: impl IntoIterator<Item = &'a Reservation>,
) -> Result<Vec<bool>, StoreError> {
    let rows = reservations.into_iter().map(|Reservation { order, number, status, needs }| {
        params![*order, *number, *status, *needs]
    });
    tx.change_all(&INSERT_RESERVATION, rows)
}

/// Gives each order a new status.
pub(crate) fn set_statuses(
    tx: &mut Tx<'_>,
    orders: impl IntoIterator<Item = (OrderId, Status)>,
) -> Result<(), StoreError> {
    tx.execute_all(&SET_STATUS, orders.into_iter().map(|(order, status)| params![order, status]))
        .map(|_| ())
}

/// Returns the reservations of those orders that have one.
pub(crate) fn reservations(
    tx: &mut Tx<'_>,
    orders: &[OrderId],
) -> Result<Vec<(OrderId, Status, Basket)>, StoreError> {
    tx.query_all(&RESERVATION, orders.iter().map(|order| params![*order]), |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}

/// Returns the next who wait behind `last`, in arrival order.
pub(crate) fn waiting_after(
    tx: &mut Tx<'_>,
    last: Option<&Reservation>,
    limit: i64,
) -> Result<Vec<Reservation>, StoreError> {
    let (number, order) =
        last.map_or((i64::MIN, String::new()), |last| (last.number, last.order.to_string()));
    tx.query(WAITING, &params![number, order, limit], |row| {
        Ok(Reservation {
            order: row.get(0)?,
            number: row.get(1)?,
            status: Status::Waiting,
            needs: row.get(2)?,
        })
    })
}

/// Returns the greatest number of those who wait.
pub(crate) fn last_waiting(tx: &mut Tx<'_>) -> Result<Option<i64>, StoreError> {
    tx.query_one(LAST_WAITING, &[], |row| row.get(0))
}

/// Returns the order that is the next to get what it needs.
pub(crate) fn first_waiting(tx: &mut Tx<'_>) -> Result<Option<OrderId>, StoreError> {
    tx.query_one(FIRST_WAITING, &[], |row| row.get(0))
}

/// Counts those who wait, up to a limit.
pub(crate) fn count_waiting(tx: &mut Tx<'_>, limit: i64) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_WAITING, &params![limit], |row| row.get(0))?.unwrap_or(0))
}

/// Returns a page of all reservations, by order.
pub(crate) fn reservation_facts(
    tx: &mut Tx<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<ReservationFact>, StoreError> {
    tx.query(RESERVATION_FACTS, &params![after, limit], |row| {
        Ok(ReservationFact {
            order: row.get(0)?,
            status: row.get(1)?,
            needs: row.get::<Basket>(2)?.quantities(),
        })
    })
}
