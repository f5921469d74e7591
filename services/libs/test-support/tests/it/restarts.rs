//! Services are told to stop, and are started again, under load.

use std::time::Duration;

use contracts::services::{ALL, GATEWAY};
use test_support::{Crowd, ProcessCluster};

/// How long a process may take to end that was told to stop.
const STOP_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_but_the_gateway_is_restarted_under_load_and_no_guest_notices() {
    let Some(mut apart) = ProcessCluster::start(1, &[]).await else { return };
    let guest = apart.guest(0);
    guest.furnish().await;
    let crowd = Crowd::come(std::slice::from_ref(&guest), 10, false);
    for service in ALL.into_iter().filter(|service| *service != GATEWAY) {
        crowd.accepts(20).await;
        let (status, took) = apart.stop(service, 0);
        apart.start_replica(service, 0);
        assert_eq!(status.code(), Some(0), "{service}: {}", apart.log(service, 0));
        assert!(took < STOP_MAX, "{service}: {took:?}");
    }
    crowd.accepts(20).await;
    let tally = crowd.go().await;
    assert_eq!(tally.failures, [""; 0]);
    guest.audit(&tally.accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_restarted_under_load_and_no_order_is_lost_or_doubled() {
    let Some(mut apart) = ProcessCluster::start(1, &[]).await else { return };
    let guest = apart.guest(0);
    guest.furnish().await;
    let crowd = Crowd::come(std::slice::from_ref(&guest), 10, true);
    for _ in 0..3 {
        crowd.accepts(30).await;
        let (status, took) = apart.stop(GATEWAY, 0);
        apart.start_replica(GATEWAY, 0);
        assert_eq!(status.code(), Some(0), "{}", apart.log(GATEWAY, 0));
        assert!(took < STOP_MAX, "{took:?}");
    }
    crowd.accepts(30).await;
    let tally = crowd.go().await;
    guest.audit(&tally.accepted).await;
    let summary = guest.ok("GET", "/v1/summary", serde_json::Value::Null).await;
    assert_eq!(summary["placed"].as_u64(), Some(tally.accepted.len() as u64));
}
