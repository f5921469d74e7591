//! What happens when it is too much.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header},
};
use contracts::api::gateway::Role;
use gateway::{Config, Rate};
use serde_json::Value;

use crate::stage::{Stage, config, echoes};

async fn strict() -> Stage {
    let admin = gateway::new_key().unwrap();
    let config = Config { rate: Rate::new(1, 3), guest_rate: Rate::new(1, 5), ..config(&admin) };
    Stage::with_config(echoes(), config, admin).await
}

#[tokio::test]
async fn each_key_has_its_own_measure_and_the_first_admin_none() {
    let stage = strict().await;
    let one = stage.add_key("one", Role::Viewer).await.secret;
    let other = stage.add_key("other", Role::Viewer).await.secret;
    for _ in 0..3 {
        let got = stage.ask(Method::GET, "/v1/orders", Some(&one), Value::Null).await;
        assert_eq!(got.status, StatusCode::OK);
    }
    let got = stage.ask(Method::GET, "/v1/orders", Some(&one), Value::Null).await;
    assert_eq!(got.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(got.headers[header::RETRY_AFTER], "1");
    assert_eq!(got.problem().kind, "/problems/too-many-requests");
    let got = stage.ask(Method::GET, "/v1/orders", Some(&other), Value::Null).await;
    assert_eq!(got.status, StatusCode::OK);
    for _ in 0..100 {
        assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    }
    stage.close().await;
}

#[tokio::test]
async fn strangers_are_measured_by_address_whatever_they_say_of_others() {
    let stage = strict().await;
    for _ in 0..5 {
        assert_eq!(stage.ask_from("10.0.0.1:1", "/v1/orders").await.status, 401);
    }
    let mut request = Request::builder()
        .uri("/v1/orders")
        .header("x-forwarded-for", "10.9.9.9")
        .body(Body::empty())
        .unwrap();
    let peer: std::net::SocketAddr = "10.0.0.1:2".parse().unwrap();
    request.extensions_mut().insert(service::http::Peer(peer));
    assert_eq!(stage.send(request).await.status, 429);
    assert_eq!(stage.ask_from("10.0.0.2:1", "/v1/orders").await.status, 401);
    assert_eq!(stage.ask_from("10.0.0.1:3", "/health").await.status, 200, "a measure of its own");
    stage.close().await;
}

#[tokio::test]
async fn ten_thousand_strangers_do_not_matter() {
    let stage = Stage::open().await;
    let began = Instant::now();
    for number in 0..10_000_u32 {
        let address = format!("10.{}.{}.1:1", number % 200, number / 200);
        let got = stage.ask_from(&address, "/v1/orders").await;
        assert!(matches!(got.status.as_u16(), 401 | 429), "{}", got.status);
    }
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    // Generous for a debug build on a busy machine; what it guards against is a database or a slow hash in the way.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    stage.close().await;
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let stage = Stage::open().await;
    let request = |key: Option<&str>| {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/v1/orders")
            .header(header::CONTENT_LENGTH, 10 * 1024 * 1024);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        request
            .body(Body::from_stream(futures_util::stream::pending::<
                Result<bytes::Bytes, std::io::Error>,
            >()))
            .unwrap()
    };
    let got = stage.send(request(Some(&stage.admin))).await;
    assert_eq!(
        (got.status, got.problem().kind.as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large")
    );
    assert_eq!(stage.send(request(None)).await.status, StatusCode::UNAUTHORIZED);
    stage.close().await;
}
