//! What was asked of the market, and what it answered.

use ::store::{ByName, FromValue, Many, Row, StoreError, Tx, ValueRef, params};
use contracts::{
    Ingredient, PurchaseId, Timestamp,
    api::{
        audit::PurchaseFact,
        inventory::{Purchase, PurchaseStatus},
    },
};

pub(super) const INSERT_PURCHASE: Many = Many {
    each: "INSERT INTO purchases (id, ingredient, status, asked_at) VALUES (?1, ?2, 'open', ?3)",
    all: "INSERT INTO purchases (id, ingredient, status, asked_at)
         SELECT id, ingredient, 'open', asked_at
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS given (id, ingredient, asked_at)",
};
pub(super) const OPEN_PURCHASES: &str =
    "SELECT id, ingredient, asked_at FROM purchases WHERE status = 'open' ORDER BY id";
pub(super) const COUNT_OPEN_PURCHASES: &str =
    "SELECT COUNT(*) FROM purchases WHERE status = 'open'";
pub(super) const OLDEST_OPEN_PURCHASE: &str =
    "SELECT asked_at FROM purchases WHERE status = 'open' ORDER BY id LIMIT 1";
pub(super) const ANSWER_PURCHASE: Many = Many {
    each: "UPDATE purchases SET status = ?2, quantity = ?3, answered_at = ?4
         WHERE id = ?1 AND status = 'open'",
    all: "UPDATE purchases SET status = given.status, quantity = given.quantity, answered_at = given.answered_at
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[])
             AS given (id, status, quantity, answered_at)
         WHERE purchases.id = given.id AND purchases.status = 'open' RETURNING purchases.id",
};
pub(super) const PURCHASES: &str =
    "SELECT id, ingredient, status, quantity, asked_at, answered_at FROM purchases
     WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
pub(super) const PURCHASES_OF: &str =
    "SELECT id, ingredient, status, quantity, asked_at, answered_at FROM purchases
     WHERE id < ?1 AND ingredient = ?3 ORDER BY id DESC LIMIT ?2";
pub(super) const PURCHASE_FACTS: &str =
    "SELECT id, ingredient, status, quantity FROM purchases WHERE id > ?1 ORDER BY id LIMIT ?2";

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
        .map(|purchase| params![purchase.id, ByName(purchase.ingredient), purchase.asked_at]);
    tx.execute_all(&INSERT_PURCHASE, rows).map(|_| ())
}

/// Returns all purchases that are open.
pub(crate) fn open_purchases(tx: &mut Tx<'_>) -> Result<Vec<OpenPurchase>, StoreError> {
    tx.query(OPEN_PURCHASES, &[], |row| {
        Ok(OpenPurchase { id: row.get(0)?, ingredient: row.by_name(1)?, asked_at: row.get(2)? })
    })
}

/// Counts the purchases that are open.
pub(crate) fn count_open_purchases(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_OPEN_PURCHASES, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns when the oldest purchase that is open was asked for.
pub(crate) fn oldest_open_purchase(tx: &mut Tx<'_>) -> Result<Option<Timestamp>, StoreError> {
    tx.query_one(OLDEST_OPEN_PURCHASE, &[], |row| row.get(0))
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
            ingredient: row.by_name(1)?,
            status: row.get::<StoredStatus>(2)?.0,
            quantity: row.get(3)?,
            asked_at: row.get(4)?,
            answered_at: row.get(5)?,
        })
    };
    match ingredient {
        Some(ingredient) => {
            tx.query(PURCHASES_OF, &params![before, limit, ByName(ingredient)], each)
        }
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
            ingredient: row.by_name(1)?,
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
