//! `/v1/recipes`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Quantities;

/// The most recipes on a menu.
pub const RECIPES_MAX: usize = 1_000;
/// The longest cooking time: an hour.
pub const COOKING_TIME_MS_MAX: i64 = 3_600_000;

/// One recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The dish's name: lower-case letters, digits, spaces, hyphens and apostrophes; 64 bytes at the most.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// What one dish takes.
    #[schema(value_type = std::collections::BTreeMap<crate::Ingredient, crate::Quantity>)]
    pub ingredients: Quantities,
    /// How long it is on the stove, in milliseconds; an hour at the most.
    #[schema(minimum = 0, maximum = 3_600_000)]
    pub cooking_time_ms: i64,
    /// From 1; a change makes it greater. Ignored when recipes are sent.
    #[serde(default)]
    pub version: i64,
}

/// The menu: answered by `GET /v1/recipes`, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Menu {
    /// The recipes.
    #[schema(max_items = 1_000)]
    pub recipes: Vec<Recipe>,
    /// The menu's version; 0 if nothing was ever on it. Ignored when recipes are sent.
    #[serde(default)]
    pub version: i64,
}

/// `PUT /v1/recipes` takes a [`Menu`] and replaces recipes by name; with `?dry_run=true` it only says what would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SeedOptions {
    /// Change nothing, only say what would change.
    pub dry_run: Option<bool>,
    /// Also remove the recipes that the sent menu does not name.
    pub replace_all: Option<bool>,
}

/// What a new menu changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MenuChanges {
    /// Recipes that were not there, by name.
    pub added: Vec<String>,
    /// Recipes that were there and differ, by name.
    pub changed: Vec<String>,
    /// Recipes that are there no more, by name.
    pub removed: Vec<String>,
    /// Recipes that were there just so, by name.
    pub unchanged: Vec<String>,
}
