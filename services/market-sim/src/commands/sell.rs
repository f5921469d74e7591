//! Sells, to many at once.

use std::{collections::HashMap, time::Duration};

use ::store::{StoreError, Tx};
use contracts::{Ingredient, api::market_sim::Sale};
use uuid::Uuid;

use crate::{
    domain::{self, Fate},
    store::{self, MadeSale},
};

/// How long a key may be, in bytes: four times a UUID.
pub(crate) const KEY_BYTES_MAX: usize = 144;

/// Tells a sale from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    text: String,
    is_purchase: bool,
}

impl Key {
    /// Reads a key; `None` if it is empty, too long, or has other characters than visible ASCII. The ways to write a UUID
    /// are one key.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if let Ok(uuid) = Uuid::try_parse(text) {
            return Some(Self { text: uuid.to_string(), is_purchase: true });
        }
        let readable = (1..=KEY_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        readable.then(|| Self { text: text.to_owned(), is_purchase: false })
    }

    /// Returns it as it is stored.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether it is a purchase's id.
    pub(crate) const fn is_purchase(&self) -> bool {
        self.is_purchase
    }
}

/// One who wants to buy.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// By which the sale can be asked for again; without one, it is not kept.
    pub(crate) key: Option<Key>,
    pub(crate) ingredient: Ingredient,
}

/// What one who wants to buy is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The sale, after the delay.
    Sold(Sale, Duration),
    /// A failure, after the delay.
    Failed(Duration),
    /// The key is that of a sale of another ingredient.
    OtherIngredient(Ingredient),
    /// The simulated market answers no call.
    Outage,
}

/// Sells to each who calls. A key that was sold to before is answered as before.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is sold then.
pub(crate) fn sell(tx: &mut Tx<'_>, calls: &[Call]) -> Result<Vec<Answer>, StoreError> {
    let state = store::count_calls(tx, calls.len())?;
    let settings = &state.settings;
    if settings.outage {
        return Ok(vec![Answer::Outage; calls.len()]);
    }
    let delay = Duration::from_millis(settings.delay_ms);
    let asked = calls.iter().filter_map(|call| Some(call.key.as_ref()?.text()));
    let mut made: HashMap<String, MadeSale> = store::sales_by_key(tx, asked)?.into_iter().collect();
    let mut new = Vec::new();
    let mut answers = Vec::with_capacity(calls.len());
    for (number, call) in (state.calls..).zip(calls) {
        let fate = domain::draw_fate(settings, number);
        if fate == Fate::FailsBefore {
            answers.push(Answer::Failed(delay));
            continue;
        }
        let before = call.key.as_ref().and_then(|key| made.get(key.text()));
        let sale = before.copied().unwrap_or_else(|| {
            let quantity = domain::draw_quantity(settings, state.drawn + new.len() as i64);
            let sale = MadeSale { ingredient: call.ingredient, quantity };
            if let Some(key) = &call.key {
                made.insert(key.text().to_owned(), sale);
            }
            new.push((call.key.as_ref(), sale));
            sale
        });
        answers.push(if sale.ingredient != call.ingredient {
            Answer::OtherIngredient(sale.ingredient)
        } else if fate == Fate::FailsAfter {
            Answer::Failed(delay)
        } else {
            Answer::Sold(Sale { quantity_sold: sale.quantity }, delay)
        });
    }
    store::insert_sales(tx, &new)?;
    Ok(answers)
}
