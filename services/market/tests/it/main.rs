//! What the inventory sees of the market, whatever the farmers do.

#![expect(clippy::unwrap_used, reason = "tests may")]

mod crashes;
mod duplicates;
mod grpc;
mod hostile;
mod market_sim_trouble;
mod pairs;
mod parts;
mod sales;
mod statements;
