//! Runs the inventory alone.

use std::process::ExitCode;

use chassis::{
    alone,
    config::{self, ConfigError},
    token::ServiceToken,
};
use contracts::services;
use inventory::{Config, GrpcMarket, Inventory};

const MARKET: &str = "CHEFCITO_MARKET_ADDRESS";
const ADDRESS: &str = "the address of the market service, such as http://127.0.0.1:7474";

fn main() -> ExitCode {
    alone::run(services::INVENTORY, async |floor| {
        let address: String =
            config::read(MARKET, ADDRESS)?.ok_or_else(|| config::missing(MARKET, ADDRESS))?;
        let invalid =
            |value| ConfigError::Invalid { variable: MARKET.into(), expected: ADDRESS, value };
        let market = GrpcMarket::at(&floor, &address).map_err(|_| invalid(address))?;
        let market = market.showing(ServiceToken::from_environment()?);
        Ok(Inventory::open(&floor, Config::from_environment()?, market).await?.router())
    })
}
