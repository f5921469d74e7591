//! What the simulated market can be told to be.

use axum::http::StatusCode;
use market_sim::OpenError;
use serde_json::json;

use crate::{Stand, context_in, preset};

#[tokio::test]
async fn a_change_leaves_the_rest_and_outlives_a_restart() {
    let stand = Stand::open().await;
    let (status, told) = stand.set(json!({"quantity_min": 3, "quantity_max": 3, "zeros": 0})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(
        told["settings"],
        json!({
            "quantity_min": 3, "quantity_max": 3, "zeros": 0.0, "delay_ms": 0, "errors": 0.0,
            "outage": false, "seed": 0
        })
    );
    assert_eq!(stand.buy("lemon").await, 3);

    let stand = stand.reopen(preset(json!({"delay_ms": 0}))).await;
    assert_eq!(stand.get("/v1/market").await.1["settings"], told["settings"]);
}

#[tokio::test]
async fn another_preset_is_taken_over_once() {
    let stand = Stand::open().await;
    stand.set(json!({"zeros": 1})).await;
    let other = preset(json!({"delay_ms": 0, "quantity_max": 5, "zeros": 0.5}));
    let stand = stand.reopen(other.clone()).await;
    let settings = stand.get("/v1/market").await.1["settings"].clone();
    assert_eq!((&settings["zeros"], &settings["quantity_max"]), (&json!(0.5), &json!(5)));

    stand.set(json!({"zeros": 0})).await;
    let stand = stand.reopen(other).await;
    assert_eq!(stand.get("/v1/market").await.1["settings"]["zeros"], json!(0.0));
}

#[tokio::test]
async fn a_reset_brings_back_the_preset_and_keeps_the_sales() {
    let stand = Stand::open_in(
        tempfile::tempdir().unwrap(),
        preset(json!({"delay_ms": 0, "quantity_max": 5, "zeros": 0, "seed": 9})),
    )
    .await;
    let begun = stand.get("/v1/market").await.1["settings"].clone();
    let drawn = [stand.buy("lemon").await, stand.buy("lemon").await, stand.buy("lemon").await];
    stand.set(json!({"quantity_min": 8, "quantity_max": 9, "outage": true, "seed": 1})).await;

    let (status, told) = stand.reset().await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(told["settings"], begun);
    assert_eq!(told["sales"], json!(3));
    let again = [stand.buy("lemon").await, stand.buy("lemon").await, stand.buy("lemon").await];
    assert_eq!(again, drawn, "its draws begin anew");
}

#[tokio::test]
async fn what_it_can_not_be_is_told_whole_and_changes_nothing() {
    let stand = Stand::open().await;
    let before = stand.get("/v1/market").await;
    let bad = json!({
        "quantity_min": -1, "quantity_max": 2_000_000, "zeros": 1.5, "errors": -0.1,
        "delay_ms": 60_000, "outage": true
    });
    let (status, problem) = stand.set(bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = problem["detail"].as_str().unwrap();
    for name in ["quantity_min", "quantity_max", "zeros", "errors", "delay_ms"] {
        assert!(detail.contains(&format!("{name} should be")), "{name}: {detail}");
    }
    let (status, _) = stand.set(json!({"quantity_min": 7, "quantity_max": 6})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = stand.set(json!({"mood": "good"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(stand.get("/v1/market").await, before);
}

#[tokio::test]
async fn a_preset_that_can_not_be_keeps_it_closed() {
    let folder = tempfile::tempdir().unwrap();
    let context = context_in(folder.path());
    let opened = market_sim::MarketSim::open(&context, preset(json!({"zeros": 7}))).await;
    assert!(matches!(opened, Err(OpenError::Preset(_))), "{opened:?}");
}

#[tokio::test]
async fn the_same_seed_sells_the_same() {
    let stand = Stand::open().await;
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        stand.set(json!({"seed": seed, "zeros": 0.3})).await;
        let mut run = Vec::new();
        for _ in 0..40 {
            run.push(stand.buy("tomato").await);
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);

    let other = Stand::open().await;
    other.set(json!({"seed": 7, "zeros": 0.3})).await;
    for quantity in &runs[0] {
        assert_eq!(other.buy("rice").await, *quantity);
    }
}

#[tokio::test]
async fn draws_go_on_after_a_restart() {
    let config = preset(json!({"delay_ms": 0, "seed": 5}));
    let one = Stand::open_in(tempfile::tempdir().unwrap(), config.clone()).await;
    let other = Stand::open_in(tempfile::tempdir().unwrap(), config.clone()).await;
    let mut at_one = Vec::new();
    for _ in 0..20 {
        at_one.push(one.buy("meat").await);
    }
    let mut at_other = Vec::new();
    for _ in 0..10 {
        at_other.push(other.buy("meat").await);
    }
    let other = other.reopen(config).await;
    for _ in 0..10 {
        at_other.push(other.buy("meat").await);
    }
    assert_eq!(at_one, at_other);
}
