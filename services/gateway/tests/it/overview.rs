//! How the environment is.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Router,
    http::{Method, StatusCode},
    routing::get,
};
use backends::{Backend, Backends};
use contracts::{
    Timestamp,
    api::{
        board::Summary,
        gateway::{DeadLetters, Status},
        service::{DeadLetter, ServiceDeadLetters, ServiceStatus},
    },
    services::{ALL, BOARD, INVENTORY, KITCHEN, MARKET, MARKET_SIM, ORDERS},
};
use serde_json::Value;
use store::{Location, tls::Trust};

use crate::stage::Stage;

fn service(name: &'static str, status: ServiceStatus) -> Router {
    let letter = DeadLetter {
        service: name.into(),
        id: contracts::new_uuid(),
        kind: "chefcito.order.placed.v1".into(),
        subject: "1".into(),
        event: "{}".into(),
        error: "unreadable".into(),
        attempts: 3,
        failed_at: Timestamp::now(),
    };
    Router::new()
        .route("/internal/status", get(async move || axum::Json(status)))
        .route(
            "/internal/dead-letters",
            get(async move || axum::Json(ServiceDeadLetters { dead_letters: vec![letter] })),
        )
        .route("/v1/summary", get(async || axum::Json(Summary { placed: 7, ..Summary::default() })))
}

fn ready() -> ServiceStatus {
    ServiceStatus { ready: true, version: "0.1.0".into(), ..ServiceStatus::default() }
}

fn all(status: &ServiceStatus) -> Backends {
    let of = |name| Backend::in_process(service(name, status.clone()));
    crate::stage::all(of).without(MARKET_SIM)
}

#[tokio::test]
async fn an_environment_in_which_nothing_moves_is_ready_and_quiet() {
    let stage = Stage::with(all(&ready())).await;
    let status: Status = stage.get("/v1/status").await.json();
    assert!(status.ready && status.quiet, "{status:?}");
    let names: BTreeSet<&str> = status.services.keys().map(String::as_str).collect();
    let expected = ALL.into_iter().filter(|name| *name != MARKET_SIM);
    assert_eq!(names, expected.collect());
    assert_eq!(status.services["gateway"].engine, "sqlite");
    assert_eq!(status.summary.unwrap().placed, 7);
    assert_eq!(stage.ask(Method::GET, "/ready", None, Value::Null).await.text(), "ready");
    stage.close().await;
}

#[tokio::test]
async fn work_under_way_in_one_service_is_not_quiet() {
    let busy = [
        ServiceStatus { unpublished: 1, ..ready() },
        ServiceStatus { unhandled: 1, ..ready() },
        ServiceStatus { open: 1, ..ready() },
    ];
    for busy in busy {
        let kitchen = Backend::in_process(service(KITCHEN, busy));
        let stage = Stage::with(all(&ready()).with(KITCHEN, kitchen)).await;
        let status: Status = stage.get("/v1/status").await.json();
        assert!(status.ready && !status.quiet);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_is_not_ready_and_the_others_are_shown() {
    let stuck = Router::new().fallback(async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        StatusCode::OK
    });
    let stage = Stage::with(all(&ready()).with(MARKET, Backend::in_process(stuck))).await;
    let status: Status = stage.get("/v1/status").await.json();
    assert!(!status.ready && !status.quiet);
    let reason = status.services[MARKET].reason.as_deref();
    assert_eq!(reason, Some("it did not answer within 1000 ms"));
    assert!(status.services[ORDERS].ready);
    stage.close().await;
}

#[tokio::test]
async fn a_board_that_is_away_does_not_keep_the_gateway_from_taking_orders() {
    let away = Backend::remote(BOARD, "http://127.0.0.1:1", None).unwrap();
    let stage = Stage::with(crate::stage::echoes().with(BOARD, away)).await;
    let status: Status = stage.get("/v1/status").await.json();
    assert!(!status.ready && !status.services[BOARD].ready);
    let got = stage.ask(Method::GET, "/ready", None, Value::Null).await;
    assert_eq!((got.status, got.text()), (StatusCode::OK, "ready"));
    let order = serde_json::json!({});
    let got = stage.ask(Method::POST, "/v1/orders", Some(&stage.admin), order).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    stage.close().await;
}

#[tokio::test]
async fn a_gateway_without_its_database_is_not_ready_and_tells_strangers_no_cause() {
    let Some(mut database) = test_support::server() else { return };
    let location = Location::Postgres {
        url: database.url(),
        trust: Trust::default(),
        schema_prefix: String::new(),
    };
    let admin = gateway::new_key().unwrap();
    let stage =
        Stage::at(location, crate::stage::echoes(), crate::stage::config(&admin), admin).await;
    let ready = async || stage.ask(Method::GET, "/ready", None, Value::Null).await;
    assert_eq!(ready().await.text(), "ready");
    database.stop();
    let got = ready().await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        got.problem().detail.unwrap(),
        "The service is not ready. Its status, which needs a key or the service token, says why."
    );
    let status: Status = stage.get("/v1/status").await.json();
    assert!(status.services["gateway"].reason.is_some(), "{status:?}");
    stage.close().await;
}

#[tokio::test]
async fn dead_letters_of_all_services_are_one_list() {
    let away = Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR);
    let stage = Stage::with(all(&ready()).with(MARKET, Backend::in_process(away))).await;
    let letters: DeadLetters = stage.get("/v1/dead-letters").await.json();
    let mut services: Vec<&str> =
        letters.dead_letters.iter().map(|letter| letter.service.as_str()).collect();
    assert!(letters.dead_letters.is_sorted_by_key(|letter| letter.failed_at));
    services.sort_unstable();
    assert_eq!(services, [BOARD, INVENTORY, KITCHEN, ORDERS]);
    assert_eq!(letters.missing, [MARKET]);
    stage.close().await;
}

#[tokio::test]
async fn the_gateway_says_what_it_is_and_counts_what_it_does() {
    let stage = Stage::with(all(&ready())).await;
    let hello = stage.ask(Method::GET, "/", None, Value::Null).await;
    assert!(hello.text().starts_with("This is Chefcito"));
    stage.ask(Method::GET, "/v1/orders/1", None, Value::Null).await;
    stage.get("/v1/summary").await;
    stage.get("/nowhere/at/all").await;
    let got = stage.ask(Method::GET, "/metrics", None, Value::Null).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "figures are for who has a key");
    let figures = stage.get("/metrics").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(figures.headers["content-type"], kind);
    for line in [
        r#"chefcito_http_requests_total{service="gateway",method="GET",route="/v1/orders/{id}",status="401"} 1"#,
        r#"chefcito_http_requests_total{service="gateway",method="GET",route="/v1/summary",status="200"} 1"#,
        r#"chefcito_http_requests_total{service="gateway",method="GET",route="other",status="404"} 1"#,
    ] {
        assert!(figures.text().contains(line), "{line} is not in\n{}", figures.text());
    }
    stage.close().await;
}
