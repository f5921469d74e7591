//! Who may watch, how many, and for how long.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode, header},
    response::Response,
};
use backends::Backend;
use contracts::{
    api::{board::Summary, gateway::Role, live::BoardView},
    services::BOARD,
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use service::http::Peer;

use crate::stage::{Got, Stage, all, echo};

/// Begins to watch, from an address of its own.
async fn watch(stage: &Stage, key: &str) -> Response {
    static VIEWERS: AtomicU32 = AtomicU32::new(1);
    watch_from(VIEWERS.fetch_add(1, Ordering::Relaxed), stage, key).await
}

async fn watch_from(address: u32, stage: &Stage, key: &str) -> Response {
    let address = SocketAddr::from((address.to_be_bytes(), 7_000));
    let request = Request::get("/v1/live")
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .extension(Peer(address));
    stage.answer(request.body(Body::empty()).unwrap()).await
}

/// Reads to the end of what is told, or to `wanted`.
async fn read_to(body: &mut Body, wanted: &str) -> String {
    let mut told = String::new();
    while !told.contains(wanted) {
        let Some(frame) = body.frame().await else { break };
        told += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
    }
    told
}

#[tokio::test]
async fn who_watches_learns_which_services_are_away() {
    // Those that only say what they were asked have no board and no stock.
    let stage = Stage::open().await;
    let response = watch(&stage, &stage.admin).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let told = read_to(&mut response.into_body(), "\n\n").await;
    assert!(told.contains("event: snapshot\n"), "{told}");
    let data = told.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let view: Value = serde_json::from_str(data).unwrap();
    for service in ["board", "inventory"] {
        assert!(view["away"][service].is_string(), "{view}");
    }
    assert_eq!(view["pace"]["viewers"], 1);
    stage.close().await;
}

#[tokio::test]
async fn with_many_viewers_the_few_views_have_what_is_new_on_the_board() {
    // A board on which something has always changed.
    let revision = Arc::new(AtomicI64::new(0));
    let board = Router::new().fallback(move || {
        let revision = revision.fetch_add(1, Ordering::Relaxed);
        let summary = Summary { placed: revision, ..Summary::default() };
        async move { axum::Json(BoardView { revision, summary, ..BoardView::default() }) }
    });
    let stage = Stage::with(all(|service| {
        Backend::in_process(if service == BOARD { board.clone() } else { echo(service) })
    }))
    .await;
    let viewer = stage.add_key("a viewer", Role::Viewer).await;
    let mut watching = Vec::new();
    for number in 0..1_001 {
        let key = if number % 2 == 0 { &viewer.secret } else { &stage.admin };
        watching.push(watch(&stage, key).await.into_body());
    }
    let mut body = watching.pop().unwrap();
    read_to(&mut body, "\"viewers\":1001").await;
    let (mut views, mut of_the_board) = (0, 0);
    while views < 6 {
        let told = read_to(&mut body, "\n\n").await;
        for data in told.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let change: Value = serde_json::from_str(data).unwrap();
            views += 1;
            of_the_board += i32::from(change["summary"].is_object());
        }
    }
    assert!(of_the_board >= views - 2, "{of_the_board} of {views} views have the board's part");
    stage.close().await;
}

#[tokio::test]
async fn a_view_ends_when_its_key_is_revoked() {
    let stage = Stage::open().await;
    let viewer = stage.add_key("a viewer", Role::Viewer).await;
    let mut body = watch(&stage, &viewer.secret).await.into_body();
    read_to(&mut body, "snapshot").await;
    let path = format!("/v1/keys/{}", viewer.key.id);
    let revoked = stage.ask(Method::DELETE, &path, Some(&stage.admin), Value::Null).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    read_to(&mut body, "never told").await;
    assert_eq!(watch(&stage, &viewer.secret).await.status(), StatusCode::UNAUTHORIZED);
    stage.close().await;
}

#[tokio::test]
async fn neither_one_key_nor_one_address_can_take_all_places() {
    let stage = Stage::open().await;
    let viewer = stage.add_key("a viewer", Role::Viewer).await;
    let others = [
        stage.add_key("another one", Role::Viewer).await,
        stage.add_key("a third one", Role::Viewer).await,
    ];
    let mut watching = Vec::new();
    let refused = loop {
        let response = watch(&stage, &viewer.secret).await;
        if response.status() != StatusCode::OK {
            break Got::of(response).await;
        }
        watching.push(response);
        assert!(watching.len() <= 1_000);
    };
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.problem().kind, "/problems/too-many-viewers");
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(watching.len(), 1_000);
    let other = watch(&stage, &others[0].secret).await;
    assert_eq!(other.status(), StatusCode::OK);
    drop((watching, other));

    let mut watching = Vec::new();
    for number in 0..1_000 {
        watching.push(watch_from(1 << 24, &stage, &others[number % 2].secret).await);
    }
    assert!(watching.iter().all(|response| response.status() == StatusCode::OK));
    let refused = watch_from(1 << 24, &stage, &others[0].secret).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let other = watch_from(2 << 24, &stage, &others[0].secret).await;
    assert_eq!(other.status(), StatusCode::OK);
    stage.close().await;
}
