//! Everything before a database is bounded, and what is full says so at once.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use contracts::services::ORDERS;
use service::Service;
use store::{Database, StoreError, Tx};
use test_support::postgres;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::stage::{NOTEBOOK, TestStore, eventually};

const SESSIONS: &str = "SELECT COUNT(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()";
const ASLEEP: &str = "SELECT COUNT(*) FROM pg_stat_activity
     WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep(60)%'
         AND pid <> pg_backend_pid()";

/// Asks on the writer's connection, of which there is one whatever the readers do.
async fn count(database: &Database, sql: &'static str) -> i64 {
    let counted = database.write(move |tx| tx.query_one(sql, &[], |row| row.get(0))).await;
    counted.unwrap().unwrap()
}

/// Keeps one reader of the pool until the sender is dropped.
fn occupy(database: &Database) -> (mpsc::Sender<()>, JoinHandle<Result<(), StoreError>>) {
    let (release, held) = mpsc::channel::<()>();
    let (database, held) = (database.clone(), Mutex::new(held));
    let read = async move {
        let hold = move |_: &mut Tx<'_>| {
            let _ = held.lock().unwrap().recv();
            Ok(())
        };
        database.read(hold).await
    };
    (release, tokio::spawn(read))
}

async fn get(service: &Service, path: &str) -> StatusCode {
    let request = Request::get(path).body(Body::empty()).unwrap();
    service.router().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn reads_whose_callers_have_gone_are_cancelled_and_leave_no_connections_behind() {
    let Some(ground) = postgres().map(TestStore::Postgres) else { return };
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let database = service.database();
    for _ in 0..50 {
        let slow = database.read(|tx| {
            let read = |row: &store::Row<'_>| row.get::<String>(0);
            tx.query("SELECT CAST(pg_sleep(60) AS TEXT)", &[], read)
        });
        let late = tokio::time::timeout(Duration::from_millis(10), slow).await;
        assert!(late.is_err(), "{late:?}");
    }
    let sessions = count(database, SESSIONS).await;
    assert!(sessions <= 8, "{sessions} connections are open beside the writer's");
    eventually("no abandoned query runs on", || async { count(database, ASLEEP).await == 0 }).await;
    database.read(|tx| tx.query("SELECT 1", &[], |row| row.get::<i64>(0))).await.unwrap();
    context.close().await;
}

#[tokio::test]
async fn a_read_on_a_connection_that_the_server_has_ended_is_asked_again() {
    const END_OTHERS: &str = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let Some(ground) = postgres().map(TestStore::Postgres) else { return };
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let database = service.database();
    let question = |tx: &mut Tx<'_>| tx.query("SELECT 1", &[], |row| row.get::<i64>(0));
    for _ in 0..3 {
        // At once, so that each reader of the pool has a connection.
        let (releases, held): (Vec<_>, Vec<_>) = (0..4).map(|_| occupy(database)).unzip();
        drop(releases);
        for reader in held {
            reader.await.unwrap().unwrap();
        }
        for _ in 0..4 {
            database.read(question).await.unwrap();
        }
        assert!(count(database, END_OTHERS).await > 0);
        for at in 0..8 {
            let answer = database.read(question).await;
            assert!(answer.is_ok(), "read {at} after the connections ended: {answer:?}");
        }
    }
    context.close().await;
}

#[tokio::test]
async fn a_write_on_a_connection_that_the_server_has_ended_is_done_again() {
    const END_OTHERS: &str = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    const RAISE: &str = "UPDATE totals SET value = value + 1 WHERE name = 'all'";
    let Some(ground) = postgres().map(TestStore::Postgres) else { return };
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let database = service.database();
    for _ in 0..3 {
        database.write(|tx| tx.execute(RAISE, &[])).await.unwrap();
        let ended = database.read(|tx| tx.query_one(END_OTHERS, &[], |row| row.get::<i64>(0)));
        assert!(ended.await.unwrap() > Some(0));
        let saved = database.write(|tx| tx.execute(RAISE, &[])).await;
        assert!(saved.is_ok(), "{saved:?}");
    }
    assert_eq!(count(database, "SELECT value FROM totals WHERE name = 'all'").await, 6);
    context.close().await;
}

#[tokio::test]
async fn a_service_is_ready_however_many_slow_reads_are_before_it() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let (releases, held): (Vec<_>, Vec<_>) =
            (0..16).map(|_| occupy(service.database())).unzip();
        // Lets each of them come to its wait.
        tokio::task::yield_now().await;
        assert_eq!(get(&service, "/ready").await, StatusCode::OK);
        drop(releases);
        for reader in held {
            reader.await.unwrap().unwrap();
        }
        context.close().await;
    }
}

#[tokio::test]
async fn more_reads_than_may_wait_are_refused_at_once() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let (releases, held): (Vec<_>, Vec<_>) = (0..2_048).map(|_| occupy(service.database())).unzip();
    eventually("all readers are busy and some reads are refused", || async {
        context.metrics.text().contains("chefcito_reader_connections{service=\"orders\"} 4")
            && held.iter().any(JoinHandle::is_finished)
    })
    .await;
    drop(releases);
    let mut refused = 0;
    for reader in held {
        match reader.await.unwrap() {
            Ok(()) => {}
            Err(StoreError::Busy { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1..2_048).contains(&refused), "{refused} were refused");
    let figures = context.metrics.text();
    for line in [
        format!("chefcito_reads_refused_total{{service=\"orders\"}} {refused}"),
        "chefcito_reads_waiting{service=\"orders\"} 0".into(),
        "chefcito_reader_connections{service=\"orders\"} 4".into(),
        "chefcito_writer_waiting_rows{service=\"orders\"} 0".into(),
        "chefcito_storage_trouble{service=\"orders\"} 0".into(),
    ] {
        assert!(figures.contains(&line), "{line}\n{figures}");
    }
    context.close().await;
}

#[tokio::test]
async fn more_changes_than_may_wait_are_refused_at_once() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let database = service.database();
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let busy = tokio::spawn({
        let database = database.clone();
        let hold = move |_: &mut Tx<'_>| {
            let _ = held.lock().unwrap().recv();
            Ok(())
        };
        async move { database.write(hold).await }
    });
    let changes: Vec<_> = (0..4_096)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.write(|_| Ok(())).await })
        })
        .collect();
    eventually("some are refused while the writer is busy", || async {
        changes.iter().any(JoinHandle::is_finished)
    })
    .await;
    release.send(()).unwrap();
    let mut refused = 0;
    for change in changes {
        match change.await.unwrap() {
            Ok(()) => {}
            Err(StoreError::Busy { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    busy.await.unwrap().unwrap();
    assert!((1..4_096).contains(&refused), "{refused} were refused");
    context.close().await;
}

#[tokio::test]
async fn a_question_that_panics_takes_no_reader_with_it() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        for _ in 0..8 {
            let asked = service.database().read(|_| -> Result<(), StoreError> { panic!("a bug") });
            assert!(matches!(asked.await, Err(StoreError::Rejected(_))));
        }
        let text = context.metrics.text();
        assert!(text.contains("chefcito_reader_connections{service=\"orders\"} 0"), "{text}");
        assert_eq!(get(&service, "/ready").await, StatusCode::OK);
        context.close().await;
    }
}
