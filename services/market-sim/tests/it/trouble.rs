//! A simulated market that was told to make trouble.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;

use crate::Stand;

#[tokio::test]
async fn in_an_outage_nobody_is_answered_and_nothing_is_sold() {
    let stand = Stand::open().await;
    stand.buy_with("before", "lemon").await;
    stand.set(json!({"outage": true})).await;
    for path in ["/api/farmers-market/buy?ingredient=lemon", "/api/farmers-market/sales/before"] {
        assert_eq!(stand.get(path).await.0, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    assert_eq!(stand.buy_with("before", "lemon").await.0, StatusCode::SERVICE_UNAVAILABLE);
    stand.set(json!({"outage": false})).await;
    assert_eq!(stand.sales().await, 1);
    assert_eq!(stand.buy_with("before", "lemon").await.0, StatusCode::OK);
}

#[tokio::test]
async fn half_of_the_errors_come_after_the_sale_which_the_key_finds() {
    let stand = Stand::open().await;
    stand.set(json!({"errors": 1, "seed": 1})).await;
    for call in 0..60 {
        let (status, _) = stand.buy_with(&format!("call-{call}"), "lemon").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    let sold = stand.sales().await;
    assert!((15..=45).contains(&sold), "{sold} of 60");

    stand.set(json!({"errors": 0})).await;
    let mut found = 0;
    for call in 0..60 {
        let (status, sale) = stand.get(&format!("/api/farmers-market/sales/call-{call}")).await;
        if status == StatusCode::OK {
            found += 1;
            let again = stand.buy_with(&format!("call-{call}"), "lemon").await;
            assert_eq!(again, (StatusCode::OK, sale));
        }
    }
    assert_eq!(found, sold);
    assert_eq!(stand.sales().await, sold);
}

#[tokio::test]
async fn a_key_whose_call_failed_gets_through_in_the_end() {
    let stand = Stand::open().await;
    stand.set(json!({"errors": 0.5, "seed": 3})).await;
    for sale in 0..20 {
        let mut calls = 0;
        while stand.buy_with(&format!("sale-{sale}"), "rice").await.0 != StatusCode::OK {
            calls += 1;
            assert!(calls < 50, "the draws of a key's calls differ");
        }
    }
    assert_eq!(stand.sales().await, 20);
}

#[tokio::test]
async fn it_takes_as_long_as_it_was_told() {
    let stand = Stand::open().await;
    stand.set(json!({"delay_ms": 120})).await;
    let started = Instant::now();
    stand.buy("lemon").await;
    assert!(started.elapsed() >= Duration::from_millis(120));
}
