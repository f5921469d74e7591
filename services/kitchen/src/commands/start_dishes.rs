use ::store::{StoreError, Tx};
use contracts::events::OrderPlaced;
use events::Announce as _;

use crate::{
    domain::ticket::{Ticket, dish_refused, ingredients_requested},
    store,
};

/// Opens a ticket for each order and asks for all that it needs; refuses what is not on the menu. Orders that have a
/// ticket already are passed over: repeats, and those that were cancelled before they came.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then, and the events come again.
pub(crate) fn start_dishes(
    tx: &mut Tx<'_>,
    placed: &[OrderPlaced],
    seed: u64,
) -> Result<(), StoreError> {
    let menu = store::recipes(tx)?;
    let tickets: Vec<Ticket<'_>> =
        placed.iter().map(|order| Ticket::open(order, &menu, seed)).collect();
    let opened = store::open_tickets(tx, &tickets)?;
    for (ticket, _) in tickets.iter().zip(opened).filter(|(_, opened)| *opened) {
        match ticket.recipe {
            Ok(recipe) => tx.announce(&ingredients_requested(ticket.order, recipe)),
            Err(refusal) => tx.announce(&dish_refused(ticket.order.order, refusal)),
        }
    }
    Ok(())
}
