//! An event from elsewhere in, a command out.

use std::sync::Arc;

use ::store::{StoreError, Tx};
use contracts::events::{CancellationRequested, Envelope, Event, IngredientsReserved, OrderPlaced};
use events::consumer::{read_all, unexpected};
use service::Pace;
use tokio::sync::Notify;

use crate::commands::{Cook, cancel_dishes, cook, reserve_tickets, start_dishes};

/// What the kitchen needs to know to act on events.
#[derive(Clone, Debug)]
pub(crate) struct Reactions {
    pub(crate) seed: u64,
    pub(crate) cook: Cook,
    pub(crate) cook_wakes: Arc<Notify>,
}

impl Reactions {
    /// Acts on a batch of events of one name.
    ///
    /// # Errors
    /// [`StoreError`] if one of them can't be acted on, or the database failed.
    pub(crate) fn react(
        &self,
        tx: &mut Tx<'_>,
        name: &str,
        events: &[Arc<Envelope>],
    ) -> Result<(), StoreError> {
        match name {
            OrderPlaced::NAME => start_dishes(tx, &read_all(events)?, self.seed),
            IngredientsReserved::NAME => {
                reserve_tickets(tx, &read_all(events)?)?;
                // At once, in the same transaction, which saves a second one; the worker does what is left or comes later.
                if cook(tx, self.cook)? != Pace::Idle {
                    tx.wake_after_commit(&self.cook_wakes);
                }
                Ok(())
            }
            CancellationRequested::NAME => {
                cancel_dishes(tx, &read_all::<CancellationRequested>(events)?)
            }
            name => Err(unexpected(name)),
        }
    }
}
