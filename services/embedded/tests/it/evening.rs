//! The words of the stories: an environment, its guests, its market.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use contracts::{
    OrderId,
    api::{
        audit::AuditReport,
        gateway::{Status, Story},
        live::{CHANGE, SNAPSHOT, View},
    },
};
use embedded::{Embedded, EmbeddedConfig};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{History, menu};
use test_support::{TestDatabase, postgres};
use tower::ServiceExt as _;

/// How long anything may take to come about, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(60);
const ADMIN_KEY: &str = "cfk_local0admin0_0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef";

/// Where an environment keeps its data. It outlives the environment, so that it can be opened again.
pub(crate) enum TestStore {
    Sqlite(TempDir),
    Postgres(TestDatabase, TempDir),
}

impl TestStore {
    /// Returns a ground on each engine that is there.
    pub(crate) fn all() -> Vec<Self> {
        let mut grounds = vec![Self::sqlite()];
        grounds.extend(
            postgres().map(|database| Self::Postgres(database, tempfile::tempdir().unwrap())),
        );
        grounds
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn config(&self) -> EmbeddedConfig {
        let (folder, database_url) = match self {
            Self::Sqlite(folder) => (folder, None),
            Self::Postgres(database, folder) => (folder, Some(database.url().to_owned())),
        };
        EmbeddedConfig {
            database_url,
            admin_key: ADMIN_KEY.into(),
            cooking_time: Some(Duration::ZERO),
            ..EmbeddedConfig::new(folder.path().to_owned())
        }
    }
}

/// An open environment with the six recipes, and whatever stock the story says.
pub(crate) struct Evening {
    environment: Embedded,
    history: History,
}

impl Evening {
    /// Opens an environment as it was left.
    pub(crate) async fn open(config: EmbeddedConfig) -> Self {
        Self::open_again(config, History::default()).await
    }

    /// Opens an environment as it was left, for guests who have a history.
    pub(crate) async fn open_again(config: EmbeddedConfig, history: History) -> Self {
        Self { environment: Embedded::open(config).await.unwrap(), history }
    }

    /// Opens an environment for the first time: the menu, five of each ingredient, a simulated market that answers at once.
    pub(crate) async fn first(config: EmbeddedConfig) -> Self {
        let evening = Self::open(config).await;
        evening.ok("PUT", "/v1/recipes", menu()).await;
        let names = [
            "cheese", "chicken", "ketchup", "lemon", "lettuce", "meat", "onion", "potato", "rice",
            "tomato",
        ];
        let opening: BTreeMap<&str, i64> = names.map(|name| (name, 5)).into();
        evening.ok("PUT", "/v1/stock", json!({"opening": opening})).await;
        evening
            .market_sim(json!({"quantity_min": 1, "quantity_max": 10, "zeros": 0.0, "delay_ms": 0}))
            .await;
        evening
            .until("the menu is known at the door", async || {
                evening.ask("POST", "/v1/orders", json!({"dish": "no such dish"})).await.1["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains("pizza"))
            })
            .await;
        evening
    }

    /// Closes the environment, after a check that all answers agree with each other; returns them.
    pub(crate) async fn close(self) -> History {
        self.history.check();
        tokio::time::timeout(WAIT_MAX, self.environment.close())
            .await
            .expect("an environment closes in time");
        self.history
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let call = self.history.asked(method, path, None, &body);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {ADMIN_KEY}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = self
            .environment
            .router()
            .oneshot(request.body(Body::from(body)).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        if let Some(call) = call {
            self.history.answered(&call, Some((status.as_u16(), &bytes)));
        }
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Begins to watch, with what one has seen before.
    pub(crate) async fn watch(&self, last_id: Option<&str>) -> Viewer {
        let request =
            Request::get("/v1/live").header("authorization", format!("Bearer {ADMIN_KEY}"));
        let request = match last_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let request = request.body(Body::empty()).unwrap();
        let response = self.environment.router().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Viewer {
            body: response.into_body(),
            unread: String::new(),
            view: View::default(),
            id: String::new(),
            snapshots: 0,
        }
    }

    /// Returns what is there as a text.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = Request::get(path).header("authorization", format!("Bearer {ADMIN_KEY}"));
        let request = request.body(Body::empty()).unwrap();
        let response = self.environment.router().oneshot(request).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    pub(crate) async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// Tells the simulated market what to be.
    pub(crate) async fn market_sim(&self, settings: Value) {
        self.ok("PUT", "/v1/market", settings).await;
    }

    /// Asks at the simulated market's own address, without a key.
    pub(crate) async fn at_the_market_sim(&self, request: &str) -> String {
        self.at_the_market_sim_with(&format!("{request} HTTP/1.1")).await
    }

    /// Asks there with a whole head of a request.
    pub(crate) async fn at_the_market_sim_with(&self, head: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream =
            tokio::net::TcpStream::connect(self.environment.market_sim_address().unwrap())
                .await
                .unwrap();
        let head = format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Books stock, so that nothing has to be bought.
    pub(crate) async fn fill_shelves(&self, quantity: i64) {
        let stock = self.ok("GET", "/v1/stock", Value::Null).await;
        let set: BTreeMap<String, i64> = stock["stock"]
            .as_array()
            .unwrap()
            .iter()
            .map(|shelf| (shelf["ingredient"].as_str().unwrap().to_owned(), quantity))
            .collect();
        self.ok("POST", "/v1/stock/adjustments", json!({"set": set})).await;
    }

    pub(crate) async fn guest_orders(&self, dish: &str) -> OrderId {
        self.guests_order(&[Some(dish)]).await[0]
    }

    /// Places one order a dish in one request; `None` lets the kitchen pick.
    pub(crate) async fn guests_order(&self, dishes: &[Option<&str>]) -> Vec<OrderId> {
        let lines: Vec<Value> = dishes.iter().map(|dish| json!({"dish": dish})).collect();
        let placed = self.ok("POST", "/v1/orders", json!({"orders": lines})).await;
        placed["orders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].as_str().unwrap().parse().unwrap())
            .collect()
    }

    pub(crate) async fn status_of(&self, order: OrderId) -> String {
        self.ok("GET", &format!("/v1/orders/{order}"), Value::Null).await["status"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settle(&self) {
        let status = async || -> Status {
            serde_json::from_value(self.ok("GET", "/v1/status", Value::Null).await).unwrap()
        };
        let started = Instant::now();
        while !status().await.quiet {
            assert!(started.elapsed() < WAIT_MAX, "never quiet: {:#?}", status().await);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    pub(crate) async fn until(&self, what: &str, question: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !question().await {
            assert!(started.elapsed() < WAIT_MAX, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns the names of what happened to an order, in order.
    pub(crate) async fn events_of(&self, order: OrderId) -> Vec<String> {
        self.story_of(order).await.events.into_iter().map(|event| event.event).collect()
    }

    pub(crate) async fn story_of(&self, order: OrderId) -> Story {
        let answer = self.ok("GET", &format!("/v1/orders/{order}/story"), Value::Null).await;
        serde_json::from_value(answer).unwrap()
    }

    /// Tells what happened to an order, a line an event.
    pub(crate) async fn story(&self, order: OrderId) -> String {
        let mut text = String::new();
        for event in self.story_of(order).await.events {
            let words = ["dish", "needs", "missing", "reserved", "released"]
                .iter()
                .find_map(|field| event.data.get(field))
                .map_or(String::new(), in_words);
            let line = format!("{:10} {:29} {words}", event.service, event.event);
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
        text
    }

    /// Tells the same, one service after the other.
    pub(crate) async fn story_by_service(&self, order: OrderId) -> String {
        let story = self.story(order).await;
        let mut lines: Vec<&str> = story.lines().collect();
        lines.sort_by_key(|line| line.split(' ').next());
        lines.join("\n")
    }

    /// Fails the test unless every invariant holds, now that nothing is under way.
    pub(crate) async fn audit(&self) {
        let report: AuditReport =
            serde_json::from_value(self.ok("GET", "/v1/audit", Value::Null).await).unwrap();
        let broken: Vec<_> =
            report.invariants.iter().filter(|invariant| !invariant.passed).collect();
        assert!(report.passed, "{broken:#?}");
    }
}

/// One who watches, and what they see.
pub(crate) struct Viewer {
    body: Body,
    unread: String,
    /// The view.
    pub(crate) view: View,
    /// The id of the last event.
    pub(crate) id: String,
    /// How many whole views came.
    pub(crate) snapshots: usize,
}

impl Viewer {
    /// Reads the next event, which must come in time.
    pub(crate) async fn next(&mut self, what: &str) {
        let next = tokio::time::timeout(WAIT_MAX, self.try_next());
        let next = next.await.unwrap_or_else(|_| panic!("not in time: {what}: {:#?}", self.view));
        next.unwrap_or_else(|| panic!("the view ended before {what}"));
    }

    /// Reads the next event; `None` at the end.
    pub(crate) async fn try_next(&mut self) -> Option<()> {
        let event = loop {
            match self.unread.split_once("\n\n") {
                Some((event, rest)) if event.starts_with(':') => self.unread = rest.to_owned(),
                Some((event, rest)) => {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.unread = rest;
                    break event;
                }
                None => {
                    let frame = self.body.frame().await?.unwrap();
                    self.unread += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
                }
            }
        };
        let field = |name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
        };
        self.id = field("id").to_owned();
        match field("event") {
            SNAPSHOT => {
                self.view = serde_json::from_str(field("data")).unwrap();
                self.snapshots += 1;
            }
            CHANGE => live::apply(&mut self.view, serde_json::from_str(field("data")).unwrap()),
            other => panic!("no such event: {other}"),
        }
        Some(())
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(quantities) => {
            let words: Vec<String> =
                quantities.iter().map(|(name, quantity)| format!("{quantity} {name}")).collect();
            words.join(", ")
        }
        _ => String::new(),
    }
}
