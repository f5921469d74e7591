//! A cooking round: a prepared dish leaves its stove, and the ticket that waits longest takes it.

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

/// What happens in a round, decided before anything is saved.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
    /// How each stove that changes is before the round and after it: what is on it.
    pub(crate) stoves: Vec<(i64, Option<OrderId>, Option<OrderId>)>,
    /// How each ticket stood before the round and stands after it.
    pub(crate) tickets: Vec<(OrderId, TicketStatus, TicketStatus)>,
    /// What was put on a stove and still is there after the round, and when it is prepared.
    pub(crate) cooking: Vec<(OrderId, Timestamp)>,
    /// What was on a stove before the round and is prepared now.
    pub(crate) prepared: Vec<OrderId>,
    /// Whether something is on a stove after the round.
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
    Started { dish: Dish, stove: i64 },
    /// It is done.
    Prepared { dish: Dish },
}

struct Slot {
    number: i64,
    retiring: bool,
    on_it: Option<OnStove>,
    /// What was on it before the round.
    before: Option<OrderId>,
}

struct OnStove {
    dish: Dish,
    is_due: bool,
    /// When it is prepared, if it was put on the stove in this round.
    new_until: Option<Timestamp>,
}

impl Round {
    /// Decides a round. It passes over the stoves repeatedly, since a dish that takes no time is prepared in the pass
    /// after the one that started it. Each pass starts or finishes a dish, so there are no more passes than dishes.
    ///
    /// `due` are the orders whose time on the stove is over; `waiting` is in the order of arrival.
    pub(crate) fn plan(
        stoves: Vec<Stove>,
        due: &HashSet<OrderId>,
        waiting: impl IntoIterator<Item = Waiting>,
        now: Timestamp,
    ) -> Self {
        let mut round = Self::default();
        let mut slots: Vec<Slot> = stoves.into_iter().map(|stove| Slot::of(stove, due)).collect();
        let mut waiting = waiting.into_iter().peekable();
        loop {
            let before = round.steps.len();
            for slot in &mut slots {
                round.visit(slot, &mut waiting, now);
            }
            if round.steps.len() == before {
                break;
            }
        }
        for slot in &slots {
            let after = slot.on_it.as_ref().map(|on_it| on_it.dish.order);
            if slot.before != after {
                round.freed_retiring |= slot.retiring;
                round.stoves.push((slot.number, slot.before, after));
            }
        }
        for OnStove { dish, new_until, .. } in slots.iter().filter_map(|slot| slot.on_it.as_ref()) {
            round.still_cooking = true;
            if let Some(due_at) = new_until {
                round.tickets.push((dish.order, TicketStatus::Reserved, TicketStatus::Cooking));
                round.cooking.push((dish.order, *due_at));
            }
        }
        round.took_all = waiting.peek().is_none();
        round
    }

    /// Takes the prepared dish from a stove, and puts the next ticket on it.
    fn visit(
        &mut self,
        slot: &mut Slot,
        waiting: &mut impl Iterator<Item = Waiting>,
        now: Timestamp,
    ) {
        if let Some(OnStove { dish, new_until, .. }) = slot.on_it.take_if(|on_it| on_it.is_due) {
            let before = match new_until {
                Some(_) => TicketStatus::Reserved,
                None => TicketStatus::Cooking,
            };
            self.tickets.push((dish.order, before, TicketStatus::Prepared));
            if new_until.is_none() {
                self.prepared.push(dish.order);
            }
            self.steps.push(Step::Prepared { dish });
        }
        if slot.on_it.is_none() && !slot.retiring {
            slot.on_it = waiting.next().map(|Waiting { dish, cooking_time }| {
                let due_at = now.plus(cooking_time);
                self.steps.push(Step::Started { dish: dish.clone(), stove: slot.number });
                OnStove { dish, is_due: due_at <= now, new_until: Some(due_at) }
            });
        }
    }
}

impl Slot {
    fn of(stove: Stove, due: &HashSet<OrderId>) -> Self {
        let before = stove.dish.as_ref().map(|dish| dish.order);
        let on_it = stove.dish.map(|dish| OnStove {
            is_due: due.contains(&dish.order),
            dish,
            new_until: None,
        });
        Self { number: stove.number, retiring: stove.retiring, on_it, before }
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

    use super::{Dish, Round, Step, Stove, Waiting};
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
        fn a_round_uses_every_stove_and_none_twice(
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
            let round = Round::plan(stoves.clone(), &due, waiting.clone(), NOW);

            let mut on_stove: HashMap<i64, Option<OrderId>> =
                stoves.iter().map(|stove| (stove.number, stove.dish.as_ref().map(|dish| dish.order))).collect();
            let changed: HashSet<i64> = round.stoves.iter().map(|(number, ..)| *number).collect();
            prop_assert_eq!(changed.len(), round.stoves.len(), "each stove is saved once");
            for (number, before, after) in &round.stoves {
                prop_assert_eq!(on_stove.insert(*number, *after), Some(*before));
            }
            let started: Vec<OrderId> = round.steps.iter().filter_map(|step| match step {
                Step::Started { dish, .. } => Some(dish.order),
                Step::Prepared { .. } => None,
            }).collect();
            let arrived: Vec<OrderId> = waiting.iter().map(|waiting| waiting.dish.order).collect();
            prop_assert_eq!(&arrived[..started.len()], &started[..], "in the order of arrival");
            prop_assert_eq!(round.took_all, started.len() == arrived.len());

            let idle = stoves.iter().any(|stove| !stove.retiring && on_stove[&stove.number].is_none());
            prop_assert!(round.took_all || !idle, "nobody waits beside a free stove");
            let cooking: HashSet<OrderId> = on_stove.values().flatten().copied().collect();
            prop_assert_eq!(round.still_cooking, !cooking.is_empty());
            prop_assert!(cooking.is_disjoint(&due));
            for waiting in waiting.iter().filter(|waiting| waiting.cooking_time.is_zero()) {
                prop_assert!(!cooking.contains(&waiting.dish.order), "what takes no time is done in the round");
            }
            let timed: HashSet<OrderId> = round.cooking.iter().map(|(order, _)| *order).collect();
            let old: HashSet<OrderId> = stoves.iter().filter_map(|stove| Some(stove.dish.as_ref()?.order)).collect();
            prop_assert_eq!(&timed, &cooking.difference(&old).copied().collect(), "what stays has a timer");
            prop_assert_eq!(&round.prepared.iter().copied().collect::<HashSet<OrderId>>(), &due, "and loses it");
            for (order, before, after) in &round.tickets {
                prop_assert_eq!(*after == TicketStatus::Cooking, cooking.contains(order));
                prop_assert_eq!(*before == TicketStatus::Reserved, started.contains(order));
            }
        }
    }
}
