//! What is on hand, and how it came to that.

use ::store::{ByName, Many, StoreError, Tx, params};
use contracts::{Ingredient, api::inventory::Shelf};

use crate::domain::Basket;

pub(super) const SHELVES: &str =
    "SELECT ingredient, on_hand, wanted FROM stock ORDER BY ingredient";
// A replica locks these rows, sorted, before it reads waiting orders or free stock: two replicas never decide at
// once. SQLite has one writer.
pub(super) const SHELVES_LOCKED: &str =
    "SELECT ingredient, on_hand, wanted FROM stock ORDER BY ingredient FOR UPDATE";
pub(super) const BOOK: Many = Many {
    each: "UPDATE stock SET adjustments = adjustments + ?2, bought = bought + ?3, reserved = reserved + ?4,
             released = released + ?5, wanted = wanted + ?6, on_hand = on_hand + ?7
         WHERE ingredient = ?1",
    all: "UPDATE stock SET adjustments = stock.adjustments + booked.adjustments,
             bought = stock.bought + booked.bought, reserved = stock.reserved + booked.reserved,
             released = stock.released + booked.released, wanted = stock.wanted + booked.wanted,
             on_hand = stock.on_hand + booked.on_hand
         FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[])
             AS booked (ingredient, adjustments, bought, reserved, released, wanted, on_hand)
         WHERE stock.ingredient = booked.ingredient",
};
pub(super) const SHELF_LINES: &str = "SELECT ingredient, on_hand, COALESCE(opening, 0), adjustments, bought, reserved, released, wanted
     FROM stock
     WHERE opening IS NOT NULL OR adjustments <> 0 OR bought <> 0 OR reserved <> 0 OR released <> 0 OR wanted <> 0
     ORDER BY ingredient";
pub(super) const OPENED: &str =
    "SELECT ingredient FROM stock WHERE opening IS NOT NULL ORDER BY ingredient";
pub(super) const OPEN: Many = Many {
    each: "UPDATE stock SET opening = ?2, on_hand = on_hand + ?2 WHERE ingredient = ?1 AND opening IS NULL",
    all: "UPDATE stock SET opening = given.quantity, on_hand = on_hand + given.quantity
         FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS given (ingredient, quantity)
         WHERE stock.ingredient = given.ingredient AND opening IS NULL",
};

/// What is on hand and what all who wait want, as read under the lock; and what changes, to be saved once.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    on_hand: Basket,
    wanted: Basket,
    booked: Booked,
}

/// Sums to be added to the columns of the same names.
#[derive(Debug, Default)]
struct Booked {
    adjustments: Basket,
    bought: Basket,
    reserved: Basket,
    released: Basket,
    wanted: Basket,
}

impl Shelves {
    pub(crate) const fn on_hand(&self) -> &Basket {
        &self.on_hand
    }

    pub(crate) const fn wanted(&self) -> &Basket {
        &self.wanted
    }

    /// Returns what those who wait need beyond what is on hand.
    pub(crate) fn missing(&self) -> Basket {
        self.wanted.minus_down_to_zero(&self.on_hand)
    }

    pub(crate) fn adjust(&mut self, difference: &Basket) {
        self.on_hand += difference;
        self.booked.adjustments += difference;
    }

    pub(crate) fn buy(&mut self, bought: &Basket) {
        self.on_hand += bought;
        self.booked.bought += bought;
    }

    pub(crate) fn reserve(&mut self, needs: &Basket) {
        self.on_hand = self.on_hand.minus(needs);
        self.booked.reserved += needs;
    }

    pub(crate) fn release(&mut self, needs: &Basket) {
        self.on_hand += needs;
        self.booked.released += needs;
    }

    pub(crate) fn join_queue(&mut self, needs: &Basket) {
        self.wanted += needs;
        self.booked.wanted += needs;
    }

    pub(crate) fn leave_queue(&mut self, needs: &Basket) {
        self.wanted = self.wanted.minus(needs);
        self.booked.wanted = self.booked.wanted.minus(needs);
    }
}

/// Reads the shelves and keeps every other replica from them until this transaction ends.
pub(crate) fn lock_shelves(tx: &mut Tx<'_>) -> Result<Shelves, StoreError> {
    let sql = tx.either(SHELVES, SHELVES_LOCKED);
    query_shelves(tx, sql)
}

/// Reads the shelves, to look at them only.
pub(crate) fn read_shelves(tx: &mut Tx<'_>) -> Result<Shelves, StoreError> {
    query_shelves(tx, SHELVES)
}

fn query_shelves(tx: &mut Tx<'_>, sql: &'static str) -> Result<Shelves, StoreError> {
    let mut shelves = Shelves::default();
    tx.query(sql, &[], |row| {
        let ingredient: Ingredient = row.by_name(0)?;
        shelves.on_hand[ingredient] = row.get(1)?;
        shelves.wanted[ingredient] = row.get(2)?;
        Ok(())
    })?;
    Ok(shelves)
}

/// Saves what changed, one row an ingredient.
pub(crate) fn save_shelves(tx: &mut Tx<'_>, shelves: Shelves) -> Result<(), StoreError> {
    let Booked { adjustments, bought, reserved, released, wanted } = shelves.booked;
    let rows = Ingredient::ALL.into_iter().filter_map(|ingredient| {
        let columns =
            [&adjustments, &bought, &reserved, &released, &wanted].map(|column| column[ingredient]);
        let [adjusted, bought, reserved, released, wanted] = columns;
        let on_hand = adjusted + bought - reserved + released;
        let changed = columns.iter().any(|quantity| *quantity != 0);
        changed.then(|| {
            params![ByName(ingredient), adjusted, bought, reserved, released, wanted, on_hand]
        })
    });
    tx.execute_all(&BOOK, rows).map(|_| ())
}

/// Returns a line for each ingredient that was ever booked or wanted.
pub(crate) fn shelf_lines(tx: &mut Tx<'_>) -> Result<Vec<Shelf>, StoreError> {
    tx.query(SHELF_LINES, &[], |row| {
        let on_hand: i64 = row.get(1)?;
        let wanted: i64 = row.get(7)?;
        Ok(Shelf {
            ingredient: row.by_name(0)?,
            on_hand,
            opening: row.get(2)?,
            adjustments: row.get(3)?,
            bought: row.get(4)?,
            reserved: row.get(5)?,
            released: row.get(6)?,
            missing: (wanted - on_hand).max(0),
            next_attempt_at: None,
        })
    })
}

/// Returns the ingredients that were opened already.
pub(crate) fn opened(tx: &mut Tx<'_>) -> Result<Vec<Ingredient>, StoreError> {
    tx.query(OPENED, &[], |row| row.by_name(0))
}

/// Books opening quantities of ingredients that have none.
pub(crate) fn open(tx: &mut Tx<'_>, opening: &[(Ingredient, i64)]) -> Result<(), StoreError> {
    tx.execute_all(
        &OPEN,
        opening.iter().map(|(ingredient, quantity)| params![ByName(*ingredient), *quantity]),
    )
    .map(|_| ())
}
