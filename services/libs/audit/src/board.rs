//! The board's aggregates, beside what they should add up to.

use std::collections::BTreeMap;

use backends::{Backends, LIST_WAIT_MAX};
use contracts::{
    Quantities,
    api::audit::Counters,
    events::{Event, OrderDelivered, catalogue::CATALOGUE},
    services::BOARD,
};

use crate::{AuditError, finding::Finding, kept::Counts, orders::Sums};

/// Returns the board's counters, as stored.
pub(crate) async fn counters(services: &Backends) -> Result<Counters, AuditError> {
    let Some(board) = services.get(BOARD) else { return Ok(Counters::default()) };
    board
        .get("/internal/facts/counters", LIST_WAIT_MAX)
        .await
        .map_err(|source| AuditError::Unanswered { service: BOARD, facts: "counters", source })
}

/// Checks the counters, which were read before all else, against what is rebuilt.
pub(crate) fn check(
    Counters { counters }: &Counters,
    sums: &Sums,
    counts: &Counts,
    bought: &Quantities,
    live: bool,
) -> Finding {
    let mut finding = Finding::new(
        "board.aggregates",
        "What the board has counted is what its events add up to when they are counted again.",
    );
    let mut rebuilt: BTreeMap<String, i64> = BTreeMap::new();
    for entry in CATALOGUE.iter().filter(|entry| entry.readers.contains(&BOARD)) {
        let kept = sums.told(entry.name);
        let old = counts.told(entry.name, &[BOARD]);
        let counted = counters.get(entry.name).copied().unwrap_or(0);
        let told = old.iter().map(|old| old + kept).find(|told| *told == counted);
        rebuilt.insert(entry.name.to_owned(), told.unwrap_or(old[0] + kept));
    }
    if let Some(note) = counts.note() {
        finding.note(note);
    }
    for (dish, count) in &sums.dishes {
        rebuilt.insert(format!("dish:{dish}"), *count);
    }
    for (ingredient, quantity) in bought {
        rebuilt.insert(format!("bought:{ingredient}"), *quantity);
    }
    // Not only the names that can be rebuilt: what the board invented is compared with nothing.
    let invented = counters
        .keys()
        .filter(|name| name.starts_with("dish:") || name.starts_with("bought:"))
        .filter(|name| !rebuilt.contains_key(*name));
    let mut compared: Vec<(&str, i64)> = invented.map(|name| (name.as_str(), 0)).collect();
    compared.extend(rebuilt.iter().map(|(name, count)| (name.as_str(), *count)));
    for (name, expected) in compared {
        let found = counters.get(name).copied().unwrap_or(0);
        let behind = live && found < expected;
        finding.count(if behind { found } else { expected }, found);
        if found != expected && !behind {
            finding.breach(format_args!("{name}: {found} instead of {expected}"));
        }
    }
    let timed: i64 = counters
        .iter()
        .filter(|(name, _)| {
            name.strip_prefix("delivery_us:").is_some_and(|bucket| bucket.parse::<i64>().is_ok())
        })
        .map(|(_, count)| *count)
        .sum();
    let delivered = counters.get(OrderDelivered::NAME).copied().unwrap_or(0);
    if timed != delivered {
        finding.breach(format_args!("{timed} deliveries were timed, {delivered} counted"));
    }
    finding
}
