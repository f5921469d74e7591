//! What is said in headers: who asks, which trace, and nothing that only the gateway may say.

use axum::{body::Body, extract::Request, http::header};
use contracts::api::gateway::Role;
use gateway::Config;
use serde_json::Value;

use crate::stage::{Stage, config, echoes};

#[tokio::test]
async fn services_hear_who_asks_from_the_gateway_alone() {
    let stage = Stage::open().await;
    let guest = stage.add_key("a guest", Role::Viewer).await;
    let request = Request::builder()
        .uri("/v1/orders?limit=1")
        .header(header::AUTHORIZATION, format!("bearer {}", guest.secret))
        .header("x-chefcito-key", "somebody else")
        .header("x-chefcito-key", "and another")
        .header("x-chefcito-service-token", "guessed")
        .header("x-forwarded-for", "10.1.2.3")
        .body(Body::empty())
        .unwrap();
    let echoed: Value = stage.send(request).await.json();
    assert_eq!(echoed["path"], "/v1/orders?limit=1");
    assert_eq!(echoed["headers"]["x-chefcito-key"], guest.key.id);
    assert_eq!(echoed["headers"].get("x-chefcito-service-token"), None);
    assert_eq!(echoed["headers"].get("authorization"), None, "a key goes no further than the door");
    stage.close().await;
}

#[tokio::test]
async fn a_trace_is_kept_or_begun_and_always_told() {
    let stage = Stage::open().await;
    let asked = async |traceparent: &str| {
        let request = Request::builder()
            .uri("/v1/orders")
            .header(header::AUTHORIZATION, format!("Bearer {}", stage.admin))
            .header("traceparent", traceparent)
            .body(Body::empty())
            .unwrap();
        let got = stage.send(request).await;
        let echoed: Value = got.json();
        let told = got.headers["traceparent"].to_str().unwrap().to_owned();
        assert_eq!(echoed["headers"]["traceparent"], told);
        told
    };
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(asked(good).await, good);
    let fresh = asked("forged; drop table").await;
    assert_eq!((fresh.len(), &fresh[..3], &fresh[52..]), (55, "00-", "-02"));
    assert_ne!(asked("").await, fresh);
    let refused = stage.ask(http::Method::GET, "/v1/orders", None, Value::Null).await;
    assert!(refused.headers.contains_key("traceparent"));
    stage.close().await;
}

#[tokio::test]
async fn a_body_passes_as_it_is() {
    let stage = Stage::open().await;
    let body = serde_json::json!({"orders": [{}, {"dish": "pizza"}]});
    let got = stage.ask(http::Method::POST, "/v1/orders", Some(&stage.admin), body.clone()).await;
    let echoed: Value = got.json();
    assert_eq!(echoed["body"], body.to_string());
    stage.close().await;
}

#[tokio::test]
async fn an_environment_that_records_every_trace_says_so_to_its_services() {
    let admin = gateway::new_key().unwrap();
    let config = Config { trace_ratio: "1".parse().unwrap(), ..config(&admin) };
    let stage = Stage::with_config(echoes(), config, admin).await;
    let got = stage.ask(http::Method::GET, "/v1/orders", Some(&stage.admin), Value::Null).await;
    let echoed: Value = got.json();
    assert!(echoed["headers"]["traceparent"].as_str().unwrap().ends_with("-03"));
    stage.close().await;
}
