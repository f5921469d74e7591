//! Sets the stock on hand to the quantities that a manager has counted.

use std::{collections::HashSet, convert::Infallible};

use ::store::{StoreError, Tx};
use contracts::{
    Quantities,
    api::inventory::{AdjustStock, StockChanges},
};

use super::serve_waiting;
use crate::{Signals, domain::Basket, store};

/// Returns the changes that an adjustment of the stock on hand makes.
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

/// Books for each adjustment the difference between what is on hand and what it says. Waiting orders are served afterwards.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn adjust_stock(
    tx: &mut Tx<'_>,
    adjustments: &[&AdjustStock],
    signals: &Signals,
) -> Result<Vec<Result<StockChanges, Infallible>>, StoreError> {
    let mut shelves = store::lock_shelves(tx)?;
    let mut answers = Vec::with_capacity(adjustments.len());
    for AdjustStock { set } in adjustments {
        let changes = adjusted(shelves.on_hand(), set);
        shelves.adjust(&Basket::of(&changes.booked));
        answers.push(Ok(changes));
    }
    let served = serve_waiting(tx, &mut shelves, &HashSet::new())?;
    signals.after_serving(tx, &served);
    if !shelves.missing().is_empty() {
        tx.wake_after_commit(&signals.shortage);
    }
    store::save_shelves(tx, shelves)?;
    Ok(answers)
}
