//! What changes from one view of the restaurant to the next.
//!
//! Guarantees: [`apply`]ing the change of [`step`] from one view to another makes the other of the one, exactly; where no change can,
//! [`step`] says so.
//!
//! Does not know: who puts views together, how they travel, and who looks at them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
};

use contracts::{
    Ingredient, OrderId, PurchaseId,
    api::{
        inventory::{Purchase, Shelf},
        live::{Change, PURCHASES_SHOWN_MAX, Ticket, View},
    },
};

/// What a list of a view shows: each has an id, and a place among the others.
trait Shown: Clone + Eq {
    type Id: Copy + Ord + Hash;
    type Place: Ord;

    fn id(&self) -> Self::Id;
    fn place(&self) -> Self::Place;
}

impl Shown for Ticket {
    type Id = OrderId;
    type Place = (i64, OrderId);

    fn id(&self) -> OrderId {
        self.id
    }

    fn place(&self) -> Self::Place {
        (self.number, self.id)
    }
}

impl Shown for Shelf {
    type Id = Ingredient;
    type Place = Ingredient;

    fn id(&self) -> Ingredient {
        self.ingredient
    }

    fn place(&self) -> Ingredient {
        self.ingredient
    }
}

impl Shown for Purchase {
    type Id = PurchaseId;
    type Place = Reverse<PurchaseId>;

    fn id(&self) -> PurchaseId {
        self.id
    }

    fn place(&self) -> Self::Place {
        Reverse(self.id)
    }
}

/// Returns a view with its lists in their order: orders by number, shelves by ingredient, purchases newest first, of which
/// it has [`PURCHASES_SHOWN_MAX`].
#[must_use]
pub fn in_order(mut view: View) -> View {
    sort(&mut view.orders);
    sort(&mut view.stock);
    sort(&mut view.purchases);
    view.purchases.truncate(PURCHASES_SHOWN_MAX);
    view
}

/// The way from one view to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The views differ in nothing but their time.
    Same,
    /// This change leads to the next view.
    Change(Box<Change>),
    /// No change leads there: a dish, a shelf, a purchase or a service has vanished, as after data were replaced.
    NewView,
}

/// Returns the way from `view` to `next`. Both are [`in_order`].
#[must_use]
pub fn step(view: &View, next: &View) -> Step {
    let shown: BTreeSet<OrderId> = next.orders.iter().map(|order| order.id).collect();
    let change = Change {
        at: next.at,
        summary: other(&view.summary, &next.summary),
        dishes: other_entries(&view.dishes, &next.dishes),
        orders: others(&view.orders, &next.orders),
        gone: view.orders.iter().map(|order| order.id).filter(|id| !shown.contains(id)).collect(),
        stock: others(&view.stock, &next.stock),
        purchases: others(&view.purchases, &next.purchases),
        services: other_entries(&view.services, &next.services),
        away: other(&view.away, &next.away),
        pace: other(&view.pace, &next.pace),
    };
    let mut made = view.clone();
    apply(&mut made, change.clone());
    match change {
        _ if made != *next => Step::NewView,
        Change { at, .. } if change == (Change { at, ..Change::default() }) => Step::Same,
        change => Step::Change(Box::new(change)),
    }
}

/// Makes the next view of one.
pub fn apply(view: &mut View, change: Change) {
    view.at = change.at;
    view.dishes.extend(change.dishes);
    view.orders.retain(|order| !change.gone.contains(&order.id));
    put(&mut view.orders, change.orders);
    put(&mut view.stock, change.stock);
    put(&mut view.purchases, change.purchases);
    view.purchases.truncate(PURCHASES_SHOWN_MAX);
    view.services.extend(change.services);
    if let Some(summary) = change.summary {
        view.summary = summary;
    }
    if let Some(away) = change.away {
        view.away = away;
    }
    if let Some(pace) = change.pace {
        view.pace = pace;
    }
}

fn sort<T: Shown>(list: &mut [T]) {
    list.sort_by_key(T::place);
}

fn other<T: Clone + PartialEq>(is: &T, next: &T) -> Option<T> {
    (is != next).then(|| next.clone())
}

fn other_entries<T: Clone + PartialEq>(
    is: &BTreeMap<String, T>,
    next: &BTreeMap<String, T>,
) -> BTreeMap<String, T> {
    let others = next.iter().filter(|(name, one)| is.get(*name) != Some(one));
    others.map(|(name, one)| (name.clone(), one.clone())).collect()
}

fn others<T: Shown>(is: &[T], next: &[T]) -> Vec<T> {
    let is: BTreeMap<T::Id, &T> = is.iter().map(|one| (one.id(), one)).collect();
    next.iter().filter(|one| is.get(&one.id()) != Some(one)).cloned().collect()
}

fn put<T: Shown>(list: &mut Vec<T>, changed: Vec<T>) {
    if changed.is_empty() {
        return;
    }
    let mut all: BTreeMap<T::Id, T> = list.drain(..).map(|one| (one.id(), one)).collect();
    all.extend(changed.into_iter().map(|one| (one.id(), one)));
    list.extend(all.into_values());
    sort(list);
}

#[cfg(test)]
mod tests {
    use contracts::{
        Timestamp,
        api::{
            board::Summary,
            inventory::PurchaseStatus,
            live::{DishFigures, Pace, TicketState},
            service::ServiceStatus,
        },
    };
    use proptest::{
        collection::{btree_map, vec},
        prelude::*,
        sample::select,
    };

    use super::*;

    fn order_id(number: i64) -> OrderId {
        format!("01a22892-26c8-761f-a8ff-{number:012}").parse().unwrap()
    }

    fn purchase_id(number: i64) -> PurchaseId {
        format!("01a22892-26c8-761f-a8ff-{number:012}").parse().unwrap()
    }

    prop_compose! {
        fn tickets()(all in vec((1_i64..20, select(&TicketState::ALL[..]), 0_i64..3), 0..12)) -> Vec<Ticket> {
            let ticket = |(number, state, stove): (i64, TicketState, i64)| Ticket {
                id: order_id(number),
                number,
                dish: (stove > 1).then(|| "pizza".into()),
                state,
                placed_at: Timestamp::default(),
                changed_at: Timestamp::from_micros(stove),
                stove: (stove > 0).then_some(stove),
                missing: BTreeMap::new(),
            };
            let by_id: BTreeMap<OrderId, Ticket> =
                all.into_iter().map(ticket).map(|ticket| (ticket.id, ticket)).collect();
            by_id.into_values().collect()
        }
    }

    prop_compose! {
        fn views()(
            orders in tickets(),
            dishes in btree_map(select(&["burger", "pizza", "salad"][..]), 0_i64..3, 0..4),
            shelves in 0_usize..10,
            on_hand in 0_i64..3,
            purchases in 0_i64..50,
            services in 0_u8..4,
            away in 0_u8..2,
            viewers in 0_u32..3,
        ) -> View {
            let shelf = |ingredient: &Ingredient| Shelf {
                ingredient: *ingredient,
                on_hand,
                opening: 0,
                adjustments: 0,
                bought: 0,
                reserved: 0,
                released: 0,
                missing: 0,
                next_attempt_at: None,
            };
            let figures = |delivered| DishFigures { delivered, p50_ms: 5, p95_ms: 7 };
            let purchase = |number| Purchase {
                id: purchase_id(number),
                ingredient: Ingredient::Lemon,
                status: PurchaseStatus::Done,
                quantity: 0,
                asked_at: Timestamp::default(),
                answered_at: None,
            };
            let service = |number| {
                let status = ServiceStatus { queued: on_hand, ..ServiceStatus::default() };
                (format!("service-{number}"), status)
            };
            in_order(View {
                at: Timestamp::from_micros(on_hand),
                summary: Summary { placed: on_hand, ..Summary::default() },
                dishes: dishes.into_iter().map(|(dish, delivered)| (dish.to_owned(), figures(delivered))).collect(),
                orders,
                stock: Ingredient::ALL[..shelves].iter().map(shelf).collect(),
                purchases: (0..purchases).map(purchase).collect(),
                services: (0..services).map(service).collect(),
                away: (0..away).map(|_| ("board".to_owned(), Timestamp::default())).collect(),
                pace: Pace { changes_per_second_max: 10, viewers },
            })
        }
    }

    proptest! {
        #[test]
        fn a_change_applied_makes_the_next_view(view in views(), next in views()) {
            let mut made = view.clone();
            match step(&view, &next) {
                Step::Same => made.at = next.at,
                Step::Change(change) => apply(&mut made, *change),
                Step::NewView => {
                    let has_vanished = view.dishes.keys().any(|dish| !next.dishes.contains_key(dish))
                        || view.stock.len() > next.stock.len()
                        || view.services.len() > next.services.len()
                        || view.purchases.first().map(|one| one.id) > next.purchases.first().map(|one| one.id);
                    prop_assert!(has_vanished, "a change could have said it");
                    made.clone_from(&next);
                }
            }
            prop_assert_eq!(made, next);
        }
    }

    #[test]
    fn nothing_changes_with_the_time_alone() {
        let view = View::default();
        let later = View { at: Timestamp::from_micros(1), ..View::default() };
        assert_eq!(step(&view, &later), Step::Same);
    }

    #[test]
    fn what_vanishes_makes_a_new_view() {
        let service = ("kitchen".to_owned(), ServiceStatus::default());
        let view = View { services: [service].into(), ..View::default() };
        assert_eq!(step(&view, &View::default()), Step::NewView);
    }
}
