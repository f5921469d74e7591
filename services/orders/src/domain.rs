//! What an order is, and what may happen to it.

use std::collections::BTreeSet;

use contracts::{OrderId, Timestamp, api, api::orders::OrderStatus};

/// An order of one dish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// The running number, from 1.
    pub(crate) number: i64,
    /// The dish that the guest named.
    pub(crate) requested_dish: Option<String>,
    /// The dish that is cooked.
    pub(crate) dish: Option<String>,
    pub(crate) status: OrderStatus,
    /// Why it was rejected, or could not be cancelled.
    pub(crate) reason: Option<String>,
    pub(crate) placed_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// Grows by one with each change, from 1.
    pub(crate) revision: i64,
}

/// Why an order is not taken, in a sentence for the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{dish}` is not on the menu. {offered}")]
pub(crate) struct UnknownDish {
    dish: String,
    offered: String,
}

/// Why an order can't be cancelled, in a sentence for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLate {
    #[error("The order is {0} already; it can't be cancelled any more.")]
    Ended(OrderStatus),
}

/// The dishes that can be ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Menu {
    pub(crate) dishes: BTreeSet<String>,
}

impl Menu {
    /// Makes sure that a dish can be ordered.
    ///
    /// # Errors
    /// [`UnknownDish`] if it is not on the menu.
    pub(crate) fn check(&self, dish: &str) -> Result<(), UnknownDish> {
        if self.dishes.contains(dish) {
            return Ok(());
        }
        let names: Vec<&str> = self.dishes.iter().map(String::as_str).collect();
        let offered = match names.as_slice() {
            [] => "The menu is empty: seed the recipes first.".to_owned(),
            names => format!("The menu has: {}.", names.join(", ")),
        };
        Err(UnknownDish { dish: dish.to_owned(), offered })
    }
}

impl Order {
    /// Takes an order.
    pub(crate) fn place(number: i64, dish: Option<String>, now: Timestamp) -> Self {
        Self {
            id: OrderId::new(),
            number,
            dish: dish.clone(),
            requested_dish: dish,
            status: OrderStatus::Placed,
            reason: None,
            placed_at: now,
            ended_at: None,
            revision: 1,
        }
    }

    /// A cook has begun. Changes nothing for an order that is at an end.
    pub(crate) fn cook(self, dish: &str) -> Option<Self> {
        let status = match self.status {
            OrderStatus::Placed => OrderStatus::Cooking,
            // The kitchen has not answered the guest's wish yet.
            OrderStatus::Cancelling => OrderStatus::Cancelling,
            _ => return None,
        };
        Some(Self { dish: Some(dish.to_owned()), ..self.becoming(status) })
    }

    /// The dish is on the table. Changes nothing for an order that is at an end.
    pub(crate) fn deliver(self, dish: &str, now: Timestamp) -> Option<Self> {
        (!self.status.is_end()).then(|| Self {
            dish: Some(dish.to_owned()),
            ..self.ending(OrderStatus::Delivered, now)
        })
    }

    /// The guest wants it no longer: returns the order if that has to be asked of the kitchen.
    pub(crate) fn request_cancellation(self) -> Result<Option<Self>, TooLate> {
        match self.status {
            OrderStatus::Placed | OrderStatus::Cooking => {
                Ok(Some(self.becoming(OrderStatus::Cancelling)))
            }
            OrderStatus::Cancelling | OrderStatus::Cancelled => Ok(None),
            ended @ (OrderStatus::Delivered | OrderStatus::Rejected) => Err(TooLate::Ended(ended)),
        }
    }

    /// The kitchen agreed to cancel it. Changes nothing for an order that is at an end.
    pub(crate) fn cancel(self, now: Timestamp) -> Option<Self> {
        (!self.status.is_end()).then(|| self.ending(OrderStatus::Cancelled, now))
    }

    /// The kitchen did not agree to cancel it: it goes on.
    pub(crate) fn go_on(self, reason: &str) -> Option<Self> {
        (self.status == OrderStatus::Cancelling).then(|| Self {
            reason: Some(reason.to_owned()),
            ..self.becoming(OrderStatus::Cooking)
        })
    }

    /// The kitchen can't make it. Changes nothing for an order that is at an end.
    pub(crate) fn reject(self, reason: &str, now: Timestamp) -> Option<Self> {
        (!self.status.is_end()).then(|| Self {
            reason: Some(reason.to_owned()),
            ..self.ending(OrderStatus::Rejected, now)
        })
    }

    fn becoming(self, status: OrderStatus) -> Self {
        Self { status, revision: self.revision + 1, ..self }
    }

    fn ending(self, status: OrderStatus, now: Timestamp) -> Self {
        Self { ended_at: Some(now), ..self.becoming(status) }
    }
}

impl From<Order> for api::orders::Order {
    fn from(order: Order) -> Self {
        let Order { id, number, dish, status, reason, placed_at, ended_at, .. } = order;
        Self { id, number, status, dish, placed_at, ended_at, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn placed() -> Order {
        Order::place(1, None, NOW)
    }

    #[test]
    fn an_order_that_is_at_an_end_stays_there() {
        let ends = [
            placed().deliver("pizza", NOW).unwrap(),
            placed().cancel(NOW).unwrap(),
            placed().reject("sold out", NOW).unwrap(),
        ];
        for order in ends {
            assert_eq!(order.clone().cook("pizza"), None);
            assert_eq!(order.clone().deliver("pizza", NOW), None);
            assert_eq!(order.clone().cancel(NOW), None);
            assert_eq!(order.clone().reject("late", NOW), None);
            assert_eq!(order.go_on("late"), None);
        }
    }

    #[test]
    fn a_guest_may_cancel_again_but_not_after_dinner() {
        let cancelling = placed().request_cancellation().unwrap().unwrap();
        assert_eq!(cancelling.clone().request_cancellation(), Ok(None));
        let delivered = cancelling.deliver("pizza", NOW).unwrap();
        assert_eq!(delivered.request_cancellation(), Err(TooLate::Ended(OrderStatus::Delivered)));
    }

    #[test]
    fn a_refused_cancellation_says_why_and_the_dish_still_comes() {
        let order = placed().cook("pizza").unwrap().request_cancellation().unwrap().unwrap();
        let order = order.go_on("It is on the stove.").unwrap();
        assert_eq!(
            (order.status, order.reason.as_deref()),
            (OrderStatus::Cooking, Some("It is on the stove."))
        );
        assert_eq!(order.deliver("pizza", NOW).unwrap().status, OrderStatus::Delivered);
    }
}
