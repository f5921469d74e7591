//! Services apart come and go, alone and in several replicas; guests do not notice.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode},
    response::IntoResponse as _,
};
use backends::Backend;
use contracts::{api::gateway::Status, services::ORDERS};
use serde_json::{Value, json};
use service::{
    ServiceContext,
    http::{Limits, NOTHING_DONE},
};
use store::{Clock, Durability, Location};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::stage::{Stage, echo, echoes};

/// How long anything here may take on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A service that can be closed and opened again at the same address.
struct Replica {
    context: Option<ServiceContext>,
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    router: Router,
}

impl Replica {
    async fn open() -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        let router = echo(ORDERS).layer(axum::middleware::map_request(move |request: Request| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { request }
        }));
        let address = ([127, 0, 0, 1], 0).into();
        let mut replica = Self { context: None, address, answered, router };
        replica.serve().await;
        replica
    }

    async fn serve(&mut self) {
        let location =
            Location::Folder { folder: std::env::temp_dir(), durability: Durability::Process };
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        context.serve(listener, ORDERS, self.router.clone(), Limits::default());
        self.context = Some(context);
    }

    async fn close(&mut self) {
        self.context.take().unwrap().close().await;
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Returns a gateway before these orders services.
async fn before(urls: &str) -> Arc<Stage> {
    let orders = Backend::remote(ORDERS, urls, None).unwrap();
    Arc::new(Stage::with(echoes().with(ORDERS, orders)).await)
}

/// Guests who ask and order without a pause, until they are told to stop; each answer must be a good one.
struct Guests {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Guests {
    fn come(stage: &Arc<Stage>) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let guest = |at: usize| {
            let (stage, stop, asked) = (Arc::clone(stage), Arc::clone(&stop), Arc::clone(&asked));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let method = if at.is_multiple_of(2) { Method::GET } else { Method::POST };
                    let got =
                        stage.ask(method, "/v1/orders", Some(&stage.admin), Value::Null).await;
                    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let tasks = (0..8).map(guest).collect();
        Self { stop, asked, tasks }
    }

    async fn have_asked(&self, more: usize) {
        let until = self.asked.load(Ordering::Relaxed) + more;
        wait_for("they asked", || self.asked.load(Ordering::Relaxed) >= until).await;
    }

    async fn go(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < WAIT_MAX, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_restarted_again_and_again_and_no_guest_notices() {
    let mut orders = Replica::open().await;
    let stage = before(&orders.url()).await;
    let guests = Guests::come(&stage);
    for pause_ms in [0, 50, 500, 1_500] {
        guests.have_asked(50).await;
        orders.close().await;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        orders.serve().await;
    }
    guests.have_asked(50).await;
    guests.go().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_guests_and_each_may_go_and_come() {
    let mut replicas = [Replica::open().await, Replica::open().await, Replica::open().await];
    let urls: Vec<String> = replicas.iter().map(Replica::url).collect();
    let stage = before(&urls.join(",")).await;
    let guests = Guests::come(&stage);
    guests.have_asked(300).await;
    for replica in &replicas {
        assert!(replica.answered() >= 60, "{}", replica.answered());
    }
    for replica in &mut replicas {
        replica.close().await;
        guests.have_asked(100).await;
        replica.serve().await;
        let before = replica.answered();
        wait_for("it gets its share again", || replica.answered() > before + 20).await;
    }
    guests.go().await;
}

#[tokio::test]
async fn an_answer_that_got_lost_is_asked_for_again_under_the_same_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = before(&format!("http://{}", listener.local_addr().unwrap())).await;
    let server = tokio::spawn(async move {
        let mut keys = Vec::new();
        for attempt in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n{}") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
            keys.push(key.unwrap().to_owned());
            if attempt == 2 {
                let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
            }
        }
        keys
    });
    let got = stage.ask(Method::POST, "/v1/orders", Some(&stage.admin), json!({})).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    let keys = server.await.unwrap();
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
}

#[tokio::test]
async fn who_says_that_nothing_was_done_is_asked_again_until_it_is_open() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let opens_slowly =
        Router::new().fallback(async move || match count.fetch_add(1, Ordering::Relaxed) {
            0..3 => (StatusCode::SERVICE_UNAVAILABLE, [(NOTHING_DONE, "true")]).into_response(),
            _ => StatusCode::OK.into_response(),
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = before(&format!("http://{}", listener.local_addr().unwrap())).await;
    let server = tokio::spawn(async move { axum::serve(listener, opens_slowly).await });
    let got = stage.ask(Method::PUT, "/v1/market", Some(&stage.admin), json!({})).await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    server.abort();
}

#[tokio::test]
async fn who_answers_in_the_place_of_a_service_is_not_believed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let stranger_first =
        Router::new().fallback(async move || match count.fetch_add(1, Ordering::Relaxed) {
            0 => (StatusCode::FORBIDDEN, "no such host").into_response(),
            1 => (StatusCode::SERVICE_UNAVAILABLE, "upstream connect error").into_response(),
            _ => StatusCode::ACCEPTED.into_response(),
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = before(&format!("http://{}", listener.local_addr().unwrap())).await;
    let server = tokio::spawn(async move { axum::serve(listener, stranger_first).await });
    let got = stage.ask(Method::POST, "/v1/orders", Some(&stage.admin), json!({})).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    server.abort();
}

#[tokio::test]
async fn one_that_stays_away_is_waited_for_once_and_its_status_is_known_at_once() {
    let mut orders = Replica::open().await;
    let stage = before(&orders.url()).await;
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    orders.close().await;
    let began = Instant::now();
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!((2_000..10_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());

    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let status: Status = stage.get("/v1/status").await.json();
        fastest = fastest.min(began.elapsed());
        assert_eq!(status.services[ORDERS].reason.as_deref(), Some("it can't be reached"));
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
    orders.serve().await;
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    orders.close().await;
}
