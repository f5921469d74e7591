//! A quantity of each ingredient, in a form that is cheap to add and compare.

use std::{
    fmt::Write as _,
    ops::{AddAssign, Index, IndexMut},
};

use ::store::{FromValue, StoreError, ToValue, Value, ValueRef};
use contracts::{Ingredient, QUANTITY_MAX, Quantities};

/// How many ingredients the environment knows.
pub(crate) const INGREDIENTS: usize = Ingredient::ALL.len();

/// A quantity of each ingredient; 0 of those that are not in it. Stored as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Basket([i64; INGREDIENTS]);

impl Basket {
    /// Takes quantities that another service sent.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if one of them is below 0 or above [`QUANTITY_MAX`]: it would break the stock.
    pub(crate) fn checked(quantities: &Quantities) -> Result<Self, StoreError> {
        match out_of_bounds(quantities) {
            Some((ingredient, quantity)) => Err(StoreError::rejected(format!(
                "{quantity} is no quantity of {ingredient} that anyone needs"
            ))),
            None => Ok(Self::of(quantities)),
        }
    }

    /// Takes quantities as they are.
    pub(crate) fn of(quantities: &Quantities) -> Self {
        let mut basket = Self::default();
        for (ingredient, quantity) in quantities {
            basket[*ingredient] = *quantity;
        }
        basket
    }

    /// Returns the quantities that are not 0.
    pub(crate) fn quantities(&self) -> Quantities {
        self.iter().filter(|(_, quantity)| *quantity != 0).collect()
    }

    /// Returns each ingredient with its quantity, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ingredient, i64)> {
        Ingredient::ALL.into_iter().zip(self.0)
    }

    /// Returns whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|quantity| *quantity == 0)
    }

    /// Returns whether all of `needs` is in it.
    pub(crate) fn covers(&self, needs: &Self) -> bool {
        self.0.iter().zip(needs.0).all(|(here, needed)| *here >= needed)
    }

    /// Returns what is left of each ingredient when the others are taken away, down to 0.
    pub(crate) fn minus_down_to_zero(&self, others: &Self) -> Self {
        let mut left = *self;
        for (here, other) in left.0.iter_mut().zip(others.0) {
            *here = (*here - other).max(0);
        }
        left
    }

    /// Returns the difference of each ingredient, which may be below 0.
    pub(crate) fn minus(&self, others: &Self) -> Self {
        let mut left = *self;
        for (here, other) in left.0.iter_mut().zip(others.0) {
            *here -= other;
        }
        left
    }
}

/// Returns the first quantity that is below 0 or above [`QUANTITY_MAX`].
pub(crate) fn out_of_bounds(quantities: &Quantities) -> Option<(Ingredient, i64)> {
    quantities
        .iter()
        .find(|(_, quantity)| !(0..=QUANTITY_MAX).contains(*quantity))
        .map(|(ingredient, quantity)| (*ingredient, *quantity))
}

impl Index<Ingredient> for Basket {
    type Output = i64;

    fn index(&self, ingredient: Ingredient) -> &i64 {
        &self.0[ingredient as usize]
    }
}

impl IndexMut<Ingredient> for Basket {
    fn index_mut(&mut self, ingredient: Ingredient) -> &mut i64 {
        &mut self.0[ingredient as usize]
    }
}

impl AddAssign<&Self> for Basket {
    fn add_assign(&mut self, others: &Self) {
        for (here, other) in self.0.iter_mut().zip(others.0) {
            *here += other;
        }
    }
}

impl ToValue for Basket {
    fn to_value(&self) -> Value {
        let mut text = String::with_capacity(64);
        text.push('{');
        for (ingredient, quantity) in self.iter().filter(|(_, quantity)| *quantity != 0) {
            let comma = if text.len() > 1 { "," } else { "" };
            // Names of ingredients need no escapes, and writing to a text does not fail.
            let _ = write!(text, "{comma}\"{}\":{quantity}", ingredient.name());
        }
        text.push('}');
        Value::Text(text)
    }
}

impl FromValue for Basket {
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Text(text) => {
                serde_json::from_str::<Quantities>(text).ok().as_ref().map(Self::of)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_read() {
        let mut basket = Basket::default();
        assert_eq!(basket.to_value(), Value::Text("{}".into()));
        basket[Ingredient::Tomato] = 3;
        basket[Ingredient::Cheese] = 2;
        let Value::Text(text) = basket.to_value() else { panic!("a basket is text") };
        assert_eq!(text, r#"{"cheese":2,"tomato":3}"#);
        assert_eq!(Basket::from_value(ValueRef::Text(&text)), Some(basket));
        assert_eq!(Basket::from_value(ValueRef::Text(r#"{"sand":1}"#)), None);
    }

    #[test]
    fn a_basket_is_indexed_as_its_ingredients_are_listed() {
        for (place, ingredient) in Ingredient::ALL.into_iter().enumerate() {
            assert_eq!(ingredient as usize, place);
        }
    }
}
