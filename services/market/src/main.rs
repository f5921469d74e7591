//! The market in a process of its own.

use chassis::token::ServiceToken;
use market::{Config, Market};

fn main() -> std::process::ExitCode {
    chassis::alone::run(contracts::services::MARKET, async |floor| {
        let token = ServiceToken::from_environment()?;
        let listen = market::grpc_address_from_environment()?;
        let market = Market::open(&floor, Config::from_environment()?).await?;
        market.serve_grpc(listen, token).await?;
        Ok(market.router())
    })
}
