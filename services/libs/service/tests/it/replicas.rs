//! Several writers on one schema of PostgreSQL.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
};

use contracts::services::ORDERS;
use service::Service;
use store::{StoreError, Tx, params};

use crate::stage::{NOTEBOOK, TestStore};

const RAISE: &str = "UPDATE totals SET value = value + CAST(?1 AS BIGINT) WHERE name = 'all'";

fn postgres() -> Option<TestStore> {
    test_support::postgres().map(TestStore::Postgres)
}

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let Some(ground) = postgres() else { return };
    let floors: Vec<_> = (0..4).map(|_| ground.context(events::in_process())).collect();
    let opened = floors.iter().map(|context| context.open(ORDERS, NOTEBOOK));
    for service in futures_util::future::join_all(opened).await {
        service.unwrap();
    }
    for context in floors {
        context.close().await;
    }
}

#[tokio::test]
async fn two_writers_lose_no_change_of_a_row_that_both_change() {
    let Some(ground) = postgres() else { return };
    let floors = [ground.context(events::in_process()), ground.context(events::in_process())];
    let first = floors[0].open(ORDERS, NOTEBOOK).await.unwrap();
    let second = floors[1].open(ORDERS, NOTEBOOK).await.unwrap();
    let forms = [&first, &second].map(|service| {
        service.database().batch_queue(|tx, steps: &[i64]| -> Result<Vec<()>, StoreError> {
            steps.iter().map(|step| tx.execute(RAISE, &params![*step]).map(|_| ())).collect()
        })
    });
    let guests: Vec<_> = (0..400)
        .map(|guest| {
            let form = forms[guest % 2].clone();
            tokio::spawn(async move { form.submit(1).await })
        })
        .collect();
    for guest in guests {
        guest.await.unwrap().unwrap();
    }
    let total: Option<i64> = first
        .database()
        .read(|tx| {
            tx.query_one("SELECT value FROM totals WHERE name = 'all'", &[], |row| row.get(0))
        })
        .await
        .unwrap();
    assert_eq!(total, Some(400));
    for context in floors {
        context.close().await;
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew() {
    let Some(ground) = postgres() else { return };
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let raise = || service.database().write(|tx| tx.execute(RAISE, &params![1_i64]));
    raise().await.unwrap();
    // It cuts its own connection, as an administrator or a fail-over would.
    let cut = service
        .database()
        .write(|tx| {
            tx.query("SELECT CAST(pg_terminate_backend(pg_backend_pid()) AS INTEGER)", &[], |row| {
                row.get::<i64>(0)
            })
        })
        .await;
    assert!(matches!(cut, Err(StoreError::Engine(_) | StoreError::Unknown(_))), "{cut:?}");
    crate::stage::eventually("the writer has a new connection", || async { raise().await.is_ok() })
        .await;
    context.close().await;
}

#[tokio::test]
async fn nothing_is_changed_outside_of_a_transaction() {
    let Some(ground) = postgres() else { return };
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    // As if it could not have begun.
    let outside = service.database().write(|tx| {
        tx.execute("COMMIT", &[])?;
        tx.execute(RAISE, &params![1_i64])
    });
    assert!(matches!(outside.await, Err(StoreError::Engine(_))));
    let raised = service.database().write(|tx| tx.execute(RAISE, &params![1_i64]));
    assert_eq!(raised.await.unwrap(), 1);
    let total = service.database().read(|tx| {
        tx.query_one("SELECT value FROM totals WHERE name = 'all'", &[], |row| row.get(0))
    });
    assert_eq!(total.await.unwrap(), Some(1_i64));
    context.close().await;
}

#[tokio::test]
async fn two_writers_that_wait_for_each_other_both_get_through() {
    const RAISE_OWN: &str = "UPDATE totals SET value = value + 1 WHERE name = ?1";
    let Some(ground) = postgres() else { return };
    let floors = [ground.context(events::in_process()), ground.context(events::in_process())];
    let first = floors[0].open(ORDERS, NOTEBOOK).await.unwrap();
    let second = floors[1].open(ORDERS, NOTEBOOK).await.unwrap();
    let add = "INSERT INTO totals (name, value) VALUES ('other', 0)";
    first.database().write(move |tx| tx.execute(add, &[])).await.unwrap();
    // Each has one row when it wants the other's, the first time.
    let both_have_one = Arc::new(Barrier::new(2));
    let raise = |service: &Service, names: [&'static str; 2]| {
        let (both, attempts) = (Arc::clone(&both_have_one), AtomicUsize::new(0));
        let database = service.database().clone();
        async move {
            let raise = move |tx: &mut Tx<'_>| {
                tx.execute(RAISE_OWN, &params![names[0]])?;
                if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                    both.wait();
                }
                tx.execute(RAISE_OWN, &params![names[1]])
            };
            database.write(raise).await
        }
    };
    let (one, other) =
        tokio::join!(raise(&first, ["all", "other"]), raise(&second, ["other", "all"]));
    assert_eq!((one.unwrap(), other.unwrap()), (1, 1));
    let sums = "SELECT value FROM totals ORDER BY name";
    let values = first.database().read(move |tx| tx.query(sums, &[], |row| row.get::<i64>(0)));
    assert_eq!(values.await.unwrap(), [2, 2]);
    for context in floors {
        context.close().await;
    }
}
