//! A guest at a gateway's door, wherever it is.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use contracts::{
    OrderId,
    api::{
        audit::{AuditReport, Ledger},
        gateway::{Status, Story},
        orders::ORDERS_PER_REQUEST_MAX,
    },
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::history::History;

/// How long anything may take to come about, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// How long one answer may take: longer than the gateway takes for any.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Who asks at an address, with a key.
#[derive(Clone, Debug)]
pub struct Guest {
    address: String,
    key: String,
    client: Client<HttpConnector, Full<Bytes>>,
    history: Option<History>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whatever it is.
    pub body: Bytes,
}

impl Reply {
    /// Returns the body as JSON; `Null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Guest {
    /// Returns a guest at `host:port`.
    #[must_use]
    pub fn new(address: impl Into<String>, key: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { address: address.into(), key: key.into(), client, history: None }
    }

    /// Returns the same guest, whose requests and answers are noted from now on.
    #[must_use]
    pub fn noting(self, history: &History) -> Self {
        Self { history: Some(history.clone()), ..self }
    }

    /// Returns where it asks.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the key that it shows.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Asks, and returns what came of it; nothing if nobody answered.
    pub async fn try_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<Reply> {
        let key = headers.iter().find(|(name, _)| *name == "idempotency-key").map(|(_, key)| *key);
        let noted = self
            .history
            .as_ref()
            .and_then(|history| history.asked(method, path, key, body).map(|call| (history, call)));
        let reply = self.send(method, path, headers, body).await;
        if let Some((history, call)) = noted {
            let answer = reply.as_ref().map(|reply| (reply.status.as_u16(), &reply.body[..]));
            history.answered(&call, answer);
        }
        reply
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(Full::from(body)).unwrap();
        let answer = async {
            let response = self.client.request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Reply { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(ANSWER_MAX, answer).await.ok()?
    }

    /// Asks for what must be answered well, and is repeated until somebody answers.
    ///
    /// # Panics
    /// If the answer says that something is wrong.
    pub async fn ok(&self, method: &str, path: &str, body: Value) -> Value {
        let mut reply = None;
        until(&format!("{method} {path} is answered"), async || {
            reply = self.try_ask(method, path, &[], &body).await;
            reply.as_ref().is_some_and(|reply| reply.status != StatusCode::SERVICE_UNAVAILABLE)
        })
        .await;
        let reply = reply.unwrap();
        assert!(reply.status.is_success(), "{method} {path}: {} {}", reply.status, reply.json());
        reply.json()
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        serde_json::from_value(self.ok("GET", path, Value::Null).await).unwrap()
    }

    /// Makes a new environment ready for guests: six recipes, five of each ingredient, a simulated market that answers at once.
    pub async fn furnish(&self) {
        until("every service is ready", async || {
            self.status().await.is_some_and(|status| status.ready)
        })
        .await;
        self.ok("PUT", "/v1/recipes", menu()).await;
        let opening: BTreeMap<&str, i64> =
            contracts::Ingredient::ALL.iter().map(|one| (one.name(), 5)).collect();
        self.ok("PUT", "/v1/stock", json!({"opening": opening})).await;
        let market_sim =
            json!({"quantity_min": 1, "quantity_max": 10, "zeros": 0.0, "delay_ms": 0});
        self.ok("PUT", "/v1/market", market_sim).await;
        until("the menu is known at the door", async || {
            let reply =
                self.try_ask("POST", "/v1/orders", &[], &json!({"dish": "no such dish"})).await;
            let detail = reply.map(|reply| reply.json()["detail"].to_string());
            detail.is_some_and(|detail| detail.contains("pizza"))
        })
        .await;
    }

    /// Orders one dish.
    pub async fn order(&self, dish: &str) -> OrderId {
        let placed = self.ok("POST", "/v1/orders", json!({"dish": dish})).await;
        placed["orders"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Returns how the environment is; nothing if nobody says.
    pub async fn status(&self) -> Option<Status> {
        let reply = self.try_ask("GET", "/v1/status", &[], &Value::Null).await?;
        serde_json::from_slice(&reply.body).ok()
    }

    /// Waits until nothing is under way.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn settle(&self) {
        let began = Instant::now();
        loop {
            let status = self.status().await;
            if status.as_ref().is_some_and(|status| status.quiet) {
                return;
            }
            assert!(began.elapsed() < WAIT_MAX, "never quiet: {status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the story of an order.
    pub async fn story(&self, order: OrderId) -> Story {
        self.read(&format!("/v1/orders/{order}/story")).await
    }

    /// Fails the test unless every invariant holds now that nothing is under way, and every order that somebody was told
    /// is accepted exists.
    ///
    /// # Panics
    /// With the invariants that are broken.
    pub async fn audit(&self, accepted: &[OrderId]) {
        self.settle().await;
        let report: AuditReport = self.read("/v1/audit").await;
        let broken: Vec<_> = report.invariants.iter().filter(|one| !one.passed).collect();
        assert!(report.passed, "{broken:#?}");
        for page in accepted.chunks(ORDERS_PER_REQUEST_MAX) {
            let ledger = serde_json::to_value(Ledger { ids: page.to_vec() }).unwrap();
            let report: AuditReport =
                serde_json::from_value(self.ok("POST", "/v1/audit/ledger", ledger).await).unwrap();
            assert!(report.passed, "{:#?}", report.invariants);
        }
    }
}

/// Waits until something is so.
///
/// # Panics
/// If that takes too long.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < WAIT_MAX, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the menu of the opening, in which every dish cooks for 200 ms.
#[must_use]
pub fn menu() -> Value {
    let recipe = |name: &str, ingredients: Value| json!({"name": name, "ingredients": ingredients, "cooking_time_ms": 200});
    json!({"recipes": [
        recipe("rice with chicken", json!({"rice": 2, "onion": 1, "chicken": 1})),
        recipe("rice with meat", json!({"meat": 1, "rice": 2, "onion": 1})),
        recipe("burger", json!({"meat": 1, "cheese": 1, "ketchup": 1, "lettuce": 1})),
        recipe("french fries", json!({"potato": 3, "ketchup": 1})),
        recipe("pizza", json!({"cheese": 2, "tomato": 3})),
        recipe("salad", json!({"lemon": 1, "onion": 1, "tomato": 2, "lettuce": 2})),
    ]})
}
