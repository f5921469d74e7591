//! The public contract of the market, and the key that makes a sale repeatable.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use contracts::api::market_sim::MarketSim;
use futures_util::future::join_all;
use serde_json::json;

use crate::{Stand, read};

#[tokio::test]
async fn it_sells_between_one_and_ten_or_nothing_and_counts_it() {
    let stand = Stand::open().await;
    let mut sold = BTreeMap::new();
    for _ in 0..50 {
        for ingredient in ["lemon", "rice"] {
            let quantity = stand.buy(ingredient).await;
            assert!((0..=10).contains(&quantity), "{quantity}");
            *sold.entry(ingredient.parse().unwrap()).or_insert(0) += quantity;
        }
    }
    let market_sim: MarketSim = read(stand.get("/v1/market").await.1);
    assert_eq!(market_sim.sold, sold);
    assert_eq!(market_sim.sales, 100);
}

#[tokio::test]
async fn what_the_farmers_do_not_grow_is_a_bad_request() {
    let stand = Stand::open().await;
    for query in ["?ingredient=truffle", "?ingredient=", "?ingredient=Lemon", "?dish=pizza", ""] {
        let (status, problem) = stand.get(&format!("/api/farmers-market/buy{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query} {problem}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    assert_eq!(stand.sales().await, 0);
}

#[tokio::test]
async fn the_same_key_is_the_same_sale_also_after_a_restart() {
    let stand = Stand::open().await;
    let (_, first) = stand.buy_with("monday", "lemon").await;
    for _ in 0..20 {
        assert_eq!(stand.buy_with("monday", "lemon").await, (StatusCode::OK, first.clone()));
    }
    let stand = stand.reopen(crate::preset(json!({"delay_ms": 0}))).await;
    assert_eq!(stand.buy_with("monday", "lemon").await, (StatusCode::OK, first.clone()));
    assert_eq!(stand.get("/api/farmers-market/sales/monday").await, (StatusCode::OK, first));
    assert_eq!(stand.sales().await, 1);
}

#[tokio::test]
async fn the_same_key_at_the_same_moment_is_one_sale() {
    let stand = Stand::open().await;
    let buys = (0..64).map(|_| stand.buy_with("rush", "meat"));
    let answers = join_all(buys).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(stand.sales().await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_ingredient() {
    let stand = Stand::open().await;
    stand.buy_with("monday", "lemon").await;
    let (status, problem) = stand.buy_with("monday", "rice").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("lemon"), "{problem}");
    assert_eq!(stand.sales().await, 1);
}

#[tokio::test]
async fn the_ways_to_write_a_uuid_are_one_key() {
    let stand = Stand::open().await;
    let key = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
    let (_, first) = stand.buy_with(key, "lemon").await;
    assert_eq!(stand.buy_with(&key.to_uppercase(), "lemon").await.1, first);
    assert_eq!(stand.sales().await, 1);
}

#[tokio::test]
async fn a_key_that_can_not_be_kept_is_refused() {
    let stand = Stand::open().await;
    for key in ["", "two words", &"x".repeat(145)] {
        let (status, _) = stand.buy_with(key, "lemon").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{key:?}");
    }
    assert_eq!(stand.sales().await, 0);
}

#[tokio::test]
async fn a_sale_that_was_never_made_is_not_found() {
    let stand = Stand::open().await;
    let (status, _) = stand.get("/api/farmers-market/sales/never").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
