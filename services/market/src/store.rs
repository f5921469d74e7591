//! All SQL of the market.

use std::collections::HashSet;

use ::store::{ByName, Many, Row, StoreError, Tx, params};
use contracts::{PurchaseId, api::audit::PurchaseFact};

use crate::{
    commands::{save_intents::Intent, save_receipts::Receipt},
    domain::{Purchase, Status},
};

const INSERT_NEW: Many = Many {
    each: "INSERT INTO purchases (id, ingredient, status, under_way, quantity, asked_at)
        VALUES (?1, ?2, 'open', 1, 0, ?3) ON CONFLICT (id) DO NOTHING",
    all: "INSERT INTO purchases (id, ingredient, status, under_way, quantity, asked_at)
        SELECT id, ingredient, 'open', 1, 0, asked_at
        FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS given (id, ingredient, asked_at)
        ON CONFLICT (id) DO NOTHING RETURNING id",
};
const PURCHASE: Many = Many {
    each: "SELECT id, ingredient, status, under_way, quantity FROM purchases WHERE id = ?1",
    all: "SELECT id, ingredient, status, under_way, quantity FROM purchases WHERE id = ANY($1::TEXT[])",
};
const BEGIN_CALL: Many = Many {
    each: "UPDATE purchases SET under_way = 1, asked_at = ?2 WHERE id = ?1 AND status = 'open'",
    all: "UPDATE purchases SET under_way = 1, asked_at = given.asked_at
        FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS given (id, asked_at)
        WHERE purchases.id = given.id AND purchases.status = 'open'",
};
const GIVE_UP: Many = Many {
    each: "UPDATE purchases SET status = 'unknown', under_way = 0, answered_at = ?2
        WHERE id = ?1 AND status = 'open'",
    all: "UPDATE purchases SET status = 'unknown', under_way = 0, answered_at = given.answered_at
        FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS given (id, answered_at)
        WHERE purchases.id = given.id AND purchases.status = 'open'",
};
const END_CALL: Many = Many {
    each: "UPDATE purchases SET status = ?2, under_way = ?3, quantity = ?4, answered_at = ?5
        WHERE id = ?1 AND status = 'open'",
    all: "UPDATE purchases SET status = given.status, under_way = given.under_way,
            quantity = given.quantity, answered_at = given.answered_at
        FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[])
            AS given (id, status, under_way, quantity, answered_at)
        WHERE purchases.id = given.id AND purchases.status = 'open' RETURNING purchases.id",
};
const COUNT_OPEN: &str = "SELECT COUNT(*) FROM purchases WHERE status = 'open'";
const PURCHASES: &str = "SELECT id, ingredient, status, quantity FROM purchases
    WHERE id > ?1 ORDER BY id LIMIT ?2";

/// Every statement of the market that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 2] = [COUNT_OPEN, PURCHASES];
/// Every statement of the market for many rows.
pub const MANY: [Many; 5] = [INSERT_NEW, PURCHASE, BEGIN_CALL, GIVE_UP, END_CALL];

/// Saves those of the purchases that were never asked for, as under way; returns which these are.
pub(crate) fn insert_new(
    tx: &mut Tx<'_>,
    intents: &[Intent],
) -> Result<HashSet<PurchaseId>, StoreError> {
    let now = tx.now();
    let rows =
        intents.iter().map(|intent| params![intent.purchase, ByName(intent.ingredient), now]);
    let new = tx.change_all(&INSERT_NEW, rows)?;
    Ok(those(intents.iter().map(|intent| intent.purchase), new))
}

/// Returns those of these purchases that there are.
pub(crate) fn purchases(
    tx: &mut Tx<'_>,
    ids: &[PurchaseId],
) -> Result<Vec<(PurchaseId, Purchase)>, StoreError> {
    tx.query_all(&PURCHASE, ids.iter().map(|id| params![id]), |row| {
        Ok((row.get(0)?, purchase_of(row)?))
    })
}

fn purchase_of(row: &Row<'_>) -> Result<Purchase, StoreError> {
    let name: String = row.get(2)?;
    let status = Status::read(&name, row.get(3)?, row.get(4)?)
        .ok_or_else(|| StoreError::rejected(format!("no purchase is `{name}`")))?;
    Ok(Purchase { ingredient: row.by_name(1)?, status })
}

/// Saves that a call for each of these open purchases is under way.
pub(crate) fn begin_calls(
    tx: &mut Tx<'_>,
    ids: impl Iterator<Item = PurchaseId>,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute_all(&BEGIN_CALL, ids.map(|id| params![id, now])).map(|_| ())
}

/// Saves that the outcome of each of these open purchases can't be found out.
pub(crate) fn give_up(
    tx: &mut Tx<'_>,
    ids: impl Iterator<Item = PurchaseId>,
) -> Result<(), StoreError> {
    let now = tx.now();
    tx.execute_all(&GIVE_UP, ids.map(|id| params![id, now])).map(|_| ())
}

/// Saves what came of each purchase that is open; returns which these are.
pub(crate) fn end_calls(
    tx: &mut Tx<'_>,
    receipts: &[Receipt],
) -> Result<HashSet<PurchaseId>, StoreError> {
    let now = tx.now();
    let rows = receipts.iter().map(|receipt| {
        let (under_way, quantity, answered_at) = match receipt.status {
            Status::Open { under_way } => (under_way, 0, None),
            Status::Done { quantity } => (false, quantity, Some(now)),
            Status::Unknown => (false, 0, Some(now)),
        };
        params![receipt.purchase, receipt.status.name(), under_way, quantity, answered_at]
    });
    let ended = tx.change_all(&END_CALL, rows)?;
    Ok(those(receipts.iter().map(|receipt| receipt.purchase), ended))
}

fn those(ids: impl Iterator<Item = PurchaseId>, changed: Vec<bool>) -> HashSet<PurchaseId> {
    ids.zip(changed).filter_map(|(id, changed)| changed.then_some(id)).collect()
}

/// Returns how many purchases are open.
pub(crate) fn count_open(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_OPEN, &[], |row| row.get(0))?.unwrap_or_default())
}

/// Returns the purchases with ids above this one, in their order.
pub(crate) fn purchases_after(
    tx: &mut Tx<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<PurchaseFact>, StoreError> {
    tx.query(PURCHASES, &params![after, limit], |row| {
        Ok(PurchaseFact {
            purchase: row.get(0)?,
            ingredient: row.by_name(1)?,
            status: row.get(2)?,
            quantity: row.get(3)?,
        })
    })
}
