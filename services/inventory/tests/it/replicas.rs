//! Two inventories share one schema of PostgreSQL.

use contracts::{
    Ingredient,
    events::{DishCancelled, IngredientsRequested},
};

use crate::pantry::{Line, Pantry, Place, Stall, request, wait_for};

#[tokio::test]
async fn two_replicas_never_sell_the_same_thing_twice() {
    let Some(place) = Place::postgresql() else { return };
    // The kitchens are two, each with a folder of its own: the replicas get different events.
    let market = Stall::new(|call, _| Line::Sells(i64::try_from(call % 4).unwrap()));
    let one = Pantry::open(&place, &market).await;
    let beside = place.beside();
    let other = Pantry::open(&beside, &market).await;
    one.open_stock(&Ingredient::ALL.map(|ingredient| (ingredient, 40))).await;

    let orders = |first: i64| -> Vec<IngredientsRequested> {
        let needs = |number: i64| {
            let place = usize::try_from(number).unwrap();
            let all = Ingredient::ALL;
            [(all[place % 10], 1 + number % 3), (all[(place * 7 + 3) % 10], 2)]
        };
        (0..150).map(|step| request(first + 2 * step, &needs(first + 2 * step))).collect()
    };
    let (odd, even) = (orders(1), orders(2));
    let cancelled: Vec<DishCancelled> = odd
        .iter()
        .chain(&even)
        .step_by(5)
        .map(|request| DishCancelled { order: request.order })
        .collect();
    for (odds, evens) in odd.chunks(10).zip(even.chunks(10)) {
        tokio::join!(one.announce(odds.to_vec()), other.announce(evens.to_vec()));
    }
    // Each order's events come by one replica, as its shard of the bus has one consumer.
    let of_one: Vec<DishCancelled> = cancelled
        .iter()
        .filter(|event| odd.iter().any(|request| request.order == event.order))
        .cloned()
        .collect();
    let of_other: Vec<DishCancelled> = cancelled
        .iter()
        .filter(|event| even.iter().any(|request| request.order == event.order))
        .cloned()
        .collect();
    tokio::join!(one.announce(of_one), other.announce(of_other));

    wait_for("nobody to wait", async || {
        one.heard().await;
        other.heard().await;
        one.status().await.open == 0
    })
    .await;
    one.check_balance().await;
    for shelf in one.stock().await.stock {
        assert_eq!(shelf.bought, market.sold(shelf.ingredient), "{}", shelf.ingredient);
    }
    assert_eq!(one.reservations().await.len(), odd.len() + even.len());
    one.close().await;
    other.close().await;
}
