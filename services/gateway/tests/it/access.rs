//! Who may what: every route, with every kind of key.

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode, header};
use contracts::{
    api::gateway::Role,
    services::{BOARD, INVENTORY, KITCHEN, MARKET_SIM, ORDERS},
};
use serde_json::{Value, json};

use crate::stage::{Stage, echoes};

const ID: &str = "0192f3c4-5a6b-7c8d-9e0f-112233445566";

/// The one whose answer does not end.
const LIVE: &str = "/v1/live";

/// The one that anyone may ask, from the page alone.
const SIGN_IN: &str = "/v1/session";

/// Every route: method, path, who may, and which service answers (or the gateway itself).
const ROUTES: [(&str, &str, Option<Role>, &str); 36] = [
    ("GET", "/", None, "gateway"),
    ("GET", "/health", None, "gateway"),
    ("GET", "/ready", None, "gateway"),
    ("GET", "/metrics", Some(Role::Viewer), "gateway"),
    ("GET", "/openapi.json", None, "gateway"),
    ("GET", "/proof", None, "gateway"),
    ("GET", "/board", None, "gateway"),
    ("GET", "/board/app.js", None, "gateway"),
    ("GET", "/board/app.css", None, "gateway"),
    ("POST", "/v1/sign-in-links", Some(Role::Viewer), "gateway"),
    ("POST", SIGN_IN, None, "gateway"),
    ("GET", "/v1/session", Some(Role::Viewer), "gateway"),
    ("DELETE", "/v1/session", Some(Role::Viewer), "gateway"),
    ("GET", "/v1/orders", Some(Role::Viewer), ORDERS),
    ("POST", "/v1/orders", Some(Role::Manager), ORDERS),
    ("GET", "/v1/orders/{id}", Some(Role::Viewer), ORDERS),
    ("POST", "/v1/orders/states", Some(Role::Viewer), ORDERS),
    ("POST", "/v1/orders/{id}/cancel", Some(Role::Manager), ORDERS),
    ("GET", "/v1/orders/{id}/story", Some(Role::Viewer), "gateway"),
    ("GET", "/v1/recipes", Some(Role::Viewer), KITCHEN),
    ("PUT", "/v1/recipes", Some(Role::Manager), KITCHEN),
    ("GET", "/v1/stock", Some(Role::Viewer), INVENTORY),
    ("PUT", "/v1/stock", Some(Role::Manager), INVENTORY),
    ("POST", "/v1/stock/adjustments", Some(Role::Manager), INVENTORY),
    ("GET", "/v1/purchases", Some(Role::Viewer), INVENTORY),
    ("GET", "/v1/summary", Some(Role::Viewer), BOARD),
    ("GET", "/v1/status", Some(Role::Viewer), "gateway"),
    ("GET", LIVE, Some(Role::Viewer), "gateway"),
    ("GET", "/v1/audit", Some(Role::Manager), "gateway"),
    ("POST", "/v1/audit/ledger", Some(Role::Viewer), "gateway"),
    ("GET", "/v1/keys", Some(Role::Admin), "gateway"),
    ("POST", "/v1/keys", Some(Role::Admin), "gateway"),
    ("DELETE", "/v1/keys/{id}", Some(Role::Admin), "gateway"),
    ("GET", "/v1/dead-letters", Some(Role::Admin), "gateway"),
    ("POST", "/v1/dead-letters/{service}/{id}/replay", Some(Role::Admin), KITCHEN),
    ("DELETE", "/v1/dead-letters/{service}/{id}", Some(Role::Admin), KITCHEN),
];
const MARKET_SIM_ROUTES: [(&str, &str, Option<Role>, &str); 3] = [
    ("GET", "/v1/market", Some(Role::Admin), MARKET_SIM),
    ("PUT", "/v1/market", Some(Role::Admin), MARKET_SIM),
    ("DELETE", "/v1/market", Some(Role::Admin), MARKET_SIM),
];

fn filled(path: &str) -> String {
    path.replace("{service}", KITCHEN).replace("{id}", ID)
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let stage = Stage::open().await;
    let viewer = stage.add_key("a viewer", Role::Viewer).await.secret;
    let manager = stage.add_key("a manager", Role::Manager).await.secret;
    let admin = stage.add_key("an admin", Role::Admin).await.secret;
    let stranger = gateway::new_key().unwrap();
    let mut forged = admin.clone();
    forged.replace_range(forged.len() - 1.., if admin.ends_with('0') { "1" } else { "0" });

    for (method, path, needed, service) in ROUTES.into_iter().chain(MARKET_SIM_ROUTES) {
        let method: Method = method.parse().unwrap();
        let path = filled(path);
        for key in [None, Some(&stranger), Some(&forged)] {
            let got = stage.ask(method.clone(), &path, key.map(String::as_str), json!({})).await;
            if (&method, path.as_str()) == (&Method::POST, SIGN_IN) {
                assert_eq!(got.problem().kind, "/problems/foreign-origin");
                continue;
            }
            let passes = got.status != StatusCode::UNAUTHORIZED;
            assert_eq!(passes, needed.is_none(), "{method} {path} without a good key");
            if !passes {
                assert_eq!(got.problem().kind, "/problems/unauthenticated");
                assert_eq!(got.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"chefcito\"");
            }
        }
        for (role, key) in
            [(Role::Viewer, &viewer), (Role::Manager, &manager), (Role::Admin, &admin)]
        {
            let method = if path == LIVE { Method::HEAD } else { method.clone() };
            let got = stage.ask(method.clone(), &path, Some(key), json!({})).await;
            if (&method, path.as_str()) == (&Method::POST, SIGN_IN) {
                assert_eq!(got.problem().kind, "/problems/foreign-origin");
                continue;
            }
            let may = needed.is_none_or(|needed| role >= needed);
            assert_eq!(got.status != StatusCode::FORBIDDEN, may, "{method} {path} as {role}");
            if !may {
                assert_eq!(got.problem().kind, "/problems/forbidden");
            } else if service != "gateway" {
                let echoed: Value = got.json();
                assert_eq!(echoed["service"], service, "{method} {path}");
                assert_eq!(echoed["method"], method.as_str());
            }
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn the_document_names_exactly_these_routes() {
    for has_market_sim in [true, false] {
        let backends = if has_market_sim { echoes() } else { echoes().without(MARKET_SIM) };
        let stage = Stage::with(backends).await;
        let document: Value =
            stage.ask(Method::GET, "/openapi.json", None, Value::Null).await.json();
        let documented: BTreeSet<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.map(move |method| format!("{} {path}", method.to_uppercase()))
            })
            .collect();
        let market_sim = MARKET_SIM_ROUTES.into_iter().filter(|_| has_market_sim);
        let known = ROUTES.into_iter().chain(market_sim);
        let known: BTreeSet<String> =
            known.map(|(method, path, ..)| format!("{method} {path}")).collect();
        assert_eq!(documented, known);
        stage.close().await;
    }
}

#[tokio::test]
async fn what_is_not_in_the_table_is_not_there_and_strangers_do_not_even_learn_that() {
    let stage = Stage::with(echoes().without(MARKET_SIM)).await;
    for path in [
        "/internal/status",
        "/internal/events?subject=1",
        "/internal/facts/outbox",
        "/v1/../internal/status",
        "/v1/orders/%2e%2e/%2e%2e/internal/status",
        "/v1//orders",
        "/V1/orders",
        "/v1/orders/",
        "/api/farmers-market/buy?ingredient=lemon",
        "/v1/market",
        "/v2/orders",
        "//",
    ] {
        let got = stage.ask(Method::GET, path, None, Value::Null).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{path}");
        let got = stage.get(path).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}: {}", got.text());
        assert_eq!(got.problem().kind, "/problems/not-found");
    }
    stage.close().await;
}

#[tokio::test]
async fn another_method_is_told_which_ones_there_are() {
    let stage = Stage::open().await;
    let got = stage.ask(Method::PATCH, "/v1/orders", None, Value::Null).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    let got = stage.ask(Method::PATCH, "/v1/orders", Some(&stage.admin), Value::Null).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(got.headers[header::ALLOW], "POST, GET");
    assert_eq!(got.problem().detail.unwrap(), "/v1/orders takes POST, GET.");
    stage.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_passed_to_the_service_that_has_it() {
    let stage = Stage::open().await;
    let admin = Some(stage.admin.as_str());
    let path = format!("/v1/dead-letters/kitchen/{ID}/replay");
    let echoed: Value = stage.ask(Method::POST, &path, admin, Value::Null).await.json();
    assert_eq!(echoed["path"], format!("/internal/dead-letters/{ID}/replay"));
    let path = format!("/v1/dead-letters/orders/{ID}");
    let echoed: Value = stage.ask(Method::DELETE, &path, admin, Value::Null).await.json();
    assert_eq!((&echoed["service"], &echoed["method"]), (&json!(ORDERS), &json!("DELETE")));
    let path = format!("/v1/dead-letters/bakery/{ID}");
    assert_eq!(stage.ask(Method::DELETE, &path, admin, Value::Null).await.status, 404);
    let path = "/v1/dead-letters/orders/..%2fstatus";
    assert_eq!(stage.ask(Method::DELETE, path, admin, Value::Null).await.status, 400);
    stage.close().await;
}
