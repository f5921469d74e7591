//! What the dishes are made of.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The most of one ingredient that a recipe, a booking or a sale can be about.
///
/// Far above any restaurant's need, and far below what makes sums over a million orders overflow.
pub const QUANTITY_MAX: i64 = 1_000_000_000;

/// How OpenAPI describes a quantity that is sent.
#[derive(Clone, Copy, Debug, utoipa::ToSchema)]
#[schema(minimum = 0, maximum = 1_000_000_000)]
pub struct Quantity(#[expect(dead_code, reason = "only its schema is used")] i64);

/// How much of each ingredient. Ingredients that are not named are not needed.
pub type Quantities = BTreeMap<Ingredient, i64>;

/// The ten ingredients that the restaurant knows.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "a tomato is a tomato")]
pub enum Ingredient {
    Cheese,
    Chicken,
    Ketchup,
    Lemon,
    Lettuce,
    Meat,
    Onion,
    Potato,
    Rice,
    Tomato,
}

impl Ingredient {
    /// All of them, by name.
    pub const ALL: [Self; 10] = [
        Self::Cheese,
        Self::Chicken,
        Self::Ketchup,
        Self::Lemon,
        Self::Lettuce,
        Self::Meat,
        Self::Onion,
        Self::Potato,
        Self::Rice,
        Self::Tomato,
    ];

    /// Returns the name by which it is stored, sent and bought.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cheese => "cheese",
            Self::Chicken => "chicken",
            Self::Ketchup => "ketchup",
            Self::Lemon => "lemon",
            Self::Lettuce => "lettuce",
            Self::Meat => "meat",
            Self::Onion => "onion",
            Self::Potato => "potato",
            Self::Rice => "rice",
            Self::Tomato => "tomato",
        }
    }
}

impl fmt::Display for Ingredient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A name that is none of the ten ingredients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not an ingredient of this environment: it knows cheese, chicken, ketchup, lemon, lettuce, meat, onion, \
     potato, rice and tomato"
)]
pub struct UnknownIngredient {
    name: String,
}

impl FromStr for Ingredient {
    type Err = UnknownIngredient;

    fn from_str(name: &str) -> Result<Self, UnknownIngredient> {
        Self::ALL
            .into_iter()
            .find(|ingredient| ingredient.name() == name)
            .ok_or_else(|| UnknownIngredient { name: name.chars().take(64).collect() })
    }
}
