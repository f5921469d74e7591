//! Many rows in one statement, where the engine can.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use contracts::services::ORDERS;
use store::{Database, Many, StoreError, Tx, params};

use crate::stage::{NOTEBOOK, TestStore};

const OPEN: Many = Many {
    each: "INSERT INTO totals (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
    all: "INSERT INTO totals (name, value) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[])
         ON CONFLICT (name) DO NOTHING RETURNING name",
};
const RAISE: Many = Many {
    each: "UPDATE totals SET value = value + COALESCE(?2, 100) WHERE name = ?1",
    all:
        "UPDATE totals SET value = value + COALESCE(step, 100)
         FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS given (key, step) WHERE name = key RETURNING name",
};
const ADD: Many = Many {
    each: "INSERT INTO totals (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = totals.value + excluded.value",
    all: "INSERT INTO totals (name, value) SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[])
         ON CONFLICT (name) DO UPDATE SET value = totals.value + excluded.value",
};
const TOTAL: Many = Many {
    each: "SELECT name, value FROM totals WHERE name = ?1",
    all: "SELECT name, value FROM totals WHERE name = ANY($1::TEXT[])",
};

type Steps = Vec<(&'static str, Option<i64>)>;

async fn change(
    database: &Database,
    statement: Many,
    steps: Steps,
) -> Result<Vec<bool>, StoreError> {
    let change = move |tx: &mut Tx<'_>| {
        tx.change_all(&statement, steps.iter().map(|(name, step)| params![name, step]))
    };
    database.write(change).await
}

async fn totals(database: &Database, names: &'static [&'static str]) -> Vec<(String, i64)> {
    let read = move |tx: &mut Tx<'_>| {
        let names = names.iter().map(|name| params![name]);
        tx.query_all(&TOTAL, names, |row| Ok((row.get(0)?, row.get(1)?)))
    };
    let mut found = database.read(read).await.unwrap();
    found.sort();
    found
}

#[tokio::test]
async fn each_row_is_told_whether_it_changed_something() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let database = service.database();
        let opened = change(
            database,
            OPEN,
            vec![("tea", Some(1)), ("ale", Some(2)), ("tea", Some(9)), ("all", Some(9))],
        );
        assert_eq!(opened.await.unwrap(), [true, true, false, false]);
        let raised =
            change(database, RAISE, vec![("tea", Some(5)), ("milk", Some(1)), ("ale", None)]);
        assert_eq!(raised.await.unwrap(), [true, false, true]);
        let found = totals(database, &["tea", "ale", "milk"]).await;
        assert_eq!(found, [("ale".into(), 102), ("tea".into(), 6)]);

        assert_eq!(change(database, RAISE, vec![]).await.unwrap(), [false; 0]);
        assert_eq!(totals(database, &[]).await, []);
        context.close().await;
    }
}

#[tokio::test]
async fn rows_are_added_up_and_one_that_is_refused_takes_all_back() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let add = |steps: Steps| {
            service.database().write(move |tx| {
                tx.execute_all(&ADD, steps.iter().map(|(name, step)| params![name, step]))
            })
        };
        assert_eq!(add(vec![("tea", Some(5)), ("all", Some(3))]).await.unwrap(), 2);
        assert_eq!(add(vec![]).await.unwrap(), 0);
        let refused = add(vec![("tea", Some(1)), ("ale", Some(1)), ("all", Some(-4))]).await;
        assert!(matches!(refused, Err(StoreError::Rejected(_))), "{refused:?}");
        let found = totals(service.database(), &["tea", "ale", "all"]).await;
        assert_eq!(found, [("all".into(), 3), ("tea".into(), 5)]);
        context.close().await;
    }
}

#[tokio::test]
async fn two_writers_with_the_same_rows_the_other_way_round_never_wait_in_a_circle() {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const ROUNDS: usize = 50;
    let Some(ground) = test_support::postgres().map(TestStore::Postgres) else { return };
    let floors = [ground.context(events::in_process()), ground.context(events::in_process())];
    let attempts = Arc::new(AtomicUsize::new(0));
    let mut rounds = Vec::new();
    for (at, context) in floors.iter().enumerate() {
        let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
        let steps: Steps = NAMES.map(|name| (name, Some(1))).into();
        let steps = if at == 0 { steps } else { steps.into_iter().rev().collect() };
        change(service.database(), OPEN, steps.clone()).await.unwrap();
        let attempts = Arc::clone(&attempts);
        rounds.push(tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let (steps, attempts) = (steps.clone(), Arc::clone(&attempts));
                let raise = move |tx: &mut Tx<'_>| {
                    attempts.fetch_add(1, Ordering::SeqCst);
                    tx.change_all(&RAISE, steps.iter().map(|(name, step)| params![name, step]))
                };
                service.database().write(raise).await.unwrap();
            }
        }));
    }
    for round in rounds {
        round.await.unwrap();
    }
    assert_eq!(attempts.load(Ordering::SeqCst), 2 * ROUNDS, "one was decided again");
    for context in floors {
        context.close().await;
    }
}
