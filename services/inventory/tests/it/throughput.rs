//! Many orders against an almost empty pantry: nothing stops while the market has none of something by chance.

use std::time::Instant;

use contracts::Ingredient::{
    self, Cheese, Chicken, Ketchup, Lemon, Lettuce, Meat, Onion, Potato, Rice, Tomato,
};

use crate::pantry::{Line, Pantry, Place, Stall, request};

const RECIPES: [&[(Ingredient, i64)]; 6] = [
    &[(Rice, 2), (Onion, 1), (Chicken, 1)],
    &[(Meat, 1), (Rice, 2), (Onion, 1)],
    &[(Meat, 1), (Cheese, 1), (Ketchup, 1), (Lettuce, 1)],
    &[(Potato, 3), (Ketchup, 1)],
    &[(Cheese, 2), (Tomato, 3)],
    &[(Lemon, 1), (Onion, 1), (Tomato, 2), (Lettuce, 2)],
];

/// Sells 1 to 10, and nothing in three of ten calls, by the number of the call.
fn farmers() -> Stall {
    Stall::new(|call, _| {
        let mixed = (call as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        Line::Sells(if mixed % 10 < 3 { 0 } else { 1 + i64::try_from(mixed / 10 % 10).unwrap() })
    })
}

async fn serve(place: Place, orders: i64) -> String {
    let market = farmers();
    let pantry = Pantry::open(&place, &market).await;
    pantry.open_stock(&Ingredient::ALL.map(|ingredient| (ingredient, 5))).await;
    let requests: Vec<_> = (1..=orders)
        .map(|number| request(number, RECIPES[usize::try_from(number % 6).unwrap()]))
        .collect();
    let began = Instant::now();
    for batch in requests.chunks(250) {
        pantry.announce(batch.to_vec()).await;
    }
    pantry.settle().await;
    let took = began.elapsed();
    let (calls, at_once) = (market.calls(), market.under_way_most());
    pantry.check_balance().await;
    for shelf in pantry.stock().await.stock {
        assert_eq!(shelf.bought, market.sold(shelf.ingredient));
    }
    pantry.close().await;
    format!("{orders} orders in {took:?}: {calls} calls, {at_once} at once")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_orders_from_an_opening_stock_of_five() {
    println!("{}", serve(Place::folder(), 5_000).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_orders_on_postgresql() {
    if let Some(place) = Place::postgresql() {
        println!("{}", serve(place, 1_000).await);
    }
}
