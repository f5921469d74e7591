//! An environment whose services hear of each other through a Redis that forgets.

use contracts::{OrderId, api::audit::AuditReport};
use embedded::EmbeddedConfig;
use redis_bus::Settings;
use serde_json::Value;
use test_support::{TestRedis, redis};

use crate::evening::{Evening, TestStore};

fn config(ground: &TestStore, redis: &TestRedis) -> EmbeddedConfig {
    EmbeddedConfig {
        bus: Some(redis_bus::open(Settings::new(redis.url())).unwrap()),
        ..ground.config()
    }
}

async fn all_are_delivered(evening: &Evening, orders: &[OrderId]) {
    evening.settle().await;
    for order in orders {
        assert_eq!(evening.status_of(*order).await, "delivered");
    }
    evening.audit().await;
}

async fn live_audit(evening: &Evening) {
    let report = evening.ok("GET", "/v1/audit?live=true", Value::Null).await;
    let report: AuditReport = serde_json::from_value(report).unwrap();
    let broken: Vec<_> = report.invariants.iter().filter(|found| !found.passed).collect();
    assert!(report.passed, "{broken:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_again_and_again_costs_no_order() {
    for ground in TestStore::all() {
        let Some(redis) = redis() else { return };
        let evening = Evening::first(config(&ground, &redis)).await;
        let mut orders = Vec::new();
        for round in 0..8 {
            orders.extend(evening.guests_order(&[None; 40]).await);
            // At another moment of the way each time.
            tokio::time::sleep(std::time::Duration::from_millis(7 * round)).await;
            redis.ask::<()>(&["FLUSHALL"]).unwrap();
            live_audit(&evening).await;
        }
        all_are_delivered(&evening, &orders).await;
        evening.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_guests_order_and_are_served_when_it_is_back() {
    for ground in TestStore::all() {
        let Some(mut redis) = redis() else { return };
        let evening = Evening::first(config(&ground, &redis)).await;
        let mut orders = evening.guests_order(&[None; 40]).await;
        redis.kill();
        orders.extend(evening.guests_order(&[None; 100]).await);
        live_audit(&evening).await;
        redis.start();
        all_are_delivered(&evening, &orders).await;
        evening.close().await;
    }
}
