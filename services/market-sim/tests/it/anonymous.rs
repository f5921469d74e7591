//! Buyers who do not show the environment's token.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use market_sim::{ANONYMOUS_SALES_PER_SECOND_MAX, Config};
use serde_json::json;
use service::token::{SERVICE_TOKEN, ServiceToken};

use crate::{Stand, preset};

const KEY: &str = "0192f3c4-5a6b-7c8d-9e0f-112233445566";

async fn stand_of(token: &ServiceToken) -> Stand {
    let config =
        Config { token: Some(token.clone()), ..preset(json!({"delay_ms": 0, "zeros": 0})) };
    Stand::open_in(tempfile::tempdir().unwrap(), config).await
}

fn by_the_environment(path: &str, token: &ServiceToken) -> Request<Body> {
    let request = Request::get(path).header("Idempotency-Key", KEY);
    request.header(SERVICE_TOKEN, token.value()).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_strangers_sale_is_counted_and_neither_kept_nor_told_to_the_audit() {
    let token = ServiceToken::random();
    let stand = stand_of(&token).await;
    assert_eq!(stand.buy_with(KEY, "lemon").await.0, StatusCode::OK);
    assert_eq!(stand.sales().await, 1);
    let kept = format!("/api/farmers-market/sales/{KEY}");
    assert_eq!(stand.send(by_the_environment(&kept, &token)).await.0, StatusCode::NOT_FOUND);
    let facts = stand.get("/internal/facts/sales").await.1;
    assert_eq!(facts["facts"], json!([]));

    let buy = by_the_environment("/api/farmers-market/buy?ingredient=rice", &token);
    let (status, sale) = stand.send(buy).await;
    assert_eq!(status, StatusCode::OK, "a stranger took the environment's key: {sale}");
    assert_eq!(stand.send(by_the_environment(&kept, &token)).await, (StatusCode::OK, sale));
    assert_eq!(stand.get(&kept).await.0, StatusCode::NOT_FOUND, "a stranger sees what was sold");
    assert_eq!(stand.get("/internal/facts/sales").await.1["facts"][0]["purchase"], KEY);
}

#[tokio::test]
async fn strangers_buy_within_limits_and_the_environment_without() {
    let token = ServiceToken::random();
    let stand = stand_of(&token).await;
    let max = ANONYMOUS_SALES_PER_SECOND_MAX as usize;
    let mut refused = None;
    // However slow the machine is: some second begins in which more ask than may buy.
    for _ in 0..max * 100 {
        let (status, problem) = stand.buy_with("k", "lemon").await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(problem);
            break;
        }
    }
    let refused = refused.expect("some stranger is refused");
    assert!(refused["detail"].as_str().unwrap().contains("Nothing was sold"), "{refused}");
    for _ in 0..max * 2 {
        let buy = by_the_environment("/api/farmers-market/buy?ingredient=rice", &token);
        assert_eq!(stand.send(buy).await.0, StatusCode::OK);
    }
}
