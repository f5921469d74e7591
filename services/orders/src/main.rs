//! Runs the orders service alone.

use orders::Orders;

fn main() -> std::process::ExitCode {
    chassis::alone::run(contracts::services::ORDERS, async |floor| {
        Ok(Orders::open(&floor).await?.router())
    })
}
