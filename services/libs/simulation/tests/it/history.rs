//! What the check of a history finds.

use simulation::history::{Exchange, SeenOrder, check};

/// Longer than all of these histories.
const KEPT_FOR: i64 = 1_000;

fn exchange(at: i64, request: &str, key: Option<&str>, orders: &[(&str, i64, &str)]) -> Exchange {
    let seen = |(id, number, status): &(&str, i64, &str)| SeenOrder {
        id: (*id).to_owned(),
        number: *number,
        status: (*status).to_owned(),
    };
    Exchange {
        invoked_at: at,
        answered_at: Some(at + 1),
        request: request.to_owned(),
        key: key.map(str::to_owned),
        body: String::new(),
        status: Some(if request.starts_with("POST") { 202 } else { 200 }),
        orders: orders.iter().map(seen).collect(),
        not_found: None,
        on_hand: Vec::new(),
    }
}

#[test]
fn a_history_in_which_all_is_well_passes() {
    let history = [
        exchange(0, "POST /v1/orders", Some("a"), &[("1", 1, "placed")]),
        exchange(2, "GET /v1/orders/1", None, &[("1", 1, "cooking")]),
        exchange(4, "POST /v1/orders", Some("a"), &[("1", 1, "cooking")]),
        exchange(6, "GET /v1/orders/1", None, &[("1", 1, "delivered")]),
        exchange(8, "POST /v1/orders", Some("b"), &[("2", 2, "placed")]),
    ];
    assert_eq!(check(&history, KEPT_FOR), Vec::<String>::new());
}

#[test]
fn each_rule_is_checked() {
    let placed = exchange(0, "POST /v1/orders", Some("a"), &[("1", 5, "placed")]);
    let delivered = exchange(2, "GET /v1/orders/1", None, &[("1", 5, "delivered")]);
    let mut lost = exchange(4, "GET /v1/orders/1", None, &[]);
    lost.not_found = Some("1".into());
    let mut negative = exchange(4, "GET /v1/stock", None, &[]);
    negative.on_hand = vec![3, -1];
    for (last, words) in [
        (exchange(4, "POST /v1/orders", Some("a"), &[("2", 6, "placed")]), "the key a"),
        (exchange(4, "POST /v1/orders", Some("b"), &[("1", 5, "placed")]), "two keys"),
        (exchange(4, "POST /v1/orders", Some("b"), &[("2", 4, "placed")]), "number 4"),
        (exchange(4, "GET /v1/orders/1", None, &[("1", 5, "cooking")]), "was delivered"),
        (exchange(4, "GET /v1/orders/1", None, &[("1", 5, "cancelled")]), "was delivered"),
        (lost, "not found"),
        (negative, "below zero"),
    ] {
        let wrong = check(&[placed.clone(), delivered.clone(), last], KEPT_FOR);
        assert!(wrong.iter().any(|one| one.contains(words)), "{words}: {wrong:?}");
    }
}

#[test]
fn what_is_under_way_at_the_same_time_may_be_answered_in_any_order() {
    let placed = exchange(0, "POST /v1/orders", Some("a"), &[("1", 1, "placed")]);
    let mut early = exchange(2, "GET /v1/orders/1", None, &[("1", 1, "placed")]);
    early.answered_at = Some(10);
    let late = exchange(4, "GET /v1/orders/1", None, &[("1", 1, "delivered")]);
    assert_eq!(check(&[placed, early, late], KEPT_FOR), Vec::<String>::new());
}

#[test]
fn a_key_that_may_be_forgotten_may_be_answered_with_new_orders() {
    let first = exchange(0, "POST /v1/orders", Some("a"), &[("1", 1, "placed")]);
    let second = |at| exchange(at, "POST /v1/orders", Some("a"), &[("2", 2, "placed")]);
    assert_eq!(check(&[first.clone(), second(10)], 10), Vec::<String>::new());
    assert_eq!(check(&[first, second(9)], 10).len(), 1);
}
