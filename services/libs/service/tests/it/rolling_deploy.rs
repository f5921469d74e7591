//! Replicas of two versions read as one group: an event that only the newer one knows is left for it, and stays in order.

use events::Announce as _;
use std::time::Duration;

use contracts::{
    OrderId, Timestamp,
    events::{
        CancellationRequested, OrderDelivered,
        catalogue::{CATALOGUE, Catalogue, Entry},
    },
    services::{BOARD, ORDERS},
};
use events::{dead_letters, deferred};
use redis_bus::Settings;
use service::{Service, ServiceContext};
use store::{Clock, Database};
use test_support::{TestRedis, postgres, redis};

use crate::stage::{NOTEBOOK, TestStore, announce, assert_heard, eventually, heard, note_events};

/// The version before `order.delivered`.
fn older() -> Catalogue {
    let known = CATALOGUE.into_iter().filter(|entry| entry.name != "order.delivered");
    Catalogue(known.collect::<Vec<Entry>>().leak())
}

async fn board(context: &ServiceContext) -> Service {
    let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
    board.consume(note_events);
    board
}

/// Tells of each order what both versions know, what only the newer one does, and again what both know.
async fn tell(orders: &Database, subjects: &[OrderId]) {
    let subjects = subjects.to_vec();
    let told = orders.write(move |tx| {
        for &order in &subjects {
            tx.announce(&CancellationRequested { order });
            let (placed_at, delivered_at) = (tx.now(), tx.now());
            tx.announce(&OrderDelivered { order, dish: "salad".into(), placed_at, delivered_at });
            tx.announce(&CancellationRequested { order });
        }
        Ok(())
    });
    told.await.unwrap();
}

async fn deferred(board: &Service) -> i64 {
    board.database().read(deferred::count).await.unwrap()
}

async fn all_heard(orders: &Service, board: &Service) {
    let count = async |service: &Service, sql: &'static str| {
        let count: Option<i64> = service
            .database()
            .read(move |tx| tx.query_one(sql, &[], |row| row.get(0)))
            .await
            .unwrap();
        count.unwrap()
    };
    eventually("the board has acted on every event", || async {
        count(board, "SELECT COUNT(*) FROM notes").await
            >= count(orders, "SELECT COUNT(*) FROM outbox").await
    })
    .await;
    assert_heard(orders.database(), board.database(), BOARD).await;
    assert_eq!(deferred(board).await, 0);
}

fn context(ground: &TestStore, redis: &TestRedis) -> ServiceContext {
    ground.context(redis_bus::open(Settings::new(redis.url())).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deploy_and_its_way_back_lose_nothing_and_keep_subjects_in_order() {
    let Some((ground, redis)) = postgres().map(TestStore::Postgres).zip(redis()) else { return };
    let writer = context(&ground, &redis);
    let orders = writer.open(ORDERS, NOTEBOOK).await.unwrap();
    let first = context(&ground, &redis).with_catalogue(older());
    let old_board = board(&first).await;
    let subjects: Vec<OrderId> = (0..20).map(|_| OrderId::new()).collect();
    tell(orders.database(), &subjects).await;
    eventually("the old version keeps what it does not know, and what comes after it", || async {
        deferred(&old_board).await == 40
    })
    .await;
    assert!(heard(old_board.database()).await.values().all(|heard| heard.len() == 1));
    let other = OrderId::new();
    announce(orders.database(), vec![other]).await.unwrap();
    eventually("other subjects go on", || async {
        heard(old_board.database()).await.contains_key(&other.to_string())
    })
    .await;

    // Forth: the newer version joins, and both read while more is told.
    let second = context(&ground, &redis);
    let new_board = board(&second).await;
    for _ in 0..20 {
        tell(orders.database(), &subjects).await;
    }
    all_heard(&orders, &new_board).await;
    first.close().await;
    tell(orders.database(), &subjects).await;
    all_heard(&orders, &new_board).await;

    // Back: the older version joins, and is alone for a while.
    let third = context(&ground, &redis).with_catalogue(older());
    let old_board = board(&third).await;
    tell(orders.database(), &subjects).await;
    second.close().await;
    tell(orders.database(), &subjects).await;
    eventually("the old version keeps what it does not know", || async {
        deferred(&old_board).await >= 40
    })
    .await;
    let fourth = context(&ground, &redis);
    let new_board = board(&fourth).await;
    all_heard(&orders, &new_board).await;
    for context in [writer, third, fourth] {
        context.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_writer_publishes_what_a_newer_one_wrote() {
    let Some((ground, redis)) = postgres().map(TestStore::Postgres).zip(redis()) else { return };
    let writer = context(&ground, &redis);
    let orders = writer.open(ORDERS, NOTEBOOK).await.unwrap();
    write_unknown(orders.database()).await;
    let reader = context(&ground, &redis);
    let board = board(&reader).await;
    eventually("the event has reached the board", || async { deferred(&board).await == 1 }).await;
    writer.close().await;
    reader.close().await;
}

#[tokio::test]
async fn an_older_version_of_all_services_keeps_what_a_newer_one_left_in_an_outbox() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        write_unknown(orders.database()).await;
        let board = board(&context).await;
        let keeps = || async { deferred(&board).await == 1 };
        eventually("the board keeps the event", keeps).await;
        context.close().await;
    }
}

/// Writes an event of a type that this version does not know.
async fn write_unknown(orders: &Database) {
    const OUTBOX: &str = "INSERT INTO outbox (id, kind, subject, time, data)
         VALUES ('019a0000-0000-7000-8000-000000000000', 'chefcito.order.praised.v1', 'x', 1, '{}')";
    orders.write(|tx| tx.execute(OUTBOX, &[])).await.unwrap();
}

#[tokio::test]
async fn without_a_newer_version_a_subject_goes_on_after_a_while_and_the_event_is_replayed_later() {
    for ground in TestStore::all() {
        let clock = Clock::fixed(Timestamp::from_micros(1));
        let open = |catalogue| {
            ServiceContext::new(ground.location(), events::in_process(), clock.clone())
                .with_catalogue(catalogue)
        };
        let context = open(older());
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let board = board(&context).await;
        let order = OrderId::new();
        tell(orders.database(), &[order]).await;
        eventually("two events wait", || async { deferred(&board).await == 2 }).await;
        clock.advance(deferred::DEFERRED_MAX + Duration::from_secs(1));
        eventually("the subject goes on", || async { deferred(&board).await == 0 }).await;
        let letters = board.database().read(dead_letters::list).await.unwrap();
        let told: Vec<_> = letters.iter().map(|letter| (&*letter.kind, letter.attempts)).collect();
        assert_eq!(told, [("chefcito.order.delivered.v1", 0)]);
        assert_eq!(heard(board.database()).await[&order.to_string()].len(), 2);
        context.close().await;

        let context = open(Catalogue::default());
        let board = self::board(&context).await;
        eventually("the newer version has acted on it", || async {
            heard(board.database()).await[&order.to_string()].len() == 3
        })
        .await;
        assert_eq!(board.database().read(dead_letters::count).await.unwrap(), 0);
        context.close().await;
    }
}
