//! What exists twice, for one row and for many, does the same.

use std::{panic::catch_unwind, time::Duration};

use contracts::services::ORDERS;
use events::{consumer, deferred, outbox, retention};
use service::{ServiceContext, idempotency};
use store::{Clock, Database, Location, Many, leases, timers};
use test_support::pairs::{Pairs, agree};

use crate::stage::NOTEBOOK;

static STATEMENTS: [Many; 9] = [
    consumer::MANY[0],
    outbox::MANY[0],
    retention::MANY[0],
    deferred::MANY[0],
    idempotency::MANY[0],
    idempotency::MANY[1],
    timers::MANY[0],
    timers::MANY[1],
    leases::MANY[0],
];
static AT: [Many; 1] = [outbox::MANY[1]];
/// Two texts that differ in what they do.
static DIFFERENT: [Many; 1] = [Many {
    each: "UPDATE totals SET value = value + 1 WHERE name = ?1",
    all: "UPDATE totals SET value = value + 2 WHERE name = ANY($1::TEXT[])",
}];

async fn open(location: Location) -> Database {
    // Nothing is removed as too old: the random rows are of 1970.
    let for_ever = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let context =
        ServiceContext::new(location, events::in_process(), Clock::System).with_retention(for_ever);
    context.open(ORDERS, NOTEBOOK).await.unwrap().database().clone()
}

#[test]
fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
    let pairs = Pairs {
        statements: &STATEMENTS,
        before: &[
            "DELETE FROM inbox",
            "DELETE FROM outbox",
            "DELETE FROM removed",
            "DELETE FROM deferred_events",
            "DELETE FROM kept_responses",
            "DELETE FROM timers",
            "DELETE FROM leases",
            "INSERT INTO deferred_events (id, kind, subject, event, deferred_at) VALUES
                 ('a', 'x', 'a', '', 1), ('b', 'x', 'a', '', 2), ('c', 'x', 'b', '', 3)",
            "INSERT INTO leases (name, owner, epoch, expires_at) VALUES
                 ('a', 'a', 0, 0), ('b', 'b', 1, 0), ('c', 'a', 1, 0), ('d', 'b', 0, 0)",
        ],
        effects: &[
            "SELECT * FROM inbox",
            // In the order of their numbers, whatever these are.
            "SELECT ROW_NUMBER() OVER (ORDER BY seq), id, kind, subject, time, traceparent, data FROM outbox",
            "SELECT * FROM removed",
            "SELECT ROW_NUMBER() OVER (ORDER BY seq), key, caller, operation, fingerprint, status, body, saved_at
                 FROM kept_responses",
            "SELECT * FROM timers",
        ],
    };
    agree(pairs, open);
}

#[test]
fn events_are_found_by_their_numbers_on_both_engines() {
    let pairs = Pairs {
        statements: &AT,
        before: &[
            "DELETE FROM outbox",
            "INSERT INTO outbox (seq, id, kind, subject, time, traceparent, data) VALUES
                 (1, 'a', 'x', 'a', 1, NULL, ''), (2, 'b', 'x', 'a', 2, NULL, ''), (4, 'c', 'x', 'b', 3, NULL, '')",
        ],
        effects: &[],
    };
    agree(pairs, open);
}

#[test]
fn a_difference_is_found() {
    let pairs = Pairs {
        statements: &DIFFERENT,
        before: &[
            "DELETE FROM totals",
            "INSERT INTO totals (name, value) VALUES ('a', 0), ('b', 0)",
        ],
        effects: &["SELECT * FROM totals"],
    };
    let agreed = catch_unwind(|| agree(pairs, open));
    let is_compared = std::env::var_os(test_support::POSTGRES).is_some();
    assert_eq!(agreed.is_err(), is_compared);
}
