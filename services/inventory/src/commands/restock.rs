//! Answers of the market are booked, and what is still missing becomes new purchases.

use std::{collections::HashSet, time::Instant};

use ::store::{StoreError, Tx};
use contracts::{
    Ingredient, PurchaseId, api::inventory::PurchaseStatus, events::IngredientPurchased,
};
use events::Announce as _;

use super::serve_waiting;
use crate::{
    Signals,
    domain::{Appetite, Basket, INGREDIENTS, what_to_buy},
    market::Answer,
    store::{self, OpenPurchase},
};

/// What the market answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) purchase: PurchaseId,
    pub(crate) ingredient: Ingredient,
    pub(crate) answer: Answer,
}

/// What a round of buying knows when it begins.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) answers: Vec<Answered>,
    pub(crate) appetites: [Appetite; INGREDIENTS],
    /// How many purchases may be open afterwards.
    pub(crate) open_max: usize,
    pub(crate) now: Instant,
}

/// What a round of buying left.
#[derive(Debug)]
pub(crate) struct Restocked {
    /// What is still missing.
    pub(crate) missing: Basket,
    /// All purchases that are open now.
    pub(crate) open: Vec<OpenPurchase>,
    /// How many of them, the last ones, were opened in this round.
    pub(crate) opened: usize,
}

/// Books each answer once, serves those who wait, and saves the intent of as many purchases as what is missing asks for.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn restock(
    tx: &mut Tx<'_>,
    round: &Round,
    signals: &Signals,
) -> Result<Restocked, StoreError> {
    let mut shelves = store::lock_shelves(tx)?;
    if !round.answers.is_empty() {
        let bought = book_answers(tx, &round.answers)?;
        if !bought.is_empty() {
            shelves.buy(&bought);
            let served = serve_waiting(tx, &mut shelves, &HashSet::new())?;
            signals.after_serving(tx, &served);
        }
    }
    let mut open = store::open_purchases(tx)?;
    let missing = shelves.missing();
    let mut counts = [0; INGREDIENTS];
    open.iter().for_each(|purchase| counts[purchase.ingredient as usize] += 1);
    let asked_at = tx.now();
    let new: Vec<OpenPurchase> =
        what_to_buy(&missing, &counts, &round.appetites, round.open_max, round.now)
            .into_iter()
            .map(|ingredient| OpenPurchase { id: PurchaseId::new(), ingredient, asked_at })
            .collect();
    store::insert_purchases(tx, &new)?;
    store::save_shelves(tx, shelves)?;
    let opened = new.len();
    open.extend(new);
    Ok(Restocked { missing, open, opened })
}

/// Saves answers and announces what was bought; returns the sum.
fn book_answers(tx: &mut Tx<'_>, answers: &[Answered]) -> Result<Basket, StoreError> {
    let rows = answers.iter().map(|answered| match answered.answer {
        Answer::Sold(quantity) => (answered.purchase, PurchaseStatus::Done, quantity),
        Answer::Unknown => (answered.purchase, PurchaseStatus::Unknown, 0),
    });
    let booked = store::answer_purchases(tx, rows)?;
    let mut bought = Basket::default();
    for (Answered { purchase, ingredient, answer }, booked) in answers.iter().zip(booked) {
        if let (true, Answer::Sold(quantity @ 1..)) = (booked, *answer) {
            bought[*ingredient] += quantity;
            tx.announce(&IngredientPurchased {
                purchase: *purchase,
                ingredient: *ingredient,
                quantity,
            });
        }
    }
    Ok(bought)
}
