//! The kitchen in a process of its own.

use kitchen::{Config, Kitchen};

fn main() -> std::process::ExitCode {
    service::standalone::run(contracts::services::KITCHEN, async |context| {
        Ok(Kitchen::open(&context, Config::from_environment()?).await?.router())
    })
}
