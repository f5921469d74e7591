//! What exists twice, for one row and for many, does the same.

use contracts::services::MARKET;
use service::ServiceContext;
use store::Clock;
use test_support::pairs::{Pairs, agree};

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let pairs = Pairs {
        statements: &market::MANY,
        before: &["DELETE FROM purchases"],
        effects: &["SELECT * FROM purchases"],
    };
    agree(pairs, async |location| {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        context.open(MARKET, market::MIGRATIONS).await.unwrap().database().clone()
    });
}
