//! All SQL of this service.

use chassis::{
    database::{FromValue, Many, Row, StoreError, ToValue, Tx, Value, ValueRef},
    params,
};
use contracts::{
    Ingredient, OrderId, PurchaseId, Timestamp,
    api::{
        audit::{PurchaseFact, ReservationFact},
        inventory::{Purchase, PurchaseStatus, Shelf},
    },
};

use crate::domain::Basket;

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

/// What is on hand and what all who wait want, as read under the lock; and what changes, to be saved once.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    on_hand: Basket,
    wanted: Basket,
    booked: Booked,
}

/// Sums to be added to the columns of the same names.
#[derive(Debug, Default)]
struct Booked {
    adjustments: Basket,
    bought: Basket,
    reserved: Basket,
    released: Basket,
    wanted: Basket,
}

impl Shelves {
    pub(crate) const fn on_hand(&self) -> &Basket {
        &self.on_hand
    }

    pub(crate) const fn wanted(&self) -> &Basket {
        &self.wanted
    }

    /// Returns what those who wait need beyond what is on hand.
    pub(crate) fn missing(&self) -> Basket {
        self.wanted.minus_down_to_zero(&self.on_hand)
    }

    pub(crate) fn adjust(&mut self, difference: &Basket) {
        self.on_hand += difference;
        self.booked.adjustments += difference;
    }

    pub(crate) fn buy(&mut self, bought: &Basket) {
        self.on_hand += bought;
        self.booked.bought += bought;
    }

    pub(crate) fn reserve(&mut self, needs: &Basket) {
        self.on_hand = self.on_hand.minus(needs);
        self.booked.reserved += needs;
    }

    pub(crate) fn release(&mut self, needs: &Basket) {
        self.on_hand += needs;
        self.booked.released += needs;
    }

    pub(crate) fn join_queue(&mut self, needs: &Basket) {
        self.wanted += needs;
        self.booked.wanted += needs;
    }

    pub(crate) fn leave_queue(&mut self, needs: &Basket) {
        self.wanted = self.wanted.minus(needs);
        self.booked.wanted = self.booked.wanted.minus(needs);
    }
}

const SHELVES: &str = "SELECT ingredient, on_hand, wanted FROM stock ORDER BY ingredient";
// Replicas agree on who waits and what is free by locking these rows, sorted, before anything else. SQLite has one writer.
const SHELVES_LOCKED: &str =
    "SELECT ingredient, on_hand, wanted FROM stock ORDER BY ingredient FOR UPDATE";
const BOOK: Many = Many {
    each: "UPDATE stock SET adjustments = adjustments + ?2, bought = bought + ?3, reserved = reserved + ?4,
             released = released + ?5, wanted = wanted + ?6, on_hand = on_hand + ?7
         WHERE ingredient = ?1",
    all: "UPDATE stock SET adjustments = stock.adjustments + booked.adjustments,
             bought = stock.bought + booked.bought, reserved = stock.reserved + booked.reserved,
             released = stock.released + booked.released, wanted = stock.wanted + booked.wanted,
             on_hand = stock.on_hand + booked.on_hand
         FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[])
             AS booked (ingredient, adjustments, bought, reserved, released, wanted, on_hand)
         WHERE stock.ingredient = booked.ingredient",
};
const SHELF_LINES: &str = "SELECT ingredient, on_hand, COALESCE(opening, 0), adjustments, bought, reserved, released, wanted
     FROM stock
     WHERE opening IS NOT NULL OR adjustments <> 0 OR bought <> 0 OR reserved <> 0 OR released <> 0 OR wanted <> 0
     ORDER BY ingredient";
const OPENED: &str = "SELECT ingredient FROM stock WHERE opening IS NOT NULL ORDER BY ingredient";
const OPEN: Many = Many {
    each: "UPDATE stock SET opening = ?2, on_hand = on_hand + ?2 WHERE ingredient = ?1 AND opening IS NULL",
    all: "UPDATE stock SET opening = given.quantity, on_hand = on_hand + given.quantity
         FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS given (ingredient, quantity)
         WHERE stock.ingredient = given.ingredient AND opening IS NULL",
};

const INSERT_RESERVATION: Many = Many {
    each: "INSERT INTO reservations (order_id, number, status, needs) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (order_id) DO NOTHING",
    all: "INSERT INTO reservations (order_id, number, status, needs)
         SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[])
         ON CONFLICT (order_id) DO NOTHING RETURNING order_id",
};
const SET_STATUS: Many = Many {
    each: "UPDATE reservations SET status = ?2 WHERE order_id = ?1",
    all: "UPDATE reservations SET status = given.status
         FROM UNNEST($1::TEXT[], $2::TEXT[]) AS given (order_id, status)
         WHERE reservations.order_id = given.order_id",
};
const RESERVATION: Many = Many {
    each: "SELECT order_id, status, needs FROM reservations WHERE order_id = ?1",
    all: "SELECT order_id, status, needs FROM reservations WHERE order_id = ANY($1::TEXT[])",
};
const WAITING: &str = "SELECT order_id, number, needs FROM reservations
     WHERE status = 'waiting' AND (number, order_id) > (CAST(?1 AS BIGINT), CAST(?2 AS TEXT))
     ORDER BY number, order_id LIMIT ?3";
const LAST_WAITING: &str =
    "SELECT number FROM reservations WHERE status = 'waiting' ORDER BY number DESC LIMIT 1";
const COUNT_WAITING: &str = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM reservations WHERE status = 'waiting' LIMIT ?1) AS waiting";
const RESERVATION_FACTS: &str = "SELECT order_id, status, needs FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?2";

const INSERT_PURCHASE: Many = Many {
    each: "INSERT INTO purchases (id, ingredient, status, asked_at) VALUES (?1, ?2, 'open', ?3)",
    all: "INSERT INTO purchases (id, ingredient, status, asked_at)
         SELECT id, ingredient, 'open', asked_at
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS given (id, ingredient, asked_at)",
};
const OPEN_PURCHASES: &str =
    "SELECT id, ingredient, asked_at FROM purchases WHERE status = 'open' ORDER BY id";
const COUNT_OPEN_PURCHASES: &str = "SELECT COUNT(*) FROM purchases WHERE status = 'open'";
const ANSWER_PURCHASE: Many = Many {
    each: "UPDATE purchases SET status = ?2, quantity = ?3, answered_at = ?4
         WHERE id = ?1 AND status = 'open'",
    all: "UPDATE purchases SET status = given.status, quantity = given.quantity, answered_at = given.answered_at
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[])
             AS given (id, status, quantity, answered_at)
         WHERE purchases.id = given.id AND purchases.status = 'open' RETURNING purchases.id",
};
const PURCHASES: &str =
    "SELECT id, ingredient, status, quantity, asked_at, answered_at FROM purchases
     WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
const PURCHASES_OF: &str =
    "SELECT id, ingredient, status, quantity, asked_at, answered_at FROM purchases
     WHERE id < ?1 AND ingredient = ?3 ORDER BY id DESC LIMIT ?2";
const PURCHASE_FACTS: &str =
    "SELECT id, ingredient, status, quantity FROM purchases WHERE id > ?1 ORDER BY id LIMIT ?2";

const ADJUSTMENT: &str = "SELECT asked, changes FROM adjustments WHERE key = ?1";
const INSERT_ADJUSTMENT: &str =
    "INSERT INTO adjustments (key, asked, changes, made_at) VALUES (?1, ?2, ?3, ?4)";

/// Every statement that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 14] = [
    SHELVES,
    SHELF_LINES,
    OPENED,
    WAITING,
    LAST_WAITING,
    COUNT_WAITING,
    RESERVATION_FACTS,
    OPEN_PURCHASES,
    COUNT_OPEN_PURCHASES,
    PURCHASES,
    PURCHASES_OF,
    PURCHASE_FACTS,
    ADJUSTMENT,
    INSERT_ADJUSTMENT,
];
/// Every statement that only PostgreSQL runs.
pub const POSTGRESQL_STATEMENTS: [&str; 1] = [SHELVES_LOCKED];
/// Every statement for many rows.
pub const MANY: [Many; 7] =
    [BOOK, OPEN, INSERT_RESERVATION, SET_STATUS, RESERVATION, INSERT_PURCHASE, ANSWER_PURCHASE];

/// Reads the shelves and keeps every other replica from them until this transaction ends.
pub(crate) fn lock_shelves(tx: &mut Tx<'_>) -> Result<Shelves, StoreError> {
    let sql = tx.either(SHELVES, SHELVES_LOCKED);
    query_shelves(tx, sql)
}

/// Reads the shelves, to look at them only.
pub(crate) fn read_shelves(tx: &mut Tx<'_>) -> Result<Shelves, StoreError> {
    query_shelves(tx, SHELVES)
}

fn query_shelves(tx: &mut Tx<'_>, sql: &'static str) -> Result<Shelves, StoreError> {
    let mut shelves = Shelves::default();
    tx.query(sql, &[], |row| {
        let ingredient: Ingredient = row.get(0)?;
        shelves.on_hand[ingredient] = row.get(1)?;
        shelves.wanted[ingredient] = row.get(2)?;
        Ok(())
    })?;
    Ok(shelves)
}

/// Saves what changed, one row an ingredient.
pub(crate) fn save_shelves(tx: &mut Tx<'_>, shelves: Shelves) -> Result<(), StoreError> {
    let Booked { adjustments, bought, reserved, released, wanted } = shelves.booked;
    let rows = Ingredient::ALL.into_iter().filter_map(|ingredient| {
        let columns =
            [&adjustments, &bought, &reserved, &released, &wanted].map(|column| column[ingredient]);
        let [adjusted, bought, reserved, released, wanted] = columns;
        let on_hand = adjusted + bought - reserved + released;
        let changed = columns.iter().any(|quantity| *quantity != 0);
        changed.then(|| params![ingredient, adjusted, bought, reserved, released, wanted, on_hand])
    });
    tx.execute_all(&BOOK, rows).map(|_| ())
}

/// Returns a line for each ingredient that was ever booked or wanted.
pub(crate) fn shelf_lines(tx: &mut Tx<'_>) -> Result<Vec<Shelf>, StoreError> {
    tx.query(SHELF_LINES, &[], |row| {
        let on_hand: i64 = row.get(1)?;
        let wanted: i64 = row.get(7)?;
        Ok(Shelf {
            ingredient: row.get(0)?,
            on_hand,
            opening: row.get(2)?,
            adjustments: row.get(3)?,
            bought: row.get(4)?,
            reserved: row.get(5)?,
            released: row.get(6)?,
            missing: (wanted - on_hand).max(0),
        })
    })
}

/// Returns the ingredients that were opened already.
pub(crate) fn opened(tx: &mut Tx<'_>) -> Result<Vec<Ingredient>, StoreError> {
    tx.query(OPENED, &[], |row| row.get(0))
}

/// Books opening quantities of ingredients that have none.
pub(crate) fn open(tx: &mut Tx<'_>, opening: &[(Ingredient, i64)]) -> Result<(), StoreError> {
    tx.execute_all(
        &OPEN,
        opening.iter().map(|(ingredient, quantity)| params![*ingredient, *quantity]),
    )
    .map(|_| ())
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

/// A purchase that the market has not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenPurchase {
    pub(crate) id: PurchaseId,
    pub(crate) ingredient: Ingredient,
    pub(crate) asked_at: Timestamp,
}

/// Saves the intent of purchases.
pub(crate) fn insert_purchases(
    tx: &mut Tx<'_>,
    purchases: &[OpenPurchase],
) -> Result<(), StoreError> {
    let rows = purchases
        .iter()
        .map(|purchase| params![purchase.id, purchase.ingredient, purchase.asked_at]);
    tx.execute_all(&INSERT_PURCHASE, rows).map(|_| ())
}

/// Returns all purchases that are open.
pub(crate) fn open_purchases(tx: &mut Tx<'_>) -> Result<Vec<OpenPurchase>, StoreError> {
    tx.query(OPEN_PURCHASES, &[], |row| {
        Ok(OpenPurchase { id: row.get(0)?, ingredient: row.get(1)?, asked_at: row.get(2)? })
    })
}

/// Counts the purchases that are open.
pub(crate) fn count_open_purchases(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_OPEN_PURCHASES, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Saves answers; returns for each whether its purchase was open until now.
pub(crate) fn answer_purchases(
    tx: &mut Tx<'_>,
    answers: impl IntoIterator<Item = (PurchaseId, PurchaseStatus, i64)>,
) -> Result<Vec<bool>, StoreError> {
    let now = tx.now();
    let rows =
        answers.into_iter().map(|(id, status, quantity)| params![id, status.name(), quantity, now]);
    tx.change_all(&ANSWER_PURCHASE, rows)
}

/// Returns purchases older than `before`, newest first.
pub(crate) fn purchases(
    tx: &mut Tx<'_>,
    ingredient: Option<Ingredient>,
    before: Option<PurchaseId>,
    limit: i64,
) -> Result<Vec<Purchase>, StoreError> {
    // It sorts after every id, in whatever language a database sorts.
    let before = before.map_or_else(|| "g".to_owned(), |before| before.to_string());
    let each = |row: &Row<'_>| {
        Ok(Purchase {
            id: row.get(0)?,
            ingredient: row.get(1)?,
            status: row.get::<StoredStatus>(2)?.0,
            quantity: row.get(3)?,
            asked_at: row.get(4)?,
            answered_at: row.get(5)?,
        })
    };
    match ingredient {
        Some(ingredient) => tx.query(PURCHASES_OF, &params![before, limit, ingredient], each),
        None => tx.query(PURCHASES, &params![before, limit], each),
    }
}

/// Returns a page of all purchases, by id.
pub(crate) fn purchase_facts(
    tx: &mut Tx<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<PurchaseFact>, StoreError> {
    tx.query(PURCHASE_FACTS, &params![after, limit], |row| {
        Ok(PurchaseFact {
            purchase: row.get(0)?,
            ingredient: row.get(1)?,
            status: row.get(2)?,
            quantity: row.get(3)?,
        })
    })
}

struct StoredStatus(PurchaseStatus);

impl FromValue for StoredStatus {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        use PurchaseStatus::{Done, Open, Unknown};
        match value {
            ValueRef::Text(name) => {
                [Open, Done, Unknown].into_iter().find(|status| status.name() == name).map(Self)
            }
            _ => None,
        }
    }
}

/// Returns what was asked with an adjustment's key, and what that changed, both in JSON.
pub(crate) fn adjustment(
    tx: &mut Tx<'_>,
    key: &str,
) -> Result<Option<(String, String)>, StoreError> {
    tx.query_one(ADJUSTMENT, &params![key], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Keeps an adjustment by its key.
pub(crate) fn insert_adjustment(
    tx: &mut Tx<'_>,
    key: &str,
    asked: &str,
    changes: &str,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute(INSERT_ADJUSTMENT, &params![key, asked, changes, now]).map(|_| ())
}
