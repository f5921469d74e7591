//! A writer and its readers on a Redis, at work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use contracts::{
    OrderId,
    events::CancellationRequested,
    services::{BOARD, KITCHEN, ORDERS},
};
use events::Announce as _;
use redis_bus::Settings;
use service::{Service, ServiceContext};
use store::{Database, StoreError, params};
use test_support::TestRedis;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use crate::stage::{NOTEBOOK, TestStore, assert_heard, eventually, note_events, unpublished};

/// A writer and its two readers, in one process on a Redis.
pub(crate) struct Town {
    pub(crate) context: ServiceContext,
    pub(crate) orders: Service,
    pub(crate) kitchen: Service,
    pub(crate) board: Service,
}

impl Town {
    pub(crate) async fn open(ground: &TestStore, redis: &TestRedis) -> Self {
        Self::open_on(ground.context(redis_bus::open(Settings::new(redis.url())).unwrap())).await
    }

    pub(crate) async fn open_on(context: ServiceContext) -> Self {
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        kitchen.consume(note_events);
        let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
        board.consume(note_events);
        Self { context, orders, kitchen, board }
    }

    pub(crate) async fn settle(&self) {
        eventually("every event is published", || async {
            unpublished(self.orders.database()).await == 0
        })
        .await;
        for (who, reader) in [(KITCHEN, &self.kitchen), (BOARD, &self.board)] {
            assert_heard(self.orders.database(), reader.database(), who).await;
        }
    }
}

/// Tells about these subjects again and again, until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

/// Some subjects, in the order of their names.
pub(crate) fn subjects() -> Vec<OrderId> {
    let mut subjects: Vec<OrderId> = (0..20).map(|_| OrderId::new()).collect();
    subjects.sort_by_key(ToString::to_string);
    subjects
}

/// Changes these subjects, which locks their rows until the commit, and announces it.
async fn change(database: &Database, orders: Vec<OrderId>) -> Result<(), StoreError> {
    let changed = database.write(move |tx| {
        for order in &orders {
            tx.execute(
                "INSERT INTO totals (name, value) VALUES (?1, 1)
                 ON CONFLICT (name) DO UPDATE SET value = totals.value + 1",
                &params![order.to_string()],
            )?;
        }
        tx.announce_all(orders.iter().map(|order| CancellationRequested { order: *order }));
        Ok(())
    });
    changed.await
}

impl Load {
    pub(crate) fn on(database: &Database, subjects: Vec<OrderId>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (database, stopped) = (database.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut told = 0;
            while !stopped.load(Ordering::SeqCst) {
                let every = 1 + told % 4;
                let some: Vec<OrderId> =
                    subjects.iter().skip(told % 3).step_by(every).copied().collect();
                // Replicas that change the same subjects may be in each other's way.
                told += match change(&database, some.clone()).await {
                    Ok(()) => some.len(),
                    Err(error) if error.is_transient() => 0,
                    Err(error) => panic!("{error}"),
                };
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            told
        });
        Self { stop, task }
    }

    /// Ends it; returns how many events that were.
    pub(crate) async fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// A process that can be killed.
pub(crate) struct Process {
    pub(crate) town: Town,
    runtime: Option<Runtime>,
}

impl Process {
    pub(crate) async fn start(ground: &TestStore, redis: &TestRedis) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let context = ground.context(redis_bus::open(Settings::new(redis.url())).unwrap());
        let opened = tokio::task::spawn_blocking(move || {
            let town = runtime.block_on(Town::open_on(context));
            Self { town, runtime: Some(runtime) }
        });
        opened.await.unwrap()
    }

    /// Ends it without goodbye: wherever its tasks are, they go no further.
    pub(crate) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    pub(crate) async fn close(mut self) {
        self.town.context.close().await;
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits until so many events are on a stream of this Redis, or were.
pub(crate) async fn added(redis: &TestRedis, count: i64) {
    eventually("Redis has taken events over", || async { length(redis) >= count }).await;
}

/// Returns how many entries there are on all streams.
pub(crate) fn length(redis: &TestRedis) -> i64 {
    let of = |shard: usize| {
        redis.ask::<i64>(&["XLEN", &format!("chefcito.events.{{{shard}}}")]).unwrap_or(0)
    };
    (0..8).map(of).sum()
}
