//! Adjustments that may be repeated, by their keys.

use ::store::{StoreError, Tx, params};

pub(super) const ADJUSTMENT: &str = "SELECT asked, changes FROM adjustments WHERE key = ?1";
pub(super) const INSERT_ADJUSTMENT: &str =
    "INSERT INTO adjustments (key, asked, changes, made_at) VALUES (?1, ?2, ?3, ?4)";

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
