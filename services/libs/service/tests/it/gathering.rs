//! Events that gather: one commit is for several, an event that comes alone does not wait, and none waits for ever. Other work of
//! the writer, such as a worker that looks now and then, takes events that gather with it at any time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contracts::{
    OrderId, Quantities,
    events::{CancellationRequested, Event as _, IngredientsReserved},
    services::{KITCHEN, ORDERS},
};
use events::{Announce as _, Gathering, consumer::by_name};
use service::{Service, ServiceContext};

use crate::stage::{NOTEBOOK, TestStore, announce, eventually, note_events, noted};

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3_600);

/// The orders, whose cancellations gather in the kitchen, and the kitchen.
struct Both {
    context: ServiceContext,
    orders: Service,
    kitchen: Service,
    /// How often the kitchen acted on events.
    batches: Arc<AtomicUsize>,
}

async fn open(store: &TestStore, pause: Duration, events_max: usize) -> Both {
    let context = store.context(events::in_process());
    let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
    let gathering = Gathering { only: Some(CancellationRequested::NAME), pause, events_max };
    let batches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&batches);
    let react = by_name(move |tx, name, events| {
        counted.fetch_add(1, Ordering::Relaxed);
        note_events(tx, name, events)
    });
    kitchen.consume_batches(gathering, react);
    Both { context, orders, kitchen, batches }
}

impl Both {
    async fn cancel(&self) -> OrderId {
        let order = OrderId::new();
        announce(self.orders.database(), vec![order]).await.unwrap();
        order
    }

    /// Cancels an order when nothing gathers: the kitchen acts on it at once, and later ones gather.
    async fn first(&self) -> OrderId {
        let order = self.cancel().await;
        self.acted_on(&[order]).await;
        order
    }

    async fn reserve(&self) -> OrderId {
        let order = OrderId::new();
        let reserved = self.orders.database().write(move |tx| {
            let reserved = Quantities::default();
            tx.announce(&IngredientsReserved { order, reserved, waited: false });
            Ok(())
        });
        reserved.await.unwrap();
        order
    }

    /// Waits until the kitchen has acted on each of these events, once.
    async fn acted_on(&self, orders: &[OrderId]) {
        let database = self.kitchen.database();
        eventually("the kitchen acts on the events", || async {
            noted(database).await.len() >= orders.len()
        })
        .await;
        let told: Vec<String> = orders.iter().map(OrderId::to_string).collect();
        assert_eq!(noted(database).await, told);
    }
}

#[tokio::test]
async fn events_that_gather_share_batches_and_one_that_does_not_takes_them_with_it() {
    for store in TestStore::all() {
        let both = open(&store, HOUR, 1_000).await;
        let mut ids = vec![both.first().await];
        for _ in 0..200 {
            ids.push(both.cancel().await);
        }
        ids.push(both.reserve().await);
        both.acted_on(&ids).await;
        let batches = both.batches.load(Ordering::Relaxed);
        assert!(batches < 100, "{} events in {batches} batches", ids.len());
        both.context.close().await;
    }
}

#[tokio::test]
async fn events_are_acted_on_when_enough_have_gathered() {
    for store in TestStore::all() {
        let both = open(&store, HOUR, 3).await;
        both.first().await;
        for _ in 0..30 {
            both.cancel().await;
        }
        eventually("fewer events wait than gather", || async {
            noted(both.kitchen.database()).await.len() > 31 - 3
        })
        .await;
        both.context.close().await;
    }
}

#[tokio::test]
async fn other_work_of_the_writer_takes_them_with_it() {
    for store in TestStore::all() {
        let both = open(&store, HOUR, 100).await;
        let mut ids = vec![both.first().await];
        ids.push(both.cancel().await);
        // The event may come after the first of these.
        eventually("other work takes the event with it", || async {
            let database = both.kitchen.database();
            database.write(|_| Ok(())).await.unwrap();
            noted(database).await.len() >= ids.len()
        })
        .await;
        both.acted_on(&ids).await;
        both.context.close().await;
    }
}

#[tokio::test]
async fn an_event_after_which_none_comes_is_acted_on_after_the_pause() {
    for store in TestStore::all() {
        let both = open(&store, Duration::from_millis(300), 100).await;
        // The pause begins again after each batch.
        let mut ids = Vec::new();
        for _ in 0..2 {
            ids.extend([both.cancel().await, both.cancel().await]);
            both.acted_on(&ids).await;
        }
        both.context.close().await;
    }
}

#[tokio::test]
async fn events_that_gather_when_the_service_is_stopped_are_acted_on_once() {
    for store in TestStore::all() {
        let both = open(&store, HOUR, 100).await;
        let mut ids = vec![both.first().await];
        ids.push(both.cancel().await);
        both.context.close().await;

        let both = open(&store, HOUR, 100).await;
        both.acted_on(&ids).await;
        both.context.close().await;
    }
}
