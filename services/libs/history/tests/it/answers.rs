//! What is recorded of answers.

use std::path::Path;

use contracts::OrderId;
use history::{Ask, Line, Outcome, Recorder, Rule, Violation, check};

const ORDER: &str = "0192f3c4-5a6b-7c8d-9e0f-112233445566";

fn order() -> OrderId {
    ORDER.parse().unwrap()
}

fn body(status: &str) -> String {
    format!(
        r#"{{"id":"{ORDER}","number":7,"status":"{status}","dish":null,"placed_at":"2026-01-31T12:00:00Z","ended_at":null}}"#
    )
}

#[test]
fn bodies_are_read_as_the_gateway_writes_them() {
    let mut recorder = Recorder::begin(Vec::new()).unwrap();
    let place = Ask::Place { key: Some("table-7".into()), dishes: vec![None] };
    let stock = r#"{"stock":[{"ingredient":"rice","on_hand":3,"opening":5,"missing":0}],"waiting_orders":0}"#;
    let orders = format!(r#"{{"orders":[{}],"next_before":7}}"#, body("placed"));
    let read = Ask::Read { orders: vec![order()] };
    let exchanges = [
        (place.clone(), 503, String::new()),
        (place, 202, orders.clone()),
        (read.clone(), 200, orders.clone()),
        (read.clone(), 200, body("cooking")),
        (Ask::List, 200, orders),
        (Ask::Cancel { order: order() }, 202, body("cancelling")),
        (Ask::Stock, 200, stock.into()),
        (read, 200, "<html>".into()),
    ];
    for (ask, status, body) in exchanges {
        let call = recorder.invoke(ask).unwrap();
        recorder.answered(&call, status, body.as_bytes()).unwrap();
    }
    let call = recorder.invoke(Ask::Stock).unwrap();
    recorder.unanswered(&call, "connection lost".into()).unwrap();

    let text = String::from_utf8(recorder.into_writer()).unwrap();
    let outcomes: Vec<(usize, usize)> = text
        .lines()
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            Line::Answer { outcome: Outcome::Http { orders, stock, .. }, .. } => {
                Some((orders.len(), stock.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [(0, 0), (1, 0), (1, 0), (1, 0), (1, 0), (1, 0), (0, 1)]);
    assert_eq!(text.matches("\"unknown\"").count(), 2, "{text}");
    assert!(text.contains("the body of the answer (200) can't be read"), "{text}");
    let findings = check(text.as_bytes(), Path::new("x")).unwrap();
    // The list was sent after the order was seen cooking.
    let moved_back = Violation::MovedBack {
        line: 11,
        order: order(),
        status: "placed".parse().unwrap(),
        known_at: 9,
    };
    assert_eq!(findings.violations().collect::<Vec<_>>(), [&moved_back]);
    assert_eq!(findings.known_orders().collect::<Vec<_>>(), [order()]);
}

#[test]
fn reads_that_overlap_may_show_either_status() {
    let mut recorder = Recorder::begin(Vec::new()).unwrap();
    let read = || Ask::Read { orders: vec![order()] };
    let (early, late) = (recorder.invoke(read()).unwrap(), recorder.invoke(read()).unwrap());
    recorder.answered(&late, 200, body("delivered").as_bytes()).unwrap();
    recorder.answered(&early, 200, body("placed").as_bytes()).unwrap();
    let findings = check(&recorder.writer()[..], Path::new("x")).unwrap();
    assert!(findings.passed());
    assert_eq!(findings.of(Rule::Statuses).checked, 2);

    // Two ends are wrong in any order.
    let (early, late) = (recorder.invoke(read()).unwrap(), recorder.invoke(read()).unwrap());
    recorder.answered(&late, 200, body("delivered").as_bytes()).unwrap();
    recorder.answered(&early, 200, body("rejected").as_bytes()).unwrap();
    let findings = check(&recorder.writer()[..], Path::new("x")).unwrap();
    assert_eq!(findings.of(Rule::Statuses).broken, 1);
}
