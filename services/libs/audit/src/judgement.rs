//! Whether all that the services say of one order fits together: pure.
//!
//! While the environment works, the facts of one order are read one after another, first those of its end, last what was told:
//! order, ticket, reservation, events. So what was read earlier has its reasons in what is read later, and the other way
//! round nothing follows, because a later fact may be a newer one.

use std::collections::BTreeMap;

use contracts::{
    Quantities,
    api::{
        audit::{OrderFact, ReservationFact, TicketFact},
        orders::OrderStatus,
    },
    events::{
        CancellationRequested, CookingStarted, DishCancelled, DishPrepared, DishRefused, Event,
        IngredientsAwaited, IngredientsReleased, IngredientsRequested, IngredientsReserved,
        OrderCancelled, OrderDelivered, OrderPlaced, OrderRejected,
    },
};

/// All that is said of one order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) order: Option<OrderFact>,
    pub(crate) ticket: Option<TicketFact>,
    pub(crate) reservation: Option<ReservationFact>,
    /// How many events of each name were told about it.
    pub(crate) told: BTreeMap<String, i64>,
    /// Whether it is so old that more may have been told about it.
    pub(crate) is_old: bool,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Accepted is what ended and what is in flight; nothing ends twice.
    Balance,
    /// An order has a ticket, and they agree.
    Tickets,
    /// At most one dish and one delivery, by one recipe.
    Dishes,
    /// What was used is what the ticket was opened with.
    Used,
    /// Each change has its event.
    Outbox,
}

/// How often an event is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Never,
    Once,
    /// Once or not at all.
    AtMostOnce,
    /// Once, or more often; how often it may be is another rule's.
    AtLeastOnce,
}

impl Times {
    /// Returns how many of `found` should be there, and how many count. Of what is old some may be gone.
    pub(crate) fn of(self, found: i64, is_old: bool) -> (i64, i64) {
        let (expected, found) = match self {
            Self::Never => (0, found),
            Self::Once => (1, found),
            Self::AtMostOnce => (found.min(1), found),
            Self::AtLeastOnce => (1, found.min(1)),
        };
        (if is_old { expected.min(found) } else { expected }, found)
    }
}

impl Picture {
    pub(crate) fn times_told<E: Event>(&self) -> i64 {
        self.told.get(E::NAME).copied().unwrap_or(0)
    }

    /// Returns what is broken about an order that nobody took.
    pub(crate) fn judge_orphan(&self) -> (Rule, &'static str) {
        match self.times_told::<OrderPlaced>() {
            0 => (Rule::Tickets, "has a ticket, a reservation or events, but no order was taken"),
            _ => (Rule::Balance, "was accepted, and is lost"),
        }
    }

    /// Returns what is broken about an order that was taken. `live` allows what is in flight.
    pub(crate) fn judge(&self, order: &OrderFact, live: bool) -> Vec<(Rule, String)> {
        let mut broken = Vec::new();
        let mut breach = |rule, what: &str| broken.push((rule, what.to_owned()));
        if self.ends_told() > 1 {
            breach(Rule::Balance, "was told to have two ends");
        }
        if self.times_told::<OrderDelivered>() > 1 {
            breach(Rule::Dishes, "was told to be delivered twice");
        }
        if self.times_told::<DishPrepared>() > 1 {
            breach(Rule::Dishes, "was told to be prepared twice");
        }
        match &self.ticket {
            None if !live || order_needs_ticket(order.status) => {
                breach(Rule::Tickets, "has no ticket");
            }
            None => {}
            Some(ticket) => {
                if !agree(order.status, &ticket.status, live) {
                    let what = format!("is {}, but its ticket is {}", order.status, ticket.status);
                    breach(Rule::Tickets, &what);
                }
                if order.status == OrderStatus::Delivered
                    && order.dish.as_deref() != Some(&ticket.dish)
                {
                    let served = order.dish.as_deref().unwrap_or("nothing");
                    breach(Rule::Dishes, &format!("is of {}, but {served} came", ticket.dish));
                }
                if let Some(what) = wrong_use(ticket, self.reservation.as_ref(), live) {
                    breach(Rule::Used, &what);
                }
            }
        }
        for (name, times, found) in self.owed(order) {
            let skipped = live && times == Times::Never;
            let (expected, found) = times.of(found, self.is_old);
            if expected != found && !skipped {
                breach(Rule::Outbox, &format!("{name}: {found} instead of {expected}"));
            }
        }
        broken
    }

    /// Returns how many different ends were told.
    pub(crate) fn ends_told(&self) -> usize {
        let ends = [
            self.times_told::<OrderDelivered>(),
            self.times_told::<OrderCancelled>(),
            self.times_told::<OrderRejected>(),
        ];
        ends.iter().filter(|told| **told > 0).count()
    }

    /// Returns which events each change of this order owes: the name, how often it should be there, how often it is.
    pub(crate) fn owed(&self, order: &OrderFact) -> Vec<(&'static str, Times, i64)> {
        let mut owed = Owed { picture: self, list: Vec::with_capacity(12) };
        owed.event::<OrderPlaced>(Times::Once);
        if self.ends_told() <= 1 {
            let end = |status| order.status == status;
            owed.once_if::<OrderCancelled>(end(OrderStatus::Cancelled));
            owed.once_if::<OrderRejected>(end(OrderStatus::Rejected));
            owed.event::<OrderDelivered>(at_least_once_if(end(OrderStatus::Delivered)));
        }
        if matches!(order.status, OrderStatus::Cancelling | OrderStatus::Cancelled) {
            owed.event::<CancellationRequested>(Times::AtLeastOnce);
        }
        if let Some(ticket) = &self.ticket {
            let is = |statuses: &[&str]| statuses.contains(&ticket.status.as_str());
            owed.event::<IngredientsRequested>(match ticket.status.as_str() {
                "refused" => Times::Never,
                // Cancelled before or after it asked.
                "cancelled" => Times::AtMostOnce,
                _ => Times::Once,
            });
            owed.once_if::<CookingStarted>(is(&["cooking", "prepared"]));
            owed.event::<DishPrepared>(at_least_once_if(is(&["prepared"])));
            owed.once_if::<DishCancelled>(is(&["cancelled"]));
            owed.once_if::<DishRefused>(is(&["refused"]));
        }
        if let Some(reservation) = &self.reservation {
            let is = |statuses: &[&str]| statuses.contains(&reservation.status.as_str());
            owed.event::<IngredientsAwaited>(match reservation.status.as_str() {
                "waiting" | "left" => Times::Once,
                "tombstone" => Times::Never,
                _ => Times::AtMostOnce,
            });
            owed.once_if::<IngredientsReserved>(is(&["reserved", "released"]));
            owed.once_if::<IngredientsReleased>(is(&["released", "left", "tombstone"]));
        }
        owed.list
    }
}

struct Owed<'a> {
    picture: &'a Picture,
    list: Vec<(&'static str, Times, i64)>,
}

impl Owed<'_> {
    fn event<E: Event>(&mut self, times: Times) {
        self.list.push((E::NAME, times, self.picture.times_told::<E>()));
    }

    fn once_if<E: Event>(&mut self, owed: bool) {
        self.event::<E>(if owed { Times::Once } else { Times::Never });
    }
}

const fn at_least_once_if(owed: bool) -> Times {
    if owed { Times::AtLeastOnce } else { Times::Never }
}

/// Returns whether an order of this status must have had a ticket before.
const fn order_needs_ticket(status: OrderStatus) -> bool {
    !matches!(status, OrderStatus::Placed | OrderStatus::Cancelling)
}

/// Returns whether an order and its ticket say the same. A ticket may be ahead while the environment works.
fn agree(order: OrderStatus, ticket: &str, live: bool) -> bool {
    match order {
        OrderStatus::Delivered => ticket == "prepared",
        OrderStatus::Cancelled => ticket == "cancelled",
        OrderStatus::Rejected => ticket == "refused",
        OrderStatus::Cooking => ticket == "cooking" || (live && ticket == "prepared"),
        OrderStatus::Placed | OrderStatus::Cancelling => {
            live || !matches!(ticket, "prepared" | "cancelled" | "refused")
        }
    }
}

/// Returns what is wrong with what an order took from the shelves, by its ticket.
fn wrong_use(
    ticket: &TicketFact,
    reservation: Option<&ReservationFact>,
    live: bool,
) -> Option<String> {
    let status = reservation.map_or("none", |reservation| reservation.status.as_str());
    let fits = match (ticket.status.as_str(), status) {
        ("prepared" | "cooking", status) => status == "reserved",
        // It may have been cancelled and released since.
        ("reserved", status) => status == "reserved" || (live && status == "released"),
        ("cancelled", status) => live || matches!(status, "released" | "left" | "tombstone"),
        ("refused", status) => status == "none",
        _ => true,
    };
    if !fits {
        return Some(format!("its ticket is {}, its reservation {status}", ticket.status));
    }
    let reservation = reservation.filter(|reservation| reservation.status != "tombstone")?;
    (reservation.needs != ticket.needs)
        .then(|| format!("needs {}, got {}", sum(&ticket.needs), sum(&reservation.needs)))
}

/// Returns how many pieces that is together.
pub(crate) fn sum(quantities: &Quantities) -> i64 {
    quantities.values().sum()
}
