//! A conversation with an environment: the same questions must get the same answers, however the environment runs.

use std::collections::BTreeMap;

use contracts::OrderId;
use serde_json::{Value, json};

use crate::guest::Guest;

/// A question, and what was answered: without what differs from one environment, or from one moment, to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked.
    pub question: String,
    /// What was answered: the status, the kind of the body, and the body.
    pub answer: String,
}

/// What differs from one environment, or from one moment, to the next.
const CHANGING: [&str; 24] = [
    "announced",
    "answered_at",
    "asked_at",
    "bought",
    "created_at",
    "delivered_at",
    "ended_at",
    "failed_at",
    "id",
    "mean_ms",
    "mean_us",
    "next_attempt_at",
    "order",
    "p50_ms",
    "p50_us",
    "p99_ms",
    "p99_us",
    "placed_at",
    "revoked_at",
    "secret",
    "started_at",
    "stove",
    "time",
    "traceparent",
];
/// What differs from one runtime to the next, as it should.
const OF_THE_RUNTIME: [&str; 3] = ["engine", "queued", "reason"];

/// Asks an environment that was just furnished about all that there is, well and badly; it must be nobody else's meanwhile.
pub async fn converse(guest: &Guest) -> Vec<Exchange> {
    let mut talk = Talk { guest, exchanges: Vec::new() };
    talk.as_a_stranger().await;
    talk.of_orders().await;
    talk.of_the_larder().await;
    talk.of_the_market_sim().await;
    talk.of_keys().await;
    talk.of_the_environment().await;
    talk.exchanges
}

struct Talk<'a> {
    guest: &'a Guest,
    exchanges: Vec<Exchange>,
}

impl Talk<'_> {
    async fn ask(&mut self, method: &str, path: &str, body: Value) -> Value {
        self.ask_with(method, path, &[], body).await
    }

    async fn ask_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Value {
        let reply = self.guest.try_ask(method, path, headers, &body).await;
        let reply = reply.unwrap_or_else(|| panic!("{method} {path} was not answered"));
        let header = |name: &str| {
            reply.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
        };
        let text = match serde_json::from_slice::<Value>(&reply.body) {
            Ok(mut json) => {
                smooth(&mut json);
                serde_json::to_string_pretty(&json).unwrap()
            }
            Err(_) if path == "/metrics" => "figures".into(),
            Err(_) => String::from_utf8_lossy(&reply.body).into_owned(),
        };
        let (kind, allow, again) =
            (header("content-type"), header("allow"), header("idempotency-replayed"));
        let named: String = path
            .split('/')
            .map(|part| if part.parse::<OrderId>().is_ok() { "{id}" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        self.exchanges.push(Exchange {
            question: format!("{method} {named} {headers:?} {}", without_ids(&body.to_string())),
            answer: format!("{} {kind} allow={allow} replayed={again}\n{text}", reply.status),
        });
        reply.json()
    }

    async fn as_a_stranger(&mut self) {
        let stranger =
            Guest::new(self.guest.address(), "cfk_nobody_00000000000000000000000000000000");
        let mut talk = Talk { guest: &stranger, exchanges: Vec::new() };
        for path in [
            "/",
            "/health",
            "/ready",
            "/metrics",
            "/openapi.json",
            "/v1/orders",
            "/internal/status",
        ] {
            talk.ask("GET", path, Value::Null).await;
        }
        self.exchanges.append(&mut talk.exchanges);
    }

    async fn of_orders(&mut self) {
        let placed = self.ask("POST", "/v1/orders", json!({"dish": "salad"})).await;
        let id = placed["orders"][0]["id"].as_str().unwrap().to_owned();
        self.guest.settle().await;
        self.ask("GET", &format!("/v1/orders/{id}"), Value::Null).await;
        self.ask("GET", &format!("/v1/orders/{id}/story"), Value::Null).await;
        self.ask("POST", &format!("/v1/orders/{id}/cancel"), Value::Null).await;
        self.ask("POST", "/v1/orders/states", json!({"ids": [id]})).await;

        let key = [("idempotency-key", "table-7")];
        for dish in ["pizza", "pizza", "burger"] {
            self.ask_with("POST", "/v1/orders", &key, json!({"dish": dish})).await;
            // A repeat says what the first response said, however the order stands by then.
            self.guest.settle().await;
        }
        self.ask_with("POST", "/v1/orders", &[("idempotency-key", "")], json!({})).await;
        self.ask("POST", "/v1/orders", json!({"orders": [{"dish": "burger"}, {}]})).await;
        self.guest.settle().await;
        self.ask("GET", "/v1/orders?limit=3", Value::Null).await;
        self.ask("GET", "/v1/orders?dish=pizza&status=delivered", Value::Null).await;

        let nobody = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
        self.ask("GET", &format!("/v1/orders/{nobody}"), Value::Null).await;
        self.ask("GET", &format!("/v1/orders/{nobody}/story"), Value::Null).await;
        self.ask("POST", &format!("/v1/orders/{nobody}/cancel"), Value::Null).await;
        self.ask("POST", "/v1/orders/states", json!({"ids": [nobody]})).await;
        for bad in [
            json!({"dish": "no such dish"}),
            json!({"dish": ""}),
            json!({"dish": 7}),
            json!({"dish": "pizza", "orders": []}),
            json!({"orders": []}),
            json!({"orders": vec![json!({}); 1_001]}),
            json!([]),
            json!("pizza"),
            json!({"dish": "x".repeat(2_000_000)}),
        ] {
            let reply = self.guest.try_ask("POST", "/v1/orders", &[], &bad).await.unwrap();
            let mut json = reply.json();
            smooth(&mut json);
            let short: String = bad.to_string().chars().take(60).collect();
            self.exchanges.push(Exchange {
                question: format!("POST /v1/orders {short}"),
                answer: format!("{} {json}", reply.status),
            });
        }
        for path in
            ["/v1/orders?limit=0", "/v1/orders?limit=x", "/v1/orders?status=lost", "/v1/orders/7"]
        {
            self.ask("GET", path, Value::Null).await;
        }
        self.ask("DELETE", "/v1/orders", Value::Null).await;
        self.ask("GET", "/v1/no-such-thing", Value::Null).await;
    }

    async fn of_the_larder(&mut self) {
        self.ask("GET", "/v1/recipes", Value::Null).await;
        let tea = json!({"recipes": [{"name": "tea", "ingredients": {"lemon": 1}, "cooking_time_ms": 1}]});
        self.ask("PUT", "/v1/recipes?dry_run=true", tea.clone()).await;
        self.ask("PUT", "/v1/recipes", tea.clone()).await;
        self.ask("PUT", "/v1/recipes", tea).await;
        let gold = json!({"recipes": [{"name": "gold", "ingredients": {"gold": 1}, "cooking_time_ms": 1}]});
        self.ask("PUT", "/v1/recipes", gold).await;
        self.ask("POST", "/v1/stock/adjustments", json!({"set": {"rice": 9, "lemon": 9}})).await;
        let key = [("idempotency-key", "count-1")];
        for quantity in [5, 5, 6] {
            let body = json!({"set": {"onion": quantity}});
            self.ask_with("POST", "/v1/stock/adjustments", &key, body).await;
        }
        self.ask("POST", "/v1/stock/adjustments", json!({"set": {"gold": 1}})).await;
        self.ask("POST", "/v1/stock/adjustments", json!({"set": {"rice": -1}})).await;
        self.ask("PUT", "/v1/stock", json!({"opening": {"rice": 99}})).await;
        let stock = self.guest.ok("GET", "/v1/stock", Value::Null).await;
        let shelves: BTreeMap<String, bool> = stock["stock"]
            .as_array()
            .unwrap()
            .iter()
            .map(|shelf| (shelf["ingredient"].to_string(), shelf["on_hand"].as_i64() >= Some(0)))
            .collect();
        self.exchanges
            .push(Exchange { question: "GET /v1/stock".into(), answer: format!("{shelves:?}") });
        self.ask("GET", "/v1/purchases?limit=0", Value::Null).await;
    }

    async fn of_the_market_sim(&mut self) {
        self.ask("PUT", "/v1/market", json!({"errors": 2})).await;
        self.ask("PUT", "/v1/market", json!({"quantity_min": 3, "quantity_max": 1})).await;
        self.ask("PUT", "/v1/market", json!({"unknown": 1})).await;
        let told = self.guest.ok("PUT", "/v1/market", json!({"delay_ms": 1})).await;
        self.exchanges.push(Exchange {
            question: "PUT /v1/market".into(),
            answer: format!("{} {}", told["settings"]["delay_ms"], told["settings"]["outage"]),
        });
    }

    async fn of_keys(&mut self) {
        let added =
            self.ask("POST", "/v1/keys", json!({"name": "a viewer", "role": "viewer"})).await;
        let viewer = Guest::new(self.guest.address(), added["secret"].as_str().unwrap());
        let mut talk = Talk { guest: &viewer, exchanges: Vec::new() };
        talk.ask("POST", "/v1/orders", json!({})).await;
        talk.ask("GET", "/v1/keys", Value::Null).await;
        talk.ask("GET", "/v1/recipes", Value::Null).await;
        self.exchanges.append(&mut talk.exchanges);
        self.ask("POST", "/v1/keys", json!({"name": "", "role": "viewer"})).await;
        self.ask("POST", "/v1/keys", json!({"name": "x", "role": "king"})).await;
        let id = added["key"]["id"].as_str().or(added["id"].as_str()).unwrap().to_owned();
        self.guest.ok("DELETE", &format!("/v1/keys/{id}"), Value::Null).await;
        let mut talk = Talk { guest: &viewer, exchanges: Vec::new() };
        talk.ask("GET", "/v1/recipes", Value::Null).await;
        self.exchanges.append(&mut talk.exchanges);
        self.ask("DELETE", "/v1/keys/nobody", Value::Null).await;
        self.ask("DELETE", "/v1/keys/local", Value::Null).await;
    }

    async fn of_the_environment(&mut self) {
        let nobody = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
        self.ask("GET", "/v1/dead-letters", Value::Null).await;
        self.ask("POST", &format!("/v1/dead-letters/orders/{nobody}/replay"), Value::Null).await;
        self.ask("DELETE", &format!("/v1/dead-letters/cellar/{nobody}"), Value::Null).await;
        self.ask("DELETE", "/v1/dead-letters/orders/7", Value::Null).await;
        self.guest.settle().await;
        self.ask("GET", "/v1/status", Value::Null).await;
        self.ask("GET", "/v1/audit", Value::Null).await;
        self.ask("POST", "/v1/audit/ledger", json!({"ids": [nobody]})).await;
    }
}

/// Takes out what differs from one environment, or from one moment, to the next.
fn smooth(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let differs =
                    CHANGING.contains(&name.as_str()) || OF_THE_RUNTIME.contains(&name.as_str());
                if differs && !field.is_object() && !field.is_array() {
                    *field = Value::String(format!("<{name}>"));
                } else {
                    smooth(field);
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(smooth),
        Value::String(text) => {
            *text = without_ids(text);
        }
        _ => {}
    }
}

/// Returns a text with a mark in the place of each id.
fn without_ids(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_hexdigit() || character == '-';
    let mut without = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_part) {
        let (before, from) = rest.split_at(at);
        let (word, after) = from.split_at(from.find(|one| !is_part(one)).unwrap_or(from.len()));
        without += before;
        // The id of anything but a key is a UUID; that of a key has twelve digits.
        let is_id = word.parse::<uuid::Uuid>().is_ok() || word.len() == 12;
        without += if is_id { "<id>" } else { word };
        rest = after;
    }
    without + rest
}
