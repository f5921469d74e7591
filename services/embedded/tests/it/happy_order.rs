//! An order goes from the door to the table.

use contracts::services;

use crate::evening::{Evening, TestStore};

#[tokio::test]
async fn a_salad_goes_from_the_door_to_the_table() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        let order = evening.guest_orders("salad").await;
        evening.settle().await;
        let story = evening.story(order).await;
        insta::allow_duplicates! { insta::assert_snapshot!(story, @r"
        orders     order.placed                  salad
        kitchen    ingredients.requested         salad
        inventory  ingredients.reserved          1 lemon, 2 lettuce, 1 onion, 2 tomato
        kitchen    cooking.started               salad
        kitchen    dish.prepared                 salad
        orders     order.delivered               salad
        ") };
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn a_salad_without_tomatoes_goes_by_the_market_and_is_delivered() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        evening
            .ok("POST", "/v1/stock/adjustments", serde_json::json!({"set": {"tomato": 0}}))
            .await;
        let order = evening.guest_orders("salad").await;
        evening.settle().await;
        let story = evening.story(order).await;
        insta::allow_duplicates! { insta::assert_snapshot!(story, @r"
        orders     order.placed                  salad
        kitchen    ingredients.requested         salad
        inventory  ingredients.awaited           2 tomato
        inventory  ingredients.reserved          1 lemon, 2 lettuce, 1 onion, 2 tomato
        kitchen    cooking.started               salad
        kitchen    dish.prepared                 salad
        orders     order.delivered               salad
        ") };
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn all_that_happens_to_an_order_belongs_to_one_trace() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let order = evening.guest_orders("pizza").await;
    evening.settle().await;
    let traces: Vec<Option<String>> =
        evening.story_of(order).await.events.into_iter().map(|event| event.traceparent).collect();
    let ids: Vec<&str> =
        traces.iter().map(|trace| &trace.as_deref().expect("a trace")[3..35]).collect();
    assert!(ids.len() >= 6 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    evening.close().await;
}

#[tokio::test]
async fn every_service_is_named_and_ready() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let status = evening.ok("GET", "/v1/status", serde_json::Value::Null).await;
    assert_eq!(status["ready"], true);
    for service in services::ALL {
        assert_eq!(status["services"][service]["ready"], true, "{service}: {status:#}");
    }
    evening.close().await;
}
