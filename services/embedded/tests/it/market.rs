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
        evening.market_sim(json!({"outage": false})).await;
        evening.settle().await;
        for order in orders {
            assert_eq!(evening.status_of(order).await, "delivered");
        }
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
