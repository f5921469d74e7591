//! What exists twice, for one row and for many, does the same.

use contracts::services::INVENTORY;
use service::ServiceContext;
use store::Clock;
use test_support::pairs::{Pairs, agree};

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let pairs = Pairs {
        statements: &inventory::store::MANY,
        before: &[
            "DELETE FROM stock",
            "DELETE FROM reservations",
            "DELETE FROM purchases",
            "INSERT INTO stock (ingredient) VALUES ('a'), ('b'), ('c'), ('d'), ('e'), ('f')",
        ],
        effects: &["SELECT * FROM stock", "SELECT * FROM reservations", "SELECT * FROM purchases"],
    };
    agree(pairs, async |location| {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        context.open(INVENTORY, inventory::MIGRATIONS).await.unwrap().database().clone()
    });
}
