//! Saves the intent of each purchase before the farmers are called.

use std::collections::HashMap;

use ::store::{StoreError, Tx};
use contracts::{Ingredient, PurchaseId};

use crate::{
    domain::{self, Step},
    store,
};

/// A purchase that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) purchase: PurchaseId,
    pub(crate) ingredient: Ingredient,
}

/// Saves that each purchase is under way, unless it is known how it ended, and returns what to do about each. A batch
/// asks for each purchase once.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and nothing may be called.
pub(crate) fn save_intents(
    tx: &mut Tx<'_>,
    intents: &[Intent],
    asks_again: bool,
) -> Result<Vec<Step>, StoreError> {
    let new = store::insert_new(tx, intents)?;
    if new.len() == intents.len() {
        return Ok(vec![Step::Call; intents.len()]);
    }
    let old: Vec<PurchaseId> =
        intents.iter().map(|intent| intent.purchase).filter(|id| !new.contains(id)).collect();
    let old: HashMap<_, _> = store::purchases(tx, &old)?.into_iter().collect();
    let steps: Vec<Step> = intents
        .iter()
        .map(|intent| match old.get(&intent.purchase) {
            Some(purchase) => domain::resume(*purchase, intent.ingredient, asks_again),
            None => Step::Call,
        })
        .collect();
    let resumed = |wanted: Step| {
        intents
            .iter()
            .zip(&steps)
            .filter_map(move |(intent, step)| (*step == wanted).then_some(intent.purchase))
    };
    store::begin_calls(tx, resumed(Step::Call).filter(|id| old.contains_key(id)))?;
    store::give_up(tx, resumed(Step::GiveUp))?;
    Ok(steps)
}
