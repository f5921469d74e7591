//! A batch of events in, what it adds to the aggregates and tells of single orders out.

use std::{collections::BTreeMap, sync::Arc};

use ::store::{StoreError, Tx};
use contracts::events::{
    Envelope, Event, IngredientPurchased, IngredientsReleased, IngredientsReserved, OrderDelivered,
};
use events::consumer::read_all;
use tokio::sync::Notify;

use crate::{
    projection::{self, Counters, DishDeliveries},
    store, tickets,
};

/// Acts on events, and signals `changed` once that is committed.
pub(crate) fn react(
    tx: &mut Tx,
    events: &[Arc<Envelope>],
    changed: &Arc<Notify>,
) -> Result<(), StoreError> {
    let (added, deliveries) = added_by(events)?;
    let told = tickets::told_by(events)?;
    let revision = store::take_turn(tx)?;
    store::add(tx, &added)?;
    store::add_deliveries(tx, &deliveries)?;
    store::tell(tx, &told)?;
    if revision % store::DELETE_EVERY == 0 {
        store::delete_old(tx)?;
    }
    tx.wake_after_commit(changed);
    Ok(())
}

/// Returns what events add to the aggregates, and to those of each dish: sums, so their order does not matter.
fn added_by(events: &[Arc<Envelope>]) -> Result<(Counters, DishDeliveries), StoreError> {
    let mut by_name: BTreeMap<&str, Vec<Arc<Envelope>>> = BTreeMap::new();
    for event in events {
        by_name.entry(event.name()).or_default().push(Arc::clone(event));
    }
    let mut added = Counters::new();
    let mut deliveries = DishDeliveries::new();
    for (name, events) in by_name {
        projection::happened(&mut added, name, events.len());
        match name {
            OrderDelivered::NAME => {
                let delivered: Vec<OrderDelivered> = read_all(&events)?;
                projection::delivered(&mut added, &delivered);
                deliveries = projection::dish_deliveries(&delivered);
            }
            IngredientPurchased::NAME => projection::purchased(&mut added, &read_all(&events)?),
            IngredientsReserved::NAME => projection::reserved(&mut added, &read_all(&events)?),
            IngredientsReleased::NAME => projection::released(&mut added, &read_all(&events)?),
            _ => {}
        }
    }
    Ok((added, deliveries))
}
