//! A guest cancels, at each state in which an order can be.

use std::time::Duration;

use embedded::EmbeddedConfig;
use serde_json::{Value, json};

use crate::evening::{Evening, TestStore};

async fn cancel(evening: &Evening, order: contracts::OrderId) -> (u16, Value) {
    let (status, answer) =
        evening.ask("POST", &format!("/v1/orders/{order}/cancel"), Value::Null).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn an_order_that_waits_for_ingredients_leaves_the_queue() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        evening.market_sim(json!({"outage": true})).await;
        let order = evening.guests_order(&[Some("pizza"), Some("pizza")]).await[1];
        evening
            .until("it waits", async || {
                evening.events_of(order).await.contains(&"ingredients.awaited".into())
            })
            .await;
        assert_eq!(cancel(&evening, order).await.0, 202);
        evening
            .until("it is cancelled", async || evening.status_of(order).await == "cancelled")
            .await;
        evening.market_sim(json!({"outage": false})).await;
        evening.settle().await;
        // What the inventory and orders do about the cancelled dish has no order between them, so each is told by itself.
        let story = evening.story_by_service(order).await;
        insta::allow_duplicates! { insta::assert_snapshot!(story, @r"
        inventory  ingredients.awaited           1 tomato
        inventory  ingredients.released
        kitchen    ingredients.requested         pizza
        kitchen    dish.cancelled
        orders     order.placed                  pizza
        orders     order.cancellation_requested
        orders     order.cancelled
        ") };
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn an_order_that_waits_for_a_stove_gives_its_ingredients_back() {
    for ground in TestStore::all() {
        let one_slow_stove = EmbeddedConfig {
            stoves: 1,
            cooking_time: Some(Duration::from_secs(2)),
            ..ground.config()
        };
        let evening = Evening::first(one_slow_stove).await;
        evening.fill_shelves(50).await;
        let orders = evening.guests_order(&[Some("pizza"), Some("pizza")]).await;
        evening
            .until("the first is on the stove", async || {
                evening.status_of(orders[0]).await == "cooking"
            })
            .await;
        evening
            .until("the second has its ingredients", async || {
                evening.events_of(orders[1]).await.contains(&"ingredients.reserved".into())
            })
            .await;
        assert_eq!(cancel(&evening, orders[1]).await.0, 202);
        evening.settle().await;
        assert_eq!(evening.status_of(orders[1]).await, "cancelled");
        let stock = evening.ok("GET", "/v1/stock", Value::Null).await;
        let tomato = stock["stock"]
            .as_array()
            .unwrap()
            .iter()
            .find(|shelf| shelf["ingredient"] == "tomato")
            .unwrap();
        assert_eq!((&tomato["on_hand"], &tomato["released"]), (&json!(47), &json!(3)));
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn a_dish_on_the_stove_comes_to_the_table_all_the_same() {
    for ground in TestStore::all() {
        let slow =
            EmbeddedConfig { cooking_time: Some(Duration::from_millis(700)), ..ground.config() };
        let evening = Evening::first(slow).await;
        let order = evening.guest_orders("pizza").await;
        evening
            .until("it is on the stove", async || evening.status_of(order).await == "cooking")
            .await;
        assert_eq!(cancel(&evening, order).await.0, 202);
        evening.settle().await;
        let answer = evening.ok("GET", &format!("/v1/orders/{order}"), Value::Null).await;
        assert_eq!(answer["status"], "delivered");
        assert!(answer["reason"].is_string(), "the guest is not told why: {answer}");
        assert_eq!(cancel(&evening, order).await.0, 409);
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn guests_who_cancel_at_any_moment_break_nothing() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        let orders = evening.guests_order(&[None; 120]).await;
        for order in &orders {
            cancel(&evening, *order).await;
        }
        evening.settle().await;
        let summary = evening.ok("GET", "/v1/summary", Value::Null).await;
        let ended = summary["delivered"].as_i64().unwrap() + summary["cancelled"].as_i64().unwrap();
        assert_eq!(ended, 120, "{summary}");
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn a_dish_that_left_the_menu_is_rejected_and_its_guest_told() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let pizza = json!({"recipes": [{"name": "pizza", "ingredients": {"cheese": 2, "tomato": 3}, "cooking_time_ms": 0}]});
    evening.ok("PUT", "/v1/recipes?replace_all=true", pizza).await;
    evening
        .until("the door knows the new menu", async || {
            evening.ask("POST", "/v1/orders", json!({"dish": "salad"})).await.0 == 422
        })
        .await;
    assert_eq!(evening.ask("POST", "/v1/orders", json!({"dish": "pizza"})).await.0, 202);
    evening.settle().await;
    evening.audit().await;
    evening.close().await;
}
