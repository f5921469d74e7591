//! Every event in, what it adds to the aggregates out.

use std::sync::Arc;

use ::store::{StoreError, Tx};
use contracts::events::{
    Envelope, Event, IngredientPurchased, IngredientsReleased, IngredientsReserved, OrderDelivered,
};
use events::consumer::read_all;

use crate::{
    projection::{self, Counters},
    store,
};

pub(crate) fn react(tx: &mut Tx, name: &str, events: &[Arc<Envelope>]) -> Result<(), StoreError> {
    let mut added = Counters::new();
    projection::happened(&mut added, name, events.len());
    match name {
        OrderDelivered::NAME => projection::delivered(&mut added, &read_all(events)?),
        IngredientPurchased::NAME => projection::purchased(&mut added, &read_all(events)?),
        IngredientsReserved::NAME => projection::reserved(&mut added, &read_all(events)?),
        IngredientsReleased::NAME => projection::released(&mut added, &read_all(events)?),
        _ => {}
    }
    store::add(tx, &added)
}
