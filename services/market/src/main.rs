//! The market in a process of its own.

use market::{Config, Market};

fn main() -> std::process::ExitCode {
    chassis::alone::run(contracts::services::MARKET, async |floor| {
        let listen = market::grpc_address_from_environment()?;
        let market = Market::open(&floor, Config::from_environment()?).await?;
        market.serve_grpc(listen).await?;
        Ok(market.router())
    })
}
