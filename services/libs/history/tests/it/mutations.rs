//! A right history passes, and each kind of wrong answer in it is found, by its own rule.

use std::{collections::HashMap, path::Path};

use contracts::{
    OrderId,
    api::orders::OrderStatus::{self, Cancelled, Delivered, Placed},
};
use history::{Ask, Findings, HistoryError, Line, Outcome, Rule, Seen, check};
use proptest::{prelude::*, sample::Index};

use crate::model::{Model, Step, uuid};

fn text(lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).unwrap();
        text.push(b'\n');
    }
    text
}

fn check_lines(lines: &[Line]) -> Result<Findings, HistoryError> {
    check(&text(lines)[..], Path::new("a history"))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((any::<u8>(), any::<u32>()), 0..300)
}

/// An answer with orders, and what was known when its request was sent.
struct Answered {
    at: usize,
    ask: Ask,
    orders: Vec<Seen>,
    known: HashMap<OrderId, OrderStatus>,
    /// The keys that were answered before this answer.
    keys: Vec<String>,
}

/// Returns the answers with orders, in order.
fn answered(lines: &[Line]) -> Vec<Answered> {
    let mut known = HashMap::new();
    let mut keys = Vec::new();
    let mut sent = HashMap::new();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match line {
            Line::Begin(_) => sent.clear(),
            Line::Invoke { call, ask, .. } => {
                sent.insert(*call, (ask.clone(), known.clone()));
            }
            Line::Answer { call, outcome, .. } => {
                let (ask, known_then) = sent.remove(call).unwrap();
                let Outcome::Http { orders, .. } = outcome else { continue };
                if orders.is_empty() {
                    continue;
                }
                let (orders, keys_then) = (orders.clone(), keys.clone());
                for order in &orders {
                    let status = if let Ask::Place { .. } = ask { Placed } else { order.status };
                    let before = known.entry(order.id).or_insert(status);
                    if !before.is_end() && status != Placed {
                        *before = status;
                    }
                }
                if let Ask::Place { key: Some(key), .. } = &ask {
                    keys.push(key.clone());
                }
                found.push(Answered { at, ask, orders, known: known_then, keys: keys_then });
            }
        }
    }
    found
}

fn orders_of(line: &mut Line) -> &mut Vec<Seen> {
    match line {
        Line::Answer { outcome: Outcome::Http { orders, .. }, .. } => orders,
        other => panic!("{other:?} has no orders"),
    }
}

/// Every place at which an answer can be made wrong in one way.
type Sites = Vec<(usize, usize)>;

/// Returns the orders of answers that meet a condition: the line, and the order's place in it.
fn sites(lines: &[Line], meets: impl Fn(&Answered, &Seen) -> bool) -> Sites {
    let of = |answer: &Answered| -> Sites {
        let orders = answer.orders.iter().enumerate();
        orders
            .filter(|(_, seen)| meets(answer, seen))
            .map(|(place, _)| (answer.at, place))
            .collect()
    };
    answered(lines).iter().flat_map(of).collect()
}

fn is_read(answer: &Answered) -> bool {
    matches!(answer.ask, Ask::Read { .. })
}

fn is_repeat(answer: &Answered) -> bool {
    matches!(&answer.ask, Ask::Place { key: Some(key), .. } if answer.keys.contains(key))
}

/// Makes one answer wrong, and says by which rule that must be found.
fn mutate(lines: &mut [Line], kind: usize, site: Index) -> Rule {
    let change = |lines: &mut [Line], sites: Sites, change: &dyn Fn(&mut Vec<Seen>, usize)| {
        let (at, place) = *site.get(&sites);
        change(orders_of(&mut lines[at]), place);
    };
    let unknown = OrderId::from(uuid(u128::MAX));
    match kind {
        // The same key gives another order.
        0 => {
            let sites = sites(lines, |answer, _| is_repeat(answer));
            change(lines, sites, &|orders, place| orders[place].id = unknown);
            Rule::Keys
        }
        // Another key gives an order that is another's: the second order of the end becomes the first.
        1 => {
            let first = placed(lines, "first");
            for order in lines.iter_mut().filter_map(orders_if_any).flatten() {
                if order.number > first.number {
                    *order = Seen { status: order.status, ..first };
                }
            }
            Rule::Keys
        }
        // An answer has fewer orders than its request.
        2 => {
            let sites = sites(lines, |answer, _| is_repeat(answer));
            change(lines, sites, &|orders, place| {
                orders.remove(place);
            });
            Rule::Keys
        }
        // A read misses an order.
        3 => {
            let sites =
                sites(lines, |answer, seen| is_read(answer) && answer.known.contains_key(&seen.id));
            change(lines, sites, &|orders, place| {
                orders.remove(place);
            });
            Rule::Reads
        }
        // An order that was in the kitchen is placed again.
        4 => {
            let moved = |status: &OrderStatus| *status != Placed;
            let sites = sites(lines, |answer, seen| {
                is_read(answer) && answer.known.get(&seen.id).is_some_and(moved)
            });
            change(lines, sites, &|orders, place| orders[place].status = Placed);
            Rule::Statuses
        }
        // An order ends twice.
        5 => {
            let sites = sites(lines, |answer, seen| {
                is_read(answer) && answer.known.get(&seen.id).is_some_and(|status| status.is_end())
            });
            change(lines, sites, &|orders, place| {
                let status = &mut orders[place].status;
                *status = if *status == Delivered { Cancelled } else { Delivered };
            });
            Rule::Statuses
        }
        // A stock is negative.
        6 => {
            let stocks = lines.iter_mut().filter_map(|line| match line {
                Line::Answer { outcome: Outcome::Http { stock, .. }, .. } => stock.first_mut(),
                _ => None,
            });
            let mut stocks: Vec<_> = stocks.collect();
            let at = site.index(stocks.len());
            stocks[at].on_hand = -1;
            Rule::Stock
        }
        // A number changes.
        7 => {
            let sites =
                sites(lines, |answer, seen| is_read(answer) && answer.known.contains_key(&seen.id));
            change(lines, sites, &|orders, place| orders[place].number += 1_000);
            Rule::Numbers
        }
        // An order that was sent later has a lower number, wherever it is seen.
        _ => {
            let last = placed(lines, "second").number;
            for order in lines.iter_mut().filter_map(orders_if_any).flatten() {
                if order.number == last {
                    order.number = 0;
                }
            }
            Rule::Numbers
        }
    }
}

const KINDS: usize = 9;

fn orders_if_any(line: &mut Line) -> Option<&mut Vec<Seen>> {
    match line {
        Line::Answer { outcome: Outcome::Http { orders, .. }, .. } => Some(orders),
        _ => None,
    }
}

/// Returns the order of a key, as its first answer showed it.
fn placed(lines: &[Line], wanted: &str) -> Seen {
    let is_it = |answer: &Answered| matches!(&answer.ask, Ask::Place { key: Some(key), .. } if key == wanted);
    answered(lines).iter().find(|answer| is_it(answer)).unwrap().orders[0]
}

proptest! {
    #[test]
    fn a_history_of_a_service_that_keeps_its_promises_passes(steps in steps()) {
        let findings = check_lines(&Model::history(&steps)).unwrap();
        prop_assert!(findings.passed(), "{:#?}", findings.violations().collect::<Vec<_>>());
        for rule in Rule::ALL {
            prop_assert!(findings.of(rule).checked > 0, "{} was never applied", rule.name());
        }
    }

    #[test]
    fn each_kind_of_wrong_answer_is_found(steps in steps(), kind in 0..KINDS, site: Index) {
        let mut lines = Model::history(&steps);
        let rule = mutate(&mut lines, kind, site);
        let findings = check_lines(&lines).unwrap();
        prop_assert!(findings.of(rule).broken > 0, "kind {kind}: {findings:#?}");
        prop_assert!(!findings.passed());
        for violation in findings.violations() {
            prop_assert!(violation.to_string().starts_with("line "));
        }
    }

    #[test]
    fn a_history_may_be_cut_off_anywhere_below_its_first_line(steps in steps(), cut: Index) {
        let text = text(&Model::history(&steps));
        let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let cut = first + cut.index(text.len() - first);
        let findings = check(&text[..cut], Path::new("a history")).unwrap();
        prop_assert!(findings.passed());
    }
}
