//! Runs the inventory alone.

use std::process::ExitCode;

use contracts::services;
use inventory::{Config, GrpcMarket, Inventory};
use service::{
    config::{self, ConfigError},
    standalone,
    token::ServiceToken,
};

const MARKET: &str = "CHEFCITO_MARKET_ADDRESS";
const ADDRESS: &str = "the address of the market service, such as http://127.0.0.1:7474";

fn main() -> ExitCode {
    standalone::run(services::INVENTORY, async |context| {
        let address: String =
            config::read(MARKET, ADDRESS)?.ok_or_else(|| config::missing(MARKET, ADDRESS))?;
        let invalid =
            |value| ConfigError::Invalid { variable: MARKET.into(), expected: ADDRESS, value };
        let market = GrpcMarket::at(&context, &address).map_err(|_| invalid(address))?;
        let market = market.showing(Some(ServiceToken::from_environment()?));
        Ok(Inventory::open(&context, Config::from_environment()?, market).await?.router())
    })
}
