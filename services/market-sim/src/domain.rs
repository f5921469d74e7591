//! What the simulated market may be told to be, and how it draws.

use contracts::api::market_sim::{ChangeMarketSim, MarketSimSettings};

/// The most that a sale sells: what the market's proto allows.
pub const QUANTITY_SOLD_MAX: i64 = 1_000_000;
/// The longest delay of an answer, in milliseconds: below the 30 s that a request may take in all.
pub const DELAY_MS_MAX: u64 = 20_000;

/// Returns what a simulated market is that was told nothing: friendly, and quick enough for fast loops.
#[must_use]
pub const fn default_settings() -> MarketSimSettings {
    MarketSimSettings {
        quantity_min: 1,
        quantity_max: 10,
        zeros: 0.1,
        delay_ms: 5,
        errors: 0.0,
        outage: false,
        seed: 0,
    }
}

/// What a simulated market can't be: every problem, not only the first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join(" "))]
pub struct InvalidSettings {
    problems: Vec<String>,
}

/// Returns the settings after a change.
///
/// # Errors
/// [`InvalidSettings`] with every problem that the settings would have then.
pub(crate) fn change(
    settings: &MarketSimSettings,
    change: &ChangeMarketSim,
) -> Result<MarketSimSettings, InvalidSettings> {
    let changed = MarketSimSettings {
        quantity_min: change.quantity_min.unwrap_or(settings.quantity_min),
        quantity_max: change.quantity_max.unwrap_or(settings.quantity_max),
        zeros: change.zeros.unwrap_or(settings.zeros),
        delay_ms: change.delay_ms.unwrap_or(settings.delay_ms),
        errors: change.errors.unwrap_or(settings.errors),
        outage: change.outage.unwrap_or(settings.outage),
        seed: change.seed.unwrap_or(settings.seed),
    };
    let problems = problems_of(&changed);
    if problems.is_empty() { Ok(changed) } else { Err(InvalidSettings { problems }) }
}

fn problems_of(settings: &MarketSimSettings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |holds: bool, problem: String| {
        if !holds {
            problems.push(problem);
        }
    };
    for (name, quantity) in
        [("quantity_min", settings.quantity_min), ("quantity_max", settings.quantity_max)]
    {
        check(
            (0..=QUANTITY_SOLD_MAX).contains(&quantity),
            format!("{name} should be from 0 to {QUANTITY_SOLD_MAX}, but it is {quantity}."),
        );
    }
    check(
        settings.quantity_min <= settings.quantity_max,
        format!(
            "quantity_min ({}) should not be above quantity_max ({}).",
            settings.quantity_min, settings.quantity_max
        ),
    );
    for (name, share) in [("zeros", settings.zeros), ("errors", settings.errors)] {
        check(
            (0.0..=1.0).contains(&share),
            format!("{name} should be a share from 0 to 1, but it is {share}."),
        );
    }
    check(
        settings.delay_ms <= DELAY_MS_MAX,
        format!("delay_ms should be {DELAY_MS_MAX} at the most, but it is {}.", settings.delay_ms),
    );
    problems
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is answered.
    Answered,
    /// It fails, and nothing is sold.
    FailsBefore,
    /// It fails after the sale was made.
    FailsAfter,
}

/// Draws what happens to the call with this running number.
pub(crate) fn draw_fate(settings: &MarketSimSettings, call: i64) -> Fate {
    let drawn = share_of(draw(settings.seed, FATES, call));
    if drawn < settings.errors / 2.0 {
        Fate::FailsBefore
    } else if drawn < settings.errors {
        Fate::FailsAfter
    } else {
        Fate::Answered
    }
}

/// Draws how much the sale with this running number sells.
pub(crate) fn draw_quantity(settings: &MarketSimSettings, sale: i64) -> i64 {
    if share_of(draw(settings.seed, ZEROS, sale)) < settings.zeros {
        return 0;
    }
    let choices = settings.quantity_max.abs_diff(settings.quantity_min) + 1;
    // Below `choices`, so at most a million.
    let above_min = (draw(settings.seed, QUANTITIES, sale) % choices) as i64;
    settings.quantity_min + above_min
}

// Streams of draws, so that one says nothing about another.
const FATES: u64 = 1;
const ZEROS: u64 = 2;
const QUANTITIES: u64 = 3;

/// Returns the draw of a stream with this running number.
fn draw(seed: u64, stream: u64, number: i64) -> u64 {
    splitmix64(splitmix64(seed ^ stream << 56).wrapping_add(number.cast_unsigned()))
}

/// Mixes a number as splitmix64 does (<https://prng.di.unimi.it/splitmix64.c>).
const fn splitmix64(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Returns a draw as a share from 0 to below 1.
fn share_of(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sale_sells_what_was_told_or_nothing(seed: u64, sale in 0..i64::MAX, min in 0_i64..50, more in 0_i64..50) {
            let settings = MarketSimSettings { seed, quantity_min: min, quantity_max: min + more, ..default_settings() };
            let sold = draw_quantity(&settings, sale);
            prop_assert!(sold == 0 || (min..=min + more).contains(&sold));
        }
    }

    #[test]
    fn the_shares_are_what_was_told() {
        let settings = MarketSimSettings { zeros: 0.3, errors: 0.2, ..default_settings() };
        let zeros = (0..10_000).filter(|sale| draw_quantity(&settings, *sale) == 0).count();
        assert!((2_800..3_200).contains(&zeros), "{zeros}");
        let fates: Vec<Fate> = (0..10_000).map(|call| draw_fate(&settings, call)).collect();
        for wanted in [Fate::FailsBefore, Fate::FailsAfter] {
            let count = fates.iter().filter(|fate| **fate == wanted).count();
            assert!((850..1_150).contains(&count), "{wanted:?} {count}");
        }
    }

    #[test]
    fn a_share_of_one_is_all_and_of_zero_is_none() {
        let all = MarketSimSettings { zeros: 1.0, errors: 1.0, ..default_settings() };
        let none = MarketSimSettings { zeros: 0.0, errors: 0.0, ..default_settings() };
        for number in 0..1_000 {
            assert_eq!(draw_quantity(&all, number), 0);
            assert_ne!(draw_fate(&all, number), Fate::Answered);
            assert_ne!(draw_quantity(&none, number), 0);
            assert_eq!(draw_fate(&none, number), Fate::Answered);
        }
    }
}
