use ::store::{StoreError, Tx};
use contracts::{
    api::kitchen::{MenuChanges, Recipe},
    events::MenuChanged,
};
use events::Announce as _;
use tracing::info;

use crate::{
    domain::menu::{Revision, too_long},
    queries, store,
};

/// Recipes for the menu, each of which is good by itself.
#[derive(Debug)]
pub(crate) struct ChangeMenu {
    /// The recipes.
    pub(crate) recipes: Vec<Recipe>,
    /// Whether recipes that are not among them leave the menu.
    pub(crate) replace_all: bool,
}

/// Puts recipes on the menu and announces it if it is another then. Returns what changed, or why they can't be put on it.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn change_menu(
    tx: &mut Tx<'_>,
    command: &ChangeMenu,
) -> Result<Result<MenuChanges, String>, StoreError> {
    store::lock_menu(tx)?;
    let revision = Revision::new(queries::menu(tx)?, &command.recipes, command.replace_all);
    if let Some(problem) = too_long(&revision.menu) {
        return Ok(Err(problem));
    }
    if revision.changes_anything() {
        store::save_menu(tx, &revision)?;
        let Revision { changes, menu } = &revision;
        let dishes = menu.recipes.iter().map(|recipe| recipe.name.clone()).collect();
        tx.announce(&MenuChanged { version: menu.version, dishes });
        info!(
            "The menu becomes version {}: {} recipes added, {} changed, {} removed",
            menu.version,
            changes.added.len(),
            changes.changed.len(),
            changes.removed.len()
        );
    }
    Ok(Ok(revision.changes))
}
