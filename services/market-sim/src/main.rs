//! The simulated market in a process of its own.

use contracts::services::MARKET_SIM;
use market_sim::{Config, MarketSim, STALL};
use service::{config, standalone::Standalone};

fn main() -> std::process::ExitCode {
    // Markets sell to anybody: only what the environment asks its simulated market needs the environment's token.
    Standalone::new(MARKET_SIM).open_below(STALL).run(async |context| {
        let mut config = Config::from_environment()?;
        if config.preset.seed.is_none() {
            config.preset.seed = config::read("CHEFCITO_SEED", "a whole number from 0 on")?;
        }
        Ok(MarketSim::open(&context, config).await?.router())
    })
}
