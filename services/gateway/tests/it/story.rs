//! One order, told by all who know something of it.

use axum::{Router, extract::Query, http::StatusCode, routing::get};
use backends::Backend;
use contracts::{
    OrderId, Timestamp,
    api::{
        gateway::Story,
        orders::{Order, OrderStatus},
        service::Events,
    },
    events::{CookingStarted, DishPrepared, Envelope, OrderDelivered, OrderPlaced},
    services::{INVENTORY, KITCHEN, ORDERS},
};
use serde::Deserialize;
use service::problem::Problem;

use crate::stage::{Stage, echoes};

#[derive(Deserialize)]
struct About {
    subject: String,
}

pub(crate) fn tells(events: Vec<Envelope>) -> Router {
    Router::new().route(
        "/internal/events",
        get(async move |Query(about): Query<About>| {
            let events = events.iter().filter(|event| event.subject == about.subject);
            axum::Json(Events { events: events.cloned().collect() })
        }),
    )
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros)
}

fn placed(order: OrderId, micros: i64) -> Envelope {
    let placed = OrderPlaced { order, number: 1, dish: None, placed_at: at(micros) };
    Envelope::new(ORDERS, &placed, at(micros), Some("00-a-b-01".into()))
}

fn told(story: &Story) -> Vec<(&str, &str)> {
    story.events.iter().map(|event| (event.service.as_str(), event.event.as_str())).collect()
}

#[tokio::test]
async fn a_story_is_told_in_the_order_in_which_it_happened() {
    let (order, other) = (OrderId::new(), OrderId::new());
    let delivered =
        OrderDelivered { order, dish: "pizza".into(), placed_at: at(0), delivered_at: at(30) };
    // The last two happen in the same microsecond: then as an order meets them.
    let from_orders =
        vec![placed(order, 0), placed(other, 5), Envelope::new(ORDERS, &delivered, at(30), None)];
    let from_kitchen = vec![
        Envelope::new(
            KITCHEN,
            &CookingStarted { order, dish: "pizza".into(), stove: 1 },
            at(10),
            None,
        ),
        Envelope::new(KITCHEN, &DishPrepared { order, dish: "pizza".into() }, at(30), None),
    ];
    let backends = echoes()
        .with(ORDERS, Backend::in_process(tells(from_orders)))
        .with(KITCHEN, Backend::in_process(tells(from_kitchen)))
        .with(INVENTORY, Backend::in_process(tells(Vec::new())));
    let stage = Stage::with(backends).await;
    let story: Story = stage.get(&format!("/v1/orders/{order}/story")).await.json();
    assert_eq!(
        told(&story),
        [
            (ORDERS, "order.placed"),
            (KITCHEN, "cooking.started"),
            (KITCHEN, "dish.prepared"),
            (ORDERS, "order.delivered"),
        ]
    );
    assert_eq!(story.events[0].version, 1);
    assert_eq!(story.events[0].traceparent.as_deref(), Some("00-a-b-01"));
    assert_eq!(story.events[1].data["stove"], 1);
    assert!(story.missing.is_empty());
    stage.close().await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_missing_in_the_story() {
    let order = OrderId::new();
    let away = Router::new().fallback(async || Problem::unavailable("away"));
    let backends = echoes()
        .with(ORDERS, Backend::in_process(tells(vec![placed(order, 0)])))
        .with(KITCHEN, Backend::in_process(away))
        .with(INVENTORY, Backend::in_process(tells(Vec::new())));
    let stage = Stage::with(backends).await;
    let story: Story = stage.get(&format!("/v1/orders/{order}/story")).await.json();
    assert_eq!(told(&story), [(ORDERS, "order.placed")]);
    assert_eq!(story.missing, [KITCHEN]);
    stage.close().await;
}

#[tokio::test]
async fn an_order_that_nobody_knows_has_no_story_and_one_of_long_ago_an_empty_one() {
    let known = OrderId::new();
    let orders = tells(Vec::new()).route(
        "/v1/orders/{id}",
        get(async move |service::http::Path(id): service::http::Path<OrderId>| {
            let order = Order {
                id,
                number: 1,
                status: OrderStatus::Delivered,
                dish: None,
                placed_at: at(0),
                ended_at: None,
                reason: None,
            };
            (id == known).then_some(axum::Json(order)).ok_or(Problem::not_found("none"))
        }),
    );
    let backends = echoes()
        .with(ORDERS, Backend::in_process(orders))
        .with(KITCHEN, Backend::in_process(tells(Vec::new())))
        .with(INVENTORY, Backend::in_process(tells(Vec::new())));
    let stage = Stage::with(backends).await;
    let got = stage.get(&format!("/v1/orders/{}/story", OrderId::new())).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    got.problem();
    let story: Story = stage.get(&format!("/v1/orders/{known}/story")).await.json();
    assert!(story.events.is_empty());
    assert_eq!(stage.get("/v1/orders/pizza/story").await.status, StatusCode::BAD_REQUEST);
    stage.close().await;
}
