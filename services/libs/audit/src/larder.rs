//! What was bought, what is on the shelves, and what the farmers say they sold.

use std::collections::BTreeMap;

use backends::{Backends, LIST_WAIT_MAX};
use contracts::{
    Ingredient, Quantities,
    api::{
        audit::PurchaseFact,
        inventory::{Shelf, Stock},
    },
    events::{Event, IngredientPurchased, catalogue::readers_of},
    services::{INVENTORY, MARKET, MARKET_SIM},
};

use crate::{
    AuditError,
    finding::Finding,
    kept::Counts,
    orders::Sums,
    source::{Source, least},
};

/// How many receipts that seem to have no purchase are looked at again while the environment works.
const SUSPECTS_MAX: usize = 1_000;

/// The shelves at one moment.
pub(crate) async fn shelves(services: &Backends) -> Result<Vec<Shelf>, AuditError> {
    let Some(inventory) = services.get(INVENTORY) else { return Ok(Vec::new()) };
    let stock: Stock = inventory
        .get("/internal/facts/stock", LIST_WAIT_MAX)
        .await
        .map_err(|source| AuditError::Unanswered { service: INVENTORY, facts: "stock", source })?;
    Ok(stock.stock)
}

/// Checks that the shelves hold what came and did not go. The shelves were read before the orders.
pub(crate) fn conserve(shelves: &[Shelf], sums: &Sums, live: bool) -> Finding {
    let mut finding = Finding::new(
        "stock.conservation",
        "For every ingredient, opening + adjustments + bought − reserved + released = on hand, never below 0.",
    );
    for shelf in shelves {
        let ingredient = shelf.ingredient;
        let came = shelf.opening + shelf.adjustments + shelf.bought + shelf.released;
        finding.compare(came - shelf.reserved, shelf.on_hand, ingredient);
        if shelf.on_hand < 0 {
            finding.breach(format_args!("{ingredient}: {} on hand", shelf.on_hand));
        }
    }
    for ingredient in Ingredient::ALL {
        let shelf = shelves.iter().find(|shelf| shelf.ingredient == ingredient);
        let columns = [
            ("reserved", shelf.map_or(0, |shelf| shelf.reserved), &sums.reserved),
            ("released", shelf.map_or(0, |shelf| shelf.released), &sums.released),
        ];
        for (what, stored, sums) in columns {
            let summed = sums.get(&ingredient).copied().unwrap_or(0);
            if !fits(stored, summed, live) {
                finding.breach(format_args!(
                    "{ingredient}: {stored} {what} on the shelf, {summed} by the orders"
                ));
            }
        }
    }
    finding
}

/// Returns whether a counter fits what it was counted from, which was read after it.
const fn fits(counter: i64, counted: i64, live: bool) -> bool {
    counter == counted || (live && counter < counted)
}

/// What the purchases say, and what they add up to.
#[derive(Debug)]
pub(crate) struct Purchases {
    pub(crate) receipts: Finding,
    pub(crate) sold: Finding,
    pub(crate) bought: Quantities,
    /// How many purchases brought something.
    filled: BTreeMap<Ingredient, i64>,
}

#[derive(Debug, Default)]
struct Picture {
    purchase: Option<PurchaseFact>,
    receipt: Option<PurchaseFact>,
    sale: Option<PurchaseFact>,
}

/// Checks every purchase against the market's receipt and the simulated market's sale. While the environment works, purchases are read
/// before receipts, and those before sales: each has its reason in the next.
///
/// # Errors
/// [`AuditError`] if a service did not tell its facts.
pub(crate) async fn check(
    services: &Backends,
    shelves: &[Shelf],
    live: bool,
) -> Result<Purchases, AuditError> {
    let mut purchases = Purchases::new();
    let source = |service, facts| {
        Source::of(services, service, facts, |fact: &PurchaseFact| fact.purchase.to_string())
    };
    let (Some(mut bought), Some(mut receipts)) =
        (source(INVENTORY, "purchases"), source(MARKET, "receipts"))
    else {
        return Ok(purchases);
    };
    let mut sales = source(MARKET_SIM, "sales");
    if sales.is_none() {
        purchases.sold.note("not checked: there is no simulated market that could be asked");
    }
    let mut suspects = Vec::new();
    loop {
        bought.fill().await?;
        if live {
            receipts.forget();
            sales.iter_mut().for_each(Source::forget);
        }
        receipts.fill().await?;
        if let Some(sales) = &mut sales {
            sales.fill().await?;
        }
        let sales_reach = sales.as_ref().and_then(Source::reach);
        let bound = least([bought.reach(), receipts.reach(), sales_reach]);
        let end = bought.end().map(str::to_owned);
        let mut pictures: BTreeMap<String, Picture> = BTreeMap::new();
        for (key, purchase) in bought.take_until(bound.as_deref()) {
            pictures.entry(key).or_default().purchase = Some(purchase);
        }
        for (key, receipt) in receipts.take_until(bound.as_deref()) {
            pictures.entry(key).or_default().receipt = Some(receipt);
        }
        if let Some(sales) = &mut sales {
            for (key, sale) in sales.take_until(bound.as_deref()) {
                pictures.entry(key).or_default().sale = Some(sale);
            }
        }
        for (key, picture) in pictures {
            let came_later = end.as_ref().is_some_and(|end| key > *end);
            if live && came_later {
                continue;
            }
            purchases.note(&key, &picture, sales.is_some(), live);
            if picture.purchase.is_none() && picture.receipt.is_some() {
                match live {
                    true if suspects.len() < SUSPECTS_MAX => suspects.push(key),
                    true => {}
                    false => purchases.receipts.breach(without_purchase(&key)),
                }
            }
        }
        if bound.is_none() {
            break;
        }
    }
    for key in suspects {
        if !bought.has(&key).await? {
            purchases.receipts.breach(without_purchase(&key));
        }
    }
    purchases.compare_with(shelves, live);
    Ok(purchases)
}

fn without_purchase(key: &str) -> String {
    format!("{key} has a receipt, but was never asked for")
}

/// Returns what a purchase, a receipt or a sale brought.
fn quantity_of(fact: Option<&PurchaseFact>) -> i64 {
    fact.filter(|fact| fact.status == "done").map_or(0, |fact| fact.quantity)
}

impl Purchases {
    fn new() -> Self {
        Self {
            receipts: Finding::new(
                "purchases.receipts",
                "What the inventory bought is what the market has receipts for, and is on the shelf.",
            ),
            sold: Finding::new(
                "receipts.sold",
                "What the market has receipts for is what was sold.",
            ),
            bought: Quantities::new(),
            filled: BTreeMap::new(),
        }
    }

    fn note(&mut self, key: &str, picture: &Picture, has_market_sim: bool, live: bool) {
        let Picture { purchase, receipt, sale } = picture;
        if let Some(purchase) = purchase {
            let (asked, got) = (quantity_of(Some(purchase)), quantity_of(receipt.as_ref()));
            if asked > 0 {
                *self.bought.entry(purchase.ingredient).or_default() += asked;
                *self.filled.entry(purchase.ingredient).or_default() += 1;
            }
            let said = receipt.as_ref().map_or("none", |receipt| receipt.status.as_str());
            let same_thing =
                receipt.as_ref().is_none_or(|receipt| receipt.ingredient == purchase.ingredient);
            // One that is open has not heard of its receipt yet.
            if purchase.status != "open" {
                self.receipts.count(asked, got);
                if purchase.status != said || asked != got || !same_thing {
                    self.receipts.breach(format_args!(
                        "{key} is {} of {asked}, its receipt {said} of {got}",
                        purchase.status
                    ));
                }
            }
        }
        if has_market_sim {
            self.note_sale(key, receipt.as_ref(), sale.as_ref(), live);
        }
    }

    fn note_sale(
        &mut self,
        key: &str,
        receipt: Option<&PurchaseFact>,
        sale: Option<&PurchaseFact>,
        live: bool,
    ) {
        let said = receipt.map_or("none", |receipt| receipt.status.as_str());
        // What the market has not heard of yet may be sold.
        if said == "open" || (live && said == "none") {
            return;
        }
        let (got, sold) = (quantity_of(receipt), sale.map_or(0, |sale| sale.quantity));
        let same_thing = match (receipt, sale) {
            (Some(receipt), Some(sale)) => receipt.ingredient == sale.ingredient,
            _ => true,
        };
        self.sold.count(got, sold);
        if got != sold || !same_thing {
            self.sold.breach(format_args!("{key}: {sold} sold, the receipt is {said} of {got}"));
        }
    }

    /// Compares with the shelves, which were read before.
    fn compare_with(&mut self, shelves: &[Shelf], live: bool) {
        for ingredient in Ingredient::ALL {
            let shelf = shelves.iter().find(|shelf| shelf.ingredient == ingredient);
            let stored = shelf.map_or(0, |shelf| shelf.bought);
            let summed = self.bought.get(&ingredient).copied().unwrap_or(0);
            if !fits(stored, summed, live) {
                self.receipts.breach(format_args!(
                    "{ingredient}: {stored} bought by the shelf, {summed} by the purchases"
                ));
            }
        }
    }

    /// Checks, where old events are only counted, that as many purchases were told as brought something.
    pub(crate) fn check_told_in_all(
        &self,
        sums: &Sums,
        counts: &Counts,
        outbox: &mut Finding,
        live: bool,
    ) {
        let name = IngredientPurchased::NAME;
        let owed: i64 = self.filled.values().sum();
        let mut told: Vec<i64> = counts.told(name, readers_of(name));
        told.iter_mut().for_each(|told| *told += sums.told(name));
        let fitting = told.iter().copied().find(|told| fits(owed, *told, live));
        let found = fitting.unwrap_or(told[0]);
        outbox.count(owed, if live { found.min(owed) } else { found });
        if fitting.is_none() {
            outbox.breach(format_args!("{name}: {found} in all instead of {owed}"));
        }
    }

    /// Checks that each purchase that brought something was told once. The events were read after the purchases.
    pub(crate) fn check_told(&self, sums: &Sums, outbox: &mut Finding, live: bool) {
        for ingredient in Ingredient::ALL {
            let told = (ingredient.name().to_owned(), IngredientPurchased::NAME.to_owned());
            let told = sums.told_else.get(&told).copied().unwrap_or(0);
            let owed = self.filled.get(&ingredient).copied().unwrap_or(0);
            outbox.count(owed, if live { told.min(owed) } else { told });
            if !fits(owed, told, live) {
                let name = IngredientPurchased::NAME;
                outbox.breach(format_args!("{ingredient}: {name}: {told} instead of {owed}"));
            }
        }
    }
}
