//! What exists twice, for one row and for many, does the same.

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use test_support::pairs::compare;

use crate::door::Door;

const CASES: u32 = 24;

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..Default::default()
    };
    let steps = vec((any::<u8>(), vec(vec(any::<u8>(), 12), 0..6)), 1..12);
    TestRunner::new(config)
        .run(&steps, |steps| {
            runtime.block_on(async {
                let doors = Door::open_all().await;
                let [sqlite, postgresql] = &doors[..] else { return Ok(()) };
                let databases = [sqlite.database(), postgresql.database()];
                for database in databases {
                    database.write(|tx| tx.execute("DELETE FROM orders", &[])).await.unwrap();
                }
                let compared = compare(databases, &orders::MANY, &["orders", "menu"], &steps).await;
                for door in doors {
                    door.close().await;
                }
                compared.map_err(TestCaseError::fail)
            })
        })
        .unwrap();
}
