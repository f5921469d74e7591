//! An event from elsewhere in, a command out.

use std::sync::Arc;

use ::store::{StoreError, Tx};
use contracts::events::{DishCancelled, Envelope, Event, IngredientsRequested};
use events::consumer::{read_all, unexpected};

use crate::{
    Signals,
    commands::{release_ingredients, reserve_ingredients},
};

/// Acts on a batch of events of one name.
///
/// # Errors
/// [`StoreError`] if one of them can't be acted on, or the database failed.
pub(crate) fn react(
    tx: &mut Tx<'_>,
    name: &str,
    events: &[Arc<Envelope>],
    signals: &Signals,
) -> Result<(), StoreError> {
    match name {
        IngredientsRequested::NAME => reserve_ingredients(tx, &read_all(events)?, signals),
        DishCancelled::NAME => release_ingredients(tx, &read_all(events)?, signals),
        _ => Err(unexpected(name)),
    }
}
