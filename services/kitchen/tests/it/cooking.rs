use std::{collections::BTreeMap, time::Duration};

use contracts::{
    OrderId,
    api::audit::{Facts, TicketFact},
    events::CookingStarted,
};
use events::Faults;
use kitchen::Config;

use crate::stage::{Plan, Stage, until};

async fn in_status(stage: &Stage, status: &str) -> Vec<OrderId> {
    let tickets = stage.tickets().await.into_iter().filter(|ticket| ticket.status == status);
    tickets.map(|ticket| ticket.order).collect()
}

async fn until_count(stage: &Stage, status: &str, count: usize) {
    until(&format!("{count} {status}"), async || in_status(stage, status).await.len() == count)
        .await;
}

#[tokio::test]
async fn ten_pizzas_on_eight_stoves_take_two_rounds() {
    let stage = Stage::open().await;
    let orders = stage.orders(10, Some("pizza")).await;
    until_count(&stage, "cooking", 8).await;
    stage.settle().await;
    assert_eq!(in_status(&stage, "cooking").await, orders[..8], "who came first cooks first");
    assert_eq!(in_status(&stage, "reserved").await, orders[8..]);

    stage.context.clock.advance(Duration::from_millis(999));
    stage.settle().await;
    assert_eq!(in_status(&stage, "prepared").await, []);

    stage.context.clock.advance(Duration::from_millis(1));
    until_count(&stage, "prepared", 8).await;
    assert_eq!(in_status(&stage, "cooking").await, orders[8..]);

    stage.context.clock.advance(Duration::from_secs(1));
    until_count(&stage, "prepared", 10).await;
    insta::assert_snapshot!(stage.story(orders[9]).await, @r#"
    ingredients.requested pizza 1 {"cheese":2,"tomato":3}
    cooking.started pizza 2
    dish.prepared pizza
    "#);
    stage.close().await;
}

#[tokio::test]
async fn a_thousand_dishes_that_take_no_time_are_each_cooked_once() {
    let config = Config { cooking_time: Some(Duration::ZERO), ..Config::default() };
    let faults = Faults { twice: true, shuffle: None };
    let stage = Stage::with(Plan { config, faults, ..Plan::default() }).await;
    let orders = stage.orders(1_000, None).await;
    let mut stoves: BTreeMap<i64, usize> = BTreeMap::new();
    for order in &orders {
        stage.until(*order, "dish.prepared").await;
        let events = stage.events(&order.to_string()).await;
        let names: Vec<&str> = events.iter().map(|event| event.name()).collect();
        assert_eq!(names, ["ingredients.requested", "cooking.started", "dish.prepared"]);
        *stoves.entry(events[1].read::<CookingStarted>().unwrap().stove).or_default() += 1;
    }
    assert_eq!(
        stoves.keys().copied().collect::<Vec<_>>(),
        (1..=8).collect::<Vec<_>>(),
        "every stove is used"
    );
    until_count(&stage, "prepared", 1_000).await;

    let page: Facts<TicketFact> =
        stage.get(&format!("/internal/facts/tickets?limit=5&after={}", orders[9])).await;
    assert_eq!(page.facts.iter().map(|fact| fact.order).collect::<Vec<_>>(), orders[10..15]);
    stage.close().await;
}

#[tokio::test]
async fn a_kitchen_that_was_closed_goes_on_where_it_was() {
    let one_stove = Config { stoves: 1, ..Config::default() };
    let stage = Stage::with(Plan { config: one_stove.clone(), ..Plan::default() }).await;
    let orders = stage.orders(2, Some("pizza")).await;
    stage.until(orders[0], "cooking.started").await;
    stage.settle().await;

    let stage = stage.reopen(one_stove).await;
    assert_eq!(stage.status_of(orders[0]).await, "cooking");
    stage.context.clock.advance(Duration::from_secs(1));
    stage.until(orders[0], "dish.prepared").await;
    stage.until(orders[1], "cooking.started").await;
    stage.close().await;
}

#[tokio::test]
async fn a_busy_stove_goes_only_when_its_dish_is_prepared() {
    let stage =
        Stage::with(Plan { config: Config { stoves: 2, ..Config::default() }, ..Plan::default() })
            .await;
    let orders = stage.orders(4, Some("pizza")).await;
    until_count(&stage, "cooking", 2).await;
    stage.settle().await;

    let stage = stage.reopen(Config { stoves: 1, ..Config::default() }).await;
    assert_eq!(in_status(&stage, "cooking").await, orders[..2]);
    stage.context.clock.advance(Duration::from_secs(1));
    until_count(&stage, "prepared", 2).await;
    assert_eq!(in_status(&stage, "cooking").await, orders[2..3], "one stove is left");

    let stage = stage.reopen(Config { stoves: 3, ..Config::default() }).await;
    until_count(&stage, "cooking", 2).await;
    assert_eq!(in_status(&stage, "cooking").await, orders[2..]);
    stage.close().await;
}

#[tokio::test]
async fn a_ticket_keeps_the_recipe_that_it_was_opened_with() {
    let stage = Stage::open().await;
    stage.shelves_are_empty();
    let order = stage.order("pizza").await;
    stage.until(order, "ingredients.requested").await;
    let bigger = r#"{"recipes": [{"name": "pizza", "ingredients": {"cheese": 9}, "cooking_time_ms": 60000}]}"#;
    stage.put("/v1/recipes", bigger).await;

    stage.reserve(order).await;
    stage.until(order, "cooking.started").await;
    stage.context.clock.advance(Duration::from_secs(1));
    stage.until(order, "dish.prepared").await;
    let tickets = stage.tickets().await;
    assert_eq!(serde_json::to_string(&tickets[0].needs).unwrap(), r#"{"cheese":2,"tomato":3}"#);

    let next = stage.order("pizza").await;
    stage.until(next, "ingredients.requested").await;
    insta::assert_snapshot!(stage.story(next).await, @r#"ingredients.requested pizza 2 {"cheese":9}"#);
    stage.close().await;
}
