//! A cooking turn: what is prepared by now leaves its stove, and who waits longest is put on it.

use std::{collections::HashSet, time::Duration};

use contracts::{OrderId, Timestamp};

use super::ticket::TicketStatus;

/// A stove.
#[derive(Clone, Debug)]
pub(crate) struct Stove {
    /// Its number, from 1.
    pub(crate) number: i64,
    /// Whether it is taken out once nothing is on it.
    pub(crate) retiring: bool,
    /// What is on it.
    pub(crate) dish: Option<Dish>,
}

/// What is cooked for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dish {
    /// The order.
    pub(crate) order: OrderId,
    /// What it is.
    pub(crate) name: String,
}

/// A dish that has its ingredients and waits for a stove.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// The dish.
    pub(crate) dish: Dish,
    /// How long it will be on the stove.
    pub(crate) cooking_time: Duration,
}

/// What happens in a turn, decided before anything is saved.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
    /// How the stoves change, in order: what was on one before, and what is on it then.
    pub(crate) stoves: Vec<(i64, Option<OrderId>, Option<OrderId>)>,
    /// How each ticket stood before the turn and stands after it.
    pub(crate) tickets: Vec<(OrderId, TicketStatus, TicketStatus)>,
    /// Whether something is on a stove after the turn.
    pub(crate) still_cooking: bool,
    /// Whether a stove that is retiring is free now.
    pub(crate) freed_retiring: bool,
    /// Whether everyone who waited got a stove.
    pub(crate) took_all: bool,
}

/// One thing that happens to a dish.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is put on a stove.
    Started { dish: Dish, stove: i64, due_at: Timestamp },
    /// It is done.
    Prepared { dish: Dish },
}

struct Place {
    number: i64,
    retiring: bool,
    on_it: Option<OnStove>,
}

struct OnStove {
    dish: Dish,
    before: TicketStatus,
    is_due: bool,
}

impl Turn {
    /// Decides a turn. It goes in rounds over the stoves, for a dish that takes no time is prepared in the round after the
    /// one in which it was started; each round starts or finishes something, so there are no more rounds than dishes.
    ///
    /// `due` are the orders whose time on the stove is over; `waiting` is in the order of arrival.
    pub(crate) fn plan(
        stoves: Vec<Stove>,
        due: &HashSet<OrderId>,
        waiting: impl IntoIterator<Item = Waiting>,
        now: Timestamp,
    ) -> Self {
        let mut turn = Self::default();
        let mut places: Vec<Place> =
            stoves.into_iter().map(|stove| Place::of(stove, due)).collect();
        let mut waiting = waiting.into_iter().peekable();
        loop {
            let before = turn.stoves.len();
            for place in &mut places {
                turn.visit(place, &mut waiting, now);
            }
            if turn.stoves.len() == before {
                break;
            }
        }
        for OnStove { dish, before, .. } in places.iter().filter_map(|place| place.on_it.as_ref()) {
            turn.still_cooking = true;
            if *before == TicketStatus::Reserved {
                turn.tickets.push((dish.order, *before, TicketStatus::Cooking));
            }
        }
        turn.took_all = waiting.peek().is_none();
        turn
    }

    /// Takes from a stove what is done, and puts on it who is next.
    fn visit(
        &mut self,
        place: &mut Place,
        waiting: &mut impl Iterator<Item = Waiting>,
        now: Timestamp,
    ) {
        let was_on_it = place.on_it.as_ref().map(|on_it| on_it.dish.order);
        if let Some(OnStove { dish, before, .. }) = place.on_it.take_if(|on_it| on_it.is_due) {
            self.tickets.push((dish.order, before, TicketStatus::Prepared));
            self.steps.push(Step::Prepared { dish });
        }
        if place.on_it.is_none() && !place.retiring {
            place.on_it = waiting.next().map(|Waiting { dish, cooking_time }| {
                let due_at = now.plus(cooking_time);
                self.steps.push(Step::Started { dish: dish.clone(), stove: place.number, due_at });
                OnStove { dish, before: TicketStatus::Reserved, is_due: due_at <= now }
            });
        }
        let is_on_it = place.on_it.as_ref().map(|on_it| on_it.dish.order);
        if was_on_it != is_on_it {
            self.freed_retiring |= place.retiring;
            self.stoves.push((place.number, was_on_it, is_on_it));
        }
    }
}

impl Place {
    fn of(stove: Stove, due: &HashSet<OrderId>) -> Self {
        let on_it = stove.dish.map(|dish| OnStove {
            is_due: due.contains(&dish.order),
            dish,
            before: TicketStatus::Cooking,
        });
        Self { number: stove.number, retiring: stove.retiring, on_it }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{HashMap, HashSet},
        time::Duration,
    };

    use contracts::{OrderId, Timestamp};
    use proptest::prelude::*;

    use super::{Dish, Step, Stove, Turn, Waiting};
    use crate::domain::ticket::TicketStatus;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn dish() -> Dish {
        Dish { order: OrderId::new(), name: "soup".into() }
    }

    fn stoves() -> impl Strategy<Value = Vec<(bool, Option<bool>)>> {
        // Whether each is retiring, and whether what is on it is due.
        proptest::collection::vec((any::<bool>(), proptest::option::of(any::<bool>())), 1..6)
    }

    proptest! {
        #[test]
        fn a_turn_uses_every_stove_and_none_twice(
            kinds in stoves(),
            times in proptest::collection::vec(0_u64..3, 0..40),
        ) {
            let stoves: Vec<Stove> = kinds
                .iter()
                .zip(1..)
                .map(|((retiring, on_it), number)| Stove { number, retiring: *retiring, dish: on_it.map(|_| dish()) })
                .collect();
            let due: HashSet<OrderId> = stoves
                .iter()
                .zip(&kinds)
                .filter(|(_, (_, on_it))| *on_it == Some(true))
                .filter_map(|(stove, _)| stove.dish.as_ref().map(|dish| dish.order))
                .collect();
            let waiting: Vec<Waiting> =
                times.iter().map(|ms| Waiting { dish: dish(), cooking_time: Duration::from_millis(*ms) }).collect();
            let turn = Turn::plan(stoves.clone(), &due, waiting.clone(), NOW);

            let mut on_stove: HashMap<i64, Option<OrderId>> =
                stoves.iter().map(|stove| (stove.number, stove.dish.as_ref().map(|dish| dish.order))).collect();
            for (number, before, after) in &turn.stoves {
                prop_assert_eq!(on_stove.insert(*number, *after), Some(*before));
            }
            let started: Vec<OrderId> = turn.steps.iter().filter_map(|step| match step {
                Step::Started { dish, .. } => Some(dish.order),
                Step::Prepared { .. } => None,
            }).collect();
            let arrived: Vec<OrderId> = waiting.iter().map(|waiting| waiting.dish.order).collect();
            prop_assert_eq!(&arrived[..started.len()], &started[..], "in the order of arrival");
            prop_assert_eq!(turn.took_all, started.len() == arrived.len());

            let idle = stoves.iter().any(|stove| !stove.retiring && on_stove[&stove.number].is_none());
            prop_assert!(turn.took_all || !idle, "nobody waits beside a free stove");
            let cooking: HashSet<OrderId> = on_stove.values().flatten().copied().collect();
            prop_assert_eq!(turn.still_cooking, !cooking.is_empty());
            prop_assert!(cooking.is_disjoint(&due));
            for waiting in waiting.iter().filter(|waiting| waiting.cooking_time.is_zero()) {
                prop_assert!(!cooking.contains(&waiting.dish.order), "what takes no time is done in the turn");
            }
            for (order, before, after) in &turn.tickets {
                prop_assert_eq!(*after == TicketStatus::Cooking, cooking.contains(order));
                prop_assert_eq!(*before == TicketStatus::Reserved, started.contains(order));
            }
        }
    }
}
