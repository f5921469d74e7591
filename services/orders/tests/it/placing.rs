//! Taken, refused, repeated.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::door::Door;

#[tokio::test]
async fn every_statement_is_understood_by_each_engine() {
    for door in Door::open_all().await {
        door.prepare_statements().await.unwrap();
        assert_eq!(door.find_whole_reads().await, [""; 0]);
        door.close().await;
    }
}

#[tokio::test]
async fn orders_get_running_numbers_and_are_announced() {
    for door in Door::open_all().await {
        let (status, answer) = door
            .ask("POST", "/v1/orders", &[], json!({"orders": [{}, {"dish": "salad"}, {}]}))
            .await;
        assert_eq!(status, StatusCode::ACCEPTED);
        let orders = answer["orders"].as_array().unwrap();
        let first = orders[0]["number"].as_i64().unwrap();
        let numbers: Vec<i64> =
            orders.iter().map(|order| order["number"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [first, first + 1, first + 2]);
        assert_eq!(
            (orders[0]["dish"].clone(), orders[1]["dish"].clone()),
            (Value::Null, json!("salad"))
        );
        for order in orders {
            let id = order["id"].as_str().unwrap().parse().unwrap();
            assert_eq!(door.told(id).await, ["order.placed"]);
        }
        door.close().await;
    }
}

#[tokio::test]
async fn an_empty_body_is_an_order() {
    for door in Door::open_all().await {
        let order = door.order(Value::Null).await;
        assert_eq!(door.status_of(order).await, "placed");
        door.close().await;
    }
}

#[tokio::test]
async fn a_dish_that_is_not_on_the_menu_is_refused_with_the_menu() {
    for door in Door::open_all().await {
        let (status, problem) = door.ask("POST", "/v1/orders", &[], json!({"dish": "soup"})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["type"], "/problems/unknown-dish");
        assert_eq!(problem["detail"], "`soup` is not on the menu. The menu has: pizza, salad.");

        let several = json!({"orders": [{"dish": "pizza"}, {"dish": "soup"}]});
        let before = door.ask("GET", "/v1/orders", &[], Value::Null).await.1;
        assert_eq!(
            door.ask("POST", "/v1/orders", &[], several).await.0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
        assert_eq!(
            door.ask("GET", "/v1/orders", &[], Value::Null).await.1,
            before,
            "half a request was taken"
        );
        door.close().await;
    }
}

#[tokio::test]
async fn nonsense_is_refused_in_words() {
    for door in Door::open_all().await {
        let cases = [
            (json!({"dish": "pizza", "orders": []}), "not both"),
            (json!({"orders": []}), "`orders` has 0 orders"),
            (json!({"orders": [["pizza"]]}), "`orders[0]`: it should be an object, not a list"),
            (json!({"orders": vec![json!({}); 1_001]}), "`orders` has 1001 orders"),
            (json!({"dish": ""}), "1 to 64 bytes"),
            (json!({"dish": "x".repeat(65)}), "1 to 64 bytes"),
            (json!({"dsh": "pizza"}), "unknown field `dsh`"),
            (json!({"dish": 7}), "invalid type"),
        ];
        for (body, words) in cases {
            let (status, problem) = door.ask("POST", "/v1/orders", &[], body.clone()).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body:.60}");
            assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
        }
        for key in ["", &"k".repeat(129)] {
            let (status, _) =
                door.ask("POST", "/v1/orders", &[("idempotency-key", key)], json!({})).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
        }
        door.close().await;
    }
}

#[tokio::test]
async fn a_repeated_key_gets_the_same_orders_and_another_request_is_refused() {
    for door in Door::open_all().await {
        let key = [("idempotency-key", "k-1"), ("x-chefcito-key", "alice")];
        let several = json!({"orders": [{"dish": "pizza"}, {}]});
        let (_, first) = door.ask("POST", "/v1/orders", &key, several.clone()).await;
        let (status, second) = door.ask("POST", "/v1/orders", &key, several).await;
        assert_eq!((status, &first), (StatusCode::ACCEPTED, &second));

        let others = [
            json!({"dish": "pizza"}),
            json!({"orders": [{"dish": "pizza"}, {}, {}]}),
            json!({"orders": [{"dish": "pizza"}, {"dish": "pizza"}]}),
        ];
        for other in others {
            let (status, problem) = door.ask("POST", "/v1/orders", &key, other).await;
            assert_eq!(
                (status, problem["type"].clone()),
                (StatusCode::UNPROCESSABLE_ENTITY, json!("/problems/key-reused"))
            );
        }
        let bob = [("idempotency-key", "k-1"), ("x-chefcito-key", "bob")];
        let (_, his) = door.ask("POST", "/v1/orders", &bob, json!({"dish": "pizza"})).await;
        assert_ne!(
            his["orders"][0]["id"], first["orders"][0]["id"],
            "a key of another caller is another key"
        );
        let listed = door.ask("GET", "/v1/orders", &[], Value::Null).await.1;
        // The order by which the door found the menu open, two of Alice's, one of Bob's.
        assert_eq!(listed["orders"].as_array().unwrap().len(), 4);
        door.close().await;
    }
}

#[tokio::test]
async fn a_storm_of_the_same_key_places_one_order() {
    for door in Door::open_all().await {
        let storm = (0..64).map(|_| {
            let router = door.router.clone();
            tokio::spawn(async move {
                use tower::ServiceExt as _;
                let request =
                    axum::http::Request::post("/v1/orders").header("idempotency-key", "storm");
                let response =
                    router.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
                let body = http_body_util::BodyExt::collect(response.into_body())
                    .await
                    .unwrap()
                    .to_bytes();
                serde_json::from_slice::<Value>(&body).unwrap()["orders"][0]["id"].clone()
            })
        });
        let mut ids = Vec::new();
        for guest in storm.collect::<Vec<_>>() {
            ids.push(guest.await.unwrap());
        }
        assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]));
        door.close().await;
    }
}
