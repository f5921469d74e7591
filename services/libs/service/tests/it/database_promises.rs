//! What every database promises, whichever engine it is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use contracts::{OrderId, services::ORDERS};
use events::{Announce as _, consumer, dead_letters, deferred, facts, outbox, retention};
use service::{idempotency, starts};
use store::{
    Clock, Database, Execution, Migrations, NoHook, OpenError, Server, StoreError, Tx, leases,
    params, timers, tls::Trust,
};

use crate::stage::{NOTEBOOK, TestStore, announce, eventually, unpublished};

const RAISE: &str = "UPDATE totals SET value = value + CAST(?1 AS BIGINT) WHERE name = 'all'";
const TOTAL: &str = "SELECT value FROM totals WHERE name = 'all'";

async fn total(database: &Database) -> i64 {
    let total: Option<i64> =
        database.read(|tx| tx.query_one(TOTAL, &[], |row| row.get(0))).await.unwrap();
    total.unwrap()
}

fn raise(tx: &mut Tx<'_>, steps: &[i64]) -> Result<Vec<i64>, StoreError> {
    for step in steps {
        tx.execute(RAISE, &params![*step])?;
    }
    Ok(steps.to_vec())
}

#[tokio::test]
async fn what_postgresql_refuses_is_told_in_one_line() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let refused = service.database().write(|tx| {
            tx.execute("INSERT INTO totals (name, value) VALUES ('all', 1)", &[]).map(|_| ())
        });
        let told = refused.await.unwrap_err().to_string();
        assert!(!told.contains('\n') && !told.contains("DETAIL"), "{told}");
        context.close().await;
    }
}

#[tokio::test]
async fn a_postgresql_that_is_away_or_takes_no_writes_is_told_with_what_to_try() {
    let server = |url: &str| Server::read(url, "test", &Trust::default()).unwrap();
    let away = server("postgres://nobody@127.0.0.1:1/none").connect().await.map(drop).unwrap_err();
    let told = StoreError::from(away).to_string();
    assert!(told.contains("refused") && told.contains("see whether PostgreSQL runs"), "{told}");

    let Some(database) = test_support::postgres() else { return };
    let client = server(database.url()).connect().await.unwrap();
    client.batch_execute("SET default_transaction_read_only = on").await.unwrap();
    let refused = client.batch_execute("CREATE TABLE notes (note TEXT)").await.unwrap_err();
    let told = StoreError::from(refused);
    assert!(matches!(told, StoreError::Engine(_)), "{told}");
    assert!(told.to_string().ends_with("use the address of the primary"), "{told}");
}

#[tokio::test]
async fn every_statement_of_the_libraries_is_understood() {
    let statements = [
        outbox::STATEMENTS.as_slice(),
        dead_letters::STATEMENTS.as_slice(),
        deferred::STATEMENTS.as_slice(),
        facts::STATEMENTS.as_slice(),
        idempotency::STATEMENTS.as_slice(),
        leases::STATEMENTS.as_slice(),
        retention::STATEMENTS.as_slice(),
        starts::STATEMENTS.as_slice(),
        timers::STATEMENTS.as_slice(),
    ]
    .concat();
    let many = [
        outbox::MANY.as_slice(),
        consumer::MANY.as_slice(),
        idempotency::MANY.as_slice(),
        deferred::MANY.as_slice(),
        leases::MANY.as_slice(),
        retention::MANY.as_slice(),
        timers::MANY.as_slice(),
    ]
    .concat();
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let (statements, many) = (statements.clone(), many.clone());
        let prepare = move |tx: &mut Tx<'_>| {
            statements.iter().try_for_each(|sql| tx.prepare(sql))?;
            tx.prepare_all(&many)
        };
        service.database().read(prepare).await.unwrap();
        context.close().await;
    }
}

#[tokio::test]
async fn no_statement_of_the_chassis_reads_a_whole_table_that_grows() {
    // A row a side or a name, or only what is on its way: `unpublished` is counted.
    const SMALL: [&str; 4] = ["broker", "horizons", "removed", "unpublished"];
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let found = service.database().read(|tx| {
            let statements = [
                outbox::STATEMENTS.as_slice(),
                retention::STATEMENTS.as_slice(),
                &timers::STATEMENTS,
            ]
            .concat();
            let many = [outbox::MANY.as_slice(), &consumer::MANY, &timers::MANY].concat();
            tx.find_whole_reads(&statements, &many, &SMALL)
        });
        assert_eq!(found.await.unwrap(), [""; 0]);
        context.close().await;
    }
}

#[tokio::test]
async fn what_waits_at_a_form_is_one_batch() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let batches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&batches);
        let form = service.database().batch_queue(move |tx, steps: &[i64]| {
            counted.fetch_add(1, Ordering::SeqCst);
            raise(tx, steps)
        });
        let guests: Vec<_> = (0..500)
            .map(|_| {
                let form = form.clone();
                tokio::spawn(async move { form.submit(1).await })
            })
            .collect();
        for guest in guests {
            assert_eq!(guest.await.unwrap().unwrap(), 1);
        }
        assert_eq!(total(service.database()).await, 500);
        assert!(batches.load(Ordering::SeqCst) < 500, "no two guests ever shared a commit");
        context.close().await;
    }
}

#[tokio::test]
async fn one_bad_piece_is_refused_and_the_others_of_its_batch_are_saved() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let form = service.database().batch_queue(raise);
        // −1,000 would bring the total below zero, which a constraint forbids.
        let guests: Vec<_> = (0..50)
            .map(|guest| {
                let form = form.clone();
                tokio::spawn(async move { form.submit(if guest == 25 { -1_000 } else { 1 }).await })
            })
            .collect();
        let mut refused = 0;
        for guest in guests {
            match guest.await.unwrap() {
                Ok(_) => {}
                Err(StoreError::Rejected(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!((refused, total(service.database()).await), (1, 49));
        context.close().await;
    }
}

#[tokio::test]
async fn what_others_are_in_the_way_of_is_decided_again_and_harms_nobody_else() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let form = service.database().batch_queue(raise);
        let in_the_way = |times: usize| {
            let (left, database) = (AtomicUsize::new(times), service.database().clone());
            tokio::spawn(async move {
                let raise = move |tx: &mut Tx<'_>| {
                    let lost = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    });
                    raise(tx, &[1])?;
                    lost.map_or(Ok(()), |_| Err(StoreError::conflict("another was first")))
                };
                database.write(raise).await
            })
        };
        let (twice, always) = (in_the_way(2), in_the_way(1_000));
        let guests: Vec<_> = (0..50)
            .map(|_| {
                let form = form.clone();
                tokio::spawn(async move { form.submit(1).await })
            })
            .collect();
        for guest in guests {
            guest.await.unwrap().unwrap();
        }
        twice.await.unwrap().unwrap();
        assert!(matches!(always.await.unwrap(), Err(StoreError::Conflict(_))));
        assert_eq!(total(service.database()).await, 51);
        context.close().await;
    }
}

#[tokio::test]
async fn a_bug_in_one_piece_does_not_end_the_writer() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let outcome = service.database().write(|_| -> Result<(), StoreError> { panic!("a bug") }).await;
    assert!(matches!(outcome, Err(StoreError::Rejected(why)) if why.contains("a bug")));
    service.database().write(|tx| raise(tx, &[1])).await.unwrap();
    assert_eq!(total(service.database()).await, 1);
    context.close().await;
}

#[tokio::test]
async fn a_change_and_its_event_are_both_saved_or_neither() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let refused = service
            .database()
            .write(|tx| {
                tx.announce(&contracts::events::OrderCancelled { order: OrderId::new() });
                raise(tx, &[-1])
            })
            .await;
        assert!(matches!(refused, Err(StoreError::Rejected(_))));
        assert_eq!(
            (unpublished(service.database()).await, total(service.database()).await),
            (0, 0)
        );
        context.close().await;
    }
}

#[tokio::test]
async fn too_many_at_the_door_are_turned_away_at_once() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let database = service.database().clone();
    let busy = tokio::spawn(async move {
        database
            .write(move |_| {
                let _ = held.lock().unwrap().recv();
                Ok(())
            })
            .await
    });
    let form = service.database().batch_queue(raise);
    let guests: Vec<_> = (0..store::WAITING_MAX + 512)
        .map(|_| {
            let form = form.clone();
            tokio::spawn(async move { form.submit(1).await })
        })
        .collect();
    let mut turned_away = 0;
    eventually("some are turned away while the writer is held", || async {
        guests.iter().any(tokio::task::JoinHandle::is_finished)
    })
    .await;
    release.send(()).unwrap();
    for guest in guests {
        match guest.await.unwrap() {
            Ok(_) => {}
            Err(StoreError::Busy { .. }) => turned_away += 1,
            Err(other) => panic!("{other}"),
        }
    }
    busy.await.unwrap().unwrap();
    assert!(turned_away > 0);
    let accepted = i64::try_from(store::WAITING_MAX + 512 - turned_away).unwrap();
    assert_eq!(total(service.database()).await, accepted);
    context.close().await;
}

#[tokio::test]
async fn closing_finishes_what_waits_and_reopening_finds_it() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        announce(service.database(), vec![OrderId::new()]).await.unwrap();
        service.database().write(|tx| raise(tx, &[7])).await.unwrap();
        context.close().await;
        let late = service.database().write(|tx| raise(tx, &[1])).await;
        assert!(matches!(late, Err(StoreError::Closed)));

        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        assert_eq!(
            (total(service.database()).await, unpublished(service.database()).await),
            (7, 1)
        );
        context.close().await;
    }
}

#[tokio::test]
async fn a_reader_can_not_write() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let refused = service.database().read(|tx| raise(tx, &[1])).await;
        assert!(refused.is_err(), "a question changed something");
        assert_eq!(total(service.database()).await, 0);
        context.close().await;
    }
}

#[tokio::test]
async fn data_of_an_earlier_version_are_refused_by_name_and_left_alone() {
    for ground in TestStore::all() {
        let earlier =
            Migrations { owner: "chassis", steps: &[(1, "old", "CREATE TABLE old (id TEXT)")] };
        let open = async |sets: &[Migrations]| {
            let (location, execution) = (ground.location(), Execution::default());
            Database::open("notebook", &location, sets, Clock::System, Arc::new(NoHook), execution)
                .await
        };
        open(&[earlier]).await.unwrap().close().await;
        let refused = open(&[NOTEBOOK]).await.unwrap_err();
        assert!(matches!(refused, OpenError::EarlierVersion { service: "notebook" }), "{refused}");
    }
}
