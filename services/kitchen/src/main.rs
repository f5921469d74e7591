//! The kitchen in a process of its own.

use kitchen::{Config, Kitchen};

fn main() -> std::process::ExitCode {
    chassis::alone::run(contracts::services::KITCHEN, async |floor| {
        Ok(Kitchen::open(&floor, Config::from_environment()?).await?.router())
    })
}
