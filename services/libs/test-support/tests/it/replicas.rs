//! Two replicas of every service on the same schemas.

use contracts::services::{ALL, GATEWAY};
use test_support::{Crowd, ProcessCluster};
use tokio_postgres::NoTls;

/// How many connections one process has at the most: its writer's and its readers'.
const CONNECTIONS_MAX: i64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_every_service_work_as_one_and_each_may_be_killed() {
    let Some(mut apart) = ProcessCluster::start(2, &[("CHEFCITO_STOVES", "2")]).await else {
        return;
    };
    let guest = apart.guest(0);
    guest.furnish().await;
    let crowd = Crowd::come(&[apart.guest(0), apart.guest(1)], 16, true);
    crowd.accepts(100).await;
    for (service, count) in connections(&apart).await {
        assert!(count <= 2 * CONNECTIONS_MAX, "{service} has {count} connections");
    }
    for (at, service) in ALL.into_iter().enumerate() {
        crowd.accepts(20).await;
        // The first simulated market is the one whose address the market knows.
        let replica = at % 2;
        if service == GATEWAY {
            let (status, _) = apart.stop(service, replica);
            assert_eq!(status.code(), Some(0));
        } else {
            apart.kill(service, replica);
        }
        crowd.accepts(20).await;
        apart.start_replica(service, replica);
    }
    crowd.accepts(20).await;
    let tally = crowd.go().await;
    apart.is_ready().await;
    guest.audit(&tally.accepted).await;
    assert_eq!(apart.ended(), [""; 0], "no process may end by itself");
    // They are decided again; each costs the second after which PostgreSQL looks for them, so there must be few.
    let circles = deadlocks(&apart).await;
    assert!(circles <= 3, "replicas waited for each other in a circle: {}", apart.postgres.log());
}

/// Returns how often transactions waited for each other in a circle.
async fn deadlocks(apart: &ProcessCluster) -> i64 {
    let (client, connection) = tokio_postgres::connect(&apart.postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'chefcito'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Returns how many connections each service has.
async fn connections(apart: &ProcessCluster) -> Vec<(String, i64)> {
    let (client, connection) = tokio_postgres::connect(&apart.postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = "SELECT usename::TEXT, COUNT(*) FROM pg_stat_activity WHERE application_name LIKE 'chefcito-%' GROUP BY 1";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
