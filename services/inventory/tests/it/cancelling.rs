//! Orders are cancelled, at each state.

use contracts::Ingredient::{Onion, Rice};

use crate::pantry::{Pantry, Place, Stall, on_both_engines, request};

on_both_engines!(
    a_reserved_order_gives_back_what_it_had_and_who_waits_gets_it,
    a_waiting_order_leaves_the_queue_and_those_behind_move_up,
    an_order_cancelled_before_it_asked_gets_nothing_later,
    cancelling_twice_gives_back_once,
);

async fn a_reserved_order_gives_back_what_it_had_and_who_waits_gets_it(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 2), (Onion, 5)]).await;
    let first = pantry.request(1, &[(Rice, 2), (Onion, 1)]).await;
    let second = pantry.request(2, &[(Rice, 2)]).await;
    pantry.heard().await;
    pantry.cancel(first).await;
    pantry.settle().await;
    assert_eq!(
        pantry.story(first).await[1..],
        [r#"ingredients.released {"left_queue":false,"released":{"onion":1,"rice":2}}"#]
    );
    assert_eq!(
        pantry.story(second).await[1..],
        [r#"ingredients.reserved {"reserved":{"rice":2},"waited":true}"#]
    );
    let rice = pantry.shelf(Rice).await;
    assert_eq!((rice.reserved, rice.released, rice.on_hand), (4, 2, 0));
    pantry.check_balance().await;
    pantry.close().await;
}

async fn a_waiting_order_leaves_the_queue_and_those_behind_move_up(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 2)]).await;
    let first = pantry.request(1, &[(Rice, 2), (Onion, 1)]).await;
    let second = pantry.request(2, &[(Rice, 2)]).await;
    pantry.heard().await;
    assert_eq!(pantry.story(second).await, [r#"ingredients.awaited {"missing":{"rice":2}}"#]);
    pantry.cancel(first).await;
    pantry.settle().await;
    assert_eq!(
        pantry.story(first).await[1..],
        [r#"ingredients.released {"left_queue":true,"released":{}}"#]
    );
    assert_eq!(
        pantry.story(second).await[1..],
        [r#"ingredients.reserved {"reserved":{"rice":2},"waited":true}"#]
    );
    assert_eq!(pantry.stock().await.waiting_orders, 0);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn an_order_cancelled_before_it_asked_gets_nothing_later(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 2)]).await;
    let late = request(1, &[(Rice, 2)]);
    pantry.cancel(late.order).await;
    pantry.heard().await;
    pantry.announce(vec![late.clone(), request(2, &[(Rice, 2)])]).await;
    pantry.settle().await;
    assert_eq!(
        pantry.story(late.order).await,
        [r#"ingredients.released {"left_queue":false,"released":{}}"#]
    );
    assert_eq!(
        pantry.shelf(Rice).await.reserved,
        2,
        "the other one got what the cancelled one did not take"
    );
    let tombstone =
        pantry.reservations().await.into_iter().find(|fact| fact.order == late.order).unwrap();
    assert_eq!(tombstone.status, "tombstone");
    pantry.check_balance().await;
    pantry.close().await;
}

async fn cancelling_twice_gives_back_once(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 2)]).await;
    let reserved = request(1, &[(Rice, 2)]);
    let waiting = request(2, &[(Rice, 2)]);
    pantry.announce(vec![reserved.clone(), waiting.clone()]).await;
    pantry.cancel(waiting.order).await;
    pantry.cancel(reserved.order).await;
    pantry.heard().await;
    for order in [reserved.order, waiting.order] {
        pantry.cancel(order).await;
    }
    pantry.announce(vec![reserved.clone()]).await;
    pantry.heard().await;
    for order in [reserved.order, waiting.order] {
        assert_eq!(pantry.story(order).await.len(), 2);
    }
    let rice = pantry.shelf(Rice).await;
    assert_eq!((rice.released, rice.on_hand), (2, 2));
    pantry.check_balance().await;
    pantry.close().await;
}
