//! What events tell of single orders: pure.

use std::{collections::BTreeMap, sync::Arc};

use ::store::StoreError;
use contracts::{
    OrderId, Quantities, Timestamp,
    api::live::TicketState,
    events::{
        CookingStarted, DishPrepared, Envelope, Event as _, IngredientsAwaited,
        IngredientsRequested, IngredientsReserved, OrderCancelled, OrderDelivered, OrderPlaced,
        OrderRejected,
    },
};
use events::consumer::read;

/// What some events tell of one order. What they do not tell is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its running number.
    pub(crate) number: Option<i64>,
    /// Its dish.
    pub(crate) dish: Option<String>,
    /// The farthest state.
    pub(crate) state: TicketState,
    /// When it was accepted.
    pub(crate) placed_at: Option<Timestamp>,
    /// When it came to that state.
    pub(crate) changed_at: Timestamp,
    /// The stove.
    pub(crate) stove: Option<i64>,
    /// What was missing.
    pub(crate) missing: Option<Quantities>,
}

impl Told {
    const fn of(state: TicketState, changed_at: Timestamp) -> Self {
        Self {
            number: None,
            dish: None,
            state,
            placed_at: None,
            changed_at,
            stove: None,
            missing: None,
        }
    }

    /// Adds what a later event tells. Of two events of one state, the first tells when that began.
    fn add(&mut self, more: Self) {
        if more.state > self.state {
            (self.state, self.changed_at) = (more.state, more.changed_at);
        }
        self.number = self.number.or(more.number);
        self.dish = self.dish.take().or(more.dish);
        self.placed_at = self.placed_at.or(more.placed_at);
        self.stove = self.stove.or(more.stove);
        self.missing = self.missing.take().or(more.missing);
    }

    /// Returns when the order ended.
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        self.state.is_end().then_some(self.changed_at)
    }
}

/// Returns what events tell of each order.
///
/// # Errors
/// [`StoreError::Rejected`] if one can't be read.
pub(crate) fn told_by(events: &[Arc<Envelope>]) -> Result<BTreeMap<OrderId, Told>, StoreError> {
    let mut all: BTreeMap<OrderId, Told> = BTreeMap::new();
    for event in events {
        let Some((order, told)) = told(event)? else { continue };
        match all.get_mut(&order) {
            Some(before) => before.add(told),
            None => {
                all.insert(order, told);
            }
        }
    }
    Ok(all)
}

/// Returns what one event tells of an order; `None` if it brings none any farther.
fn told(event: &Envelope) -> Result<Option<(OrderId, Told)>, StoreError> {
    let at = |state| Told::of(state, event.time);
    Ok(Some(match event.name() {
        OrderPlaced::NAME => {
            let OrderPlaced { order, number, dish, placed_at } = read(event)?;
            let (number, placed_at) = (Some(number), Some(placed_at));
            (order, Told { number, dish, placed_at, ..at(TicketState::Placed) })
        }
        IngredientsRequested::NAME => {
            let IngredientsRequested { order, number, dish, .. } = read(event)?;
            let (number, dish) = (Some(number), Some(dish));
            (order, Told { number, dish, ..at(TicketState::Requested) })
        }
        IngredientsAwaited::NAME => {
            let IngredientsAwaited { order, missing } = read(event)?;
            (order, Told { missing: Some(missing), ..at(TicketState::Waiting) })
        }
        IngredientsReserved::NAME => {
            let IngredientsReserved { order, .. } = read(event)?;
            (order, at(TicketState::Reserved))
        }
        CookingStarted::NAME => {
            let CookingStarted { order, dish, stove } = read(event)?;
            let (dish, stove) = (Some(dish), Some(stove));
            (order, Told { dish, stove, ..at(TicketState::Cooking) })
        }
        DishPrepared::NAME => {
            let DishPrepared { order, dish } = read(event)?;
            (order, Told { dish: Some(dish), ..at(TicketState::Ready) })
        }
        OrderDelivered::NAME => {
            let OrderDelivered { order, dish, placed_at, delivered_at } = read(event)?;
            let (dish, placed_at) = (Some(dish), Some(placed_at));
            (order, Told { dish, placed_at, ..Told::of(TicketState::Delivered, delivered_at) })
        }
        OrderCancelled::NAME => {
            let OrderCancelled { order } = read(event)?;
            (order, at(TicketState::Cancelled))
        }
        OrderRejected::NAME => {
            let OrderRejected { order, .. } = read(event)?;
            (order, at(TicketState::Rejected))
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use contracts::services::{KITCHEN, ORDERS};
    use proptest::prelude::*;

    use super::*;

    /// The events of an order that waits for a lemon and is delivered, at the microseconds 1 to 7.
    fn dinner(order: OrderId) -> Vec<Arc<Envelope>> {
        let at = Timestamp::from_micros;
        let dish = || "lemonade".to_owned();
        let missing = Quantities::from([(contracts::Ingredient::Lemon, 1)]);
        vec![
            Envelope::new(
                ORDERS,
                &OrderPlaced { order, number: 3, dish: None, placed_at: at(1) },
                at(1),
                None,
            ),
            Envelope::new(
                KITCHEN,
                &IngredientsRequested {
                    order,
                    number: 3,
                    dish: dish(),
                    recipe_version: 1,
                    needs: missing.clone(),
                },
                at(2),
                None,
            ),
            Envelope::new(
                "inventory",
                &IngredientsAwaited { order, missing: missing.clone() },
                at(3),
                None,
            ),
            Envelope::new(
                "inventory",
                &IngredientsReserved { order, reserved: missing, waited: true },
                at(4),
                None,
            ),
            Envelope::new(KITCHEN, &CookingStarted { order, dish: dish(), stove: 2 }, at(5), None),
            Envelope::new(KITCHEN, &DishPrepared { order, dish: dish() }, at(6), None),
            Envelope::new(
                ORDERS,
                &OrderDelivered { order, dish: dish(), placed_at: at(1), delivered_at: at(7) },
                at(7),
                None,
            ),
        ]
        .into_iter()
        .map(Arc::new)
        .collect()
    }

    proptest! {
        #[test]
        fn an_order_is_the_same_in_whatever_order_its_events_arrive(
            events in Just(dinner(OrderId::new())).prop_shuffle(),
        ) {
            let told = told_by(&events).unwrap().into_values().next().unwrap();
            prop_assert_eq!(told, Told {
                number: Some(3),
                dish: Some("lemonade".into()),
                state: TicketState::Delivered,
                placed_at: Some(Timestamp::from_micros(1)),
                changed_at: Timestamp::from_micros(7),
                stove: Some(2),
                missing: Some([(contracts::Ingredient::Lemon, 1)].into()),
            });
        }
    }
}
