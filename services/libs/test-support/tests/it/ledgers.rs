//! More orders than a ledger holds.

use std::time::Duration;

use contracts::{OrderId, api::orders::ORDERS_PER_REQUEST_MAX};
use embedded::{Embedded, EmbeddedConfig};
use serde_json::json;
use test_support::Guest;

const KEY: &str = "cfk_local_0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_of_more_orders_than_a_ledger_holds_has_all_of_them_audited() {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        admin_key: KEY.into(),
        cooking_time: Some(Duration::ZERO),
        ..EmbeddedConfig::new(folder.path().to_owned())
    };
    let environment = Embedded::open(config).await.unwrap();
    let guest = Guest::new(environment.address().to_string(), KEY);
    guest.furnish().await;
    let full = json!({"set": {"lemon": 9_999, "onion": 9_999, "tomato": 9_999, "lettuce": 9_999}});
    guest.ok("POST", "/v1/stock/adjustments", full).await;
    let salads = json!({"orders": vec![json!({"dish": "salad"}); ORDERS_PER_REQUEST_MAX]});
    let placed = guest.ok("POST", "/v1/orders", salads).await;
    let orders = placed["orders"].as_array().unwrap().iter();
    let mut accepted: Vec<OrderId> =
        orders.map(|order| order["id"].as_str().unwrap().parse().unwrap()).collect();
    accepted.push(guest.order("salad").await);
    guest.audit(&accepted).await;
    environment.close().await;
}
