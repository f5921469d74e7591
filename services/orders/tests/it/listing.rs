//! Pages, filters, and where many orders are.

use axum::http::StatusCode;
use contracts::{OrderId, events::DishPrepared};
use serde_json::{Value, json};

use crate::door::Door;

#[tokio::test]
async fn pages_are_walked_from_the_newest_to_the_oldest() {
    for door in Door::open_all().await {
        for _ in 0..24 {
            door.order(json!({})).await;
        }
        let mut seen = Vec::new();
        let mut path = "/v1/orders?limit=10".to_owned();
        loop {
            let (_, page) = door.ask("GET", &path, &[], Value::Null).await;
            seen.extend(
                page["orders"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|order| order["number"].as_i64().unwrap()),
            );
            let Some(before) = page["next_before"].as_i64() else { break };
            path = format!("/v1/orders?limit=10&before={before}");
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.windows(2).all(|pair| pair[0] > pair[1]));
        door.close().await;
    }
}

#[tokio::test]
async fn filters_leave_out_what_was_not_asked_for() {
    for door in Door::open_all().await {
        let pizza = door.order(json!({"dish": "pizza"})).await;
        let salad = door.order(json!({"dish": "salad"})).await;
        door.tell(DishPrepared { order: salad, dish: "salad".into() }).await;
        door.settle().await;
        let found = async |path: &str| -> Vec<String> {
            let (_, page) = door.ask("GET", path, &[], Value::Null).await;
            page["orders"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(found("/v1/orders?status=delivered").await, [salad.to_string()]);
        assert!(found("/v1/orders?status=placed&dish=pizza").await.contains(&pizza.to_string()));
        assert_eq!(found("/v1/orders?status=delivered&dish=pizza").await, [""; 0]);
        let (status, _) = door.ask("GET", "/v1/orders?status=eaten", &[], Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        for limit in ["-1", "0", "1001"] {
            let path = format!("/v1/orders?limit={limit}");
            let (status, _) = door.ask("GET", &path, &[], Value::Null).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{limit}");
        }
        door.close().await;
    }
}

#[tokio::test]
async fn the_states_of_many_orders_are_one_question() {
    for door in Door::open_all().await {
        let (_, placed) =
            door.ask("POST", "/v1/orders", &[], json!({"orders": vec![json!({}); 999]})).await;
        let mut ids: Vec<Value> =
            placed["orders"].as_array().unwrap().iter().map(|order| order["id"].clone()).collect();
        ids.push(json!(OrderId::new()));
        let (status, states) =
            door.ask("POST", "/v1/orders/states", &[], json!({"ids": ids})).await;
        assert_eq!((status, states["orders"].as_array().unwrap().len()), (StatusCode::OK, 999));
        ids.push(json!(OrderId::new()));
        let (status, _) = door.ask("POST", "/v1/orders/states", &[], json!({"ids": ids})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        door.close().await;
    }
}
