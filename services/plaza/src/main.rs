//! The plaza in a process of its own.

use plaza::{Config, Plaza};

fn main() -> std::process::ExitCode {
    chassis::alone::run(contracts::services::PLAZA, async |floor| {
        Ok(Plaza::open(&floor, Config::from_environment()?).await?.router())
    })
}
