//! Each metric of what services are made of changes when its cause happens.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use contracts::OrderId;
use service::{Pace, Service, ServiceContext};
use store::{Database, StoreError, Tx};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::stage::{Line, NOTEBOOK, TestStore, announce, eventually, note_events};

const EVENT: &str = "order.cancellation_requested";

/// Returns the value of a sample, named as in the text, such as `dead_letters{service="kitchen"}`.
async fn value(context: &ServiceContext, sample: &str) -> Option<f64> {
    let body = context.scrape().await.into_body();
    let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    let sample = format!("chefcito_{sample} ");
    text.lines().find_map(|line| line.strip_prefix(&sample)?.parse().ok())
}

async fn becomes(context: &ServiceContext, sample: &str, wanted: f64) {
    eventually(&format!("{sample} is {wanted}"), || async {
        value(context, sample).await == Some(wanted)
    })
    .await;
}

fn of_kitchen(metric: &str) -> String {
    format!(r#"{metric}{{service="kitchen",event="{EVENT}"}}"#)
}

fn ids(count: usize) -> Vec<OrderId> {
    (0..count).map(|_| OrderId::new()).collect()
}

/// Opens the services that act on what `orders` announces here; the board notes it.
async fn open(
    context: &ServiceContext,
    react: impl Fn(&mut Tx<'_>) -> Result<(), StoreError> + Send + Sync + 'static,
) -> (Service, Service) {
    let orders = context.open("orders", NOTEBOOK).await.unwrap();
    let mut kitchen = context.open("kitchen", NOTEBOOK).await.unwrap();
    kitchen.consume(move |tx, name, events| {
        react(tx)?;
        note_events(tx, name, events)
    });
    let mut board = context.open("board", NOTEBOOK).await.unwrap();
    board.consume(note_events);
    (orders, kitchen)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_are_told_by_number_and_age_until_they_are_handled() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let (orders, _kitchen) = open(&context, move |_| {
            let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
            Ok(())
        })
        .await;
        announce(orders.database(), ids(1)).await.unwrap();
        let oldest = of_kitchen("event_oldest_seconds");
        eventually("the kitchen has one in hand", || async {
            value(&context, &oldest).await > Some(0.0)
        })
        .await;
        announce(orders.database(), ids(3)).await.unwrap();
        becomes(&context, r#"events_unpublished{service="orders"}"#, 4.0).await;
        becomes(&context, r#"events_unhandled{service="kitchen"}"#, 3.0).await;
        becomes(&context, r#"events_unhandled{service="board"}"#, 0.0).await;
        assert_eq!(value(&context, &of_kitchen("events_handled_total")).await, Some(0.0));
        drop(release);
        becomes(&context, &of_kitchen("events_handled_total"), 4.0).await;
        becomes(&context, &oldest, 0.0).await;
        becomes(&context, r#"events_unpublished{service="orders"}"#, 0.0).await;
        becomes(&context, r#"events_unhandled{service="kitchen"}"#, 0.0).await;
        let batches = value(&context, &of_kitchen("event_lag_seconds_count")).await;
        assert!((1.0..=4.0).contains(&batches.unwrap()), "{batches:?}");
        assert!(value(&context, &of_kitchen("event_lag_seconds_sum")).await > Some(0.0));
        context.close().await;
    }
}

#[tokio::test]
async fn events_are_counted_by_type_on_every_bus() {
    for line in Line::all() {
        let ground = &TestStore::all()[0];
        let context = ground.context(line.bus());
        let (orders, _kitchen) = open(&context, |_| Ok(())).await;
        announce(orders.database(), ids(40)).await.unwrap();
        let handled = of_kitchen("events_handled_total");
        eventually("each is handled", || async { value(&context, &handled).await >= Some(40.0) })
            .await;
        becomes(&context, &of_kitchen("event_oldest_seconds"), 0.0).await;
        becomes(&context, r#"events_unhandled{service="kitchen"}"#, 0.0).await;
        context.close().await;
    }
}

#[tokio::test]
async fn attempts_that_fail_retries_and_dead_letters_are_counted() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let (orders, kitchen) =
            open(&context, move |_| match counted.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err(StoreError::engine("away")),
                _ => Err(StoreError::rejected("poison")),
            })
            .await;
        becomes(&context, r#"dead_letters{service="kitchen"}"#, 0.0).await;
        announce(orders.database(), ids(1)).await.unwrap();
        becomes(&context, r#"dead_letters{service="kitchen"}"#, 1.0).await;
        becomes(&context, &of_kitchen("events_handled_total"), 1.0).await;
        let failures = value(&context, &of_kitchen("event_failures_total")).await;
        assert_eq!(failures, Some(events::consumer::ATTEMPTS_MAX as f64));
        let retries = value(&context, r#"event_retries_total{service="kitchen"}"#).await;
        assert_eq!(retries, Some(2.0));
        let letters = kitchen.database().read(events::dead_letters::list).await.unwrap();
        let id = letters[0].id;
        let drop = move |tx: &mut Tx<'_>| events::dead_letters::drop(tx, id);
        assert!(kitchen.database().write(drop).await.unwrap());
        becomes(&context, r#"dead_letters{service="kitchen"}"#, 0.0).await;
        context.close().await;
    }
}

#[tokio::test]
async fn batches_commits_and_retries_of_a_writer_are_counted() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open("orders", NOTEBOOK).await.unwrap();
        let database = service.database();
        let form = database.batch_queue(|_, pieces: &[()]| Ok(vec![(); pieces.len()]));
        let sample = |name: &str| format!(r#"writer_{name}{{service="orders"}}"#);
        let before = |name: &'static str| {
            let (context, sample) = (&context, sample(name));
            async move { value(context, &sample).await.unwrap_or_default() }
        };
        let (works, pieces) = (before("batch_works_count").await, before("batch_pieces_sum").await);
        let (commits, retries) =
            (before("commit_seconds_count").await, before("retries_total").await);
        let guests = (0..100).map(|_| form.submit(()));
        for answer in futures_util::future::join_all(guests).await {
            answer.unwrap();
        }
        assert!(before("batch_works_count").await > works);
        assert!(before("batch_pieces_sum").await >= pieces + 100.0);
        assert!(before("commit_seconds_count").await > commits);
        assert!(before("commit_seconds_sum").await > 0.0);

        let conflicts = Arc::new(AtomicUsize::new(0));
        let conflicting = move |_: &mut Tx<'_>| match conflicts.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(StoreError::conflict("another replica was faster")),
            _ => Ok(()),
        };
        database.write(conflicting).await.unwrap();
        assert_eq!(before("retries_total").await, retries + 2.0);
        context.close().await;
    }
}

/// Keeps a reader until the sender is dropped.
fn hold() -> (mpsc::Sender<()>, impl Fn(&mut Tx<'_>) -> Result<(), StoreError>) {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let hold = move |_: &mut Tx<'_>| {
        let _ = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
        Ok(())
    };
    (release, hold)
}

fn occupy(database: &Database) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, hold) = hold();
    let database = database.clone();
    (release, tokio::spawn(async move { database.read(hold).await.unwrap() }))
}

#[tokio::test]
async fn readers_that_are_busy_and_reads_that_wait_for_them_are_told() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open("orders", NOTEBOOK).await.unwrap();
    let (releases, held): (Vec<_>, Vec<_>) = (0..5).map(|_| occupy(service.database())).unzip();
    becomes(&context, r#"readers_busy{service="orders"}"#, 4.0).await;
    becomes(&context, r#"reads_waiting{service="orders"}"#, 1.0).await;
    let waits = Duration::from_millis(50);
    tokio::time::sleep(waits).await;
    drop(releases);
    for reader in held {
        reader.await.unwrap();
    }
    becomes(&context, r#"readers_busy{service="orders"}"#, 0.0).await;
    let sum = value(&context, r#"read_wait_seconds_sum{service="orders"}"#).await;
    assert!(sum >= Some(waits.as_secs_f64()), "{sum:?}");
    context.close().await;
}

#[tokio::test]
async fn a_scrape_does_not_wait_for_a_database_that_is_busy() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open("orders", NOTEBOOK).await.unwrap();
    announce(service.database(), ids(2)).await.unwrap();
    let unpublished = r#"events_unpublished{service="orders"}"#;
    becomes(&context, unpublished, 2.0).await;
    let (release, hold) = hold();
    let (begins, begun) = mpsc::channel();
    let database = service.database().clone();
    let held = tokio::spawn(async move {
        let reading = move |tx: &mut Tx<'_>| {
            let _ = begins.send(());
            hold(tx)
        };
        database.read_status(reading).await
    });
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
    announce(service.database(), ids(1)).await.unwrap();
    let began = Instant::now();
    assert_eq!(value(&context, unpublished).await, Some(2.0), "the last value that is known");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(release);
    held.await.unwrap().unwrap();
    becomes(&context, unpublished, 3.0).await;
    context.close().await;
}

#[tokio::test]
async fn failures_of_workers_are_counted() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open("orders", NOTEBOOK).await.unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    service.work("baker", Arc::new(Notify::new()), Duration::from_secs(60), move || {
        let fails = fails.swap(false, Ordering::SeqCst);
        async move { if fails { Err(StoreError::engine("burnt")) } else { Ok(Pace::Idle) } }
    });
    becomes(&context, r#"worker_failures_total{service="orders",worker="baker"}"#, 1.0).await;
    context.close().await;
}

#[tokio::test]
async fn responses_are_counted_by_route_and_status_whatever_paths_clients_make_up() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open("orders", NOTEBOOK).await.unwrap();
    let routes = service.with_common_routes(axum::Router::new());
    for path in ["/health", "/nowhere/1", "/nowhere/2", "/internal/dead-letters/x/replay"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        routes.clone().oneshot(request).await.unwrap();
    }
    for (route, status, count) in [
        ("/health", 200, 1.0),
        ("other", 404, 2.0),
        ("/internal/dead-letters/{id}/replay", 405, 1.0),
    ] {
        let sample = format!(
            r#"http_requests_total{{service="orders",method="GET",route="{route}",status="{status}"}}"#
        );
        assert_eq!(value(&context, &sample).await, Some(count), "{sample}");
    }
    let seconds = value(&context, r#"http_request_seconds_count{service="orders"}"#).await;
    assert_eq!(seconds, Some(4.0));
    context.close().await;
}
