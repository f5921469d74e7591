use std::time::Duration;

use contracts::api::kitchen::COOKING_TIME_MS_MAX;
use service::config::{ConfigError, read_duration, read_or};

/// The most stoves of a kitchen: each cooking round reads them all.
pub const STOVES_MAX: u32 = 1_000;

const STOVES: (&str, &str) = ("CHEFCITO_STOVES", "a number of stoves from 1 to 1000");
const SEED: (&str, &str) = ("CHEFCITO_SEED", "a whole number from 0 to 18446744073709551615");
const COOKING_TIME: (&str, &str) =
    ("CHEFCITO_COOKING_TIME", "a duration such as `0s` or `500ms`, an hour at the most");

/// What a kitchen is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many stoves it has: 1 to [`STOVES_MAX`].
    pub stoves: u32,
    /// What dishes are picked by for guests who name none: the same seed picks the same dish for the same order number.
    pub seed: u64,
    /// How long every dish is on the stove; if it is not said, what its recipe says.
    pub cooking_time: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self { stoves: 8, seed: 0, cooking_time: None }
    }
}

impl Config {
    /// Reads `CHEFCITO_STOVES`, `CHEFCITO_SEED` and `CHEFCITO_COOKING_TIME`.
    ///
    /// # Errors
    /// [`ConfigError`] if one of them is not what it should be.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let usual = Self::default();
        let stoves = read_or(STOVES.0, STOVES.1, usual.stoves)?;
        if !(1..=STOVES_MAX).contains(&stoves) {
            return Err(invalid(STOVES, stoves.to_string()));
        }
        let seed = read_or(SEED.0, SEED.1, usual.seed)?;
        let cooking_time = read_duration(COOKING_TIME.0, COOKING_TIME.1)?;
        if let Some(time) = cooking_time
            && time.as_millis() > u128::from(COOKING_TIME_MS_MAX.unsigned_abs())
        {
            return Err(invalid(COOKING_TIME, humantime::format_duration(time).to_string()));
        }
        Ok(Self { stoves, seed, cooking_time })
    }
}

fn invalid((variable, expected): (&str, &'static str), value: String) -> ConfigError {
    ConfigError::Invalid { variable: variable.into(), expected, value }
}
