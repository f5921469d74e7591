//! Services apart: the same answers over a real connection, and clear ones where there is none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header},
    routing::get,
};
use backends::{Backend, Backends};
use contracts::services::ORDERS;
use serde_json::{Value, json};
use service::{ServiceContext, http::Limits, token::ServiceToken};
use store::{Clock, Durability, Location};
use tokio::net::TcpListener;

use crate::stage::{Stage, echo, echoes};

const TOKEN: &str = "a-token-for-tests";

fn token() -> ServiceToken {
    ServiceToken::parse(TOKEN).unwrap()
}

/// A service that listens, until it is closed.
struct ProcessCluster {
    context: ServiceContext,
    url: String,
    _folder: tempfile::TempDir,
}

impl ProcessCluster {
    async fn serve(router: Router) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location =
            Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        context.serve(listener, ORDERS, router, Limits::default());
        Self { context, url, _folder: folder }
    }

    fn backends(&self) -> Backends {
        echoes().with(ORDERS, Backend::remote(ORDERS, &self.url, Some(token())).unwrap())
    }
}

#[tokio::test]
async fn a_service_apart_answers_as_one_in_the_environment() {
    let apart = ProcessCluster::serve(echo(ORDERS)).await;
    let far = Stage::with(apart.backends()).await;
    let near = Stage::open().await;
    let asked = [
        (Method::GET, "/v1/orders?status=placed&limit=5", Value::Null),
        (Method::POST, "/v1/orders", json!({"dish": "pizza"})),
        (Method::POST, "/v1/orders", json!({"orders": vec![json!({}); 1_000]})),
        (Method::GET, "/v1/orders/0192f3c4-5a6b-7c8d-9e0f-112233445566", Value::Null),
        (Method::GET, "/v1/orders/with%20space", Value::Null),
    ];
    for (method, path, body) in asked {
        let mut answers = Vec::new();
        for stage in [&far, &near] {
            let got = stage.ask(method.clone(), path, Some(&stage.admin), body.clone()).await;
            let kind = got.headers[header::CONTENT_TYPE].clone();
            let mut echoed: Value = got.json();
            let headers = echoed["headers"].as_object_mut().unwrap();
            let token = headers.remove("x-chefcito-service-token");
            assert_eq!(token.is_some(), std::ptr::eq(stage, &far));
            let of_this_request = ["host", "content-length", "traceparent", "x-chefcito-key"];
            let of_one_apart = ["x-chefcito-for", "idempotency-key"];
            for other in of_this_request.iter().chain(&of_one_apart) {
                headers.remove(*other);
            }
            answers.push((got.status, kind, echoed));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    far.close().await;
    near.close().await;
    apart.context.close().await;
}

#[tokio::test]
async fn a_service_that_panics_is_asked_once_and_is_not_thought_away() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let stumbles = async move || -> StatusCode {
        count.fetch_add(1, Ordering::Relaxed);
        panic!("a handler stumbles");
    };
    let router = Router::new().route("/v1/orders", get(stumbles)).fallback_service(echo(ORDERS));
    let apart = ProcessCluster::serve(router).await;
    let stage = Stage::with(apart.backends()).await;
    let got = stage.get("/v1/orders").await;
    assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(got.problem().kind, "/problems/internal");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(stage.get("/v1/orders/1").await.status, StatusCode::OK);
    stage.close().await;
    apart.context.close().await;
}

#[tokio::test]
async fn what_is_between_neighbours_goes_no_further() {
    let apart = ProcessCluster::serve(echo(ORDERS)).await;
    let stage = Stage::with(apart.backends()).await;
    let request = Request::builder()
        .uri("/v1/orders")
        .header(header::AUTHORIZATION, format!("Bearer {}", stage.admin))
        .header(header::CONNECTION, "keep-alive, x-for-you")
        .header("x-for-you", "alone")
        .header("x-for-all", "too")
        .header(header::TE, "trailers")
        .body(Body::empty())
        .unwrap();
    let echoed: Value = stage.send(request).await.json();
    assert_eq!(echoed["headers"].get("x-for-you"), None);
    assert_eq!(echoed["headers"].get("te"), None);
    assert_eq!(echoed["headers"]["x-for-all"], "too");
    assert_eq!(echoed["headers"]["x-chefcito-service-token"], TOKEN);
    stage.close().await;
    apart.context.close().await;
}

#[tokio::test]
async fn a_slow_service_is_a_504_wherever_it_is() {
    let stuck = || {
        Router::new().fallback(async || {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK
        })
    };
    let apart = ProcessCluster::serve(stuck()).await;
    let backends =
        [Backend::in_process(stuck()), Backend::remote(ORDERS, &apart.url, None).unwrap()];
    for backend in backends {
        let orders = backend.with_deadline(Duration::from_millis(50));
        let stage = Stage::with(echoes().with(ORDERS, orders)).await;
        let got = stage.get("/v1/orders").await;
        assert_eq!(got.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(got.problem().kind, "/problems/late");
        stage.close().await;
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_a_503_and_is_found_again() {
    let apart = ProcessCluster::serve(echo(ORDERS)).await;
    let stage = Stage::with(apart.backends()).await;
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    let address = apart.url.strip_prefix("http://").unwrap().to_owned();
    apart.context.close().await;
    let got = stage.get("/v1/orders").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.headers[header::RETRY_AFTER], "1");
    assert!(!got.problem().detail.unwrap().contains("127.0.0.1"), "an answer leaks nothing");

    let listener = TcpListener::bind(&address).await.unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, echo(ORDERS)).await });
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    server.abort();
    stage.close().await;
}

#[tokio::test]
async fn a_body_that_grows_too_large_on_the_way_is_a_413() {
    let apart = ProcessCluster::serve(echo(ORDERS)).await;
    let stage = Stage::with(apart.backends()).await;
    let pieces = (0..20).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 100_000])));
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/orders")
        .header(header::AUTHORIZATION, format!("Bearer {}", stage.admin))
        .body(Body::from_stream(futures_util::stream::iter(pieces)))
        .unwrap();
    let got = stage.send(request).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    stage.close().await;
    apart.context.close().await;
}

#[tokio::test]
async fn more_headers_than_a_service_takes_are_told_at_once_and_harm_nobody_else() {
    let apart = ProcessCluster::serve(echo(ORDERS)).await;
    let stage = Stage::with(apart.backends()).await;
    // As many as the gateway takes; it adds some of its own.
    let mut request = Request::builder()
        .uri("/v1/orders")
        .header(header::AUTHORIZATION, format!("Bearer {}", stage.admin));
    for number in 0..98 {
        request = request.header(format!("x-{number}"), "x");
    }
    let began = Instant::now();
    let got = stage.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(got.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(began.elapsed() < Duration::from_secs(1), "it was sent again: {:?}", began.elapsed());
    stage.close().await;
    apart.context.close().await;
}

#[test]
fn only_the_plain_address_of_a_service_is_one() {
    for bad in [
        "",
        ORDERS,
        "orders:8080",
        "https://orders",
        "http://",
        "http://orders/v1",
        "http://orders?x",
        "http://orders,",
        "http://orders,https://orders",
    ] {
        assert!(Backend::remote(ORDERS, bad, None).is_err(), "{bad}");
    }
    assert!(Backend::remote(ORDERS, "http://orders:8080/", Some(token())).is_ok());
    assert!(Backend::remote(ORDERS, "http://one:8080, http://two:8080", None).is_ok());
}
