//! However badly the bus keeps its promises, the evening ends alike.

use embedded::{EmbeddedConfig, Faults};
use serde_json::{Value, json};

use crate::evening::{Evening, TestStore};

/// Serves forty guests under these faults; returns the stock and the board in the end.
async fn serve(ground: &TestStore, faults: Faults) -> (Value, Value) {
    let evening = Evening::first(EmbeddedConfig { faults, ..ground.config() }).await;
    evening.fill_shelves(500).await;
    let orders = evening.guests_order(&[None; 40]).await;
    for order in &orders[30..] {
        evening.ask("POST", &format!("/v1/orders/{order}/cancel"), Value::Null).await;
    }
    evening.settle().await;
    for order in &orders[..30] {
        assert_eq!(evening.status_of(*order).await, "delivered");
    }
    evening.audit().await;
    let summary = evening.ok("GET", "/v1/summary", json!(null)).await;
    let stock = evening.ok("GET", "/v1/stock", json!(null)).await;
    evening.close().await;
    (stock, summary["placed"].clone())
}

#[tokio::test]
async fn every_event_twice_changes_nothing() {
    for ground in TestStore::all() {
        serve(&ground, Faults { twice: true, shuffle: None }).await;
    }
}

#[tokio::test]
async fn events_of_different_orders_may_change_places() {
    for seed in 1..=8 {
        let ground = TestStore::sqlite();
        serve(&ground, Faults { twice: seed % 2 == 0, shuffle: Some(seed) }).await;
    }
}
