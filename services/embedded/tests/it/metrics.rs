//! What `/metrics` shows: all that the table of `services/README.md` says and nothing else, and each metric of an evening changes
//! when its cause happens.

use std::collections::BTreeMap;

use embedded::EmbeddedConfig;
use redis_bus::Settings;
use serde_json::json;
use test_support::redis;

use crate::evening::{Evening, TestStore};

const README: &str = include_str!("../../../README.md");

/// Type and labels of a metric.
type Shape = (String, Vec<String>);

/// Returns the metrics of the README's table.
fn documented() -> BTreeMap<String, Shape> {
    let rows = README.lines().filter(|line| line.starts_with("| `chefcito_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning] = cells[..] else { panic!("{row}") };
        assert!(!unit.is_empty() && !meaning.is_empty(), "{row}");
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned);
        (name.trim_matches('`').to_owned(), (kind.to_owned(), labels.collect()))
    })
    .collect()
}

/// Returns the metrics that a text in the format of Prometheus declares, with the labels of their samples.
fn shown(text: &str) -> BTreeMap<String, Shape> {
    let mut shown = BTreeMap::new();
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in declared {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let sample =
            if kind == "histogram" { format!("{name}_count") } else { format!("{name}{suffix}") };
        let labels = text.lines().find_map(|line| {
            let rest = line.strip_prefix(&sample)?;
            match rest.strip_prefix('{') {
                Some(labels) => Some(labels.split('=').filter_map(label_before).collect()),
                None => rest.starts_with(' ').then(Vec::new),
            }
        });
        shown.insert(format!("{name}{suffix}"), (kind.to_owned(), labels.unwrap()));
    }
    shown
}

/// Returns the name that ends a text: `"orders",method` has `method`.
fn label_before(text: &str) -> Option<String> {
    let name = text.rsplit([',', '{']).next()?;
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_').then(|| name.to_owned())
}

/// Returns the value of a sample such as `dead_letters{service="kitchen"}`; 0 if it is not there.
async fn value(evening: &Evening, sample: &str) -> f64 {
    let sample = format!("chefcito_{sample} ");
    let text = evening.text("/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(&sample)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn the_readme_tells_every_metric_and_no_other() {
    let ground = TestStore::sqlite();
    let logs = tempfile::tempdir().unwrap();
    let redis = redis();
    let config = EmbeddedConfig {
        // The one test of this binary that may start the logs of its process.
        logs: Some(logs.path().to_owned()),
        log_filter: "error".into(),
        bus: redis.as_ref().map(|redis| redis_bus::open(Settings::new(redis.url())).unwrap()),
        ..ground.config()
    };
    let evening = Evening::first(config).await;
    evening.guest_orders("pizza").await;
    evening.settle().await;
    let shown = shown(&evening.text("/metrics").await);
    evening.close().await;

    let mut documented = documented();
    if redis.is_none() {
        documented.retain(|name, _| !name.starts_with("chefcito_bus_"));
    }
    let names = documented.keys().chain(shown.keys());
    let differing: Vec<_> = names
        .map(|name| (name, documented.get(name), shown.get(name)))
        .filter(|(_, documented, shown)| documented != shown)
        .collect();
    assert!(differing.is_empty(), "the table of the README and `/metrics`: {differing:#?}");
}

#[tokio::test]
async fn an_evening_moves_the_metrics_of_its_services() {
    for ground in TestStore::all() {
        let evening = Evening::first(ground.config()).await;
        evening.fill_shelves(1_000).await;
        evening.guests_order(&[Some("pizza"); 20]).await;
        evening.settle().await;
        for (sample, least) in [
            (r#"events_handled_total{service="kitchen",event="order.placed"}"#, 20.0),
            (r#"events_handled_total{service="board",event="order.delivered"}"#, 20.0),
            (r#"event_lag_seconds_count{service="orders",event="dish.prepared"}"#, 1.0),
            (r#"writer_batch_works_count{service="inventory"}"#, 1.0),
            (r#"writer_batch_pieces_sum{service="orders"}"#, 1.0),
            (r#"writer_commit_seconds_count{service="board"}"#, 1.0),
            (r#"read_wait_seconds_count{service="orders"}"#, 0.0),
            (
                r#"http_requests_total{service="orders",method="POST",route="/v1/orders",status="202"}"#,
                1.0,
            ),
            (
                r#"http_requests_total{service="gateway",method="POST",route="/v1/orders",status="202"}"#,
                1.0,
            ),
            (
                r#"http_requests_total{service="kitchen",method="PUT",route="/v1/recipes",status="200"}"#,
                1.0,
            ),
            (r#"http_request_seconds_count{service="inventory"}"#, 1.0),
        ] {
            let found = value(&evening, sample).await;
            assert!(found >= least, "{sample} {found}");
        }
        evening.close().await;
    }
}

#[tokio::test]
async fn the_market_sim_and_the_circuit_breaker_are_told() {
    let ground = TestStore::sqlite();
    let evening = Evening::first(ground.config()).await;
    let calls = async |outcome: &str| {
        value(&evening, &format!(r#"market_sim_calls_total{{outcome="{outcome}"}}"#)).await
    };
    let breaker = async || value(&evening, "inventory_breaker_state").await;
    evening.market_sim(json!({"zeros": 1.0})).await;
    evening.guests_order(&[Some("pizza"); 20]).await;
    evening.until("nothing is sold", async || calls("zero").await > 0.0).await;
    assert_eq!((calls("sold").await, breaker().await), (0.0, 0.0));

    evening.market_sim(json!({"zeros": 0.0, "errors": 1.0})).await;
    evening.until("calls fail", async || calls("error").await > 0.0).await;
    evening.until("the breaker is open", async || breaker().await == 2.0).await;
    evening.market_sim(json!({"outage": true})).await;
    evening.until("nobody is answered", async || calls("outage").await > 0.0).await;

    let delayed = async || value(&evening, "market_sim_delay_seconds_sum").await;
    assert_eq!(delayed().await, 0.0);
    evening.market_sim(json!({"outage": false, "errors": 0.0, "delay_ms": 20})).await;
    evening.until("the market sells", async || calls("sold").await > 0.0).await;
    evening.settle().await;
    assert!(delayed().await >= 0.02);
    assert_eq!(breaker().await, 0.0);
    assert!(value(&evening, r#"inventory_purchases_total{outcome="sold"}"#).await > 0.0);
    assert_eq!(value(&evening, "inventory_missing").await, 0.0);
    evening.close().await;
}
