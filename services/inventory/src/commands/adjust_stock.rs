//! Somebody counted: what is on hand is what they say.

use std::collections::HashSet;

use ::store::{StoreError, Tx};
use contracts::{
    Quantities,
    api::inventory::{AdjustStock, StockChanges},
};

use super::serve_waiting;
use crate::{Signals, domain::Basket, store};

/// An adjustment, and the key by which a repeat is known.
#[derive(Clone, Debug)]
pub(crate) struct Adjustment {
    pub(crate) key: Option<String>,
    pub(crate) command: AdjustStock,
}

/// The key was used for another adjustment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyReused;

/// Returns what an adjustment would change, given what is on hand.
pub(crate) fn adjusted(on_hand: &Basket, set: &Quantities) -> StockChanges {
    let mut changes = StockChanges::default();
    for (ingredient, quantity) in set {
        match quantity - on_hand[*ingredient] {
            0 => changes.unchanged.push(*ingredient),
            difference => {
                changes.booked.insert(*ingredient, difference);
            }
        }
    }
    changes
}

/// Books for each adjustment the difference between what is on hand and what it says. A repeat is answered like the first
/// time and changes nothing. Those who wait are served afterwards.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn adjust_stock(
    tx: &mut Tx<'_>,
    adjustments: &[Adjustment],
    signals: &Signals,
) -> Result<Vec<Result<StockChanges, KeyReused>>, StoreError> {
    let mut shelves = store::lock_shelves(tx)?;
    let mut answers = Vec::with_capacity(adjustments.len());
    for Adjustment { key, command } in adjustments {
        let asked = json(&command.set)?;
        let before = match key {
            Some(key) => store::adjustment(tx, key)?,
            None => None,
        };
        answers.push(match before {
            Some((asked_before, _)) if asked_before != asked => Err(KeyReused),
            Some((_, changes)) => {
                let changes = serde_json::from_str(&changes);
                Ok(changes.map_err(|error| StoreError::rejected(error.to_string()))?)
            }
            None => {
                let changes = adjusted(shelves.on_hand(), &command.set);
                shelves.adjust(&Basket::of(&changes.booked));
                if let Some(key) = key {
                    store::insert_adjustment(tx, key, &asked, &json(&changes)?)?;
                }
                Ok(changes)
            }
        });
    }
    let served = serve_waiting(tx, &mut shelves, &HashSet::new())?;
    signals.after_serving(tx, &served);
    if !shelves.missing().is_empty() {
        tx.wake_after_commit(&signals.shortage);
    }
    store::save_shelves(tx, shelves)?;
    Ok(answers)
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::rejected(error.to_string()))
}
