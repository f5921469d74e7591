//! The stock opens: a quantity of each ingredient, booked once.

use std::collections::HashSet;

use ::store::{StoreError, Tx};
use contracts::{
    Ingredient,
    api::inventory::{OpenStock, StockChanges},
};

use super::serve_waiting;
use crate::{Signals, store};

/// Returns what opening would change, given what is opened already.
pub(crate) fn opened(opened: &[Ingredient], command: &OpenStock) -> StockChanges {
    let mut changes = StockChanges::default();
    for (ingredient, quantity) in &command.opening {
        if opened.contains(ingredient) || *quantity == 0 {
            changes.unchanged.push(*ingredient);
        } else {
            changes.booked.insert(*ingredient, *quantity);
        }
    }
    changes
}

/// Books the opening quantity of each ingredient that has none. A repeat changes nothing. Those who wait are served.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn open_stock(
    tx: &mut Tx<'_>,
    commands: &[OpenStock],
    signals: &Signals,
) -> Result<Vec<StockChanges>, StoreError> {
    // Locked twice: opening changes the rows themselves, and those who are served come after that.
    store::lock_shelves(tx)?;
    let mut known = store::opened(tx)?;
    let mut answers = Vec::with_capacity(commands.len());
    for command in commands {
        answers.push(opened(&known, command));
        let new: Vec<(Ingredient, i64)> = command
            .opening
            .iter()
            .map(|(ingredient, quantity)| (*ingredient, *quantity))
            .filter(|(ingredient, _)| !known.contains(ingredient))
            .collect();
        store::open(tx, &new)?;
        known.extend(new.into_iter().map(|(ingredient, _)| ingredient));
    }
    let mut shelves = store::lock_shelves(tx)?;
    let served = serve_waiting(tx, &mut shelves, &HashSet::new())?;
    signals.after_serving(tx, &served);
    store::save_shelves(tx, shelves)?;
    Ok(answers)
}
