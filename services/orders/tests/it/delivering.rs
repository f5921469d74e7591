//! Once, and only after cooking.

use axum::http::StatusCode;
use contracts::events::{CookingStarted, DishPrepared, DishRefused, MenuChanged};
use serde_json::{Value, json};

use crate::door::Door;

#[tokio::test]
async fn a_prepared_dish_is_delivered_and_its_guest_learns_what_it_was() {
    for door in Door::open_all().await {
        let order = door.order(json!({})).await;
        door.tell(CookingStarted { order, dish: "salad".into(), stove: 1 }).await;
        door.settle().await;
        assert_eq!(door.status_of(order).await, "cooking");
        door.tell(DishPrepared { order, dish: "salad".into() }).await;
        door.settle().await;
        let (_, answer) = door.ask("GET", &format!("/v1/orders/{order}"), &[], Value::Null).await;
        assert_eq!((&answer["status"], &answer["dish"]), (&json!("delivered"), &json!("salad")));
        assert!(answer["ended_at"].is_string());
        assert_eq!(door.told(order).await, ["order.placed", "order.delivered"]);
        door.close().await;
    }
}

#[tokio::test]
async fn a_second_dish_for_the_same_order_is_not_delivered() {
    for door in Door::open_all().await {
        let order = door.order(json!({"dish": "pizza"})).await;
        for _ in 0..3 {
            door.tell(DishPrepared { order, dish: "pizza".into() }).await;
        }
        door.settle().await;
        assert_eq!(door.told(order).await, ["order.placed", "order.delivered"]);
        door.close().await;
    }
}

#[tokio::test]
async fn a_dish_that_left_the_menu_meanwhile_is_rejected_with_the_reason() {
    for door in Door::open_all().await {
        let order = door.order(json!({"dish": "pizza"})).await;
        door.tell(MenuChanged { version: 2, dishes: vec!["salad".into()] }).await;
        door.tell(MenuChanged { version: 1, dishes: vec!["pizza".into()] }).await;
        door.tell(DishRefused { order, reason: "There is no pizza any more.".into() }).await;
        door.settle().await;
        let (_, answer) = door.ask("GET", &format!("/v1/orders/{order}"), &[], Value::Null).await;
        assert_eq!(
            (&answer["status"], &answer["reason"]),
            (&json!("rejected"), &json!("There is no pizza any more."))
        );
        assert_eq!(door.told(order).await, ["order.placed", "order.rejected"]);
        // The older menu came later and is not believed.
        let (status, _) = door.ask("POST", "/v1/orders", &[], json!({"dish": "pizza"})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        door.close().await;
    }
}
