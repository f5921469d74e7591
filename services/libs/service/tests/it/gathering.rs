//! Events that gather: one commit is for several, an event that comes alone does not wait, and none waits for ever.

use std::time::Duration;

use contracts::{
    OrderId, Quantities,
    events::{CancellationRequested, Event as _, IngredientsReserved},
    services::{KITCHEN, ORDERS},
};
use events::{Announce as _, Gathering};
use service::{Service, ServiceContext};

use crate::stage::{NOTEBOOK, TestStore, announce, eventually, note_events, noted};

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3_600);

/// Opens the orders, whose cancellations gather in the kitchen, and the kitchen.
async fn open(context: &ServiceContext, pause: Duration, events_max: usize) -> [Service; 2] {
    let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
    let gathering = Gathering { only: Some(CancellationRequested::NAME), pause, events_max };
    kitchen.consume_gathering(gathering, note_events);
    [orders, kitchen]
}

async fn cancel(orders: &Service, order: OrderId) {
    announce(orders.database(), vec![order]).await.unwrap();
}

async fn reserve(orders: &Service, order: OrderId) {
    let reserved = orders.database().write(move |tx| {
        tx.announce(&IngredientsReserved { order, reserved: Quantities::default(), waited: false });
        Ok(())
    });
    reserved.await.unwrap();
}

async fn acted_on(kitchen: &Service, orders: &[OrderId]) {
    eventually("the kitchen acts on the events", || async {
        noted(kitchen.database()).await.len() >= orders.len()
    })
    .await;
    let told: Vec<String> = orders.iter().map(OrderId::to_string).collect();
    assert_eq!(noted(kitchen.database()).await, told);
}

async fn waits(kitchen: &Service) {
    eventually("the events wait before the writer", || async { kitchen.database().waiting() == 1 })
        .await;
}

#[tokio::test]
async fn the_first_event_is_acted_on_at_once_and_later_ones_when_enough_have_gathered() {
    for store in TestStore::all() {
        let context = store.context(events::in_process());
        let [orders, kitchen] = open(&context, HOUR, 3).await;
        let ids: Vec<OrderId> = (0..4).map(|_| OrderId::new()).collect();
        cancel(&orders, ids[0]).await;
        acted_on(&kitchen, &ids[..1]).await;
        cancel(&orders, ids[1]).await;
        cancel(&orders, ids[2]).await;
        waits(&kitchen).await;
        acted_on(&kitchen, &ids[..1]).await;
        cancel(&orders, ids[3]).await;
        acted_on(&kitchen, &ids).await;
        context.close().await;
    }
}

#[tokio::test]
async fn an_event_that_does_not_gather_takes_those_with_it_that_do() {
    for store in TestStore::all() {
        let context = store.context(events::in_process());
        let [orders, kitchen] = open(&context, HOUR, 100).await;
        let ids: Vec<OrderId> = (0..3).map(|_| OrderId::new()).collect();
        cancel(&orders, ids[0]).await;
        acted_on(&kitchen, &ids[..1]).await;
        cancel(&orders, ids[1]).await;
        waits(&kitchen).await;
        reserve(&orders, ids[2]).await;
        acted_on(&kitchen, &ids).await;
        context.close().await;
    }
}

#[tokio::test]
async fn other_work_of_the_writer_takes_them_with_it() {
    for store in TestStore::all() {
        let context = store.context(events::in_process());
        let [orders, kitchen] = open(&context, HOUR, 100).await;
        let ids = [OrderId::new(), OrderId::new()];
        cancel(&orders, ids[0]).await;
        acted_on(&kitchen, &ids[..1]).await;
        cancel(&orders, ids[1]).await;
        waits(&kitchen).await;
        kitchen.database().write(|_| Ok(())).await.unwrap();
        acted_on(&kitchen, &ids).await;
        context.close().await;
    }
}

#[tokio::test]
async fn an_event_after_which_none_comes_is_acted_on_after_the_pause() {
    for store in TestStore::all() {
        let context = store.context(events::in_process());
        let [orders, kitchen] = open(&context, Duration::from_millis(300), 100).await;
        // The pause begins again after each batch.
        let mut ids = Vec::new();
        for _ in 0..2 {
            for _ in 0..2 {
                let id = OrderId::new();
                cancel(&orders, id).await;
                ids.push(id);
            }
            acted_on(&kitchen, &ids).await;
        }
        context.close().await;
    }
}

#[tokio::test]
async fn events_that_gather_when_the_service_is_stopped_are_acted_on_once() {
    for store in TestStore::all() {
        let context = store.context(events::in_process());
        let [orders, kitchen] = open(&context, HOUR, 100).await;
        let ids = [OrderId::new(), OrderId::new()];
        cancel(&orders, ids[0]).await;
        acted_on(&kitchen, &ids[..1]).await;
        cancel(&orders, ids[1]).await;
        waits(&kitchen).await;
        context.close().await;

        let context = store.context(events::in_process());
        let [_orders, kitchen] = open(&context, HOUR, 100).await;
        acted_on(&kitchen, &ids).await;
        context.close().await;
    }
}
