//! Runs the orders service alone.

use orders::Orders;

fn main() -> std::process::ExitCode {
    service::standalone::run(contracts::services::ORDERS, async |context| {
        Ok(Orders::open(&context).await?.router())
    })
}
