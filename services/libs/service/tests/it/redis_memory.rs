//! Streams stay short, and bounded when a reader is away or slow; who comes back gets everything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use contracts::{
    OrderId,
    events::OrderDelivered,
    services::{BOARD, INVENTORY, KITCHEN, ORDERS},
};
use events::Announce as _;
use redis_bus::Settings;
use service::{Service, ServiceContext};
use store::{Database, StoreError};
use test_support::{TestRedis, redis};

use crate::{
    redis_town::{length, subjects},
    stage::{
        NOTEBOOK, TestStore, announce, assert_heard, eventually, note_events, noted, unpublished,
    },
};

/// So small that a few hundred events fill a stream.
const STREAM_BYTES_MAX: u64 = 40_000;

fn context(ground: &TestStore, redis: &TestRedis) -> ServiceContext {
    let settings = Settings { stream_bytes_max: STREAM_BYTES_MAX, ..Settings::new(redis.url()) };
    ground.context(redis_bus::open(settings).unwrap())
}

async fn reader(context: &ServiceContext, name: &'static str) -> Service {
    let mut service = context.open(name, NOTEBOOK).await.unwrap();
    service.consume(note_events);
    service
}

async fn all_published(orders: &Service) {
    eventually("every event is published", || async { unpublished(orders.database()).await == 0 })
        .await;
}

fn bytes(redis: &TestRedis) -> u64 {
    let of = |shard: usize| {
        let stream = format!("chefcito.events.{{{shard}}}");
        redis.ask::<Option<u64>>(&["MEMORY", "USAGE", &stream]).unwrap().unwrap_or(0)
    };
    (0..8).map(of).max().unwrap_or(0)
}

/// Announces many events about a few subjects, waiting between them as an environment would.
async fn announce_many(database: &Database, subjects: &[OrderId], rounds: usize) {
    for _ in 0..rounds {
        announce(database, subjects.repeat(10)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_readers_have_acknowledged_is_removed() {
    let ground = &TestStore::all()[0];
    let Some(redis) = redis() else { return };
    let context = context(ground, &redis);
    let mut orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    orders.consume(note_events);
    let mut readers = Vec::new();
    for name in [KITCHEN, INVENTORY, BOARD] {
        readers.push(reader(&context, name).await);
    }
    announce_many(orders.database(), &subjects(), 20).await;
    all_published(&orders).await;
    eventually("the streams are empty", || async { length(&redis) == 0 }).await;
    // What nobody of them reads is acknowledged unread.
    let inbox: Option<i64> = readers[1]
        .database()
        .read(|tx| tx.query_one("SELECT COUNT(*) FROM inbox", &[], |row| row.get(0)))
        .await
        .unwrap();
    assert_eq!(inbox, Some(0), "the inventory acted on what it does not read");
    context.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_away_for_too_long_gets_everything_when_it_is_back() {
    for ground in TestStore::all() {
        let Some(redis) = redis() else { return };
        let (environment, elsewhere) = (context(&ground, &redis), context(&ground, &redis));
        let orders = environment.open(ORDERS, NOTEBOOK).await.unwrap();
        let kitchen = reader(&environment, KITCHEN).await;
        let board = reader(&elsewhere, BOARD).await;
        let subjects = subjects();
        announce_many(orders.database(), &subjects, 3).await;
        all_published(&orders).await;
        elsewhere.close().await;
        drop(board);
        // As if a while had passed.
        redis.ask::<()>(&["DEL", "chefcito.alive.board"]).unwrap();

        for _ in 0..5 {
            announce_many(orders.database(), &subjects, 20).await;
            eventually("the kitchen goes on, and memory is bounded", || async {
                let acted = noted(kitchen.database()).await.len();
                let told = crate::stage::told(orders.database()).await;
                acted == told.values().map(Vec::len).sum::<usize>()
                    && bytes(&redis) < 2 * STREAM_BYTES_MAX
            })
            .await;
        }
        eventually("something was cut off", || async {
            redis.ask::<i64>(&["HLEN", "chefcito.cut"]).unwrap() > 0
        })
        .await;
        assert_eq!(unpublished(orders.database()).await, 5 * 20 * 200);

        let elsewhere = context(&ground, &redis);
        let board = reader(&elsewhere, BOARD).await;
        all_published(&orders).await;
        for (who, reader) in [(KITCHEN, &kitchen), (BOARD, &board)] {
            assert_heard(orders.database(), reader.database(), who).await;
        }
        elsewhere.close().await;
        environment.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_never_there_gets_everything_when_it_comes() {
    let ground = &TestStore::all()[0];
    let Some(redis) = redis() else { return };
    let context = context(ground, &redis);
    let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let kitchen = reader(&context, KITCHEN).await;
    announce_many(orders.database(), &subjects(), 60).await;
    eventually("something was cut off", || async {
        redis.ask::<i64>(&["HLEN", "chefcito.cut"]).unwrap() > 0
    })
    .await;
    let board = reader(&context, BOARD).await;
    all_published(&orders).await;
    for (who, reader) in [(KITCHEN, &kitchen), (BOARD, &board)] {
        assert_heard(orders.database(), reader.database(), who).await;
    }
    context.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_back_the_relay_and_not_the_writer() {
    let ground = &TestStore::all()[0];
    let Some(redis) = redis() else { return };
    let context = context(ground, &redis);
    let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let kitchen = reader(&context, KITCHEN).await;
    let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
    let stuck = Arc::new(AtomicBool::new(true));
    let is_stuck = Arc::clone(&stuck);
    board.consume(move |tx, name, events| {
        if is_stuck.load(Ordering::SeqCst) {
            return Err(StoreError::engine("stuck"));
        }
        note_events(tx, name, events)
    });
    eventually("the board reads", || async {
        redis.ask::<i64>(&["EXISTS", "chefcito.alive.board"]).unwrap() == 1
    })
    .await;
    let subjects = subjects();
    announce_many(orders.database(), &subjects, 100).await;
    eventually("the relay waits", || async { backlog(orders.database()).await > 1_000 }).await;
    // It stays where it is for as long as the board is there and stuck.
    let held = (bytes(&redis), noted(kitchen.database()).await.len());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((bytes(&redis), noted(kitchen.database()).await.len()), held);
    assert!(held.0 < 20 * STREAM_BYTES_MAX, "{held:?}");

    stuck.store(false, Ordering::SeqCst);
    all_published(&orders).await;
    for (who, reader) in [(KITCHEN, &kitchen), (BOARD, &board)] {
        assert_heard(orders.database(), reader.database(), who).await;
    }
    context.close().await;
}

/// Returns how many events the broker was not given.
async fn backlog(database: &Database) -> i64 {
    let count = "SELECT MAX(seq) - (SELECT handed_over FROM broker) FROM outbox";
    let found: Option<i64> =
        database.read(move |tx| tx.query_one(count, &[], |row| row.get(0))).await.unwrap();
    found.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_reader_does_not_read_are_passed_over() {
    let ground = &TestStore::all()[0];
    let Some(redis) = redis() else { return };
    let context = context(ground, &redis);
    let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let kitchen = reader(&context, KITCHEN).await;
    let board = reader(&context, BOARD).await;
    for _ in 0..10 {
        orders
            .database()
            .write(|tx| {
                let order = OrderId::new();
                tx.announce(&OrderDelivered {
                    order,
                    dish: "salad".into(),
                    placed_at: tx.now(),
                    delivered_at: tx.now(),
                });
                Ok(())
            })
            .await
            .unwrap();
    }
    all_published(&orders).await;
    assert_eq!(
        (noted(kitchen.database()).await.len(), noted(board.database()).await.len()),
        (0, 10)
    );
    context.close().await;
}
