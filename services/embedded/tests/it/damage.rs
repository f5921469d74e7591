//! A database that something else wrote into: said by the readiness, and by the audit, which finds nothing else then.

use std::{fs::OpenOptions, os::unix::fs::FileExt as _};

use axum::http::StatusCode;
use contracts::services::ORDERS;
use serde_json::Value;
use service::ServiceContext;
use store::{Clock, Durability, Location, Migrations};

use crate::evening::{Evening, TestStore};

const PAGE_BYTES: usize = 4_096;

#[tokio::test]
async fn a_damaged_table_of_orders_fails_the_storage_check_and_nothing_else() {
    const ROOT: &str = "SELECT rootpage FROM sqlite_master WHERE name = 'orders'";
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    evening.guest_orders("pizza").await;
    evening.settle().await;
    evening.close().await;

    let folder = ground.config().data;
    let location = Location::Folder { folder: folder.clone(), durability: Durability::Process };
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let twin = context.open(ORDERS, Migrations { owner: "twin", steps: &[] }).await.unwrap();
    let root = twin.database().read(|tx| tx.query_one(ROOT, &[], |row| row.get::<i64>(0))).await;
    context.close().await;
    let at = (root.unwrap().unwrap() - 1) * i64::try_from(PAGE_BYTES).unwrap();
    let file = OpenOptions::new().write(true).open(folder.join("orders.sqlite")).unwrap();
    file.write_all_at(&[0xA5; PAGE_BYTES], at.try_into().unwrap()).unwrap();

    let evening = Evening::open(ground.config()).await;
    evening
        .until("orders says that it is damaged", async || {
            let status = evening.ok("GET", "/v1/status", Value::Null).await;
            let orders = &status["services"]["orders"];
            let reason = orders["reason"].as_str().unwrap_or_default();
            orders["ready"] == false && reason.starts_with("storage is damaged: ")
        })
        .await;
    let (status, _) = evening.ask("POST", "/v1/orders", Value::Null).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for path in ["/v1/audit?live=true", "/v1/audit"] {
        let report = evening.ok("GET", path, Value::Null).await;
        assert_eq!(report["passed"], false);
        let invariants = report["invariants"].as_array().unwrap();
        assert_eq!(invariants.len(), 1, "{report}");
        assert_eq!(invariants[0]["name"], "storage.check");
        let sample = invariants[0]["samples"][0].as_str().unwrap();
        assert!(sample.starts_with("orders: "), "{sample}");
    }
    evening.close().await;
}
