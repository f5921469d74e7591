//! Who gets what: all or nothing, in arrival order.

use super::Basket;

/// How many orders that must go on waiting a pass looks at, at the most: they bound what a pass costs. A surplus that
/// only an order behind them could use stays on the shelf until they are served.
pub(crate) const WAITING_WINDOW_MAX: usize = 1_000;

/// What an order gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// All that it needs.
    Reserve,
    /// Nothing yet.
    Wait {
        /// What is missing for it.
        missing: Basket,
    },
}

/// A walk along those who wait, in arrival order. What an order needs is out of reach for all behind it, whether it gets
/// it or not; so no later order takes what an earlier one needs.
///
/// A walk that goes on equals passes over a window that fills up again: those who were passed over have taken their needs
/// out of `free` already, so that a second pass would decide the same about them.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    free: Basket,
    passed_over: usize,
}

impl Walk {
    /// Begins before the first who waits.
    pub(crate) const fn new(on_hand: Basket) -> Self {
        Self { free: on_hand, passed_over: 0 }
    }

    /// Begins behind all waiting orders, `waiting` of them that need `wanted` together and can't be served from what is on
    /// hand: as if each of them had been passed over.
    pub(crate) fn behind(on_hand: &Basket, wanted: &Basket, waiting: usize) -> Self {
        Self { free: on_hand.minus_down_to_zero(wanted), passed_over: waiting }
    }

    /// Decides about the next order.
    pub(crate) fn decide(&mut self, needs: &Basket) -> Decision {
        let decision = if self.passed_over < WAITING_WINDOW_MAX && self.free.covers(needs) {
            Decision::Reserve
        } else {
            self.passed_over += 1;
            Decision::Wait { missing: needs.minus_down_to_zero(&self.free) }
        };
        self.free = self.free.minus_down_to_zero(needs);
        decision
    }

    /// Returns what is missing for an order behind the point that the walk has reached.
    pub(crate) fn missing_behind(&self, needs: &Basket) -> Basket {
        needs.minus_down_to_zero(&self.free)
    }

    /// Returns whether no later order can reserve anything.
    pub(crate) fn is_over(&self) -> bool {
        self.passed_over >= WAITING_WINDOW_MAX || self.free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use contracts::Ingredient;
    use proptest::prelude::*;

    use super::*;

    fn baskets(most: i64) -> impl Strategy<Value = Basket> {
        // Three ingredients are enough for orders to get in each other's way.
        (0..=most, 0..=most, 0..=most).prop_map(|(cheese, rice, tomato)| {
            let mut basket = Basket::default();
            basket[Ingredient::Cheese] = cheese;
            basket[Ingredient::Rice] = rice;
            basket[Ingredient::Tomato] = tomato;
            basket
        })
    }

    fn walk(on_hand: Basket, orders: &[Basket]) -> Vec<Decision> {
        let mut walk = Walk::new(on_hand);
        orders.iter().map(|needs| walk.decide(needs)).collect()
    }

    fn is_reserved(decision: &Decision) -> bool {
        *decision == Decision::Reserve
    }

    fn left_of(on_hand: Basket, orders: &[Basket], decisions: &[Decision]) -> Basket {
        orders
            .iter()
            .zip(decisions)
            .filter(|(_, decision)| is_reserved(decision))
            .fold(on_hand, |left, (needs, _)| left.minus(needs))
    }

    fn waiting_of(orders: &[Basket], decisions: &[Decision]) -> Vec<Basket> {
        let waits = orders.iter().zip(decisions).filter(|(_, decision)| !is_reserved(decision));
        waits.map(|(needs, _)| *needs).collect()
    }

    proptest! {
        #[test]
        fn stock_is_never_below_zero(on_hand in baskets(30), orders in prop::collection::vec(baskets(4), 0..40)) {
            let left = left_of(on_hand, &orders, &walk(on_hand, &orders));
            prop_assert!(left.iter().all(|(_, quantity)| quantity >= 0));
        }

        #[test]
        fn an_order_gets_all_or_nothing_and_what_is_missing_is_said(
            on_hand in baskets(30),
            orders in prop::collection::vec(baskets(4), 0..40),
        ) {
            let mut before = Basket::default();
            for (needs, decision) in orders.iter().zip(walk(on_hand, &orders)) {
                let free = on_hand.minus_down_to_zero(&before);
                match decision {
                    Decision::Reserve => prop_assert!(free.covers(needs)),
                    Decision::Wait { missing } => {
                        prop_assert!(!missing.is_empty());
                        prop_assert_eq!(missing, needs.minus_down_to_zero(&free));
                    }
                }
                before += needs;
            }
        }

        #[test]
        fn no_later_order_takes_what_an_earlier_one_needs(
            on_hand in baskets(20),
            orders in prop::collection::vec(baskets(4), 1..30),
            later in prop::collection::vec(baskets(4), 0..10),
        ) {
            // Later orders change nothing for earlier ones.
            let alone = walk(on_hand, &orders);
            let together: Vec<Basket> = orders.iter().chain(&later).copied().collect();
            prop_assert_eq!(&walk(on_hand, &together)[..orders.len()], &alone[..]);
            // Later orders take nothing that the first waiting order needs.
            let decisions = walk(on_hand, &together);
            let left = left_of(on_hand, &together, &decisions);
            if let Some(first) = decisions.iter().position(|decision| !is_reserved(decision)) {
                let before = left_of(on_hand, &together[..first], &decisions[..first]);
                for (ingredient, needed) in together[first].iter() {
                    prop_assert!(left[ingredient] >= needed.min(before[ingredient]));
                }
            }
        }

        #[test]
        fn the_same_again_decides_the_same_and_a_second_pass_reserves_nothing(
            on_hand in baskets(30),
            orders in prop::collection::vec(baskets(4), 0..40),
        ) {
            let decisions = walk(on_hand, &orders);
            prop_assert_eq!(&walk(on_hand, &orders), &decisions);
            let left = left_of(on_hand, &orders, &decisions);
            let again = walk(left, &waiting_of(&orders, &decisions));
            prop_assert!(again.iter().all(|decision| !is_reserved(decision)));
        }

        #[test]
        fn nothing_is_lost_or_invented(on_hand in baskets(30), orders in prop::collection::vec(baskets(4), 0..40)) {
            let decisions = walk(on_hand, &orders);
            let left = left_of(on_hand, &orders, &decisions);
            let mut sum = left;
            for (needs, _) in orders.iter().zip(&decisions).filter(|(_, decision)| is_reserved(decision)) {
                sum += needs;
            }
            prop_assert_eq!(sum, on_hand);
        }

        #[test]
        fn beginning_behind_those_who_wait_is_walking_along_them(
            on_hand in baskets(30),
            orders in prop::collection::vec(baskets(4), 0..40),
            new in prop::collection::vec(baskets(4), 0..10),
        ) {
            let decisions = walk(on_hand, &orders);
            let left = left_of(on_hand, &orders, &decisions);
            let waiting = waiting_of(&orders, &decisions);
            let mut wanted = Basket::default();
            waiting.iter().for_each(|needs| wanted += needs);
            let mut behind = Walk::behind(&left, &wanted, waiting.len());
            let told: Vec<Decision> = new.iter().map(|needs| behind.decide(needs)).collect();
            let together: Vec<Basket> = waiting.iter().chain(&new).copied().collect();
            prop_assert_eq!(&walk(left, &together)[waiting.len()..], &told[..]);
        }
    }

    #[test]
    fn an_order_behind_the_window_waits_though_its_ingredients_are_there() {
        let (mut rice, mut cheese) = (Basket::default(), Basket::default());
        rice[Ingredient::Rice] = 1;
        cheese[Ingredient::Cheese] = 1;
        let mut walk = Walk::new(cheese);
        for _ in 0..WAITING_WINDOW_MAX {
            assert!(!walk.is_over());
            assert_eq!(walk.decide(&rice), Decision::Wait { missing: rice });
        }
        assert!(walk.is_over());
        assert_eq!(walk.decide(&cheese), Decision::Wait { missing: Basket::default() });
    }
}
