//! The menu, and the recipes on it.

use ::store::{Many, StoreError, Tx, params};
use contracts::api::kitchen::Recipe;

use super::{from_text, to_text};
use crate::domain::menu::Revision;

pub(super) const LOCK_MENU: &str = "UPDATE menu SET version = version WHERE id = 1";
pub(super) const MENU_VERSION: &str = "SELECT version FROM menu WHERE id = 1";
pub(super) const SET_MENU_VERSION: &str = "UPDATE menu SET version = ?1 WHERE id = 1";
pub(super) const RECIPES: &str = "SELECT name, version, needs, cooking_time_ms FROM recipes";
pub(super) const SAVE_RECIPE: Many = Many {
    each: "INSERT INTO recipes (name, version, needs, cooking_time_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, needs = excluded.needs,
         cooking_time_ms = excluded.cooking_time_ms",
    all: "INSERT INTO recipes (name, version, needs, cooking_time_ms)
         SELECT * FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[])
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, needs = excluded.needs,
         cooking_time_ms = excluded.cooking_time_ms",
};
pub(super) const REMOVE_RECIPE: Many = Many {
    each: "DELETE FROM recipes WHERE name = ?1",
    all: "DELETE FROM recipes WHERE name = ANY($1::TEXT[])",
};

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
