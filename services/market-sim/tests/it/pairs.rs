//! What exists twice, for one row and for many, does the same.

use contracts::services::MARKET_SIM;
use service::ServiceContext;
use store::Clock;
use test_support::pairs::{Pairs, agree};

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let pairs = Pairs {
        statements: &market_sim::MANY,
        before: &["DELETE FROM sales", "DELETE FROM stands"],
        effects: &["SELECT * FROM sales", "SELECT * FROM stands"],
    };
    agree(pairs, async |location| {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        context.open(MARKET_SIM, market_sim::MIGRATIONS).await.unwrap().database().clone()
    });
}
