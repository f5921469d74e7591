//! What exists twice, for one row and for many, does the same.

use contracts::services::BOARD;
use service::ServiceContext;
use store::Clock;
use test_support::pairs::{Pairs, agree};

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let pairs = Pairs {
        statements: &board::MANY,
        before: &["DELETE FROM counters", "DELETE FROM dish_deliveries"],
        effects: &["SELECT * FROM counters", "SELECT * FROM dish_deliveries"],
    };
    agree(pairs, async |location| {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        context.open(BOARD, board::MIGRATIONS).await.unwrap().database().clone()
    });
}
