//! An event from elsewhere in, a command out.

use std::sync::Arc;

use ::store::{StoreError, Tx};
use contracts::events::{
    CancellationRefused, CookingStarted, DishCancelled, DishPrepared, DishRefused, Envelope, Event,
    MenuChanged,
};
use events::consumer::{read_all, unexpected};

use crate::commands::{
    change_menu::change_menu,
    end_orders::{cook_orders, deliver_orders, end_cancelled, go_on, reject_orders},
};

pub(crate) fn react(tx: &mut Tx, name: &str, events: &[Arc<Envelope>]) -> Result<(), StoreError> {
    match name {
        MenuChanged::NAME => change_menu(tx, &read_all(events)?),
        CookingStarted::NAME => cook_orders(tx, &read_all(events)?),
        DishPrepared::NAME => deliver_orders(tx, &read_all(events)?),
        DishCancelled::NAME => end_cancelled(tx, &read_all(events)?),
        CancellationRefused::NAME => go_on(tx, &read_all(events)?),
        DishRefused::NAME => reject_orders(tx, &read_all(events)?),
        other => Err(unexpected(other)),
    }
}
