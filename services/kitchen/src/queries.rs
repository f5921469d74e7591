//! What is asked, without changing anything.

use ::store::{StoreError, Tx};
use contracts::{
    OrderId,
    api::{
        audit::{FactsQuery, TicketFact},
        kitchen::{Menu, MenuChanges},
        service::Waiting,
    },
};
use events::facts::page;

use crate::{
    commands::ChangeMenu,
    domain::menu::{Revision, too_long},
    store,
};

/// Returns the menu.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn menu(tx: &mut Tx<'_>) -> Result<Menu, StoreError> {
    Ok(Menu { recipes: store::recipes(tx)?, version: store::menu_version(tx)? })
}

/// Returns what recipes would change on the menu, or why they can't be put on it.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn menu_changes(
    tx: &mut Tx<'_>,
    command: &ChangeMenu,
) -> Result<Result<MenuChanges, String>, StoreError> {
    let revision = Revision::new(menu(tx)?, &command.recipes, command.replace_all);
    Ok(too_long(&revision.menu).map_or(Ok(revision.changes), Err))
}

/// Returns how many tickets are neither prepared nor cancelled nor refused.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn count_open(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    store::count_open(tx)
}

/// Returns the dishes that wait for a stove, since the first of them was ordered.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn waiting(tx: &mut Tx<'_>) -> Result<Vec<Waiting>, StoreError> {
    let (count, first) = store::reserved(tx)?;
    let since = first.and_then(OrderId::made_at);
    Ok(Waiting::some("dishes", count, since, "a stove").into_iter().collect())
}

/// Returns a page of tickets, by order.
///
/// # Errors
/// [`StoreError`] if the database failed.
pub(crate) fn ticket_facts(
    tx: &mut Tx<'_>,
    query: &FactsQuery,
) -> Result<Vec<TicketFact>, StoreError> {
    let (after, limit) = page(query);
    store::ticket_facts(tx, &after, limit)
}
