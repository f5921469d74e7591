//! Stock came: who waits gets theirs, in arrival order.

use std::collections::HashSet;

use ::store::{StoreError, Tx};
use contracts::{OrderId, events::IngredientsReserved};
use events::Announce as _;

use crate::{
    domain::{Decision, Walk},
    store::{self, Reservation, Shelves, Status},
};

/// How many of those who wait are read at once: few enough that a walk that ends early has read little in vain.
const PAGE: i64 = 200;
/// How many orders are served in one transaction, so that a great delivery does not keep everyone else from the writer.
/// Those behind are served in the next.
const SERVED_MAX: usize = 4_000;

/// How far a walk came.
#[derive(Debug)]
pub(crate) struct Served {
    /// Whether more may be served in a next transaction.
    pub(crate) more: bool,
    /// What was still free where the walk ended.
    pub(crate) walk: Walk,
    /// Of the newcomers, those that the walk passed over, and what was missing for each.
    pub(crate) passed_over: Vec<(OrderId, crate::domain::Basket)>,
    /// Of the newcomers, those that were served.
    pub(crate) served_newcomers: HashSet<OrderId>,
}

/// Serves waiting orders from the stock on hand, until no order can reserve anything. `newcomers` are those of them that came in
/// this batch, and so have not waited yet.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn serve_waiting(
    tx: &mut Tx<'_>,
    shelves: &mut Shelves,
    newcomers: &HashSet<OrderId>,
) -> Result<Served, StoreError> {
    let mut walk = Walk::new(*shelves.on_hand());
    let mut served: Vec<Reservation> = Vec::new();
    let mut passed_over = Vec::new();
    let mut last: Option<Reservation> = None;
    let anyone = !shelves.wanted().is_empty();
    let mut more = anyone;
    while more && served.len() < SERVED_MAX && !walk.is_over() {
        let page = store::waiting_after(tx, last.as_ref(), PAGE)?;
        for order in &page {
            match walk.decide(&order.needs) {
                Decision::Reserve => served.push(*order),
                Decision::Wait { missing } if newcomers.contains(&order.order) => {
                    passed_over.push((order.order, missing));
                }
                Decision::Wait { .. } => {}
            }
        }
        more = i64::try_from(page.len()).unwrap_or(i64::MAX) == PAGE;
        last = page.last().copied();
    }
    let more = more && !walk.is_over();
    store::set_statuses(tx, served.iter().map(|order| (order.order, Status::Reserved)))?;
    let mut served_newcomers = HashSet::new();
    for Reservation { order, needs, .. } in served {
        shelves.leave_queue(&needs);
        shelves.reserve(&needs);
        let is_newcomer = newcomers.contains(&order);
        if is_newcomer {
            served_newcomers.insert(order);
        }
        tx.announce(&IngredientsReserved {
            order,
            reserved: needs.quantities(),
            waited: !is_newcomer,
        });
    }
    Ok(Served { more, walk, passed_over, served_newcomers })
}
