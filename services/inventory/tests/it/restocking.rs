//! What is short is bought.

use std::{collections::HashSet, sync::atomic::Ordering};

use contracts::{
    Ingredient::{self, Lemon, Onion, Rice},
    Timestamp,
};
use events::Faults;
use inventory::ANSWER_BYTES_MAX;

use crate::{
    over_grpc::{answer, raw_market},
    pantry::{Line, Pantry, Place, Stall, on_both_engines, request, wait_for},
};

on_both_engines!(
    what_is_missing_is_bought_and_surplus_stays,
    shortages_of_many_orders_are_bought_together,
    a_market_that_has_none_is_asked_again_until_it_has,
    who_looks_at_the_stock_is_told_when_the_market_is_asked_again,
    a_failed_call_is_asked_again_as_the_same_purchase,
    an_answer_beyond_the_contract_is_asked_for_again_and_nothing_is_lost,
    an_outage_is_said_and_ends_by_itself,
    an_unknown_purchase_counts_zero_and_is_bought_again,
    a_purchase_that_a_crash_left_open_is_asked_again_and_counted_once,
);

async fn what_is_missing_is_bought_and_surplus_stays(place: Place) {
    let market = Stall::new(|_, _| Line::Sells(7));
    let pantry = Pantry::open(&place, &market).await;
    pantry.open_stock(&[(Rice, 5), (Onion, 1)]).await;
    let order = pantry.request(1, &[(Rice, 2), (Onion, 2)]).await;
    pantry.settle().await;
    assert_eq!(
        pantry.story(order).await,
        [
            r#"ingredients.awaited {"missing":{"onion":1}}"#,
            r#"ingredients.reserved {"reserved":{"onion":2,"rice":2},"waited":true}"#
        ]
    );
    assert_eq!(
        pantry.story("onion").await,
        [r#"ingredient.purchased {"ingredient":"onion","quantity":7}"#]
    );
    let onion = pantry.shelf(Onion).await;
    assert_eq!((onion.bought, onion.on_hand), (7, 6));
    assert_eq!(market.calls(), 1);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn shortages_of_many_orders_are_bought_together(place: Place) {
    let market = Stall::new(|_, _| Line::Sells(100));
    let pantry = Pantry::open(&place, &market).await;
    pantry.announce((1..=50).map(|number| request(number, &[(Rice, 2)])).collect()).await;
    pantry.settle().await;
    assert!(market.calls() <= 16, "{} calls for 100 of one ingredient", market.calls());
    assert_eq!(pantry.shelf(Rice).await.reserved, 100);
    pantry.check_balance().await;

    pantry
        .announce(
            (51..=250)
                .map(|number| request(number, &Ingredient::ALL.map(|one| (one, 30))))
                .collect(),
        )
        .await;
    pantry.settle().await;
    assert!(market.under_way_most() <= 64, "{} calls at once", market.under_way_most());
    pantry.check_balance().await;
    pantry.close().await;
}

async fn a_market_that_has_none_is_asked_again_until_it_has(place: Place) {
    let market = Stall::new(|call, _| Line::Sells(if call < 6 { 0 } else { 3 }));
    let pantry = Pantry::open(&place, &market).await;
    let order = pantry.request(1, &[(Lemon, 1)]).await;
    pantry.settle().await;
    assert_eq!(pantry.story(order).await.len(), 2);
    assert_eq!(market.calls(), 7);
    let asked: HashSet<_> = market.asked().into_iter().collect();
    assert_eq!(asked.len(), 7, "each is a purchase of its own");
    assert_eq!(pantry.story("lemon").await.len(), 1, "only what was sold is told");
    pantry.check_balance().await;
    pantry.close().await;
}

async fn who_looks_at_the_stock_is_told_when_the_market_is_asked_again(place: Place) {
    let market = Stall::empty();
    let pantry = Pantry::open(&place, &market).await;
    pantry.open_stock(&[(Rice, 9), (Lemon, 0)]).await;
    for fails in [false, true] {
        market.is_away(fails);
        pantry.request(i64::from(fails) + 1, &[(Lemon, 1)]).await;
        let asked = Timestamp::now();
        wait_for("the next attempt", async || {
            pantry.shelf(Lemon).await.next_attempt_at.is_some_and(|at| at > asked)
        })
        .await;
        assert_eq!(pantry.shelf(Rice).await.next_attempt_at, None, "there is enough rice");
    }
    pantry.close().await;
}

async fn a_failed_call_is_asked_again_as_the_same_purchase(place: Place) {
    let market = Stall::new(|call, _| match call {
        0 => Line::Fails,
        _ => Line::SellsAndFails(4),
    });
    let pantry = Pantry::open(&place, &market).await;
    pantry.request(1, &[(Lemon, 1)]).await;
    pantry.settle().await;
    let asked = market.asked();
    assert_eq!(asked.len(), 3, "failed, answer lost, answered");
    assert!(asked.iter().all(|purchase| *purchase == asked[0]));
    assert_eq!(pantry.shelf(Lemon).await.bought, 4);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn an_answer_beyond_the_contract_is_asked_for_again_and_nothing_is_lost(place: Place) {
    let answers = |call| match call {
        0 => vec![answer(1, ANSWER_BYTES_MAX + 1)],
        1 => vec![answer(u32::MAX, 0)],
        2 => vec![answer(1, 0); 1_000],
        _ => vec![answer(4, 0)],
    };
    let (market, calls) = raw_market(answers, false);
    let pantry = Pantry::open_at(&place, market, Faults::default()).await;
    let order = pantry.request(1, &[(Lemon, 1)]).await;
    pantry.settle().await;
    assert_eq!(calls.load(Ordering::Relaxed), 4, "too large, too many, too often, answered");
    assert_eq!(pantry.purchases().await.len(), 1, "each time it is the same purchase");
    assert_eq!(pantry.story(order).await.len(), 2, "awaited and reserved");
    assert_eq!(pantry.shelf(Lemon).await.bought, 4);
    pantry.check_balance().await;
    pantry.close().await;
}

async fn an_outage_is_said_and_ends_by_itself(place: Place) {
    let market = Stall::new(|_, _| Line::Sells(5));
    market.is_away(true);
    let pantry = Pantry::open(&place, &market).await;
    pantry
        .announce((1..=20).map(|number| request(number, &[(Lemon, 2), (Rice, 1)])).collect())
        .await;
    wait_for("the status to say it", async || pantry.status().await.reason.is_some()).await;
    let status = pantry.status().await;
    assert!(status.ready && status.reason.unwrap().contains("the script says so"));
    market.is_away(false);
    pantry.settle().await;
    assert_eq!(pantry.status().await.reason, None);
    assert_eq!(pantry.shelf(Lemon).await.bought, market.sold(Lemon));
    assert_eq!(pantry.shelf(Rice).await.bought, market.sold(Rice));
    pantry.check_balance().await;
    pantry.close().await;
}

async fn an_unknown_purchase_counts_zero_and_is_bought_again(place: Place) {
    let market = Stall::new(|call, _| if call == 0 { Line::Unknown } else { Line::Sells(2) });
    let pantry = Pantry::open(&place, &market).await;
    pantry.request(1, &[(Lemon, 1)]).await;
    pantry.settle().await;
    let told: Vec<(String, i64)> =
        pantry.purchases().await.into_iter().map(|fact| (fact.status, fact.quantity)).collect();
    assert_eq!(told, [("unknown".to_owned(), 0), ("done".to_owned(), 2)]);
    let asked = market.asked();
    assert_ne!(asked[0], asked[1], "under a new id");
    pantry.check_balance().await;
    pantry.close().await;
}

async fn a_purchase_that_a_crash_left_open_is_asked_again_and_counted_once(place: Place) {
    let market = Stall::new(|_, _| Line::SellsAndHangs(3));
    let pantry = Pantry::open(&place, &market).await;
    let order = pantry.request(1, &[(Lemon, 1)]).await;
    wait_for("the purchase to be asked", async || market.calls() == 1).await;
    pantry.heard().await;
    assert_eq!(pantry.status().await.open, 2, "the order that waits and the purchase");
    pantry.close().await;

    let market = market.with(|_, _| Line::Sells(9));
    let pantry = Pantry::open(&place, &market).await;
    pantry.settle().await;
    let asked = market.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1], "asked again as the same purchase");
    assert_eq!(pantry.shelf(Lemon).await.bought, 3, "what was sold the first time");
    assert_eq!(pantry.story(order).await.len(), 2);
    pantry.check_balance().await;
    pantry.close().await;
}
