//! Orders ask for ingredients.

use contracts::{
    Ingredient::{Cheese, Onion, Rice, Tomato},
    api::audit::ReservationFact,
    events::IngredientsRequested,
};
use events::Faults;

use crate::pantry::{Pantry, Place, Stall, on_both_engines, request, wait_for};

on_both_engines!(
    an_order_gets_all_that_it_needs,
    an_order_that_lacks_one_thing_takes_nothing_and_is_told_what,
    who_waits_is_served_in_arrival_order,
    a_later_order_does_not_take_what_an_earlier_one_needs,
    one_who_comes_late_with_an_earlier_number_goes_first,
    the_same_request_twice_reserves_once,
    every_event_twice_and_shuffled_changes_nothing,
    more_than_a_window_waits_and_all_are_served,
    quantities_that_cannot_be_are_set_aside,
);

async fn an_order_gets_all_that_it_needs(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 5), (Onion, 5)]).await;
    let order = pantry.request(1, &[(Rice, 2), (Onion, 1)]).await;
    pantry.settle().await;
    assert_eq!(
        pantry.story(order).await,
        [r#"ingredients.reserved {"reserved":{"onion":1,"rice":2},"waited":false}"#]
    );
    let rice = pantry.shelf(Rice).await;
    assert_eq!((rice.opening, rice.reserved, rice.on_hand), (5, 2, 3));
    pantry.check_balance().await;
    pantry.close().await;
}

async fn an_order_that_lacks_one_thing_takes_nothing_and_is_told_what(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 5)]).await;
    let order = pantry.request(1, &[(Rice, 2), (Onion, 1)]).await;
    pantry.heard().await;
    assert_eq!(pantry.story(order).await, [r#"ingredients.awaited {"missing":{"onion":1}}"#]);
    assert_eq!(pantry.stock().await.waiting_orders, 1);
    assert_eq!(pantry.shelf(Rice).await.on_hand, 5);
    assert_eq!(pantry.shelf(Onion).await.missing, 1);

    pantry.open_stock(&[(Onion, 1)]).await;
    pantry.settle().await;
    assert_eq!(
        pantry.story(order).await,
        [
            r#"ingredients.awaited {"missing":{"onion":1}}"#,
            r#"ingredients.reserved {"reserved":{"onion":1,"rice":2},"waited":true}"#
        ]
    );
    pantry.check_balance().await;
    pantry.close().await;
}

async fn who_waits_is_served_in_arrival_order(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    let requests: Vec<IngredientsRequested> =
        (1..=6).map(|number| request(number, &[(Rice, 2)])).collect();
    pantry.announce(requests.clone()).await;
    pantry.heard().await;
    pantry.open_stock(&[(Rice, 7)]).await;
    pantry.heard().await;
    assert_eq!(reserved_numbers(&pantry, &requests).await, [1, 2, 3]);
    assert_eq!(pantry.shelf(Rice).await.on_hand, 1);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn a_later_order_does_not_take_what_an_earlier_one_needs(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 3), (Tomato, 1)]).await;
    let first = request(1, &[(Rice, 2), (Cheese, 1)]);
    let second = request(2, &[(Rice, 2)]);
    let third = request(3, &[(Rice, 1), (Tomato, 1)]);
    let requests = [first, second, third];
    for request in &requests {
        pantry.announce(vec![request.clone()]).await;
        pantry.heard().await;
    }
    // The third could have the last rice only by taking it from the second.
    assert_eq!(reserved_numbers(&pantry, &requests).await, [0; 0]);
    assert_eq!(
        pantry.story(requests[1].order).await,
        [r#"ingredients.awaited {"missing":{"rice":1}}"#],
        "what the first one needs is out of reach for the second"
    );
    pantry.open_stock(&[(Cheese, 1)]).await;
    pantry.heard().await;
    assert_eq!(reserved_numbers(&pantry, &requests).await, [1]);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn one_who_comes_late_with_an_earlier_number_goes_first(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 1)]).await;
    let (early, late) = (request(1, &[(Rice, 2)]), request(2, &[(Rice, 2)]));
    pantry.announce(vec![late.clone()]).await;
    pantry.heard().await;
    pantry.announce(vec![early.clone()]).await;
    pantry.heard().await;
    assert_eq!(pantry.story(early.order).await, [r#"ingredients.awaited {"missing":{"rice":1}}"#]);
    let set = serde_json::json!({"set": {"rice": 2}});
    pantry.send("POST", "/v1/stock/adjustments", None, set).await;
    pantry.heard().await;
    assert_eq!(reserved_numbers(&pantry, &[early, late]).await, [1]);

    // And one that can be served at once, though others wait, has not waited.
    pantry.open_stock(&[(Tomato, 1)]).await;
    let tomato = pantry.request(0, &[(Tomato, 1)]).await;
    pantry.heard().await;
    assert_eq!(
        pantry.story(tomato).await,
        [r#"ingredients.reserved {"reserved":{"tomato":1},"waited":false}"#]
    );
    pantry.check_balance().await;
    pantry.close().await;
}

async fn the_same_request_twice_reserves_once(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 5)]).await;
    let (request, other) = (request(1, &[(Rice, 2)]), request(2, &[(Rice, 2)]));
    // As events of their own, so that the inbox does not know them.
    pantry.announce(vec![request.clone(), request.clone()]).await;
    pantry.heard().await;
    pantry.announce(vec![request.clone(), other.clone()]).await;
    pantry.heard().await;
    assert_eq!(pantry.story(request.order).await.len(), 1);
    wait_for("the other to be served", async || {
        pantry
            .story(other.order)
            .await
            .last()
            .is_some_and(|last| last.starts_with("ingredients.reserved"))
    })
    .await;
    let rice = pantry.shelf(Rice).await;
    assert_eq!((rice.reserved, rice.on_hand), (4, 1));
    pantry.check_balance().await;
    pantry.close().await;
}

async fn every_event_twice_and_shuffled_changes_nothing(place: Place) {
    let faults = Faults { twice: true, shuffle: Some(7) };
    let pantry = Pantry::open_with(&place, &Stall::empty(), faults).await;
    pantry.open_stock(&[(Rice, 20), (Onion, 100)]).await;
    let requests: Vec<IngredientsRequested> =
        (1..=40).map(|number| request(number, &[(Rice, 1), (Onion, 1)])).collect();
    pantry.announce(requests.clone()).await;
    pantry.heard().await;
    assert_eq!(reserved_numbers(&pantry, &requests).await.len(), 20);
    pantry.check_balance().await;
    for request in &requests {
        let story = pantry.story(request.order).await;
        assert_eq!(story.len(), 1, "{story:?}");
    }
    pantry.close().await;
}

async fn more_than_a_window_waits_and_all_are_served(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    // More than one transaction serves, too.
    let count = 4_300;
    let requests: Vec<IngredientsRequested> =
        (1..=count).map(|number| request(number, &[(Rice, 2), (Onion, 1)])).collect();
    pantry.announce(requests.clone()).await;
    pantry.heard().await;
    assert_eq!(pantry.stock().await.waiting_orders, count);
    assert_eq!(pantry.shelf(Rice).await.missing, 2 * count);

    // An order behind the window waits, even for what nobody else wants.
    pantry.open_stock(&[(Tomato, 1)]).await;
    let behind = pantry.request(count + 1, &[(Tomato, 1)]).await;
    pantry.heard().await;
    assert_eq!(pantry.story(behind).await, [r#"ingredients.awaited {"missing":{}}"#]);

    pantry.open_stock(&[(Rice, 2 * count), (Onion, count)]).await;
    pantry.settle().await;
    assert_eq!(reserved_numbers(&pantry, &requests).await.len(), requests.len());
    assert_eq!(pantry.shelf(Rice).await.on_hand, 0);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn quantities_that_cannot_be_are_set_aside(place: Place) {
    let pantry = Pantry::open(&place, &Stall::empty()).await;
    pantry.open_stock(&[(Rice, 5)]).await;
    let order = pantry.request(1, &[(Rice, -2)]).await;
    let good = pantry.request(2, &[(Rice, 2)]).await;
    pantry.heard().await;
    assert_eq!(pantry.story(order).await, [""; 0]);
    assert_eq!(pantry.story(good).await.len(), 1);
    assert_eq!(pantry.status().await.dead_letters, 1);
    assert_eq!(pantry.shelf(Rice).await.on_hand, 3);
    pantry.close().await;
}

/// The numbers of those that are served, sorted.
async fn reserved_numbers(pantry: &Pantry, requests: &[IngredientsRequested]) -> Vec<i64> {
    let facts: Vec<ReservationFact> = pantry.reservations().await;
    let is_reserved = |request: &&IngredientsRequested| {
        facts.iter().any(|fact| fact.order == request.order && fact.status == "reserved")
    };
    let mut numbers: Vec<i64> =
        requests.iter().filter(is_reserved).map(|request| request.number).collect();
    numbers.sort_unstable();
    numbers
}
