//! What is old is no longer kept, and everything still adds up.

use std::time::Duration;

use contracts::{OrderId, api::audit::AuditReport};
use embedded::EmbeddedConfig;
use serde_json::Value;

use crate::evening::{Evening, TestStore};

const DISHES: [Option<&str>; 4] = [Some("salad"), Some("pizza"), Some("burger"), None];

async fn serve(evening: &Evening) -> OrderId {
    let orders = evening.guests_order(&DISHES).await;
    evening.settle().await;
    let late = evening.guest_orders("salad").await;
    evening.ask("POST", &format!("/v1/orders/{late}/cancel"), Value::Null).await;
    evening.settle().await;
    evening.audit().await;
    orders[0]
}

async fn note_of(evening: &Evening, invariant: &str) -> String {
    let report: AuditReport =
        serde_json::from_value(evening.ok("GET", "/v1/audit", Value::Null).await).unwrap();
    let found = report.invariants.into_iter().find(|found| found.name == invariant);
    found.and_then(|found| found.note).unwrap_or_default()
}

#[tokio::test]
async fn an_environment_that_keeps_no_old_events_still_adds_up() {
    for ground in TestStore::all() {
        let forgetful = || EmbeddedConfig { retention: Some(Duration::ZERO), ..ground.config() };
        let evening = Evening::first(ground.config()).await;
        let mut order = serve(&evening).await;
        assert!(evening.story_of(order).await.complete);
        evening.close().await;

        // An environment looks for what is old when it is opened.
        for _ in 0..2 {
            let evening = Evening::open(forgetful()).await;
            evening
                .until("the old events are gone", async || !evening.story_of(order).await.complete)
                .await;
            evening.settle().await;
            evening.audit().await;
            assert!(
                note_of(&evening, "events.inbox").await.contains("no longer kept"),
                "the audit says what it only counted"
            );
            order = serve(&evening).await;
            evening.close().await;
        }
    }
}
