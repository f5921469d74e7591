//! The gateway in a process of its own, in front of services that listen elsewhere.

use std::process::ExitCode;

use gateway::{Backends, Config, Gateway};

fn main() -> ExitCode {
    chassis::alone::run_within(gateway::limits(), contracts::services::GATEWAY, async |floor| {
        let backends = Backends::from_environment()?;
        Ok(Gateway::open(&floor, Config::from_environment()?, backends).await?.router())
    })
}
