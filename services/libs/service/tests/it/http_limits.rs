//! What happens when a client asks too much, too slowly, or nonsense.

use std::{collections::BTreeMap, time::Duration};

use axum::{Router, routing::post};
use service::{
    ServiceContext,
    http::{Json, Limits, no_such_route},
    problem::Problem,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::stage::TestStore;

async fn open_door(context: &ServiceContext, limits: Limits) -> std::net::SocketAddr {
    async fn echo(Json(value): Json<BTreeMap<String, i64>>) -> Result<String, Problem> {
        Ok(format!("{}", value.len()))
    }
    async fn nap() {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    async fn sleep() {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
    async fn stumble() {
        panic!("a handler stumbles");
    }
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/stumble", post(stumble))
        .route("/nap", post(nap))
        .route("/sleep", post(sleep))
        .fallback(no_such_route);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    context.serve(listener, "gateway", router, limits);
    address
}

/// A door that takes small bodies only.
async fn open_narrow_door(context: &ServiceContext) -> std::net::SocketAddr {
    open_door(context, Limits { body_bytes_max: 1_000, ..Limits::default() }).await
}

/// Sends raw bytes; returns all that comes back until the server closes.
async fn talk(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a body may reset the connection after its answer.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post_request(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn nonsense_gets_a_problem_that_says_what_is_wrong() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address = open_narrow_door(&context).await;
    let cases = [
        (post_request("/echo", r#"{"a":1,"b":2}"#), "200 OK", "2"),
        (post_request("/echo", r#"{"a":1"#), "400 Bad Request", "The body is not JSON"),
        (post_request("/echo", r#"{"a":"x"}"#), "422 Unprocessable Entity", "invalid type"),
        (post_request("/echo", &"1".repeat(5_000)), "413 Payload Too Large", "too large"),
        (post_request("/nowhere", ""), "404 Not Found", "No route is called POST /nowhere."),
        ("NONSENSE\r\n\r\n".to_owned(), "400 Bad Request", ""),
    ];
    for (request, status, words) in cases {
        let answer = talk(address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:.80} → {answer}");
        assert!(answer.contains(words), "{request:.80} → {answer}");
    }
    context.close().await;
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_500_on_a_connection_that_stays() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address = open_door(&context, Limits::default()).await;
    let stumbles = post_request("/stumble", "").replace("connection: close\r\n", "");
    let answer = talk(address, &(stumbles + &post_request("/echo", ""))).await;
    assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(!answer.contains("stumbles"), "the answer shows our insides: {answer}");
    assert!(answer.contains("HTTP/1.1 200 OK"), "the next request is lost: {answer}");
    context.close().await;
}

#[tokio::test]
async fn who_sends_too_much_to_its_end_gets_the_answer() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address = open_narrow_door(&context).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // More than all buffers on the way hold.
    stream
        .write_all(
            post_request("/echo", &"1".repeat(32 * 1024 * 1024))
                .replace("connection: close\r\n", "")
                .as_bytes(),
        )
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "it is not to be used again: {answer}");
    context.close().await;
}

#[tokio::test]
async fn who_never_stops_sending_is_left_standing() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address = open_narrow_door(&context).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n")
        .await
        .unwrap();
    let sending = async { while stream.write_all(b"1").await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), sending).await.unwrap();
    context.close().await;
}

#[tokio::test]
async fn a_list_is_not_taken_for_the_fields_of_an_object() {
    #[derive(serde::Deserialize)]
    struct Wish {
        #[serde(default)]
        dish: Option<String>,
    }
    async fn wish(Json(wish): Json<Wish>) -> String {
        wish.dish.unwrap_or_default()
    }
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/wish", post(wish));
    context.serve(listener, "gateway", router, Limits::default());
    for list in ["[]", r#" ["pizza"]"#] {
        let answer = talk(address, &post_request("/wish", list)).await;
        assert!(answer.starts_with("HTTP/1.1 422"), "{list} → {answer}");
        assert!(answer.contains("should be an object, not a list"), "{answer}");
    }
    let answer = talk(address, &post_request("/wish", r#"{"dish":"pizza"}"#)).await;
    assert!(answer.ends_with("pizza"), "{answer}");
    context.close().await;
}

#[tokio::test]
async fn a_slow_client_is_shown_the_door_and_others_are_served() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits = Limits {
        head_wait_max: Duration::from_millis(100),
        request_max: Duration::from_millis(100),
        long_request: Some(("/nap", Duration::from_secs(20))),
        ..Limits::default()
    };
    let address = open_door(&context, limits).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST /echo HT").await.unwrap();
        slow.push(stream);
    }
    assert!(talk(address, &post_request("/echo", "")).await.starts_with("HTTP/1.1 200"));
    assert!(talk(address, &post_request("/sleep", "")).await.starts_with("HTTP/1.1 408"));
    assert!(talk(address, &post_request("/nap", "")).await.starts_with("HTTP/1.1 200"));
    for mut stream in slow {
        let mut rest = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "a client that sends no head kept its connection");
    }
    context.close().await;
}

#[tokio::test]
async fn closing_lets_a_request_under_way_end_and_is_bounded() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address =
        open_door(&context, Limits { drain_max: Duration::from_millis(200), ..Limits::default() })
            .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(post_request("/sleep", "").as_bytes()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), context.close())
        .await
        .expect("closing is bounded");
    assert!(TcpStream::connect(address).await.is_err(), "the door is still open");
}
