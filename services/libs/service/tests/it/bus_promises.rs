//! What every bus promises. A new bus is an entry in `Line::all`.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use contracts::{
    OrderId,
    services::{BOARD, KITCHEN, ORDERS},
};
use events::{dead_letters, outbox};
use service::ServiceContext;
use store::{Database, StoreError};

use crate::stage::{
    Line, NOTEBOOK, TestStore, announce, eventually, note_events, noted, unpublished,
};

/// A writer and its two readers, as the catalogue has them for `order.cancellation_requested`.
struct Town {
    orders: Database,
    kitchen: Database,
    board: Database,
}

impl Town {
    async fn open(context: &ServiceContext) -> Self {
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        kitchen.consume(note_events);
        let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
        board.consume(note_events);
        Self {
            orders: orders.database().clone(),
            kitchen: kitchen.database().clone(),
            board: board.database().clone(),
        }
    }

    async fn all_published(&self) {
        eventually("every event is published", || async { unpublished(&self.orders).await == 0 })
            .await;
    }
}

/// Every bus, on each engine, both new.
fn everywhere() -> Vec<(TestStore, Line)> {
    let engines = TestStore::all().len();
    let of = |engine: usize| TestStore::all().swap_remove(engine);
    (0..engines)
        .flat_map(|engine| Line::all().into_iter().map(move |line| (of(engine), line)))
        .collect()
}

fn ids(count: usize) -> Vec<OrderId> {
    (0..count).map(|_| OrderId::new()).collect()
}

#[tokio::test]
async fn every_reader_acts_once_on_every_event() {
    for ground in TestStore::all() {
        for line in Line::all() {
            let context = ground.context(line.bus());
            let town = Town::open(&context).await;
            let before = noted(&town.kitchen).await.len();
            let orders = ids(700);
            for some in orders.chunks(90) {
                announce(&town.orders, some.to_vec()).await.unwrap();
            }
            town.all_published().await;
            for reader in [&town.kitchen, &town.board] {
                let mut found = noted(reader).await.split_off(before);
                found.sort();
                let mut expected: Vec<String> = orders.iter().map(ToString::to_string).collect();
                expected.sort();
                assert_eq!(found, expected);
            }
            context.close().await;
        }
    }
}

#[tokio::test]
async fn events_of_one_subject_stay_in_order() {
    let ground = &TestStore::all()[0];
    for line in Line::all() {
        let context = ground.context(line.bus());
        let town = Town::open(&context).await;
        let subjects = ids(5);
        let before = noted(&town.kitchen).await.len();
        // Each subject is told many times. Ids grow, so those of each subject must arrive growing.
        for round in 0..60 {
            announce(&town.orders, vec![subjects[round % 5], subjects[(round + 1) % 5]])
                .await
                .unwrap();
        }
        town.all_published().await;
        let handled: Vec<(String, String)> = town
            .kitchen
            .read(|tx| {
                tx.query("SELECT subject, event FROM notes ORDER BY seq", &[], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
            })
            .await
            .unwrap();
        let mut by_subject: HashMap<&str, Vec<&str>> = HashMap::new();
        for (subject, event) in &handled[before..] {
            by_subject.entry(subject).or_default().push(event);
        }
        for events in by_subject.values() {
            assert_eq!(events.len(), 24);
            assert!(events.is_sorted(), "events of one subject changed places");
        }
        context.close().await;
    }
}

#[tokio::test]
async fn what_a_crash_left_unpublished_is_offered_again() {
    for line in Line::all() {
        for ground in TestStore::all() {
            let context = ground.context(line.bus());
            // Nobody reads, so nothing can be published.
            let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
            announce(orders.database(), ids(20)).await.unwrap();
            context.close().await;

            let context = ground.context(line.bus());
            let town = Town::open(&context).await;
            town.all_published().await;
            let noted = (noted(&town.kitchen).await.len(), noted(&town.board).await.len());
            assert_eq!(noted, (20, 20));
            context.close().await;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_relay_and_not_the_writer_and_nothing_is_lost() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
    board.consume(note_events);
    // The kitchen is not there yet: three times what may be in flight goes into the outbox all the same.
    let all = 3 * outbox::IN_FLIGHT_MAX;
    for some in ids(all).chunks(1_000) {
        announce(orders.database(), some.to_vec()).await.unwrap();
    }
    eventually("the board has what may be in flight", || async {
        noted(board.database()).await.len() >= outbox::IN_FLIGHT_MAX - 1_000
    })
    .await;
    assert!(
        noted(board.database()).await.len() <= outbox::IN_FLIGHT_MAX,
        "more was in flight than may be"
    );
    assert_eq!(unpublished(orders.database()).await, i64::try_from(all).unwrap());

    let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
    kitchen.consume(note_events);
    eventually("every event is published", || async { unpublished(orders.database()).await == 0 })
        .await;
    assert_eq!(
        (noted(kitchen.database()).await.len(), noted(board.database()).await.len()),
        (all, all)
    );
    context.close().await;
}

#[tokio::test]
async fn poison_is_set_aside_and_can_be_replayed() {
    for (ground, line) in everywhere() {
        let context = ground.context(line.bus());
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let poison = OrderId::new();
        let antidote = Arc::new(AtomicBool::new(false));
        let found = Arc::clone(&antidote);
        let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        kitchen.consume(move |tx, name, events| {
            if !found.load(Ordering::SeqCst)
                && events.iter().any(|event| event.subject == poison.to_string())
            {
                return Err(StoreError::rejected("poison"));
            }
            note_events(tx, name, events)
        });
        let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
        board.consume(note_events);

        let mut served = ids(40);
        served.insert(20, poison);
        announce(orders.database(), served).await.unwrap();
        eventually("every event is published", || async {
            unpublished(orders.database()).await == 0
        })
        .await;
        assert_eq!(
            (noted(kitchen.database()).await.len(), noted(board.database()).await.len()),
            (40, 41)
        );
        let letters = kitchen.database().read(dead_letters::list).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].subject.clone(), letters[0].attempts), (poison.to_string(), 3));
        assert!(letters[0].error.contains("poison"));

        let replay = format!("/internal/dead-letters/{}/replay", letters[0].id);
        assert_eq!(post(&kitchen, &replay).await, 409);
        antidote.store(true, Ordering::SeqCst);
        assert_eq!(post(&kitchen, &replay).await, 204);
        assert_eq!(post(&kitchen, &replay).await, 404);
        assert_eq!(noted(kitchen.database()).await.len(), 41);
        context.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_two_replicas_replay_at_once_is_acted_on_once() {
    /// How long the first replica waits for the second: long enough to meet if the second does not wait for a lock.
    const MEET_MAX: Duration = Duration::from_secs(1);
    // Only a PostgreSQL has several replicas.
    for ground in TestStore::all().into_iter().skip(1) {
        let floors = [ground.context(events::in_process()), ground.context(events::in_process())];
        let is_poison = Arc::new(AtomicBool::new(true));
        let acting = Arc::new(AtomicUsize::new(0));
        let mut kitchens = Vec::new();
        for context in &floors {
            let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
            let (is_poison, acting) = (Arc::clone(&is_poison), Arc::clone(&acting));
            kitchen.consume(move |tx, name, events| {
                if is_poison.load(Ordering::SeqCst) {
                    return Err(StoreError::rejected("poison"));
                }
                acting.fetch_add(1, Ordering::SeqCst);
                let started = Instant::now();
                while acting.load(Ordering::SeqCst) < 2 && started.elapsed() < MEET_MAX {
                    std::thread::yield_now();
                }
                note_events(tx, name, events)
            });
            kitchens.push(kitchen);
        }
        let orders = floors[0].open(ORDERS, NOTEBOOK).await.unwrap();
        announce(orders.database(), ids(1)).await.unwrap();
        let count = || async { kitchens[0].database().read(dead_letters::count).await.unwrap() };
        eventually("the event is set aside", || async { count().await == 1 }).await;
        let letters = kitchens[0].database().read(dead_letters::list).await.unwrap();
        is_poison.store(false, Ordering::SeqCst);
        let replay = format!("/internal/dead-letters/{}/replay", letters[0].id);
        let (one, other) = tokio::join!(post(&kitchens[0], &replay), post(&kitchens[1], &replay));
        assert_eq!(one.min(other)..=one.max(other), 204..=404);
        assert_eq!(noted(kitchens[0].database()).await.len(), 1);
        for context in floors {
            context.close().await;
        }
    }
}

async fn post(service: &service::Service, path: &str) -> u16 {
    use tower::ServiceExt as _;
    let request = axum::http::Request::post(path).body(axum::body::Body::empty()).unwrap();
    service.router().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_loses_and_doubles_nothing() {
    for (ground, line) in everywhere() {
        let context = ground.context(line.bus());
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let failures = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&failures);
        let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        kitchen.consume(move |tx, name, events| {
            note_events(tx, name, events)?;
            if counted.fetch_add(1, Ordering::SeqCst) < 3 {
                return Err(StoreError::engine("away"));
            }
            Ok(())
        });
        let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
        board.consume(note_events);
        announce(orders.database(), ids(10)).await.unwrap();
        eventually("every event is published", || async {
            unpublished(orders.database()).await == 0
        })
        .await;
        assert_eq!(noted(kitchen.database()).await.len(), 10);
        assert_eq!(kitchen.database().read(dead_letters::count).await.unwrap(), 0);
        tokio::time::timeout(Duration::from_secs(30), context.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_whose_database_takes_nothing_more_stops_at_once() {
    for (ground, line) in everywhere() {
        let context = ground.context(line.bus());
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let attempts = Arc::new(AtomicUsize::new(0));
        let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        let counted = Arc::clone(&attempts);
        kitchen.consume(move |_, _, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(StoreError::engine("the disk is full"))
        });
        announce(orders.database(), ids(3)).await.unwrap();
        eventually("the events are tried again", || async { attempts.load(Ordering::Relaxed) > 3 })
            .await;
        let closed = tokio::time::timeout(Duration::from_secs(20), context.close()).await;
        assert!(closed.is_ok(), "it waits for a batch that it gave up");
    }
}
