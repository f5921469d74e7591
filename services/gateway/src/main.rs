//! The gateway in a process of its own, in front of services that listen elsewhere.

use std::process::ExitCode;

use backends::Backends;
use contracts::services::GATEWAY;
use gateway::{Config, Gateway};
use service::standalone::Standalone;

fn main() -> ExitCode {
    Standalone::new(GATEWAY).within(gateway::limits()).for_guests().run(async |context| {
        let backends = Backends::from_environment(GATEWAY)?;
        Ok(Gateway::open(&context, Config::from_environment()?, backends).await?.router())
    })
}
