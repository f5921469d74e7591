//! The simulated market in a process of its own.

use contracts::services::MARKET_SIM;
use market_sim::{Config, MarketSim, STALL};
use service::{config, standalone::Standalone, token::ServiceToken};

fn main() -> std::process::ExitCode {
    // Markets sell to anybody, so the stall is open without the token; with it, a buyer is the environment.
    Standalone::new(MARKET_SIM).open_below(STALL).run(async |context| {
        let mut config = Config::from_environment()?;
        if config.preset.seed.is_none() {
            config.preset.seed = config::read("CHEFCITO_SEED", "a whole number from 0 on")?;
        }
        config.token = Some(ServiceToken::from_environment()?);
        Ok(MarketSim::open(&context, config).await?.router())
    })
}
