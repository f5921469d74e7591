//! What happens when a client asks too much, too slowly, or nonsense.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use contracts::services::GATEWAY;
use service::{
    ServiceContext,
    http::{BACKLOG, Json, Limits, listen, no_such_route, raise_open_files_max},
    problem::Problem,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::stage::{TestStore, eventually};

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
    async fn long() -> Vec<u8> {
        // More than all buffers on the way hold.
        vec![b'.'; 64 * 1024 * 1024]
    }
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/long", post(long))
        .route("/stumble", post(stumble))
        .route("/nap", post(nap))
        .route("/sleep", post(sleep))
        .fallback(no_such_route);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    context.serve(listener, GATEWAY, router, limits);
    address
}

/// A door that takes small bodies only.
async fn open_narrow_door(context: &ServiceContext) -> std::net::SocketAddr {
    open_door(context, Limits { body_bytes_max: 1_000, ..Limits::default() }).await
}

/// Sends raw bytes; returns all that comes back until the server closes.
async fn talk(address: std::net::SocketAddr, request: &str) -> String {
    talk_on(TcpStream::connect(address).await.unwrap(), request).await
}

async fn talk_on(mut stream: TcpStream, request: &str) -> String {
    // One that is refused may be closed before it has asked.
    let _ = stream.write_all(request.as_bytes()).await;
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
    let linger_max = Duration::from_millis(500);
    let limits = Limits { body_bytes_max: 1_000, linger_max, ..Limits::default() };
    let address = open_door(&context, limits).await;
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
async fn a_slow_client_that_is_refused_sends_its_body_to_the_end_and_gets_the_answer() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address = open_narrow_door(&context).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = post_request("/echo", &"1".repeat(5_000));
    // It takes two seconds: on a busy machine a client is no faster, even if it would.
    for piece in request.as_bytes().chunks(request.len().div_ceil(40)) {
        stream.write_all(piece).await.expect("the connection was reset before all was sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    context.close().await;
}

#[tokio::test]
async fn a_client_that_is_refused_does_not_keep_a_server_from_stopping() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let address = open_narrow_door(&context).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = post_request("/echo", &"1".repeat(5_000));
    stream.write_all(&request.as_bytes()[..2_000]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let began = Instant::now();
    context.close().await;
    let took = began.elapsed();
    assert!(took < Limits::default().linger_max / 2, "it took {took:?}");
}

#[tokio::test]
async fn one_too_many_of_an_address_gets_its_answer_while_it_sends() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits = Limits { connections_per_address_max: 0, ..Limits::default() };
    let address = open_door(&context, limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // More than all buffers on the way hold.
    let request = post_request("/echo", &"1".repeat(32 * 1024 * 1024));
    stream.write_all(request.as_bytes()).await.expect("the connection was reset");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    context.close().await;
}

/// A burst of clients: all are connected before the server accepts one.
#[tokio::test]
async fn as_many_connections_as_a_server_may_have_wait_to_be_accepted() {
    raise_open_files_max();
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let waiting = BACKLOG.min(somaxconn.trim().parse().unwrap());
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..waiting {
        let connected = TcpStream::connect(address);
        let connected = tokio::time::timeout(Duration::from_secs(20), connected).await;
        clients.push(connected.expect("the backlog is full").unwrap());
    }
    for _ in &clients {
        let accepted = tokio::time::timeout(Duration::from_secs(20), listener.accept()).await;
        accepted.expect("the kernel has dropped a connection").unwrap();
    }
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
    context.serve(listener, GATEWAY, router, Limits::default());
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
    let answer = talk(address, &post_request("/sleep", "")).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "the client was not slow: {answer}");
    assert!(answer.contains("repeat it with its Idempotency-Key"), "{answer}");
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
async fn only_a_client_that_sends_too_slowly_is_told_so() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits = Limits { body_wait_max: Duration::from_millis(100), ..Limits::default() };
    let address = open_door(&context, limits).await;
    for slow in ["content-length: 20\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let answer = talk(address, &format!("POST /echo HTTP/1.1\r\nhost: x\r\n{slow}")).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("nothing was done"), "{answer}");
    }
    let answer = talk(address, &post_request("/nap", "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "the service may take longer: {answer}");
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

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_makes_room_for_others() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits = Limits {
        connections_max: 1,
        write_wait_max: Duration::from_millis(200),
        ..Limits::default()
    };
    let address = open_door(&context, limits).await;
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(post_request("/long", "").as_bytes()).await.unwrap();
    assert!(talk(address, &post_request("/echo", "")).await.starts_with("HTTP/1.1 200"));

    // One that goes on asking, until nobody takes its questions any more.
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let questions = "GET /v1/x HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let asking = async { while deaf.write_all(questions.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("it is heard for ever");
    assert!(talk(address, &post_request("/echo", "")).await.starts_with("HTTP/1.1 200"));
    context.close().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_its_answer() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits = Limits { write_wait_max: Duration::from_millis(500), ..Limits::default() };
    let address = open_door(&context, limits).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(post_request("/long", "").as_bytes()).await.unwrap();
    let (mut all, mut piece) = (0, vec![0; 2 * 1024 * 1024]);
    let began = Instant::now();
    loop {
        match slow.read(&mut piece).await.unwrap() {
            0 => break,
            bytes => all += bytes,
        }
        if all < 40 * 1024 * 1024 {
            // In all, longer than a client may wait with nothing.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
    assert!(all > 64 * 1024 * 1024, "{all} bytes within {:?}", began.elapsed());
    context.close().await;
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits = Limits { connections_max: 8, connections_per_address_max: 4, ..Limits::default() };
    let address = open_door(&context, limits).await;
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Until it is answered, it may not be counted yet.
        stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        greedy.push(stream);
    }
    for _ in 0..16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("Too many connections of one address"), "{answer}");
    }
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = elsewhere.connect(address).await.unwrap();
    let answer = talk_on(stream, &post_request("/echo", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let refused = r#"chefcito_http_connections_refused_total{service="gateway"} 16"#;
    assert!(context.metrics.text().contains(refused), "{}", context.metrics.text());

    greedy.pop();
    eventually("there is room again", || async {
        talk(address, &post_request("/echo", "")).await.starts_with("HTTP/1.1 200")
    })
    .await;
    context.close().await;
}

#[tokio::test]
async fn bodies_that_find_no_room_are_refused_at_once_and_small_ones_are_not() {
    const BODY: usize = 10_000;
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let limits =
        Limits { body_bytes_max: BODY, bodies_bytes_max: 2 * BODY + 5_000, ..Limits::default() };
    let address = open_door(&context, limits).await;
    let body = format!("{{}}{}", " ".repeat(BODY - 2));
    let figures = |bytes: usize, refused: usize| {
        let text = context.metrics.text();
        text.contains(&format!("chefcito_http_bodies_bytes{{service=\"gateway\"}} {bytes}\n"))
            && text.contains(&format!(
                "chefcito_http_bodies_refused_total{{service=\"gateway\"}} {refused}\n"
            ))
    };
    eventually("the door is open", || async { figures(0, 0) }).await;

    let mut receiving = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = post_request("/echo", &body);
        let (now, later) = request.split_at(request.len() - 1);
        stream.write_all(now.as_bytes()).await.unwrap();
        receiving.push((stream, later.to_owned()));
    }
    eventually("two bodies are being received", || async { figures(2 * BODY, 0) }).await;
    // One that does not say how long it is may be as long as any, once it is not small.
    let chunked = |body: &str| {
        let head =
            "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n";
        format!("{head}\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    for request in [post_request("/echo", &body), chunked(&body[..5_000])] {
        let answer = talk(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("/problems/busy"), "{answer}");
    }
    assert!(figures(2 * BODY, 2), "{}", context.metrics.text());
    let small = &body[..4_000];
    for small in [post_request("/echo", ""), post_request("/echo", small), chunked(small)] {
        let answer = talk(address, &small).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    for (stream, later) in receiving {
        let answer = talk_on(stream, &later).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "who was let in is served: {answer}");
    }
    let answer = talk(address, &post_request("/echo", &body)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "there is room again: {answer}");
    eventually("all room is free", || async { figures(0, 2) }).await;
    context.close().await;
}
