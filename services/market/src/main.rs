//! The market in a process of its own.

use market::{Config, Market};
use service::token::ServiceToken;

fn main() -> std::process::ExitCode {
    service::standalone::run(contracts::services::MARKET, async |context| {
        let token = ServiceToken::from_environment()?;
        let listen = market::grpc_address_from_environment()?;
        let config = Config::from_environment(Some(token.clone()))?;
        let market = Market::open(&context, config).await?;
        market.serve_grpc(listen, Some(token)).await?;
        Ok(market.router())
    })
}
