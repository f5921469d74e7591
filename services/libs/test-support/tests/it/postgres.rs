//! PostgreSQL goes away under load, and comes back.

use test_support::{Crowd, ProcessCluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_stopped_and_killed_under_load_and_nothing_is_lost_or_doubled() {
    let Some(mut apart) = ProcessCluster::start(1, &[]).await else { return };
    let guest = apart.guest(0);
    guest.furnish().await;
    let crowd = Crowd::come(std::slice::from_ref(&guest), 10, true);
    for round in 0..4 {
        crowd.accepts(30).await;
        if round % 2 == 0 {
            apart.postgres.stop();
        } else {
            apart.postgres.kill();
        }
        test_support::until("the environment says that it is not ready", async || {
            guest.status().await.is_some_and(|status| !status.ready)
        })
        .await;
        let status = guest.status().await.unwrap();
        assert!(status.services.values().all(|service| !service.ready && service.reason.is_some()));
        apart.postgres.start();
    }
    crowd.accepts(30).await;
    let tally = crowd.go().await;
    apart.is_ready().await;
    guest.audit(&tally.accepted).await;
    assert!(!tally.failures.is_empty(), "nobody noticed");
}
