//! Runs one service in a process of its own.

use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode};

use axum::Router;
use tokio::net::TcpListener;
use tracing::info;

use crate::{
    bus::Bus,
    clock::Clock,
    config::{self, ConfigError},
    database::{Durability, Location, chain},
    http::{self, Limits},
    retention,
    service::{Floor, run_until_stopped},
    telemetry::{self, Destination},
};

/// What ends a service before its time.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Runs a service until SIGTERM or Ctrl-C, and drains: `open` puts it on the floor and returns its routes.
///
/// Reads `CHEFCITO_LISTEN` (an address and a port; 0 takes a free one), `CHEFCITO_DATA` (a folder) or
/// `CHEFCITO_DATABASE_URL`, `CHEFCITO_DURABILITY`, `CHEFCITO_RETENTION` and `CHEFCITO_LOG`. Returns 1, with the reason on
/// stderr, if it can't run.
pub fn run(
    service: &'static str,
    open: impl AsyncFnOnce(Floor) -> Result<Router, Failure>,
) -> ExitCode {
    run_within(Limits::default(), service, open)
}

/// Runs a service as [`run`] does, within limits of its own.
pub fn run_within(
    limits: Limits,
    service: &'static str,
    open: impl AsyncFnOnce(Floor) -> Result<Router, Failure>,
) -> ExitCode {
    match try_run(limits, service, open) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(service, &*error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "logs may not have been started")]
fn report(service: &str, error: &(dyn Error + Send + Sync)) {
    eprintln!("{service}: {}", chain(error));
}

fn try_run(
    limits: Limits,
    service: &'static str,
    open: impl AsyncFnOnce(Floor) -> Result<Router, Failure>,
) -> Result<(), Failure> {
    let filter = config::read_or("CHEFCITO_LOG", "a log filter such as `info`", "info".to_owned())?;
    let _logs = telemetry::start(&filter, Destination::Stdout)?;
    let address = config::read_or(
        "CHEFCITO_LISTEN",
        "an address and a port such as 127.0.0.1:7373",
        SocketAddr::from(([127, 0, 0, 1], 0)),
    )?;
    let location = location()?;
    let retention = retention::from_environment()?;
    http::raise_open_files_max();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let floor =
            Floor::new(location, Bus::in_process(), Clock::System).with_retention(retention);
        let router = open(floor.clone()).await?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("can't listen at {address}: {error}"))?;
        info!(service, "Listens at {}", listener.local_addr()?);
        floor.serve(listener, service, router, limits);
        run_until_stopped(floor).await;
        Ok(())
    })
}

/// Reads where the data is: `CHEFCITO_DATABASE_URL` (or its `_FILE`), else `CHEFCITO_DATA`.
///
/// # Errors
/// [`ConfigError`] if neither is set, or one is not what it should be.
pub fn location() -> Result<Location, ConfigError> {
    if let Some(url) = config::secret("CHEFCITO_DATABASE_URL")? {
        return Ok(Location::Postgres { url, schema_prefix: String::new() });
    }
    let expected = "a folder for SQLite files, unless CHEFCITO_DATABASE_URL is set";
    let folder: PathBuf = config::read("CHEFCITO_DATA", expected)?
        .ok_or_else(|| config::missing("CHEFCITO_DATA", expected))?;
    let durability =
        match config::read::<String>("CHEFCITO_DURABILITY", "process or power")?.as_deref() {
            None | Some("process") => Durability::Process,
            Some("power") => Durability::Power,
            Some(other) => {
                return Err(ConfigError::Invalid {
                    variable: "CHEFCITO_DURABILITY".into(),
                    expected: "process or power",
                    value: other.into(),
                });
            }
        };
    Ok(Location::Folder { folder, durability })
}
