//! All SQL of the kitchen.

use std::{collections::BTreeSet, time::Duration};

use chassis::{
    database::{FromValue, Many, Row, StoreError, ToValue, Tx, Value, ValueRef},
    params, timers,
};
use contracts::{
    OrderId, Quantities, Timestamp,
    api::{audit::TicketFact, kitchen::Recipe},
};

use crate::domain::{
    menu::Revision,
    stoves::Installation,
    ticket::{Ticket, TicketStatus},
    turn::{Dish, Stove, Turn, Waiting},
};

/// The kind of the timers that say when a dish is prepared; their subject is the order.
pub(crate) const COOKING: &str = "cooking";

const OPEN_TICKET: Many = Many {
    each: "INSERT INTO tickets (order_id, number, status, dish, recipe_version, needs, cooking_time_ms, traceparent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (order_id) DO NOTHING",
    all: "INSERT INTO tickets (order_id, number, status, dish, recipe_version, needs, cooking_time_ms, traceparent)
         SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::TEXT[],
             $7::BIGINT[], $8::TEXT[])
         ON CONFLICT (order_id) DO NOTHING RETURNING order_id",
};
const RESERVE_TICKET: Many = Many {
    each: "UPDATE tickets SET status = 'reserved' WHERE order_id = ?1 AND status = 'requested'",
    all: "UPDATE tickets SET status = 'reserved'
         WHERE order_id = ANY($1::TEXT[]) AND status = 'requested' RETURNING order_id",
};
const CANCEL_TICKET: Many = Many {
    each: "UPDATE tickets SET status = 'cancelled'
         WHERE order_id = ?1 AND status IN ('requested', 'reserved')",
    all: "UPDATE tickets SET status = 'cancelled'
         WHERE order_id = ANY($1::TEXT[]) AND status IN ('requested', 'reserved') RETURNING order_id",
};
const ADVANCE_TICKET: Many = Many {
    each: "UPDATE tickets SET status = ?2 WHERE order_id = ?1 AND status = ?3",
    all: "UPDATE tickets SET status = turn.after
         FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS turn (order_id, after, before)
         WHERE tickets.order_id = turn.order_id AND tickets.status = turn.before",
};
const STATUS: Many = Many {
    each: "SELECT order_id, status FROM tickets WHERE order_id = ?1",
    all: "SELECT order_id, status FROM tickets WHERE order_id = ANY($1::TEXT[])",
};
// The condition of the index `tickets_open`, word for word: SQLite uses the index only then.
const COUNT_OPEN: &str =
    "SELECT COUNT(*) FROM tickets WHERE status IN ('requested', 'reserved', 'cooking')";
const HAS_WORK: &str = "SELECT 1 FROM tickets WHERE status IN ('requested', 'reserved', 'cooking')
     AND status IN ('reserved', 'cooking') LIMIT 1";
const WAITING: &str = "SELECT order_id, dish, cooking_time_ms, traceparent FROM tickets
     WHERE status IN ('requested', 'reserved', 'cooking') AND status = 'reserved' ORDER BY number, order_id LIMIT ?1";
const TICKET_FACTS: &str = "SELECT order_id, status, dish, needs FROM tickets WHERE order_id > ?1 ORDER BY order_id LIMIT ?2";

const LOCK_RAIL: &str = "UPDATE rail SET turns = turns + 1 WHERE id = 1";
const STOVES: &str = "SELECT stoves.number, retiring, ticket, dish, traceparent
     FROM stoves LEFT JOIN tickets ON order_id = ticket ORDER BY stoves.number";
const CHANGE_STOVE: Many = Many {
    each: "UPDATE stoves SET ticket = ?2 WHERE number = ?1 AND COALESCE(ticket, '') = COALESCE(?3, '')",
    all: "UPDATE stoves SET ticket = turn.after
         FROM UNNEST($1::BIGINT[], $2::TEXT[], $3::TEXT[]) AS turn (number, after, before)
         WHERE stoves.number = turn.number AND COALESCE(stoves.ticket, '') = COALESCE(turn.before, '')",
};
const ADD_STOVE: Many = Many {
    each: "INSERT INTO stoves (number, ticket, retiring) VALUES (?1, NULL, 0)",
    all: "INSERT INTO stoves (number, ticket, retiring) SELECT number, NULL, 0 FROM UNNEST($1::BIGINT[]) AS number",
};
const RETIRE_STOVE: Many = Many {
    each: "UPDATE stoves SET retiring = ?2 WHERE number = ?1",
    all: "UPDATE stoves SET retiring = given.retiring
         FROM UNNEST($1::BIGINT[], $2::BIGINT[]) AS given (number, retiring)
         WHERE stoves.number = given.number",
};
const REMOVE_RETIRED: &str = "DELETE FROM stoves WHERE retiring = 1 AND ticket IS NULL";

const LOCK_MENU: &str = "UPDATE menu SET version = version WHERE id = 1";
const MENU_VERSION: &str = "SELECT version FROM menu WHERE id = 1";
const SET_MENU_VERSION: &str = "UPDATE menu SET version = ?1 WHERE id = 1";
const RECIPES: &str = "SELECT name, version, needs, cooking_time_ms FROM recipes";
const SAVE_RECIPE: Many = Many {
    each: "INSERT INTO recipes (name, version, needs, cooking_time_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, needs = excluded.needs,
         cooking_time_ms = excluded.cooking_time_ms",
    all: "INSERT INTO recipes (name, version, needs, cooking_time_ms)
         SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[])
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, needs = excluded.needs,
         cooking_time_ms = excluded.cooking_time_ms",
};
const REMOVE_RECIPE: Many = Many {
    each: "DELETE FROM recipes WHERE name = ?1",
    all: "DELETE FROM recipes WHERE name = ANY($1::TEXT[])",
};

/// Every statement of this file that both engines run, for the test that prepares them.
#[cfg(test)]
const STATEMENTS: [&str; 11] = [
    COUNT_OPEN,
    HAS_WORK,
    WAITING,
    TICKET_FACTS,
    LOCK_RAIL,
    STOVES,
    REMOVE_RETIRED,
    LOCK_MENU,
    MENU_VERSION,
    SET_MENU_VERSION,
    RECIPES,
];
/// Every statement of this file for many rows.
#[cfg(test)]
const MANY: [Many; 10] = [
    OPEN_TICKET,
    RESERVE_TICKET,
    CANCEL_TICKET,
    ADVANCE_TICKET,
    STATUS,
    CHANGE_STOVE,
    ADD_STOVE,
    RETIRE_STOVE,
    SAVE_RECIPE,
    REMOVE_RECIPE,
];

impl ToValue for TicketStatus {
    fn to_value(&self) -> Value {
        Value::Text(self.name().to_owned())
    }
}

impl FromValue for TicketStatus {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(name) => Self::called(name),
            _ => None,
        }
    }
}

/// Opens tickets; returns for each whether the order had none.
pub(crate) fn open_tickets(
    tx: &mut Tx<'_>,
    tickets: &[Ticket<'_>],
) -> Result<Vec<bool>, StoreError> {
    let mut rows = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        let order = ticket.order;
        let trace = tx.trace_of(&order.order.to_string()).map(str::to_owned);
        let (dish, version, needs, cooking_time_ms) = match ticket.recipe {
            Ok(recipe) => (
                recipe.name.as_str(),
                recipe.version,
                to_text(&recipe.ingredients)?,
                recipe.cooking_time_ms,
            ),
            Err(_) => ("", 0, "{}".to_owned(), 0),
        };
        let status = ticket.status();
        rows.push(params![
            order.order,
            order.number,
            status,
            dish,
            version,
            needs,
            cooking_time_ms,
            trace
        ]);
    }
    tx.change_all(&OPEN_TICKET, rows)
}

/// Opens tickets that are cancelled from the start; returns the orders that had none.
pub(crate) fn open_cancelled(
    tx: &mut Tx<'_>,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<OrderId>, StoreError> {
    let nothing = Value::Null;
    let rows = orders.iter().map(|order| {
        params![order, 0_i64, TicketStatus::Cancelled, "", 0_i64, "{}", 0_i64, nothing]
    });
    let opened = tx.change_all(&OPEN_TICKET, rows)?;
    Ok(those_that_changed(orders, opened))
}

/// Notes that tickets have their ingredients; returns the orders whose tickets did not wait for them.
pub(crate) fn reserve_tickets(
    tx: &mut Tx<'_>,
    orders: &[OrderId],
) -> Result<Vec<OrderId>, StoreError> {
    let changed = tx.change_all(&RESERVE_TICKET, orders.iter().map(|order| params![order]))?;
    Ok(orders
        .iter()
        .zip(changed)
        .filter(|(_, changed)| !changed)
        .map(|(order, _)| *order)
        .collect())
}

/// Cancels tickets that are on no stove yet; returns their orders.
pub(crate) fn cancel_tickets(
    tx: &mut Tx<'_>,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<OrderId>, StoreError> {
    let changed = tx.change_all(&CANCEL_TICKET, orders.iter().map(|order| params![order]))?;
    Ok(those_that_changed(orders, changed))
}

fn those_that_changed(orders: &BTreeSet<OrderId>, changed: Vec<bool>) -> Vec<OrderId> {
    orders.iter().zip(changed).filter(|(_, changed)| *changed).map(|(order, _)| *order).collect()
}

/// Returns how tickets stand; orders that have none are left out.
pub(crate) fn statuses<'a>(
    tx: &mut Tx<'_>,
    orders: impl IntoIterator<Item = &'a OrderId>,
) -> Result<Vec<(OrderId, TicketStatus)>, StoreError> {
    let rows = orders.into_iter().map(|order| params![order]);
    tx.query_all(&STATUS, rows, |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Returns how many tickets are requested, reserved or cooking.
pub(crate) fn count_open(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(COUNT_OPEN, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns whether a ticket is reserved or cooking.
pub(crate) fn has_work(tx: &mut Tx<'_>) -> Result<bool, StoreError> {
    Ok(tx.query_one(HAS_WORK, &[], |_| Ok(()))?.is_some())
}

/// Returns up to `limit` reserved tickets in the order of arrival, each with its own cooking time or that which is said.
/// Their events join the trace of their order.
pub(crate) fn waiting(
    tx: &mut Tx<'_>,
    limit: i64,
    cooking_time: Option<Duration>,
) -> Result<Vec<Waiting>, StoreError> {
    let found = tx.query(WAITING, &params![limit], |row| {
        let its_own = Duration::from_millis(u64::try_from(row.get::<i64>(2)?).unwrap_or(0));
        let dish = Dish { order: row.get(0)?, name: row.get(1)? };
        Ok((Waiting { dish, cooking_time: cooking_time.unwrap_or(its_own) }, row.get(3)?))
    })?;
    let mut all = Vec::with_capacity(found.len());
    for (waiting, trace) in found {
        follow(tx, waiting.dish.order, trace);
        all.push(waiting);
    }
    Ok(all)
}

fn follow(tx: &mut Tx<'_>, order: OrderId, trace: Option<String>) {
    if let Some(trace) = trace {
        tx.follow(order.to_string(), trace);
    }
}

/// Returns a page of tickets with orders above `after`.
pub(crate) fn ticket_facts(
    tx: &mut Tx<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<TicketFact>, StoreError> {
    tx.query(TICKET_FACTS, &params![after, limit], |row| {
        Ok(TicketFact {
            order: row.get(0)?,
            status: row.get(1)?,
            dish: row.get(2)?,
            needs: from_text(&row.get::<String>(3)?)?,
        })
    })
}

/// Keeps all others from changing tickets that are open, and stoves, until this transaction ends.
pub(crate) fn lock_rail(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.execute(LOCK_RAIL, &[]).map(|_| ())
}

/// Returns the stoves by number. The events of what is on them join the trace of their order.
pub(crate) fn stoves(tx: &mut Tx<'_>) -> Result<Vec<Stove>, StoreError> {
    let read = |row: &Row<'_>| {
        let dish = match row.get(2)? {
            Some(order) => Some(Dish { order, name: row.get(3)? }),
            None => None,
        };
        Ok((Stove { number: row.get(0)?, retiring: row.get(1)?, dish }, row.get(4)?))
    };
    let found = tx.query(STOVES, &[], read)?;
    let mut stoves = Vec::with_capacity(found.len());
    for (stove, trace) in found {
        if let Some(dish) = &stove.dish {
            follow(tx, dish.order, trace);
        }
        stoves.push(stove);
    }
    Ok(stoves)
}

/// Puts stoves in and takes them out.
pub(crate) fn install(tx: &mut Tx<'_>, installation: &Installation) -> Result<(), StoreError> {
    let Installation { added, retired, kept } = installation;
    tx.execute_all(&ADD_STOVE, added.iter().map(|number| params![number]))?;
    let marked = retired.iter().map(|number| params![number, true]);
    tx.execute_all(&RETIRE_STOVE, marked.chain(kept.iter().map(|number| params![number, false])))?;
    tx.execute(REMOVE_RETIRED, &[]).map(|_| ())
}

/// Saves a turn: a timer for each dish that is cooking now, none for those that are prepared, the stoves, the tickets.
///
/// # Errors
/// [`StoreError::Conflict`] if something is not as it was when the turn was decided; nothing may be saved then.
pub(crate) fn save_turn(tx: &mut Tx<'_>, turn: &Turn) -> Result<(), StoreError> {
    let due: Vec<(String, Timestamp)> =
        turn.cooking.iter().map(|(order, due_at)| (order.to_string(), *due_at)).collect();
    timers::set(tx, COOKING, due.iter().map(|(order, due_at)| (order.as_str(), *due_at)))?;
    let prepared: Vec<String> = turn.prepared.iter().map(ToString::to_string).collect();
    let completed = timers::complete(tx, COOKING, prepared.iter().map(String::as_str))?;
    if !completed.iter().all(|completed| *completed) {
        return Err(StoreError::conflict("another kitchen has finished the same dish"));
    }
    let stoves = turn.stoves.iter().map(|(number, before, after)| params![number, after, before]);
    if tx.execute_all(&CHANGE_STOVE, stoves)? != turn.stoves.len() as u64 {
        return Err(StoreError::conflict("another kitchen has taken the same stove"));
    }
    let tickets = turn.tickets.iter().map(|(order, before, after)| params![order, after, before]);
    if tx.execute_all(&ADVANCE_TICKET, tickets)? != turn.tickets.len() as u64 {
        return Err(StoreError::conflict("another kitchen has taken the same ticket"));
    }
    if turn.freed_retiring {
        tx.execute(REMOVE_RETIRED, &[])?;
    }
    Ok(())
}

/// Keeps all others from changing the menu until this transaction ends.
pub(crate) fn lock_menu(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.execute(LOCK_MENU, &[]).map(|_| ())
}

/// Returns the menu's version; 0 if nothing was ever on it.
pub(crate) fn menu_version(tx: &mut Tx<'_>) -> Result<i64, StoreError> {
    Ok(tx.query_one(MENU_VERSION, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Returns the recipes, sorted by name: by its bytes, which no engine's collation does for us.
pub(crate) fn recipes(tx: &mut Tx<'_>) -> Result<Vec<Recipe>, StoreError> {
    let mut recipes = tx.query(RECIPES, &[], |row| {
        Ok(Recipe {
            name: row.get(0)?,
            version: row.get(1)?,
            ingredients: from_text(&row.get::<String>(2)?)?,
            cooking_time_ms: row.get(3)?,
        })
    })?;
    recipes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(recipes)
}

/// Saves what a revision changes.
pub(crate) fn save_menu(tx: &mut Tx<'_>, revision: &Revision) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for recipe in revision.saved() {
        rows.push(params![
            recipe.name,
            recipe.version,
            to_text(&recipe.ingredients)?,
            recipe.cooking_time_ms
        ]);
    }
    tx.execute_all(&SAVE_RECIPE, rows)?;
    tx.execute_all(&REMOVE_RECIPE, revision.changes.removed.iter().map(|name| params![name]))?;
    tx.execute(SET_MENU_VERSION, &params![revision.menu.version]).map(|_| ())
}

fn to_text(quantities: &Quantities) -> Result<String, StoreError> {
    serde_json::to_string(quantities).map_err(|error| StoreError::piece(error.to_string()))
}

fn from_text(text: &str) -> Result<Quantities, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::piece(format!("`{text}` are no quantities: {error}")))
}

#[cfg(test)]
mod tests {
    use chassis::{
        Clock,
        bus::Bus,
        database::{Durability, Location},
        service::Floor,
        testing,
    };
    use contracts::services::KITCHEN;

    use super::{MANY, STATEMENTS};

    async fn prepare_all(location: Location) {
        let floor = Floor::new(location, Bus::in_process(), Clock::System);
        let service = floor.open(KITCHEN, crate::MIGRATIONS).await.unwrap();
        let prepare = |tx: &mut chassis::database::Tx<'_>| {
            STATEMENTS.iter().try_for_each(|sql| tx.prepare(sql))?;
            tx.prepare_all(&MANY)
        };
        service.database().write(prepare).await.unwrap();
        floor.close().await;
    }

    #[tokio::test]
    async fn sqlite_understands_every_statement() {
        let folder = tempfile::tempdir().unwrap();
        prepare_all(Location::Folder {
            folder: folder.path().into(),
            durability: Durability::Process,
        })
        .await;
    }

    #[tokio::test]
    async fn postgresql_understands_every_statement() {
        let Some(database) = testing::postgres() else { return };
        prepare_all(database.location()).await;
    }
}
