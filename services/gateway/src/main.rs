//! The gateway in a process of its own, in front of services that listen elsewhere.

use std::process::ExitCode;

use chassis::alone::Alone;
use contracts::services::GATEWAY;
use gateway::{Backends, Config, Gateway};

fn main() -> ExitCode {
    Alone::new(GATEWAY).within(gateway::limits()).for_guests().run(async |floor| {
        let backends = Backends::from_environment()?;
        Ok(Gateway::open(&floor, Config::from_environment()?, backends).await?.router())
    })
}
