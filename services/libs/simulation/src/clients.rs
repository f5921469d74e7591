//! The load: clients that order, repeat, cancel, read, seed and adjust, and remember what they were answered.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use history::Call;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use test_support::History;
use tower::ServiceExt as _;

use crate::{machine, world::World};

pub(crate) const ADMIN_KEY: &str =
    "cfk_local0admin0_0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef";
/// How long a client waits for an answer; after that it is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// How long a client waits before it sends an unanswered request again.
const PAUSE: Duration = Duration::from_millis(50);
const INGREDIENTS: [&str; 10] = [
    "cheese", "chicken", "ketchup", "lemon", "lettuce", "meat", "onion", "potato", "rice", "tomato",
];
const DISHES: [&str; 6] =
    ["burger", "french fries", "pizza", "rice with chicken", "rice with meat", "salad"];

/// What the clients of all lives remember.
#[derive(Debug)]
pub(crate) struct Memory {
    /// What they asked and were answered, by the rules that users have.
    pub(crate) history: History,
    /// Requests with a key that were answered with a 202, with the ids.
    pub(crate) placed: Vec<(String, Value, Vec<String>)>,
    /// Requests with a key whose outcome is unknown.
    pub(crate) unknown: Vec<(String, Value)>,
    /// How many requests of this life have no answer.
    pub(crate) unanswered: u64,
    /// How long a key is sure to be remembered after its first use, in nanoseconds.
    kept_for: i64,
    keys: u64,
    /// The keys that were sent.
    uses: BTreeMap<String, Uses>,
}

/// The requests that were sent with one key.
#[derive(Clone, Copy, Debug)]
struct Uses {
    /// When the first was sent.
    first_at: i64,
    count: u64,
}

impl Memory {
    /// Begins with nothing. `kept_for` says how long, in nanoseconds, a key is sure to be remembered after its first use.
    pub(crate) fn new(kept_for: i64) -> Self {
        Self {
            history: History::default(),
            placed: Vec::new(),
            unknown: Vec::new(),
            unanswered: 0,
            kept_for,
            keys: 0,
            uses: BTreeMap::new(),
        }
    }

    /// Notes a request that is about to be sent; returns the call that the history has of it, if it has one.
    fn asked(&mut self, method: &str, path: &str, key: Option<&str>, body: &Value) -> Option<Call> {
        self.unanswered += 1;
        if let Some(key) = key {
            let first = Uses { first_at: machine::elapsed(), count: 0 };
            self.uses.entry(key.to_owned()).or_insert(first).count += 1;
        }
        self.history.asked(method, path, key, body)
    }

    /// Notes an answer: the status and the body.
    fn answered(&mut self, call: Option<&Call>, key: Option<&str>, status: u16, body: &[u8]) {
        self.unanswered -= 1;
        let Some(call) = call else { return };
        match key.and_then(|key| self.uses.get(key)) {
            // A key that was used only once can't have been forgotten.
            Some(uses)
                if uses.count > 1
                    && machine::elapsed() > uses.first_at.saturating_add(self.kept_for) =>
            {
                self.history
                    .unclear(call, "the key may be forgotten: the answer may be of new orders");
            }
            _ => self.history.answered(call, Some((status, body))),
        }
    }
}

/// A client. Clones share their memory.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) router: Router,
    pub(crate) memory: Rc<RefCell<Memory>>,
}

/// What came of a request; no status if that is unknown.
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn is_ok(&self) -> bool {
        self.status.is_some_and(|status| status / 100 == 2)
    }
}

impl Client {
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let call = self.memory.borrow_mut().asked(method, path, key, body);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {ADMIN_KEY}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let Ok(request) = request.body(Body::from(text)) else {
            return Answer { status: None, body: Value::Null };
        };
        let router = self.router.clone();
        let answered = tokio::time::timeout(ANSWER_MAX, async {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status().as_u16();
            let replayed = response.headers().contains_key("idempotency-replayed");
            let bytes = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, replayed, bytes))
        });
        let answer = answered.await.ok().flatten().filter(|_| !self.world.is_killed());
        let Some((status, replayed, bytes)) = answer else {
            if let Some(call) = call {
                self.memory.borrow().history.answered(&call, None);
            }
            self.world.note(format_args!("client     {method} {path} {key:?}: no answer"));
            return Answer { status: None, body: Value::Null };
        };
        self.memory.borrow_mut().answered(call.as_ref(), key, status, &bytes);
        let body = serde_json::from_slice::<Value>(&bytes).unwrap_or(Value::Null);
        self.world.note(format_args!("client     {method} {path} {key:?}: {status} {body}"));
        if replayed {
            self.world.sometimes("client: request repeated");
        }
        if status == 503 {
            self.world.sometimes("client: 503");
        }
        Answer { status: Some(status), body }
    }

    /// Sends a request until it is answered with a success; panics if it is refused.
    pub(crate) async fn until_ok(&self, method: &str, path: &str, body: &Value) -> Value {
        loop {
            let answer = self.ask(method, path, None, body).await;
            if answer.is_ok() {
                return answer.body;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn new_key(&self) -> String {
        let mut memory = self.memory.borrow_mut();
        memory.keys += 1;
        format!("key-{}", memory.keys)
    }

    /// Opens the restaurant: menu, stock, and a market that sells something between zero and ten.
    pub(crate) async fn furnish(&self, opening: u64) {
        self.until_ok("PUT", "/v1/recipes", &test_support::menu()).await;
        let stock: Value = INGREDIENTS
            .iter()
            .map(|name| ((*name).to_owned(), json!(opening)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        self.until_ok("PUT", "/v1/stock", &json!({ "opening": stock })).await;
        self.until_ok(
            "PUT",
            "/v1/market",
            &json!({"quantity_min": 1, "quantity_max": 10, "zeros": 0.2, "delay_ms": 5}),
        )
        .await;
        loop {
            let asked =
                self.ask("POST", "/v1/orders", None, &json!({"dish": "no such dish"})).await;
            if asked.body["detail"].as_str().is_some_and(|detail| detail.contains("pizza")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends requests of all kinds, one after the other.
    pub(crate) async fn visit(self, requests: u64) {
        for _ in 0..requests {
            self.one().await;
            let pause = self.world.draw(|draws| match draws.below(10) {
                0..6 => draws.below(30),
                6..9 => draws.below(400),
                _ => draws.below(4_000),
            });
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn one(&self) {
        match self.world.draw(|draws| draws.below(100)) {
            0..12 => self.place(json!({})).await,
            12..24 => {
                let dish = self.world.draw(|draws| draws.one(&DISHES));
                self.place(json!({ "dish": dish })).await;
            }
            24..34 => {
                let lines: Vec<Value> = self.world.draw(|draws| {
                    (0..2 + draws.below(9))
                        .map(|_| match draws.happens(500) {
                            true => json!({}),
                            false => json!({ "dish": draws.one(&DISHES) }),
                        })
                        .collect()
                });
                self.place(json!({ "orders": lines })).await;
            }
            34..44 => self.repeat().await,
            44..64 => self.cancel().await,
            64..74 => self.read().await,
            74..78 => {
                self.ask("GET", "/v1/stock", None, &Value::Null).await;
            }
            78..84 => self.adjust().await,
            84..90 => self.reseed().await,
            90..94 => {
                self.replay_dead_letters().await;
            }
            94..97 => self.place_twice_at_once().await,
            _ => self.reuse_key().await,
        }
    }

    /// Places orders and repeats the request until it is answered, or, sometimes, gives up after the first time.
    async fn place(&self, body: Value) {
        let key = self.new_key();
        self.send(key, body).await;
    }

    async fn send(&self, key: String, body: Value) {
        self.memory.borrow_mut().unknown.push((key.clone(), body.clone()));
        for attempt in 0..8 {
            let answer = self.ask("POST", "/v1/orders", Some(&key), &body).await;
            if self.settle(&key, &body, &answer) {
                if attempt > 0 {
                    self.world.sometimes("recovery: unanswered request resolved by its key");
                }
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes an answer to a request with a key; returns whether it says how the request ended.
    fn settle(&self, key: &str, body: &Value, answer: &Answer) -> bool {
        let ends = match answer.status {
            Some(202) => {
                let ids = answer.body["orders"].as_array().into_iter().flatten();
                let ids = ids.filter_map(|order| order["id"].as_str().map(str::to_owned)).collect();
                self.memory.borrow_mut().placed.push((key.to_owned(), body.clone(), ids));
                true
            }
            Some(status) => status / 100 == 4,
            None => false,
        };
        if ends {
            self.memory.borrow_mut().unknown.retain(|(other, _)| other != key);
        }
        ends
    }

    /// Repeats what is unanswered since an earlier life.
    pub(crate) async fn resolve(&self) {
        let unknown = self.memory.borrow().unknown.clone();
        for (key, body) in unknown {
            loop {
                let answer = self.ask("POST", "/v1/orders", Some(&key), &body).await;
                if self.settle(&key, &body, &answer) {
                    self.world
                        .sometimes("recovery: request of an earlier life resolved by its key");
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn some_placed(&self) -> Option<(String, Value, Vec<String>)> {
        let count = self.memory.borrow().placed.len();
        let at = self.world.draw(|draws| match draws.happens(700) {
            // Mostly one of the last, whose orders are under way.
            true => (count as u64).saturating_sub(1 + draws.below(6)),
            false => draws.below(count as u64),
        });
        self.memory.borrow().placed.get(at as usize).cloned()
    }

    fn some_order(&self) -> Option<String> {
        let (_, _, ids) = self.some_placed()?;
        let at = self.world.draw(|draws| draws.below(ids.len() as u64));
        ids.get(at as usize).cloned()
    }

    async fn repeat(&self) {
        if let Some((key, body, _)) = self.some_placed() {
            self.ask("POST", "/v1/orders", Some(&key), &body).await;
        }
    }

    async fn place_twice_at_once(&self) {
        let (key, body) = (self.new_key(), json!({}));
        let other = self.clone();
        let (other_key, other_body) = (key.clone(), body.clone());
        let second = tokio::task::spawn_local(async move {
            other.ask("POST", "/v1/orders", Some(&other_key), &other_body).await;
        });
        self.send(key, body).await;
        let _ = second.await;
        self.world.sometimes("client: the same request twice at once");
    }

    async fn reuse_key(&self) {
        let Some((key, _, _)) = self.some_placed() else { return };
        let other = json!({"orders": [{"dish": "pizza"}, {"dish": "salad"}, {}]});
        let answer = self.ask("POST", "/v1/orders", Some(&key), &other).await;
        if answer.status == Some(422) {
            self.world.sometimes("client: key of another request refused");
        }
    }

    async fn cancel(&self) {
        let Some(id) = self.some_order() else { return };
        let before = self.ask("GET", &format!("/v1/orders/{id}"), None, &Value::Null).await;
        let counter = match before.body["status"].as_str() {
            Some("placed") => "client: cancels a placed order",
            Some("cancelling") => "client: cancels a cancelling order",
            Some("cooking") => "client: cancels a cooking order",
            Some("delivered") => "client: cancels a delivered order",
            Some("cancelled") => "client: cancels a cancelled order",
            Some("rejected") => "client: cancels a rejected order",
            _ => return,
        };
        let answer = self.ask("POST", &format!("/v1/orders/{id}/cancel"), None, &Value::Null).await;
        if answer.status.is_some() {
            self.world.sometimes(counter);
        }
    }

    async fn read(&self) {
        let Some(id) = self.some_order() else { return };
        self.ask("GET", &format!("/v1/orders/{id}"), None, &Value::Null).await;
        let ids: Vec<String> = self
            .memory
            .borrow()
            .placed
            .iter()
            .rev()
            .take(5)
            .flat_map(|(_, _, ids)| ids.clone())
            .collect();
        self.ask("POST", "/v1/orders/states", None, &json!({ "ids": ids })).await;
    }

    async fn adjust(&self) {
        let (name, quantity) = self.world.draw(|draws| (draws.one(&INGREDIENTS), draws.below(30)));
        let mut set = serde_json::Map::new();
        set.insert(name.to_owned(), json!(quantity));
        let (key, body) = (self.new_key(), json!({ "set": set }));
        for _ in 0..3 {
            if self.ask("POST", "/v1/stock/adjustments", Some(&key), &body).await.is_ok() {
                self.world.sometimes("client: adjusts the stock");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Seeds again: other quantities for a dish, or a menu without some dishes, or the whole menu.
    async fn reseed(&self) {
        let (kind, at, quantity) =
            self.world.draw(|draws| (draws.below(3), draws.below(6) as usize, 1 + draws.below(3)));
        let mut menu = test_support::menu();
        match kind {
            0 => {
                if let Some(recipes) = menu["recipes"].as_array_mut() {
                    recipes.remove(at);
                }
                if self.ask("PUT", "/v1/recipes?replace_all=true", None, &menu).await.is_ok() {
                    self.world.sometimes("client: removes a dish");
                }
            }
            1 => {
                menu["recipes"][at]["ingredients"]["onion"] = json!(quantity);
                if self.ask("PUT", "/v1/recipes", None, &menu).await.is_ok() {
                    self.world.sometimes("client: seeds another recipe");
                }
            }
            _ => {
                self.ask("PUT", "/v1/recipes", None, &menu).await;
                let stock: serde_json::Map<String, Value> =
                    INGREDIENTS.iter().map(|name| ((*name).to_owned(), json!(9))).collect();
                self.ask("PUT", "/v1/stock", None, &json!({ "opening": stock })).await;
            }
        }
    }

    /// Replays every dead letter once; returns whether there was none.
    pub(crate) async fn replay_dead_letters(&self) -> bool {
        let listed = self.ask("GET", "/v1/dead-letters", None, &Value::Null).await;
        let letters = listed.body["dead_letters"].as_array().cloned().unwrap_or_default();
        for letter in &letters {
            let (service, id) = (letter["service"].as_str(), letter["id"].as_str());
            let (Some(service), Some(id)) = (service, id) else { continue };
            let path = format!("/v1/dead-letters/{service}/{id}/replay");
            if self.ask("POST", &path, None, &Value::Null).await.is_ok() {
                self.world.sometimes("recovery: dead letter replayed");
            }
        }
        listed.is_ok() && letters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use contracts::OrderId;
    use serde_json::json;

    use super::{Memory, machine};

    /// How long a key is sure to be remembered, in nanoseconds.
    const KEPT_FOR: i64 = 10;

    /// Places an order with the same key as ever, and is answered with a new one.
    fn is_answered_with_a_new_order(memory: &mut Memory, number: i64) {
        let (key, body) = (Some("table-7"), json!({"dish": "pizza"}));
        let call = memory.asked("POST", "/v1/orders", key, &body);
        let order = json!({"id": OrderId::new(), "number": number, "status": "placed"});
        let answer = json!({"orders": [order]}).to_string();
        memory.answered(call.as_ref(), key, 202, answer.as_bytes());
    }

    #[test]
    fn only_a_key_that_may_be_forgotten_may_be_answered_with_a_new_order() {
        for (after, violations) in [(KEPT_FOR, 1), (KEPT_FOR + 1, 0)] {
            let mut memory = Memory::new(KEPT_FOR);
            is_answered_with_a_new_order(&mut memory, 1);
            machine::pass(after);
            is_answered_with_a_new_order(&mut memory, 2);
            let found = memory.history.violations();
            assert_eq!(found.len(), violations, "{after}: {found:?}");
        }
    }

    #[test]
    fn the_first_answer_to_a_key_counts_however_late_it_is() {
        let mut memory = Memory::new(0);
        let (key, body) = (Some("table-7"), json!({"dish": "pizza"}));
        let call = memory.asked("POST", "/v1/orders", key, &body);
        machine::pass(1_000);
        let order = OrderId::new();
        let answer =
            json!({"orders": [{"id": order, "number": 1, "status": "placed"}]}).to_string();
        memory.answered(call.as_ref(), key, 202, answer.as_bytes());

        let path = format!("/v1/orders/{order}");
        let read = memory.asked("GET", &path, None, &serde_json::Value::Null);
        memory.answered(read.as_ref(), None, 404, b"{}");
        let found = memory.history.violations();
        assert!(found.len() == 1 && found[0].contains("did not find"), "{found:?}");
    }
}
