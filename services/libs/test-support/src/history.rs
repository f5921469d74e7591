//! What the guests of a test asked and were answered.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use contracts::{OrderId, api::orders::PlaceOrders};
use history::{Ask, Call, Recorder, check};
use serde_json::Value;

/// A history that guests share. Clones are the same.
#[derive(Clone, Debug)]
pub struct History(Arc<Mutex<Recorder<Vec<u8>>>>);

impl Default for History {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Recorder::begin(Vec::new()).unwrap())))
    }
}

impl History {
    /// Notes a request that is about to be sent; returns nothing if a history has no word for it.
    pub fn asked(
        &self,
        method: &str,
        path: &str,
        idempotency_key: Option<&str>,
        body: &Value,
    ) -> Option<Call> {
        let ask = ask(method, path, idempotency_key, body)?;
        Some(self.recorder().invoke(ask).unwrap())
    }

    /// Notes what was answered: the status and the body; or that nobody answered.
    pub fn answered(&self, call: &Call, answer: Option<(u16, &[u8])>) {
        let mut recorder = self.recorder();
        match answer {
            Some((status, body)) => recorder.answered(call, status, body),
            None => recorder.unanswered(call, "nobody answered".into()),
        }
        .unwrap();
    }

    /// Notes that an answer says nothing about the request, and why: the check expects neither that the request had its
    /// effect nor that it had none.
    pub fn unclear(&self, call: &Call, why: &str) {
        self.recorder().unanswered(call, why.into()).unwrap();
    }

    /// Returns which answers do not agree with each other, as sentences.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let findings = check(&self.recorder().writer()[..], Path::new("history")).unwrap();
        findings.violations().map(ToString::to_string).collect()
    }

    /// Fails the test unless the answers agree with each other.
    ///
    /// # Panics
    /// With the answers that do not.
    pub fn check(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what a request asks, in the words of a history.
fn ask(method: &str, path: &str, idempotency_key: Option<&str>, body: &Value) -> Option<Ask> {
    let (path, _query) = path.split_once('?').unwrap_or((path, ""));
    let below: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    let order = |id: &str| id.parse::<OrderId>().ok();
    match (method, &below[..]) {
        ("POST", ["orders"]) => {
            let PlaceOrders { dish, orders } = serde_json::from_value(body.clone()).ok()?;
            let dishes = orders
                .map_or(vec![dish], |lines| lines.into_iter().map(|line| line.dish).collect());
            Some(Ask::Place { key: idempotency_key.map(Into::into), dishes })
        }
        ("GET", ["orders"]) => Some(Ask::List),
        ("GET", ["orders", id]) => Some(Ask::Read { orders: vec![order(id)?] }),
        ("POST", ["orders", "states"]) => {
            Some(Ask::Read { orders: serde_json::from_value(body["ids"].clone()).ok()? })
        }
        ("POST", ["orders", id, "cancel"]) => Some(Ask::Cancel { order: order(id)? }),
        ("GET", ["stock"]) => Some(Ask::Stock),
        _ => None,
    }
}
