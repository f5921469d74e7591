//! What exists twice, for one row and for many, does the same.

use contracts::services::ORDERS;
use events::consumer;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use store::{Many, timers};
use test_support::pairs::{Step, compare};

use crate::stage::{NOTEBOOK, TestStore};

const CASES: u32 = 24;
static PAIRS: [Many; 3] = [consumer::MANY[0], timers::MANY[0], timers::MANY[1]];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    vec((any::<u8>(), vec(vec(any::<u8>(), 12), 0..6)), 1..12)
}

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Default::default()
    };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let grounds = TestStore::all();
                let [sqlite, postgresql] = &grounds[..] else { return Ok(()) };
                let floors = [
                    sqlite.context(events::in_process()),
                    postgresql.context(events::in_process()),
                ];
                let one = floors[0].open(ORDERS, NOTEBOOK).await.unwrap();
                let other = floors[1].open(ORDERS, NOTEBOOK).await.unwrap();
                let databases = [one.database(), other.database()];
                let compared = compare(databases, &PAIRS, &["inbox", "timers"], &steps).await;
                for context in &floors {
                    context.close().await;
                }
                compared.map_err(TestCaseError::fail)
            })
        })
        .unwrap();
}
