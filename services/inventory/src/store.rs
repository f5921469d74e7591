//! All SQL of this service, one file a table.

use ::store::Many;

mod purchases;
mod reservations;
mod shelves;

use self::{
    purchases::{
        ANSWER_PURCHASE, COUNT_OPEN_PURCHASES, INSERT_PURCHASE, OLDEST_OPEN_PURCHASE,
        OPEN_PURCHASES, PURCHASE_FACTS, PURCHASES, PURCHASES_OF,
    },
    reservations::{
        COUNT_WAITING, FIRST_WAITING, INSERT_RESERVATION, LAST_WAITING, RESERVATION,
        RESERVATION_FACTS, SET_STATUS, WAITING,
    },
    shelves::{BOOK, OPEN, OPENED, SHELF_LINES, SHELVES, SHELVES_LOCKED},
};
pub(crate) use self::{
    purchases::{
        OpenPurchase, answer_purchases, count_open_purchases, insert_purchases,
        oldest_open_purchase, open_purchases, purchase_facts, purchases,
    },
    reservations::{
        Reservation, Status, count_waiting, first_waiting, insert_reservations, last_waiting,
        reservation_facts, reservations, set_statuses, waiting_after,
    },
    shelves::{Shelves, lock_shelves, open, opened, read_shelves, save_shelves, shelf_lines},
};

/// Every statement that both engines run, for the test that prepares them.
pub const STATEMENTS: [&str; 14] = [
    SHELVES,
    SHELF_LINES,
    OPENED,
    WAITING,
    LAST_WAITING,
    FIRST_WAITING,
    COUNT_WAITING,
    RESERVATION_FACTS,
    OPEN_PURCHASES,
    COUNT_OPEN_PURCHASES,
    OLDEST_OPEN_PURCHASE,
    PURCHASES,
    PURCHASES_OF,
    PURCHASE_FACTS,
];
/// Every statement that only PostgreSQL runs.
pub const POSTGRESQL_STATEMENTS: [&str; 1] = [SHELVES_LOCKED];
/// Every statement for many rows.
pub const MANY: [Many; 7] =
    [BOOK, OPEN, INSERT_RESERVATION, SET_STATUS, RESERVATION, INSERT_PURCHASE, ANSWER_PURCHASE];
