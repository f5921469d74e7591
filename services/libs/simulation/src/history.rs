//! What the clients sent and were answered, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// A request of a client and its answer. Times are simulated, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Exchange {
    /// When it was sent.
    pub invoked_at: i64,
    /// When it was answered; none if that is unknown.
    pub answered_at: Option<i64>,
    /// Method and path.
    pub request: String,
    /// The idempotency key.
    pub key: Option<String>,
    /// The body.
    pub body: String,
    /// The status of the answer; none if it is unknown.
    pub status: Option<u16>,
    /// The orders that the answer told of, in its order.
    pub orders: Vec<SeenOrder>,
    /// The order that was asked for and not found.
    pub not_found: Option<String>,
    /// What was on hand, by the answer.
    pub on_hand: Vec<i64>,
}

/// An order as an answer tells of it.
#[derive(Clone, Debug, Serialize)]
pub struct SeenOrder {
    /// Its id.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// Its status.
    pub status: String,
}

/// Returns how far an order with this status is. A cooking order may be asked to be cancelled and go on, so those are alike.
fn rank(status: &str) -> u8 {
    match status {
        "placed" => 0,
        "cancelling" | "cooking" => 1,
        _ => 2,
    }
}

/// What was known when a request was sent.
struct Before<'a> {
    /// How far the orders were that its answer tells of, and their status.
    about: BTreeMap<&'a str, (u8, &'a str)>,
    /// Whether it asks for an order that was accepted and does not find it.
    is_missing: bool,
    /// The greatest number that was given.
    last_number: i64,
}

/// Checks a history; returns what is wrong. Linear but for sorting. `kept_for` says how long, in nanoseconds, a key is sure to be
/// remembered after its first use; what is answered to it later may be new orders.
#[must_use]
pub fn check(history: &[Exchange], kept_for: i64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut first_use: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, exchange) in history.iter().enumerate() {
        if let Some(key) = exchange.key.as_deref() {
            first_use.entry(key).or_insert(at);
        }
    }
    let mut by_key: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for exchange in history.iter().filter(|exchange| exchange.status == Some(202)) {
        let Some(key) = exchange.key.as_deref().filter(|_| exchange.request == "POST /v1/orders")
        else {
            continue;
        };
        let forgotten_at = history[first_use[key]].invoked_at.saturating_add(kept_for);
        if exchange.answered_at.is_none_or(|answered_at| answered_at > forgotten_at) {
            continue;
        }
        let ids: Vec<&str> = exchange.orders.iter().map(|order| order.id.as_str()).collect();
        let first = by_key.entry((key, &exchange.body)).or_insert_with(|| ids.clone());
        if *first != ids {
            wrong.push(format!("the key {key} was answered {first:?} and {ids:?}"));
        }
    }
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for ((key, _), ids) in &by_key {
        for id in ids {
            if owners.insert(id, key).is_some_and(|other| other != *key) {
                wrong.push(format!("two keys were answered with the order {id}"));
            }
        }
    }
    for exchange in history {
        if exchange.on_hand.iter().any(|quantity| *quantity < 0) {
            wrong.push(format!("a stock below zero: {exchange:?}"));
        }
    }

    // In the order of time, at each request what was known before it was sent.
    let mut moments: Vec<(i64, bool, usize)> = Vec::new();
    for (at, exchange) in history.iter().enumerate() {
        if let Some(answered_at) = exchange.answered_at {
            moments.push((exchange.invoked_at, false, at));
            moments.push((answered_at, true, at));
        }
    }
    moments.sort_unstable();
    let mut known: BTreeMap<&str, (u8, &str)> = BTreeMap::new();
    let mut last_number = 0;
    let mut before: BTreeMap<usize, Before<'_>> = BTreeMap::new();
    for (_, is_answer, at) in moments {
        let exchange = &history[at];
        if !is_answer {
            let told = exchange.orders.iter().map(|order| order.id.as_str());
            let about: BTreeMap<&str, (u8, &str)> =
                told.filter_map(|id| Some((id, *known.get(id)?))).collect();
            let is_missing = exchange.not_found.as_deref().is_some_and(|id| known.contains_key(id));
            before.insert(at, Before { about, is_missing, last_number });
            continue;
        }
        let Some(Before { about, is_missing, last_number: number_before }) = before.remove(&at)
        else {
            continue;
        };
        if is_missing {
            wrong.push(format!("an order that was accepted is not found: {exchange:?}"));
        }
        let is_placing = exchange.request == "POST /v1/orders";
        let mut seen = BTreeSet::new();
        for SeenOrder { id, number, status } in &exchange.orders {
            // The answer to a repeat tells of the order as it is or as it was.
            let now = (rank(status), status.as_str());
            if let Some((rank_before, status_before)) =
                about.get(id.as_str()).filter(|_| !is_placing)
                && (now.0 < *rank_before || (*rank_before == 2 && now.1 != *status_before))
            {
                wrong.push(format!("the order {id} was {status_before} and later is {status}"));
            }
            let is_new = is_placing && !known.contains_key(id.as_str());
            let is_first =
                exchange.key.as_deref().is_some_and(|key| first_use.get(key) == Some(&at));
            if is_new && is_first && *number <= number_before {
                wrong.push(format!("the order {id} has number {number}, but {number_before} was given before it was sent"));
            }
            if !seen.insert(id.as_str()) {
                wrong.push(format!("one answer tells of the order {id} twice"));
            }
            last_number = last_number.max(*number);
            let entry = known.entry(id).or_insert(now);
            if now.0 > entry.0 {
                *entry = now;
            }
        }
    }
    wrong
}
