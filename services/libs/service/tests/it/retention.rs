//! What is old goes, what may still be sent stays, and the counters know both.

use std::time::Duration;

use contracts::{
    OrderId, Timestamp,
    api::audit::{RetentionFact, RetentionQuery, RetentionSide},
    events::{CancellationRequested, Event},
    services::{BOARD, INVENTORY, KITCHEN, ORDERS},
};
use events::retention::{self, INBOX_MARGIN, RETENTION};
use service::{Pace, Service, ServiceContext};
use store::Clock;
use uuid::Uuid;

use crate::stage::{NOTEBOOK, TestStore, announce, eventually, note_events, noted, unpublished};

const A_MINUTE: Duration = Duration::from_secs(60);

async fn reader(context: &ServiceContext, name: &'static str) -> Service {
    let mut service = context.open(name, NOTEBOOK).await.unwrap();
    service.consume(note_events);
    service
}

fn some_orders(count: usize) -> Vec<OrderId> {
    (0..count).map(|_| OrderId::new()).collect()
}

async fn facts(service: &Service) -> RetentionFact {
    let query = RetentionQuery { upto: Some(Uuid::max()) };
    service.database().read(move |tx| retention::facts(tx, &query)).await.unwrap()
}

/// Returns how many were removed, and how many are still there.
fn figures(side: &RetentionSide) -> (i64, i64) {
    let of = |counts: &std::collections::BTreeMap<String, i64>| {
        counts.get(CancellationRequested::NAME).copied().unwrap_or(0)
    };
    (of(&side.removed), of(&side.kept))
}

async fn look_until_idle(service: &Service) {
    while service.remove_old_events().await.unwrap() == Pace::Again {}
}

#[tokio::test]
async fn what_is_old_goes_in_batches_and_the_inbox_after_the_outbox() {
    for ground in TestStore::all() {
        let clock = Clock::fixed(Timestamp::now());
        let context =
            || ServiceContext::new(ground.location(), events::in_process(), clock.clone());
        let environment = context();
        let orders = environment.open(ORDERS, NOTEBOOK).await.unwrap();
        let inventory = environment.open(INVENTORY, NOTEBOOK).await.unwrap();
        let (kitchen, board) =
            (reader(&environment, KITCHEN).await, reader(&environment, BOARD).await);
        announce(orders.database(), some_orders(2_300)).await.unwrap();
        eventually("all is published", || async { unpublished(orders.database()).await == 0 })
            .await;

        look_until_idle(&orders).await;
        assert_eq!(figures(&facts(&orders).await.outbox), (0, 2_300), "nothing is old yet");
        clock.advance(RETENTION + A_MINUTE);
        for kept in [1_300, 300] {
            assert_eq!(orders.remove_old_events().await.unwrap(), Pace::Again);
            assert_eq!(figures(&facts(&orders).await.outbox), (2_300 - kept, kept));
        }
        // The last event stays: places are counted on from it.
        assert_eq!(orders.remove_old_events().await.unwrap(), Pace::Idle);
        look_until_idle(&orders).await;
        let told = facts(&orders).await.outbox;
        assert_eq!(figures(&told), (2_299, 1));
        assert!(told.horizon.is_some());

        for service in [&inventory, &kitchen, &board] {
            look_until_idle(service).await;
        }
        assert_eq!(figures(&facts(&kitchen).await.inbox), (0, 2_300), "not within the margin");
        clock.advance(INBOX_MARGIN);
        for reader in [&kitchen, &board] {
            look_until_idle(reader).await;
            assert_eq!(figures(&facts(reader).await.inbox), (2_300, 0));
        }
        environment.close().await;

        let environment = context();
        let orders = environment.open(ORDERS, NOTEBOOK).await.unwrap();
        let (kitchen, board) =
            (reader(&environment, KITCHEN).await, reader(&environment, BOARD).await);
        announce(orders.database(), some_orders(1)).await.unwrap();
        eventually("the next one is published", || async {
            unpublished(orders.database()).await == 0
        })
        .await;
        for reader in [&kitchen, &board] {
            assert_eq!(noted(reader.database()).await.len(), 2_301, "nothing came twice");
        }
        environment.close().await;
    }
}

#[tokio::test]
async fn what_is_not_published_stays_and_so_does_all_behind_it() {
    for ground in TestStore::all() {
        let clock = Clock::fixed(Timestamp::now());
        let environment =
            ServiceContext::new(ground.location(), events::in_process(), clock.clone());
        let orders = environment.open(ORDERS, NOTEBOOK).await.unwrap();
        let board = reader(&environment, BOARD).await;
        announce(orders.database(), some_orders(10)).await.unwrap();
        eventually("the board has read it", || async { noted(board.database()).await.len() == 10 })
            .await;
        clock.advance(RETENTION + INBOX_MARGIN + A_MINUTE);
        for service in [&orders, &board] {
            look_until_idle(service).await;
        }
        assert_eq!(figures(&facts(&orders).await.outbox), (0, 10), "the kitchen has not read it");
        // The other writers are in processes of their own, for all that is known here.
        assert_eq!(figures(&facts(&board).await.inbox), (0, 10));

        let inventory = environment.open(INVENTORY, NOTEBOOK).await.unwrap();
        let kitchen = environment.open(KITCHEN, NOTEBOOK).await.unwrap();
        for service in [&inventory, &kitchen, &orders, &board] {
            look_until_idle(service).await;
        }
        assert_eq!(figures(&facts(&board).await.inbox), (0, 10), "it may be sent again");
        let mut kitchen = kitchen;
        kitchen.consume(note_events);
        eventually("all is published", || async { unpublished(orders.database()).await == 0 })
            .await;
        for service in [&orders, &board] {
            look_until_idle(service).await;
        }
        assert_eq!(figures(&facts(&orders).await.outbox), (9, 1));
        assert_eq!(figures(&facts(&board).await.inbox), (10, 0));
        environment.close().await;
    }
}

#[tokio::test]
async fn two_processes_that_remove_at_once_count_each_event_once() {
    for ground in TestStore::all() {
        // Only PostgreSQL is shared by several processes.
        if matches!(ground, TestStore::Sqlite(_)) {
            continue;
        }
        let clock = Clock::fixed(Timestamp::now());
        let context =
            || ServiceContext::new(ground.location(), events::in_process(), clock.clone());
        let (first, second) = (context(), context());
        let orders = first.open(ORDERS, NOTEBOOK).await.unwrap();
        let _readers = (reader(&first, KITCHEN).await, reader(&first, BOARD).await);
        let other = second.open(ORDERS, NOTEBOOK).await.unwrap();
        announce(orders.database(), some_orders(3_001)).await.unwrap();
        eventually("all is published", || async { unpublished(orders.database()).await == 0 })
            .await;
        clock.advance(RETENTION + A_MINUTE);
        eventually("all is removed", || async {
            let looked = tokio::join!(orders.remove_old_events(), other.remove_old_events());
            looked.0.unwrap();
            looked.1.unwrap();
            figures(&facts(&orders).await.outbox).1 == 1
        })
        .await;
        assert_eq!(figures(&facts(&orders).await.outbox), (3_000, 1));
        second.close().await;
        first.close().await;
    }
}
