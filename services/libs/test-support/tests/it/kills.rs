//! Each service is killed under load, and nothing is lost or doubled.

use contracts::services::ALL;
use test_support::{Crowd, ProcessCluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_service_is_killed_under_load_and_nothing_is_lost_or_doubled() {
    let Some(mut apart) = ProcessCluster::start(1, &[]).await else { return };
    let guest = apart.guest(0);
    guest.furnish().await;
    let crowd = Crowd::come(std::slice::from_ref(&guest), 10, true);
    for service in ALL {
        crowd.accepts(20).await;
        apart.kill(service, 0);
        apart.start_replica(service, 0);
    }
    crowd.accepts(20).await;
    let tally = crowd.go().await;
    guest.audit(&tally.accepted).await;
}
