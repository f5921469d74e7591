use std::time::Duration;

use contracts::{OrderId, Timestamp, events::OrderPlaced};
use kitchen::Config;

use crate::stage::{Plan, Stage};

#[tokio::test]
async fn an_order_that_waits_for_ingredients_is_cancelled_and_they_come_too_late() {
    let stage = Stage::open().await;
    stage.shelves_are_empty();
    let order = stage.order("pizza").await;
    stage.until(order, "ingredients.requested").await;
    stage.cancel(order).await;
    stage.until(order, "dish.cancelled").await;

    stage.reserve(order).await;
    stage.cancel(order).await;
    stage.settle().await;
    insta::assert_snapshot!(stage.story(order).await, @r#"
    ingredients.requested pizza 1 {"cheese":2,"tomato":3}
    dish.cancelled
    "#);
    assert_eq!(stage.status_of(order).await, "cancelled");
    stage.close().await;
}

#[tokio::test]
async fn an_order_that_waits_for_a_stove_is_cancelled_and_one_that_cooks_is_not() {
    let stage =
        Stage::with(Plan { config: Config { stoves: 1, ..Config::default() }, ..Plan::default() })
            .await;
    let (cooks, waits, last) =
        (stage.order("pizza").await, stage.order("pizza").await, stage.order("pizza").await);
    stage.until(cooks, "cooking.started").await;
    stage.settle().await;
    assert_eq!(stage.status_of(waits).await, "reserved");

    stage.cancel(waits).await;
    stage.cancel(cooks).await;
    stage.until(cooks, "cancellation.refused").await;
    stage.until(waits, "dish.cancelled").await;

    stage.context.clock.advance(Duration::from_secs(1));
    stage.until(last, "cooking.started").await;
    stage.cancel(cooks).await;
    stage.settle().await;
    insta::assert_snapshot!(stage.story(cooks).await, @r#"
    ingredients.requested pizza 1 {"cheese":2,"tomato":3}
    cooking.started pizza 1
    cancellation.refused the dish is on the stove already
    dish.prepared pizza
    cancellation.refused the dish is prepared already
    "#);
    assert_eq!(stage.status_of(cooks).await, "prepared");
    assert_eq!(stage.status_of(waits).await, "cancelled");
    stage.close().await;
}

#[tokio::test]
async fn an_order_that_was_cancelled_before_it_came_does_nothing() {
    let stage = Stage::open().await;
    let order = OrderId::new();
    stage.cancel(order).await;
    stage.until(order, "dish.cancelled").await;
    stage
        .place(OrderPlaced { order, number: 1, dish: None, placed_at: Timestamp::default() })
        .await;
    stage.settle().await;
    insta::assert_snapshot!(stage.story(order).await, @"dish.cancelled");
    stage.close().await;
}

#[tokio::test]
async fn ingredients_for_an_order_without_a_ticket_are_set_aside_for_people_to_see() {
    let stage = Stage::open().await;
    let order = OrderId::new();
    stage.reserve(order).await;
    let letters = async || {
        let status: contracts::api::service::ServiceStatus = stage.get("/internal/status").await;
        status.dead_letters
    };
    crate::stage::until("a dead letter", async || letters().await == 1).await;
    stage.close().await;
}
