//! Several processes of each service on one PostgreSQL and one Redis: they share the work, and who dies is replaced.

use std::time::{Duration, Instant};

use contracts::OrderId;
use store::Database;
use test_support::redis;
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::{
    redis_town::{Load, Process, added, length, subjects},
    stage::{TestStore, announce, eventually, noted},
};

fn postgres() -> Option<TestStore> {
    test_support::postgres().map(TestStore::Postgres)
}

/// Returns how many shards each process has.
async fn shares(database: &Database) -> Vec<i64> {
    database
        .read(|tx| {
            let now = tx.database_now()?;
            tx.query(
                "SELECT COUNT(*) FROM leases WHERE name >= 'bus/0' AND name < 'bus/8' AND expires_at > ?1
                 GROUP BY owner ORDER BY 1",
                &store::params![now],
                |row| row.get(0),
            )
        })
        .await
        .unwrap()
}

async fn divided(database: &Database, expected: &[i64]) {
    eventually(&format!("the shards are divided {expected:?}"), || async {
        shares(database).await == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_move_when_a_process_comes_goes_or_dies() {
    let Some((ground, redis)) = postgres().zip(redis()) else { return };
    let first = Process::start(&ground, &redis).await;
    let kitchen = first.town.kitchen.database().clone();
    divided(&kitchen, &[8]).await;
    let second = Process::start(&ground, &redis).await;
    divided(&kitchen, &[4, 4]).await;
    let third = Process::start(&ground, &redis).await;
    divided(&kitchen, &[2, 3, 3]).await;

    let started = Instant::now();
    third.close().await;
    divided(&kitchen, &[4, 4]).await;
    assert!(started.elapsed() < Duration::from_secs(3), "goodbye took {:?}", started.elapsed());
    second.kill();
    divided(&kitchen, &[8]).await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_keep_subjects_in_order_and_lose_nothing_when_one_dies() {
    let Some((ground, redis)) = postgres().zip(redis()) else { return };
    let first = Process::start(&ground, &redis).await;
    let subjects = subjects();
    let load = Load::on(first.town.orders.database(), subjects.clone());
    for _ in 0..2 {
        let other = Process::start(&ground, &redis).await;
        let more = Load::on(other.town.orders.database(), subjects.clone());
        divided(first.town.kitchen.database(), &[4, 4]).await;
        let length: i64 = redis.ask(&["XLEN", "chefcito.events.{0}"]).unwrap();
        added(&redis, 8 * length + 100).await;
        more.end().await;
        other.kill();
        divided(first.town.board.database(), &[8]).await;
    }
    load.end().await;
    first.town.settle().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_may_die_and_another_goes_on() {
    let Some((ground, redis)) = postgres().zip(redis()) else { return };
    let subjects = subjects();
    let mut process = Process::start(&ground, &redis).await;
    for _ in 0..3 {
        let load = Load::on(process.town.orders.database(), subjects.clone());
        let next = Process::start(&ground, &redis).await;
        added(&redis, 50).await;
        load.end().await;
        process.kill();
        process = next;
    }
    process.town.settle().await;
    process.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_commits_is_published_at_once() {
    let Some((ground, redis)) = postgres().zip(redis()) else { return };
    let first = Process::start(&ground, &redis).await;
    divided(first.town.kitchen.database(), &[8]).await;
    let second = Process::start(&ground, &redis).await;
    divided(first.town.kitchen.database(), &[4, 4]).await;
    // Only one of them publishes: the other wakes it.
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let process = if round % 2 == 0 { &first } else { &second };
        let before = length(&redis);
        let started = Instant::now();
        announce(process.town.orders.database(), subjects()[..1].to_vec()).await.unwrap();
        eventually("it is on its way", || async { length(&redis) > before }).await;
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_millis(500), "one waited {slowest:?}");
    first.town.settle().await;
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_committed_late_is_not_passed_over() {
    let Some((ground, redis)) = postgres().zip(redis()) else { return };
    let TestStore::Postgres(server) = &ground else { return };
    let process = Process::start(&ground, &redis).await;
    let orders = process.town.orders.database();
    announce(orders, subjects()).await.unwrap();
    process.town.settle().await;

    // Another writer takes a place, and is slow to commit.
    let (mut other, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let slow = other.transaction().await.unwrap();
    slow.execute("SELECT pg_current_xact_id()", &[]).await.unwrap();
    let (order, id) = (OrderId::new().to_string(), Uuid::now_v7().to_string());
    let data = format!(r#"{{"order":"{order}"}}"#);
    let took = slow
        .query_one(
            "INSERT INTO orders.outbox (id, kind, subject, time, data)
             VALUES ($1, 'chefcito.order.cancellation_requested.v1', $2, 1, $3) RETURNING seq",
            &[&id, &order, &data],
        )
        .await
        .unwrap();
    let place: i64 = took.get(0);
    for _ in 0..5 {
        announce(orders, subjects()).await.unwrap();
    }
    let told = 6 * 20;
    let kitchen = process.town.kitchen.database();
    eventually("what came after it is on its way", || async { noted(kitchen).await.len() == told })
        .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let position: Option<i64> = orders
        .read(|tx| tx.query_one("SELECT position FROM broker", &[], |row| row.get(0)))
        .await
        .unwrap();
    assert!(position.unwrap() < place, "{position:?} is behind {place}, which may still come");

    slow.commit().await.unwrap();
    eventually("it came", || async { noted(kitchen).await.contains(&order) }).await;
    process.town.settle().await;
    process.close().await;
}
