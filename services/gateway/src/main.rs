//! The gateway in a process of its own, in front of services that listen elsewhere.

use std::process::ExitCode;

use contracts::services::GATEWAY;
use gateway::{Backends, Config, Gateway};
use service::standalone::Standalone;

fn main() -> ExitCode {
    Standalone::new(GATEWAY).within(gateway::limits()).for_guests().run(async |context| {
        let backends = Backends::from_environment()?;
        Ok(Gateway::open(&context, Config::from_environment()?, backends).await?.router())
    })
}
