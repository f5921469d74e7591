//! A ticket: one order, and what the kitchen does about it.

use contracts::{
    OrderId,
    api::kitchen::Recipe,
    events::{CancellationRefused, DishRefused, IngredientsRequested, OrderPlaced},
};

/// How a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TicketStatus {
    /// Waits for its ingredients.
    Requested,
    /// Has its ingredients, waits for a stove.
    Reserved,
    /// Is on a stove.
    Cooking,
    /// Is ready to be served.
    Prepared,
    /// Was cancelled in time.
    Cancelled,
    /// Can't be made.
    Refused,
}

impl TicketStatus {
    const ALL: [Self; 6] = [
        Self::Requested,
        Self::Reserved,
        Self::Cooking,
        Self::Prepared,
        Self::Cancelled,
        Self::Refused,
    ];

    /// Returns the name by which it is stored and told.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Reserved => "reserved",
            Self::Cooking => "cooking",
            Self::Prepared => "prepared",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    /// Returns the status of that name.
    pub(crate) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Returns why an order at this status can't be cancelled any more; nothing if there is nothing to refuse.
    ///
    /// An order that was refused or cancelled already has had its end told: a repeated wish changes nothing.
    pub(crate) const fn too_late(self) -> Option<&'static str> {
        match self {
            Self::Cooking => Some("the dish is on the stove already"),
            Self::Prepared => Some("the dish is prepared already"),
            Self::Requested | Self::Reserved | Self::Cancelled | Self::Refused => None,
        }
    }
}

/// A ticket about to be opened.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    /// The order.
    pub(crate) order: &'a OrderPlaced,
    /// What will be cooked, or why nothing can.
    pub(crate) recipe: Result<&'a Recipe, Refusal<'a>>,
}

/// Why a dish can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal<'a> {
    #[error("`{dish}` is no longer on the menu")]
    NotOnTheMenu { dish: &'a str },
    #[error("there is nothing on the menu")]
    NoMenu,
}

impl<'a> Ticket<'a> {
    /// Opens a ticket for an order: for the dish that it names, or one picked by its number. `menu` is sorted by name.
    pub(crate) fn open(order: &'a OrderPlaced, menu: &'a [Recipe], seed: u64) -> Self {
        let recipe = match &order.dish {
            Some(dish) => menu
                .binary_search_by(|recipe| recipe.name.as_str().cmp(dish))
                .map(|at| &menu[at])
                .map_err(|_| Refusal::NotOnTheMenu { dish }),
            None => pick(menu, order.number, seed).ok_or(Refusal::NoMenu),
        };
        Self { order, recipe }
    }

    /// Returns how the ticket begins.
    pub(crate) const fn status(&self) -> TicketStatus {
        match self.recipe {
            Ok(_) => TicketStatus::Requested,
            Err(_) => TicketStatus::Refused,
        }
    }
}

/// Returns what the kitchen asks of the inventory.
pub(crate) fn ingredients_requested(order: &OrderPlaced, recipe: &Recipe) -> IngredientsRequested {
    IngredientsRequested {
        order: order.order,
        number: order.number,
        dish: recipe.name.clone(),
        recipe_version: recipe.version,
        needs: recipe.ingredients.clone(),
    }
}

/// Returns the end of an order whose dish can't be made.
pub(crate) fn dish_refused(order: OrderId, refusal: Refusal<'_>) -> DishRefused {
    DishRefused { order, reason: refusal.to_string() }
}

/// Returns the answer to a guest who cancels too late.
pub(crate) fn cancellation_refused(order: OrderId, reason: &str) -> CancellationRefused {
    CancellationRefused { order, reason: reason.to_owned() }
}

/// Picks a recipe: `splitmix64(seed, number) mod length`. The same seed, number and menu pick the same, for ever.
fn pick(menu: &[Recipe], number: i64, seed: u64) -> Option<&Recipe> {
    let length = u64::try_from(menu.len()).ok().filter(|length| *length > 0)?;
    let at = splitmix64(seed, number.cast_unsigned()) % length;
    menu.get(usize::try_from(at).ok()?)
}

/// Returns the `number`th output of the generator SplitMix64 of that seed (Steele, Lea, Flood: Fast Splittable
/// Pseudorandom Number Generators, 2014), counted from 0.
const fn splitmix64(seed: u64, number: u64) -> u64 {
    let state = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use contracts::{OrderId, Quantities, Timestamp, api::kitchen::Recipe, events::OrderPlaced};

    use super::{Ticket, TicketStatus, splitmix64};

    fn menu(names: &[&str]) -> Vec<Recipe> {
        let recipe = |name: &&str| Recipe {
            name: (*name).to_owned(),
            ingredients: Quantities::new(),
            cooking_time_ms: 0,
            version: 1,
        };
        names.iter().map(recipe).collect()
    }

    fn placed(number: i64, dish: Option<&str>) -> OrderPlaced {
        let dish = dish.map(str::to_owned);
        OrderPlaced { order: OrderId::new(), number, dish, placed_at: Timestamp::default() }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(splitmix64(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(splitmix64(1_234_567, 1), 3_203_168_211_198_807_973);
        assert_eq!(splitmix64(1_234_567, 2), 9_817_491_932_198_370_423);
    }

    #[test]
    fn orders_without_a_dish_get_every_dish_about_as_often() {
        let menu = menu(&["burger", "pizza", "salad"]);
        let mut counts = [0; 3];
        for number in 1..=3_000 {
            let order = placed(number, None);
            let recipe = Ticket::open(&order, &menu, 7).recipe.unwrap();
            counts[menu.iter().position(|other| other.name == recipe.name).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_dish_that_is_not_on_the_menu_is_refused() {
        let menu = menu(&["burger", "pizza"]);
        let order = placed(1, Some("sushi"));
        let ticket = Ticket::open(&order, &menu, 0);
        assert_eq!(ticket.status(), TicketStatus::Refused);
        assert_eq!(ticket.recipe.unwrap_err().to_string(), "`sushi` is no longer on the menu");
        let order = placed(2, None);
        assert_eq!(
            Ticket::open(&order, &[], 0).recipe.unwrap_err().to_string(),
            "there is nothing on the menu"
        );
        let order = placed(3, Some("pizza"));
        assert_eq!(Ticket::open(&order, &menu, 0).recipe.unwrap().name, "pizza");
    }
}
