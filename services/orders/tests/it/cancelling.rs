//! A guest who wants it no longer: the kitchen decides.

use axum::http::StatusCode;
use contracts::{
    OrderId,
    events::{CancellationRefused, DishCancelled, DishPrepared},
};
use serde_json::{Value, json};

use crate::door::Door;

async fn cancel(door: &Door, order: OrderId) -> (StatusCode, Value) {
    door.ask("POST", &format!("/v1/orders/{order}/cancel"), &[], Value::Null).await
}

#[tokio::test]
async fn the_kitchen_is_asked_once_and_its_yes_ends_the_order() {
    for door in Door::open_all().await {
        let order = door.order(json!({})).await;
        for _ in 0..2 {
            let (status, answer) = cancel(&door, order).await;
            assert_eq!((status, &answer["status"]), (StatusCode::ACCEPTED, &json!("cancelling")));
        }
        door.tell(DishCancelled { order }).await;
        door.settle().await;
        assert_eq!(door.status_of(order).await, "cancelled");
        assert_eq!(
            door.told(order).await,
            ["order.placed", "order.cancellation_requested", "order.cancelled"]
        );
        let (status, answer) = cancel(&door, order).await;
        assert_eq!((status, &answer["status"]), (StatusCode::ACCEPTED, &json!("cancelled")));
        door.close().await;
    }
}

#[tokio::test]
async fn the_kitchens_no_lets_the_order_go_on_to_the_table() {
    for door in Door::open_all().await {
        let order = door.order(json!({})).await;
        cancel(&door, order).await;
        door.tell(CancellationRefused { order, reason: "It is on the stove.".into() }).await;
        door.settle().await;
        let (_, answer) = door.ask("GET", &format!("/v1/orders/{order}"), &[], Value::Null).await;
        assert_eq!(
            (&answer["status"], &answer["reason"]),
            (&json!("cooking"), &json!("It is on the stove."))
        );
        door.tell(DishPrepared { order, dish: "pizza".into() }).await;
        door.settle().await;
        assert_eq!(door.status_of(order).await, "delivered");
        assert_eq!(cancel(&door, order).await.0, StatusCode::CONFLICT);
        door.close().await;
    }
}

#[tokio::test]
async fn an_order_that_does_not_exist_can_not_be_cancelled() {
    for door in Door::open_all().await {
        assert_eq!(cancel(&door, OrderId::new()).await.0, StatusCode::NOT_FOUND);
        let (status, problem) = door.ask("POST", "/v1/orders/7/cancel", &[], Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
        door.close().await;
    }
}
