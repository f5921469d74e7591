//! When the buyer asks the market again, as the stock shows it.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::{Timestamp, api::inventory::Shelf};

use crate::domain::INGREDIENTS;

/// The next attempt for each ingredient, as the buyer of this process plans it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    planned: Arc<Mutex<[Option<Timestamp>; INGREDIENTS]>>,
}

impl Attempts {
    /// Takes the place of what was planned before.
    pub(crate) fn plan(&self, planned: [Option<Timestamp>; INGREDIENTS]) {
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = planned;
    }

    /// Says on the shelves of which something is missing when the next attempt is; one that is due by now is under way.
    pub(crate) fn note_on(&self, shelves: &mut [Shelf], now: Timestamp) {
        let planned = *self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        for shelf in shelves.iter_mut().filter(|shelf| shelf.missing > 0) {
            shelf.next_attempt_at = planned[shelf.ingredient as usize].filter(|at| *at > now);
        }
    }
}
