//! A long day: orders, cancellations and counts in any order, and whatever happens, the shelves are right.

use std::collections::HashMap;

use contracts::{
    Ingredient::{Cheese, Onion, Rice},
    OrderId,
    events::{DishCancelled, IngredientsRequested},
};
use serde_json::json;

use crate::pantry::{Line, Pantry, Place, Stall, on_both_engines, request};

on_both_engines!(whatever_happens_the_shelves_are_right);

/// Numbers that look like chance and are the same each time (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn draw_request(dice: &mut Dice, number: i64) -> IngredientsRequested {
    let mut quantity = || i64::try_from(dice.below(3)).unwrap();
    // Some come late: their number is lower than that of those before them.
    let needs = [(Cheese, quantity()), (Onion, quantity()), (Rice, 1 + quantity())];
    let late = if dice.below(4) == 0 { 6 } else { 0 };
    request(number - late, &needs)
}

async fn whatever_happens_the_shelves_are_right(place: Place) {
    let market = Stall::new(|call, _| match call % 7 {
        0 => Line::Unknown,
        1 => Line::Fails,
        2 => Line::SellsAndFails(2),
        3 | 4 => Line::Sells(0),
        _ => Line::Sells(3),
    });
    market.is_away(true);
    let pantry = Pantry::open(&place, &market).await;
    pantry.open_stock(&[(Cheese, 8), (Onion, 8), (Rice, 8)]).await;
    let mut dice = Dice(0x5EED);
    let mut asked: Vec<IngredientsRequested> = Vec::new();
    for step in 0..60_i64 {
        match dice.below(6) {
            0..=2 => {
                let batch: Vec<_> =
                    (0..=dice.below(4)).map(|_| draw_request(&mut dice, step * 10)).collect();
                asked.extend(batch.iter().cloned());
                pantry.announce(batch).await;
            }
            3 if !asked.is_empty() => {
                let one = usize::try_from(dice.below(asked.len() as u64)).unwrap();
                pantry.cancel(asked[one].order).await;
            }
            4 => {
                // A cancellation that overtakes its request.
                let late = draw_request(&mut dice, step * 10);
                pantry.announce(vec![DishCancelled { order: late.order }]).await;
                pantry.announce(vec![late]).await;
            }
            _ => {
                let set = json!({"set": {"rice": dice.below(6), "onion": dice.below(6)}});
                pantry.send("POST", "/v1/stock/adjustments", None, set).await;
            }
        }
        if step % 10 == 9 {
            pantry.heard().await;
            pantry.check_balance().await;
        }
    }
    market.is_away(false);
    pantry.settle().await;
    pantry.check_balance().await;
    for shelf in pantry.stock().await.stock {
        assert_eq!(shelf.bought, market.sold(shelf.ingredient), "{}", shelf.ingredient);
    }
    let ends: HashMap<OrderId, String> =
        pantry.reservations().await.into_iter().map(|fact| (fact.order, fact.status)).collect();
    for request in &asked {
        assert!(["reserved", "released", "left"].contains(&ends[&request.order].as_str()));
    }
    pantry.close().await;
}
