//! All SQL of the kitchen, one file for what is locked together.

use ::store::StoreError;
use contracts::Quantities;

mod menu;
mod rail;
mod tickets;

pub(crate) use self::{
    menu::{lock_menu, menu_version, recipes, save_menu},
    rail::{COOKING, install, lock_rail, save_round, stoves},
    tickets::{
        cancel_tickets, count_open, has_work, open_cancelled, open_tickets, reserve_tickets,
        reserved, statuses, ticket_facts, waiting,
    },
};

fn to_text(quantities: &Quantities) -> Result<String, StoreError> {
    serde_json::to_string(quantities).map_err(|error| StoreError::rejected(error.to_string()))
}

fn from_text(text: &str) -> Result<Quantities, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::rejected(format!("`{text}` are no quantities: {error}")))
}

#[cfg(test)]
mod tests {
    use ::store::{Clock, Database, Durability, Location, Many};

    use contracts::services::KITCHEN;
    use service::ServiceContext;
    use test_support::pairs::{Pairs, agree};

    use super::{
        menu::{LOCK_MENU, MENU_VERSION, RECIPES, REMOVE_RECIPE, SAVE_RECIPE, SET_MENU_VERSION},
        rail::{ADD_STOVE, CHANGE_STOVE, LOCK_RAIL, REMOVE_RETIRED, RETIRE_STOVE, STOVES},
        tickets::{
            ADVANCE_TICKET, CANCEL_TICKET, COUNT_OPEN, COUNT_RESERVED, FIRST_RESERVED, HAS_WORK,
            OPEN_TICKET, RESERVE_TICKET, STATUS, TICKET_FACTS, WAITING,
        },
    };

    const STATEMENTS: [&str; 13] = [
        COUNT_OPEN,
        COUNT_RESERVED,
        FIRST_RESERVED,
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
    /// Every statement for many rows.
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

    async fn prepare_all(location: Location) {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        let service = context.open(KITCHEN, crate::MIGRATIONS).await.unwrap();
        let prepare = |tx: &mut ::store::Tx<'_>| {
            STATEMENTS.iter().try_for_each(|sql| tx.prepare(sql))?;
            tx.prepare_all(&MANY)
        };
        service.database().write(prepare).await.unwrap();
        context.close().await;
    }

    async fn open(location: Location) -> Database {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        context.open(KITCHEN, crate::MIGRATIONS).await.unwrap().database().clone()
    }

    #[test]
    fn statements_for_many_rows_do_on_both_engines_what_they_do_row_by_row() {
        let tickets_and_recipes = Pairs {
            statements: &[
                OPEN_TICKET,
                RESERVE_TICKET,
                CANCEL_TICKET,
                ADVANCE_TICKET,
                STATUS,
                SAVE_RECIPE,
                REMOVE_RECIPE,
            ],
            before: &[
                "DELETE FROM tickets",
                "DELETE FROM recipes",
                "INSERT INTO tickets (order_id, number, status, dish, recipe_version, needs, cooking_time_ms) VALUES
                     ('a', 1, 'requested', '', 1, '', 0), ('b', 2, 'reserved', '', 1, '', 0),
                     ('c', 3, 'cooking', '', 1, '', 0)",
            ],
            effects: &["SELECT * FROM tickets", "SELECT * FROM recipes"],
        };
        agree(tickets_and_recipes, open);
        let stoves = Pairs {
            statements: &[CHANGE_STOVE, ADD_STOVE, RETIRE_STOVE],
            before: &[
                "DELETE FROM stoves",
                // No ticket is on two stoves. If one were to be, the order of the rows would decide which of them is refused.
                "DROP INDEX IF EXISTS stoves_ticket",
            ],
            effects: &["SELECT * FROM stoves"],
        };
        agree(stoves, open);
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
        let Some(database) = test_support::postgres() else { return };
        prepare_all(database.location()).await;
    }
}
