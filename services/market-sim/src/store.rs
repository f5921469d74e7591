//! All SQL of the simulated market.

use std::collections::BTreeMap;

use ::store::{ByName, Many, Row, StoreError, Tx, params};
use contracts::{
    Ingredient,
    api::{
        audit::PurchaseFact,
        market_sim::{ChangeMarketSim, MarketSimSettings},
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::commands::sell::Key;

const STATE: &str = "SELECT settings, preset, calls, drawn FROM market_sim WHERE id = 1";
const STATE_LOCKED: &str =
    "SELECT settings, preset, calls, drawn FROM market_sim WHERE id = 1 FOR UPDATE";
const INSERT_STATE: &str = "INSERT INTO market_sim (id, settings, preset, calls, drawn) VALUES (1, ?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
const SAVE_SETTINGS: &str = "UPDATE market_sim SET settings = ?1, preset = ?2 WHERE id = 1";
const DRAW_ANEW: &str = "UPDATE market_sim SET calls = 0, drawn = 0 WHERE id = 1";
// The first statement of a sale, so that it also keeps other replicas waiting until this one has committed.
const COUNT_CALLS: &str = "UPDATE market_sim SET calls = calls + CAST(?1 AS BIGINT) WHERE id = 1
    RETURNING settings, preset, calls - CAST(?1 AS BIGINT), drawn";
const COUNT_DRAWN: &str = "UPDATE market_sim SET drawn = drawn + CAST(?1 AS BIGINT) WHERE id = 1";
const SALE: Many = Many {
    each: "SELECT key, ingredient, quantity FROM sales WHERE key = ?1",
    all: "SELECT key, ingredient, quantity FROM sales WHERE key = ANY($1::TEXT[])",
};
const INSERT_SALE: Many = Many {
    each: "INSERT INTO sales (key, is_purchase, ingredient, quantity, sold_at)
        VALUES (?1, ?2, ?3, ?4, ?5)",
    all: "INSERT INTO sales (key, is_purchase, ingredient, quantity, sold_at)
        SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[])",
};
const PURCHASES: &str = "SELECT key, ingredient, quantity FROM sales
    WHERE key > ?1 AND is_purchase = 1 ORDER BY key LIMIT ?2";
const ADD_TO_STAND: Many = Many {
    each: "INSERT INTO stands (ingredient, sold, sales) VALUES (?1, ?2, ?3)
        ON CONFLICT (ingredient) DO UPDATE
        SET sold = stands.sold + excluded.sold, sales = stands.sales + excluded.sales",
    all: "INSERT INTO stands (ingredient, sold, sales)
        SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[])
        ON CONFLICT (ingredient) DO UPDATE
        SET sold = stands.sold + excluded.sold, sales = stands.sales + excluded.sales",
};
const STANDS: &str = "SELECT ingredient, sold, sales FROM stands ORDER BY ingredient";

/// Every statement that only PostgreSQL runs.
pub const POSTGRESQL_STATEMENTS: [&str; 1] = [STATE_LOCKED];
/// Every statement that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 8] =
    [STATE, INSERT_STATE, SAVE_SETTINGS, DRAW_ANEW, COUNT_CALLS, COUNT_DRAWN, PURCHASES, STANDS];
/// Every statement for many rows.
pub const MANY: [Many; 3] = [SALE, INSERT_SALE, ADD_TO_STAND];

/// What the simulated market is, and how far its draws are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) settings: MarketSimSettings,
    /// The preset that was taken over last.
    pub(crate) preset: ChangeMarketSim,
    /// How many calls there were since the seed was set.
    pub(crate) calls: i64,
    /// How many sales were drawn since the seed was set.
    pub(crate) drawn: i64,
}

impl State {
    /// Returns the state of a simulated market before its first call.
    pub(crate) const fn new(settings: MarketSimSettings, preset: ChangeMarketSim) -> Self {
        Self { settings, preset, calls: 0, drawn: 0 }
    }
}

/// A sale that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MadeSale {
    pub(crate) ingredient: Ingredient,
    pub(crate) quantity: i64,
}

/// What was sold of one ingredient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) ingredient: Ingredient,
    pub(crate) sold: i64,
    pub(crate) sales: i64,
}

fn state_of(row: &Row<'_>) -> Result<State, StoreError> {
    Ok(State {
        settings: from_json(&row.get::<String>(0)?)?,
        preset: from_json(&row.get::<String>(1)?)?,
        calls: row.get(2)?,
        drawn: row.get(3)?,
    })
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::rejected(error.to_string()))
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::rejected(error.to_string()))
}

/// Returns whether the simulated market was opened before.
pub(crate) fn has_state(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    Ok(tx.query_one(STATE, &[], |_| Ok(()))?.is_some())
}

/// Returns the state. There is one from the first start on.
pub(crate) fn state(tx: &mut Tx<'_>) -> Result<State, StoreError> {
    query_state(tx, STATE)
}

/// Returns the state, and keeps every other replica from changing it until this transaction ends.
pub(crate) fn lock_state(tx: &mut Tx<'_>) -> Result<State, StoreError> {
    let sql = tx.either(STATE, STATE_LOCKED);
    query_state(tx, sql)
}

fn query_state(tx: &mut Tx<'_>, sql: &'static str) -> Result<State, StoreError> {
    tx.query_one(sql, &[], state_of)?
        .ok_or_else(|| StoreError::rejected("the simulated market was never opened"))
}

/// Saves the first state; returns false, and changes nothing, if there is one already.
pub(crate) fn insert_first(tx: &mut Tx<'_>, state: &State) -> Result<bool, StoreError> {
    let (settings, preset) = (to_json(&state.settings)?, to_json(&state.preset)?);
    Ok(tx.execute(INSERT_STATE, &params![settings, preset, state.calls, state.drawn])? == 1)
}

/// Saves what the simulated market is from now on.
pub(crate) fn save_settings(
    tx: &mut Tx<'_>,
    settings: &MarketSimSettings,
    preset: &ChangeMarketSim,
    draw_anew: bool,
) -> Result<(), StoreError> {
    tx.execute(SAVE_SETTINGS, &params![to_json(settings)?, to_json(preset)?])?;
    if draw_anew {
        tx.execute(DRAW_ANEW, &[])?;
    }
    Ok(())
}

/// Counts that many calls; returns the state before them.
pub(crate) fn count_calls(tx: &mut Tx<'_>, calls: usize) -> Result<State, StoreError> {
    tx.query_one(COUNT_CALLS, &params![calls as i64], state_of)?
        .ok_or_else(|| StoreError::rejected("the simulated market was never opened"))
}

/// Returns those of these sales that were made, with their keys.
pub(crate) fn sales_by_key<'k>(
    tx: &mut Tx<'_>,
    keys: impl IntoIterator<Item = &'k str>,
) -> Result<Vec<(String, MadeSale)>, StoreError> {
    tx.query_all(&SALE, keys.into_iter().map(|key| params![key]), |row| {
        Ok((row.get(0)?, MadeSale { ingredient: row.by_name(1)?, quantity: row.get(2)? }))
    })
}

/// Counts new sales, and saves those that have a key.
pub(crate) fn insert_sales(
    tx: &mut Tx<'_>,
    sales: &[(Option<&Key>, MadeSale)],
) -> Result<(), StoreError> {
    if sales.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    tx.execute_all(
        &INSERT_SALE,
        sales.iter().filter_map(|(key, sale)| Some(((*key)?, sale))).map(|(key, sale)| {
            params![key.text(), key.is_purchase(), ByName(sale.ingredient), sale.quantity, now]
        }),
    )?;
    let mut stands: BTreeMap<Ingredient, (i64, i64)> = BTreeMap::new();
    for (_, sale) in sales {
        let (sold, count) = stands.entry(sale.ingredient).or_default();
        *sold += sale.quantity;
        *count += 1;
    }
    tx.execute_all(
        &ADD_TO_STAND,
        stands
            .into_iter()
            .map(|(ingredient, (sold, count))| params![ByName(ingredient), sold, count]),
    )?;
    tx.execute(COUNT_DRAWN, &params![sales.len() as i64])?;
    Ok(())
}

/// Returns what was sold of each ingredient.
pub(crate) fn stands(tx: &mut Tx<'_>) -> Result<Vec<Stand>, StoreError> {
    tx.query(STANDS, &[], |row| {
        Ok(Stand { ingredient: row.by_name(0)?, sold: row.get(1)?, sales: row.get(2)? })
    })
}

/// Returns the sales to purchases with ids above this one, in their order.
pub(crate) fn purchases_after(
    tx: &mut Tx<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<PurchaseFact>, StoreError> {
    tx.query(PURCHASES, &params![after, limit], |row| {
        Ok(PurchaseFact {
            purchase: row.get(0)?,
            ingredient: row.by_name(1)?,
            status: "done".to_owned(),
            quantity: row.get(2)?,
        })
    })
}
