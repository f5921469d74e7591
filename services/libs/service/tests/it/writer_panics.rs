//! A writer that panics outside of a transaction: it ends, and everybody who waits for it hears so.

use std::{future::Future, ops::Range, sync::mpsc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use contracts::{
    OrderId,
    services::{BOARD, KITCHEN, ORDERS},
};
use futures_util::{FutureExt as _, future::BoxFuture, poll};
use service::Service;
use store::{Database, StoreError, Tx, Work, params};
use tower::ServiceExt as _;

use crate::stage::{NOTEBOOK, TestStore, announce, eventually, note_events, noted};

/// How long whoever waits for a writer that has ended may wait, on a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(30);
const RAISE: &str = "UPDATE totals SET value = value + CAST(?1 AS BIGINT) WHERE name = 'all'";

/// A caller that waits for its answer.
type Caller<T> = BoxFuture<'static, T>;

/// Work with a bug outside of its transaction.
#[derive(Clone, Copy, Debug)]
enum Panics {
    InGather,
    InSettle,
}

impl Work for Panics {
    fn gather(&mut self) -> usize {
        assert!(matches!(self, Self::InSettle), "a bug in gather");
        1
    }

    fn run(&mut self, _: &mut Tx<'_>, _: Range<usize>) -> Result<(), StoreError> {
        Ok(())
    }

    fn settle(&mut self, _: Range<usize>, _: Result<(), StoreError>) {
        panic!("a bug in settle");
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(WAIT_MAX, future).await;
    ended.unwrap_or_else(|_| panic!("not within {WAIT_MAX:?}: {what}"))
}

/// Makes the writer wait in the middle of a round until the sender is dropped; what comes meanwhile is in the next round.
async fn hold_writer(database: &Database) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let held = std::sync::Mutex::new(held);
    let holding = database.clone();
    tokio::spawn(async move {
        let hold = holding.write(move |_| {
            let _ = begins.send(());
            let _ = held.lock().unwrap().recv();
            Ok(())
        });
        hold.await
    });
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
    release
}

/// Starts to wait for an answer; whatever it waits for is queued when this returns.
async fn queued<T: 'static>(caller: impl Future<Output = T> + Send + 'static) -> Caller<T> {
    let mut caller = caller.boxed();
    let early = poll!(&mut caller);
    assert!(early.is_pending(), "the writer is held");
    caller
}

fn raise(tx: &mut Tx<'_>, steps: &[i64]) -> Result<Vec<i64>, StoreError> {
    steps.iter().try_for_each(|step| tx.execute(RAISE, &params![*step]).map(|_| ()))?;
    Ok(steps.to_vec())
}

async fn status(service: &Service) -> (StatusCode, String) {
    let asked = Request::get("/ready").body(Body::empty()).unwrap();
    let ready = service.router().oneshot(asked).await.unwrap().status();
    let asked = Request::get("/internal/status").body(Body::empty()).unwrap();
    let told = service.router().oneshot(asked).await.unwrap().into_body();
    let told = to_bytes(told, 64 * 1024).await.unwrap();
    (ready, String::from_utf8(told.to_vec()).unwrap())
}

#[tokio::test]
async fn every_caller_hears_of_a_writer_that_panicked_and_the_service_is_not_ready() {
    for ground in TestStore::all() {
        for panics in [Panics::InGather, Panics::InSettle] {
            let context = ground.context(events::in_process());
            let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
            let database = service.database();
            let release = hold_writer(database).await;
            // A piece of one queue before the bug; a piece of another and a change behind it: all in one round.
            let [one, other] = [database.batch_queue(raise), database.batch_queue(raise)];
            let (submits, writing) = (other.clone(), database.clone());
            let mut callers: Vec<Caller<Result<i64, StoreError>>> = Vec::new();
            callers.push(queued(async move { one.submit(1).await }).await);
            database.push(Box::new(panics));
            callers.push(queued(async move { submits.submit(1).await }).await);
            callers.push(queued(async move { writing.write(|_| Ok(0)).await }).await);
            drop(release);

            let mut answers = Vec::new();
            for caller in callers {
                answers.push(soon("the caller has an answer", caller).await);
            }
            let is_unknown = |answer: &Result<i64, StoreError>| matches!(answer, Err(StoreError::Unknown(why)) if why.contains("a bug in"));
            // What was committed and told before the panic is saved; of the rest nobody can say.
            let saved = usize::from(matches!(panics, Panics::InSettle));
            assert!(answers[..saved].iter().all(Result::is_ok), "{panics:?}: {answers:?}");
            assert!(answers[saved..].iter().all(is_unknown), "{panics:?}: {answers:?}");
            let later = soon("later work has an answer", other.submit(1)).await;
            assert!(matches!(later, Err(StoreError::Closed)), "{later:?}");
            let (ready, told) = status(&service).await;
            assert_eq!(ready, StatusCode::SERVICE_UNAVAILABLE, "{told}");
            assert!(told.contains("the writer panicked: a bug in"), "{told}");
            soon("the service has stopped", context.close()).await;
        }
    }
}

#[tokio::test]
async fn a_service_whose_writer_panicked_can_be_stopped_and_acts_on_its_events_after_the_next_start()
 {
    // Which bug, and whether the work with it is in the round before the events.
    for (panics, is_before) in
        [(Panics::InGather, true), (Panics::InGather, false), (Panics::InSettle, true)]
    {
        for ground in TestStore::all() {
            let context = ground.context(events::in_process());
            let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
            let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
            kitchen.consume(note_events);
            let database = kitchen.database();
            let release = hold_writer(database).await;
            if is_before {
                database.push(Box::new(panics));
            }
            let order = OrderId::new();
            let before = database.waiting();
            announce(orders.database(), vec![order]).await.unwrap();
            eventually("the event waits", || async { database.waiting() > before }).await;
            if !is_before {
                database.push(Box::new(panics));
            }
            drop(release);
            let why = format!("the services have stopped, {panics:?} {is_before}");
            soon(&why, context.close()).await;

            let context = ground.context(events::in_process());
            let _orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
            let mut kitchen = context.open(KITCHEN, NOTEBOOK).await.unwrap();
            kitchen.consume(note_events);
            let mut board = context.open(BOARD, NOTEBOOK).await.unwrap();
            board.consume(note_events);
            eventually("the kitchen acts on the event, once", || async {
                noted(kitchen.database()).await == [order.to_string()]
            })
            .await;
            context.close().await;
        }
    }
}
