//! A request that is sent again under its key.

use axum::http::StatusCode;
use contracts::{
    OrderId,
    events::{CookingStarted, DishPrepared, MenuChanged},
};
use serde_json::{Value, json};

use crate::door::Door;

const PATH: &str = "/v1/orders";

fn keyed(key: &str) -> [(&str, &str); 2] {
    [("idempotency-key", key), ("x-chefcito-key", "alice")]
}

fn ids(answer: &Value) -> Vec<OrderId> {
    let orders = answer["orders"].as_array().unwrap().iter();
    orders.map(|order| order["id"].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_repeat_gets_the_first_response_after_the_dish_has_left_the_menu() {
    for door in Door::open_all().await {
        let body = json!({"dish": "pizza"}).to_string();
        let first = door.send("POST", PATH, &keyed("k"), &body).await;
        assert_eq!(first.0, StatusCode::ACCEPTED);

        door.tell(MenuChanged { version: 2, dishes: vec!["salad".into()] }).await;
        door.settle().await;
        let (status, _) = door.ask("POST", PATH, &[], json!({"dish": "pizza"})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "pizza is still on the menu");
        assert_eq!(door.send("POST", PATH, &keyed("k"), &body).await, first);
        door.close().await;
    }
}

#[tokio::test]
async fn a_repeat_gets_the_first_response_after_the_order_has_been_delivered() {
    for door in Door::open_all().await {
        let body = json!({"dish": "pizza"}).to_string();
        let first = door.send("POST", PATH, &keyed("k"), &body).await;
        let order = ids(&serde_json::from_slice(&first.1).unwrap())[0];
        door.tell(CookingStarted { order, dish: "pizza".into(), stove: 1 }).await;
        door.tell(DishPrepared { order, dish: "pizza".into() }).await;
        door.settle().await;
        assert_eq!(door.status_of(order).await, "delivered");
        assert_eq!(door.send("POST", PATH, &keyed("k"), &body).await, first);
        door.close().await;
    }
}

#[tokio::test]
async fn keys_that_look_like_the_lines_of_another_request_are_keys_of_their_own() {
    for door in Door::open_all().await {
        let batch = json!({"orders": [{}, {}]});
        let mut placed = Vec::new();
        for (key, body) in
            [("k1", batch.clone()), ("k1#1", json!({})), ("k2#1", json!({})), ("k2", batch)]
        {
            let (status, answer) = door.ask("POST", PATH, &keyed(key), body).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{key}: {answer}");
            placed.extend(ids(&answer));
        }
        placed.sort_unstable();
        placed.dedup();
        assert_eq!(placed.len(), 6);
        // One of bob's whose key would be alice's if both were one text.
        let bob = [("idempotency-key", "k1"), ("x-chefcito-key", "alice:k1")];
        let alice = [("idempotency-key", "k1:k1"), ("x-chefcito-key", "alice")];
        let (_, his) = door.ask("POST", PATH, &bob, json!({})).await;
        let (_, hers) = door.ask("POST", PATH, &alice, json!({})).await;
        assert_ne!(ids(&his), ids(&hers));
        door.close().await;
    }
}

#[tokio::test]
async fn a_key_is_looked_up_before_anything_else_is_checked() {
    for door in Door::open_all().await {
        let (status, _) = door.ask("POST", PATH, &keyed("k"), json!({"dish": "pizza"})).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        for other in ["{\"dish\": \"soup\"}", "{\"dsh\": 1}", "no JSON", "{\"orders\": []}"] {
            let (status, body) = door.send("POST", PATH, &keyed("k"), other).await;
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (status, &problem["type"]),
                (StatusCode::UNPROCESSABLE_ENTITY, &json!("/problems/key-reused")),
                "{other}"
            );
        }
        door.close().await;
    }
}

#[tokio::test]
async fn the_key_of_a_refused_request_is_free() {
    for door in Door::open_all().await {
        let soup = json!({"dish": "soup"});
        for body in [soup.clone(), json!({"dsh": 1}), soup.clone()] {
            let (status, problem) = door.ask("POST", PATH, &keyed("k"), body).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_ne!(problem["type"], "/problems/key-reused");
        }
        door.tell(MenuChanged { version: 2, dishes: vec!["soup".into()] }).await;
        door.settle().await;
        let (status, answer) = door.ask("POST", PATH, &keyed("k"), soup).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        door.close().await;
    }
}
