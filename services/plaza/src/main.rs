//! The plaza in a process of its own.

use chassis::{alone::Alone, config};
use contracts::services::PLAZA;
use plaza::{Config, Plaza, STALL};

fn main() -> std::process::ExitCode {
    // Markets sell to anybody: only what the house asks its plaza needs the house's token.
    Alone::new(PLAZA).open_below(STALL).run(async |floor| {
        let mut config = Config::from_environment()?;
        if config.preset.seed.is_none() {
            config.preset.seed = config::read("CHEFCITO_SEED", "a whole number from 0 on")?;
        }
        Ok(Plaza::open(&floor, config).await?.router())
    })
}
