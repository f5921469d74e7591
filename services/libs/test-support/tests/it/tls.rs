//! Services that speak TLS to PostgreSQL and Redis, as in production.

use test_support::ProcessCluster;
use tokio_postgres::NoTls;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_delivered_in_tls_also_after_postgresql_and_redis_were_away() {
    let Some(mut apart) = ProcessCluster::start_in_tls().await else { return };
    let guest = apart.guest(0);
    guest.furnish().await;
    let before = guest.order("salad").await;
    guest.settle().await;
    assert!(connections(&apart).await.iter().all(|(_, is_tls)| *is_tls));
    assert_eq!(connections(&apart).await.len(), 7, "every service has some");
    apart.postgres.stop();
    apart.redis.kill();
    apart.postgres.start();
    apart.redis.start();
    apart.is_ready().await;
    let after = guest.order("pizza").await;
    guest.settle().await;
    guest.audit(&[before, after]).await;
    assert!(connections(&apart).await.iter().all(|(_, is_tls)| *is_tls));
    assert_eq!(apart.ended(), [""; 0], "no process may end by itself");
}

/// Returns which services have connections to PostgreSQL, and whether all of them are TLS.
async fn connections(apart: &ProcessCluster) -> Vec<(String, bool)> {
    let (client, connection) = tokio_postgres::connect(&apart.postgres.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql =
        "SELECT usename::TEXT, bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
               WHERE application_name LIKE 'chefcito-%' GROUP BY 1";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
