//! Viewers at a WebSocket: they see what others see, and end when others end.

use std::{net::SocketAddr, time::Duration};

use axum::http::{HeaderValue, Method, StatusCode, header};
use contracts::api::gateway::Role;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::stage::Stage;

/// How long an event may take to come.
const WAIT_MAX: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

/// Connects with these headers; returns the status of who refuses.
async fn connect(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<Socket, StatusCode> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
    }
    match client_async(request, TcpStream::connect(address).await.unwrap()).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status()),
        Err(error) => panic!("{error}"),
    }
}

/// Returns the next text.
async fn next_text(socket: &mut Socket) -> String {
    loop {
        match timeout(WAIT_MAX, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Returns the next text that has a part.
async fn next_with(socket: &mut Socket, part: &str) -> String {
    loop {
        let text = next_text(socket).await;
        if text.contains(part) {
            return text;
        }
    }
}

/// Returns the reason for the end, whatever comes before it.
async fn end_of(socket: &mut Socket) -> Option<CloseFrame> {
    loop {
        match timeout(WAIT_MAX, socket.next()).await.unwrap() {
            Some(Ok(Message::Close(frame))) => return frame,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

fn id_of(events: &str) -> &str {
    events.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap()
}

#[tokio::test]
async fn a_viewer_at_a_websocket_is_told_what_others_are_told_and_goes_on_where_it_was() {
    let stage = Stage::open().await;
    let address = stage.listen().await;
    let key = format!("Bearer {}", stage.admin);
    let key = [("authorization", key.as_str())];
    let mut socket = connect(address, "/v1/live", &key).await.unwrap();
    let first = next_text(&mut socket).await;
    assert!(first.starts_with("id: ") && first.contains("\nevent: snapshot\n"), "{first}");

    // Another viewer changes the pace, which both are told.
    let mut other = connect(address, "/v1/live", &key).await.unwrap();
    let told = next_with(&mut socket, "\"viewers\":2").await;
    assert!(told.contains("event: change\n"), "{told}");
    let id = id_of(&told).to_owned();
    next_with(&mut other, "\"viewers\":2").await;
    socket.send(Message::Close(None)).await.unwrap();
    drop(socket);
    next_with(&mut other, "\"viewers\":1").await;
    let path = format!("/v1/live?last_event_id={id}");
    let mut back = connect(address, &path, &key).await.unwrap();
    let missed = next_text(&mut back).await;
    assert!(missed.contains("event: change\n") && !missed.contains("snapshot"), "{missed}");
    stage.close().await;
    let end = end_of(&mut other).await.unwrap();
    assert_eq!(end.code, CloseCode::Away);
    assert_eq!(end.reason.as_str(), "come back with the last id");
}

#[tokio::test]
async fn a_handshake_needs_a_key_or_the_session_of_the_page_itself() {
    let stage = Stage::open().await;
    let address = stage.listen().await;
    let connect = async |headers: &[(&'static str, &str)]| {
        connect(address, "/v1/live", headers).await.map(drop)
    };
    assert_eq!(connect(&[]).await, Err(StatusCode::UNAUTHORIZED));

    let asked = stage.ask(Method::POST, "/v1/sign-in-links", Some(&stage.admin), Value::Null);
    let link: Value = asked.await.json();
    let token = link["path"].as_str().unwrap().split('=').nth(1).unwrap();
    let origin = format!("http://{address}");
    let request = axum::extract::Request::post("/v1/session")
        .header(header::HOST, address.to_string())
        .header(header::ORIGIN, &origin)
        .body(serde_json::json!({ "token": token }).to_string().into());
    let got = stage.send(request.unwrap()).await;
    let cookie = got.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap();

    let with = |origin: &'static str| [("cookie", cookie), ("origin", origin)];
    assert_eq!(connect(&[("cookie", cookie), ("origin", &origin)]).await, Ok(()));
    assert_eq!(connect(&[("cookie", cookie)]).await, Err(StatusCode::FORBIDDEN));
    for origin in ["http://127.0.0.1:1", "https://example.com", "null"] {
        assert_eq!(connect(&with(origin)).await, Err(StatusCode::FORBIDDEN), "{origin}");
    }
    let rebound = [("cookie", cookie), ("host", "rebound.example.com")];
    assert_eq!(connect(&rebound).await, Err(StatusCode::UNAUTHORIZED));
    stage.close().await;
}

#[tokio::test]
async fn a_viewer_is_let_go_when_its_key_is_revoked_or_when_it_talks() {
    let stage = Stage::open().await;
    let address = stage.listen().await;
    let guest = stage.add_key("a guest", Role::Viewer).await;
    let key = format!("Bearer {}", guest.secret);
    let key = [("authorization", key.as_str())];
    let mut talks = connect(address, "/v1/live", &key).await.unwrap();
    next_text(&mut talks).await;
    talks.send(Message::text("?")).await.unwrap();
    let _may_be_gone = talks.send(Message::text("?".repeat(2_000))).await;
    assert_eq!(end_of(&mut talks).await, None, "it was let go without a word");

    let mut socket = connect(address, "/v1/live", &key).await.unwrap();
    next_text(&mut socket).await;
    let path = format!("/v1/keys/{}", guest.key.id);
    stage.ask(Method::DELETE, &path, Some(&stage.admin), Value::Null).await;
    assert_eq!(end_of(&mut socket).await.unwrap().code, CloseCode::Away);
    stage.close().await;
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let stage = Stage::open().await;
    let request = axum::extract::Request::get("/v1/live")
        .header(header::AUTHORIZATION, format!("Bearer {}", stage.admin))
        .header(header::UPGRADE, "websocket");
    let got = stage.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.problem().detail.unwrap().contains("no WebSocket handshake"));
    stage.close().await;
}

#[tokio::test]
async fn a_viewer_s_pings_and_its_goodbye_are_answered() {
    let stage = Stage::open().await;
    let address = stage.listen().await;
    let key = format!("Bearer {}", stage.admin);
    let mut socket = connect(address, "/v1/live", &[("authorization", &key)]).await.unwrap();
    // Of many pings at once, the last one is answered at the least (RFC 6455, 5.5.3).
    for ping in 0..1_000_u32 {
        socket.feed(Message::Ping(ping.to_be_bytes().to_vec().into())).await.unwrap();
    }
    socket.flush().await.unwrap();
    let last = 999_u32.to_be_bytes();
    let answered = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Pong(pong))) if *pong == last => return,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(WAIT_MAX, answered).await.unwrap();

    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "enough".into() };
    socket.send(Message::Close(Some(goodbye))).await.unwrap();
    assert_eq!(end_of(&mut socket).await.map(|frame| frame.code), Some(CloseCode::Normal));
    stage.close().await;
}
