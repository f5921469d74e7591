//! Many guests who order without a pause, while the environment is being broken.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use contracts::OrderId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    guest::{Guest, Reply, until},
    history::History,
};

/// How many of the accepted orders a guest asks for at once.
const ASKED_MAX: usize = 100;
/// How long a guest waits before the same order is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// A crowd that orders until it is told to go.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    guests: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    accepted: AtomicUsize,
    looks: AtomicUsize,
    history: History,
    tally: Mutex<Tally>,
}

/// What the guests were told.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The orders that were accepted.
    pub accepted: Vec<OrderId>,
    /// What was answered instead, before the same order was sent again.
    pub failures: Vec<String>,
}

impl Crowd {
    /// Lets as many guests in, who share these doors. One of five asks where orders are and what is in stock; the others
    /// order, each with a key, and again until the order is accepted. Where they have no keys, what failed is not sent again.
    #[must_use]
    pub fn come(doors: &[Guest], guests: usize, has_keys: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let guests = (0..guests)
            .map(|at| {
                let shared = Arc::clone(&shared);
                let door = doors[at % doors.len()].clone().noting(&shared.history);
                tokio::spawn(async move {
                    while !shared.stop.load(Ordering::Relaxed) {
                        if at % 5 == 4 {
                            look(&door, &shared).await;
                        } else {
                            order(&door, &shared, has_keys).await;
                        }
                    }
                })
            })
            .collect();
        Self { shared, guests }
    }

    /// Waits until so many more orders are accepted.
    pub async fn accepts(&self, more: usize) {
        let enough = self.shared.accepted.load(Ordering::Relaxed) + more;
        until("orders are accepted", async || {
            self.shared.accepted.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    /// Lets each guest end what is under way, and go; returns what they were told.
    ///
    /// # Panics
    /// If a guest panicked, or answers that they got do not agree with each other.
    pub async fn go(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        for guest in self.guests {
            guest.await.unwrap();
        }
        self.shared.history.check();
        std::mem::take(&mut self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn tally(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn failed(&self, what: &str, reply: Option<&Reply>) {
        let how = reply.map_or("nobody answered".to_owned(), |reply| {
            format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))
        });
        self.tally(|tally| tally.failures.push(format!("{what}: {how}")));
    }
}

async fn order(door: &Guest, shared: &Shared, has_keys: bool) {
    let key = Uuid::now_v7().to_string();
    let headers = [("idempotency-key", key.as_str())];
    let headers = if has_keys { &headers[..] } else { &[] };
    loop {
        let reply = door.try_ask("POST", "/v1/orders", headers, &json!({})).await;
        match &reply {
            Some(placed) if placed.status.is_success() => {
                let id = placed.json()["orders"][0]["id"].as_str().unwrap().parse().unwrap();
                shared.tally(|tally| tally.accepted.push(id));
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                return;
            }
            failed => shared.failed("order", failed.as_ref()),
        }
        if !has_keys {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(door: &Guest, shared: &Shared) {
    let reply = match shared.looks.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => door.try_ask("GET", "/v1/orders?limit=5", &[], &Value::Null).await,
        1 => door.try_ask("GET", "/v1/stock", &[], &Value::Null).await,
        _ => {
            let ids: Vec<OrderId> = {
                let tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.accepted.iter().rev().take(ASKED_MAX).copied().collect()
            };
            door.try_ask("POST", "/v1/orders/states", &[], &json!({"ids": ids})).await
        }
    };
    if !reply.as_ref().is_some_and(|reply| reply.status.is_success()) {
        shared.failed("look", reply.as_ref());
        tokio::time::sleep(PAUSE).await;
    }
}
