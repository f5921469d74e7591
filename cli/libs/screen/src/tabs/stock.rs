//! What is on the shelves, and what the market sold.

use contracts::{
    Timestamp,
    api::{
        inventory::{Purchase, PurchaseStatus, Shelf},
        live::View,
    },
};

use crate::{
    panes::{Body, Cell, Column, Pane, Row},
    theme::Tone,
    words::{age, between, until},
};

const SHELVES: &[Column] = &[
    Column::words("ingredient", 10, 20),
    Column::number("on hand", 7),
    Column::number("for orders", 10),
    Column::number("missing", 7),
    Column::number("next try", 8),
    Column::number("bought", 6),
];
const PURCHASES: &[Column] = &[
    Column::number("asked", 6),
    Column::words("ingredient", 10, 20),
    Column::words("status", 7, 7),
    Column::number("sold", 4),
    Column::number("took", 7),
];

pub(super) fn panes(view: &View, now: Timestamp) -> Vec<Pane> {
    vec![
        Pane {
            title: "Stock".into(),
            body: Body::Table {
                columns: SHELVES,
                rows: view.stock.iter().map(|one| shelf(one, now)).collect(),
            },
            empty: "nothing was ever booked",
        },
        Pane {
            title: "Purchases, the newest first".into(),
            body: Body::Table {
                columns: PURCHASES,
                rows: view.purchases.iter().map(|one| purchase(one, now)).collect(),
            },
            empty: "nothing was bought yet",
        },
    ]
}

fn shelf(shelf: &Shelf, now: Timestamp) -> Row {
    let ingredient = shelf.ingredient.to_string();
    let next = shelf.next_attempt_at.filter(|at| *at > now);
    let next = next.map(|at| until(at.since(now)));
    Row {
        names: vec![ingredient.clone()],
        order: None,
        cells: vec![
            (&ingredient).into(),
            shelf.on_hand.into(),
            Cell::figure(shelf.reserved - shelf.released, Tone::Plain),
            Cell::figure(shelf.missing, Tone::Warning),
            next.unwrap_or_default().into(),
            Cell::figure(shelf.bought, Tone::Plain),
        ],
        key: ingredient,
    }
}

fn purchase(purchase: &Purchase, now: Timestamp) -> Row {
    let ingredient = purchase.ingredient.to_string();
    let (tone, sold) = match (purchase.status, purchase.quantity) {
        (PurchaseStatus::Open, _) => (Tone::Busy, String::new()),
        (PurchaseStatus::Unknown, _) => (Tone::Bad, "?".into()),
        (PurchaseStatus::Done, 0) => (Tone::Warning, "none".into()),
        (PurchaseStatus::Done, quantity) => (Tone::Good, quantity.to_string()),
    };
    let took = purchase.answered_at.map(|answered| between(purchase.asked_at, answered));
    Row {
        key: purchase.id.to_string(),
        names: vec![ingredient.clone()],
        order: None,
        cells: vec![
            age(now.since(purchase.asked_at)).into(),
            ingredient.into(),
            Cell::toned(purchase.status.name(), tone),
            Cell::toned(sold, tone),
            took.unwrap_or_default().into(),
        ],
    }
}
