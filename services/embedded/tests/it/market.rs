//! The market outside: away, empty-handed, failing.

use serde_json::json;

use crate::evening::{Evening, TestStore};

#[tokio::test]
async fn while_the_market_is_away_guests_wait_and_when_it_is_back_all_are_served() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        evening.market_sim(json!({"outage": true})).await;
        let orders = evening.guests_order(&[None; 60]).await;
        evening
            .until("those who can be served from the shelves are, and the rest waits", async || {
                let summary = evening.ok("GET", "/v1/summary", json!(null)).await;
                let count = |name: &str| summary[name].as_i64().unwrap();
                count("delivered") > 0
                    && count("delivered") + count("waiting_for_ingredients") == 60
            })
            .await;
        let waiting = async || {
            let status = evening.ok("GET", "/v1/status", json!(null)).await;
            ["orders", "inventory"].map(|service| status["services"][service]["waiting"].clone())
        };
        let [at_orders, at_inventory] = waiting().await;
        let (orders_wait, missing) = (&at_orders[0], &at_inventory[0]);
        assert_eq!(
            (&orders_wait["what"], &orders_wait["awaits"]),
            (&json!("orders"), &json!("delivery"))
        );
        assert_eq!(
            (&missing["what"], &missing["count"]),
            (&json!("orders"), &orders_wait["count"])
        );
        assert!(missing["awaits"].as_str().unwrap().starts_with(char::is_numeric), "{missing}");
        assert!(missing["since"].is_string() && orders_wait["since"].is_string(), "{missing}");
        assert_eq!(at_inventory[1]["awaits"], "the market", "{at_inventory}");
        evening.market_sim(json!({"outage": false})).await;
        evening.settle().await;
        for order in orders {
            assert_eq!(evening.status_of(order).await, "delivered");
        }
        assert_eq!(waiting().await, [json!(null), json!(null)]);
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn zeros_mean_wait_and_errors_cost_nothing() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        evening.market_sim(json!({"zeros": 0.5, "errors": 0.2, "seed": 11})).await;
        evening.guests_order(&[None; 150]).await;
        evening.settle().await;
        let summary = evening.ok("GET", "/v1/summary", json!(null)).await;
        assert_eq!(summary["delivered"], 150);
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn the_market_sim_sells_to_anybody_and_is_told_what_to_be_only_at_the_gateway() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let cases = [
        ("GET /api/farmers-market/buy?ingredient=lemon", "HTTP/1.1 200"),
        ("GET /v1/market", "HTTP/1.1 404"),
        ("PUT /v1/market", "HTTP/1.1 404"),
        ("GET /internal/status", "HTTP/1.1 404"),
    ];
    for (request, status) in cases {
        let answer = evening.at_the_market_sim(request).await;
        assert!(answer.starts_with(status), "{request}: {answer}");
    }
    evening.settle().await;
    evening.close().await;
}

#[tokio::test]
async fn what_strangers_buy_at_the_market_sim_is_no_purchase_of_the_environment() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        let key = "idempotency-key: 0192f3c4-5a6b-7c8d-9e0f-112233445566";
        let buy = format!("GET /api/farmers-market/buy?ingredient=lemon HTTP/1.1\r\n{key}");
        let answer = evening.at_the_market_sim_with(&buy).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        evening.guests_order(&[None; 20]).await;
        evening.settle().await;
        evening.audit().await;
        evening.close().await;
    }
}

#[tokio::test]
async fn strangers_buy_at_the_market_sim_within_limits_and_the_environment_without() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let mut answers = Vec::new();
    for _ in 0..500 {
        answers
            .push(evening.at_the_market_sim("GET /api/farmers-market/buy?ingredient=lemon").await);
    }
    let sold = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 200")).count();
    assert!((1..400).contains(&sold), "{sold}");
    let refused = answers.iter().find(|answer| answer.starts_with("HTTP/1.1 429"));
    assert!(refused.is_some_and(|answer| answer.contains("retry-after: 1")), "{refused:?}");
    evening.guests_order(&[None; 60]).await;
    evening.settle().await;
    evening.audit().await;
    evening.close().await;
}
