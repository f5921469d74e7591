//! Runs one service in a process of its own: `main` names it and opens it, the rest is the same for all.

use std::{
    error::Error,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::Router;
use contracts::services::Program;
use tracing::{Instrument as _, info};

use crate::{
    ServiceContext,
    config::{self, ConfigError},
    http::{self, Limits},
    startup_retry::StartupRetry,
    telemetry::{self, Destination},
    token::ServiceToken,
};
use store::{Clock, Durability, Location, chain, service_span, tls::Trust};

mod admission;
mod arguments;
mod health;
mod stop;

use admission::{AdmissionLayer, Callers};
use arguments::Asked;
use stop::StopSignals;

/// What ends a service before its time.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A service that runs alone.
#[derive(Clone, Copy, Debug)]
pub struct Standalone {
    service: &'static str,
    limits: Limits,
    for_guests: bool,
    open_below: Option<&'static str>,
}

/// Runs a service alone, within the usual limits, for the other services of its environment; see [`Standalone::run`].
pub fn run(
    service: &'static str,
    open: impl AsyncFnOnce(ServiceContext) -> Result<Router, Failure>,
) -> ExitCode {
    Standalone::new(service).run(open)
}

impl Standalone {
    /// Names a service.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        Self { service, limits: Limits::default(), for_guests: false, open_below: None }
    }

    /// Serves it within these limits.
    #[must_use]
    pub const fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets in whoever comes: guests, who show no service token. The service asks for something else.
    #[must_use]
    pub const fn for_guests(mut self) -> Self {
        self.for_guests = true;
        self
    }

    /// Lets in whoever asks for something that begins like this, without the service token.
    #[must_use]
    pub const fn open_below(mut self, path: &'static str) -> Self {
        self.open_below = Some(path);
        self
    }

    /// Does what the command line asks for. If that is nothing, runs the service until SIGTERM or Ctrl-C, and drains:
    /// `open` puts it on the context and returns its routes. Until that is done, and as long as its database is away, it
    /// listens, is healthy, and is not ready.
    ///
    /// A service that neither reads nor writes events, as the table of programs says, has no use for Redis and never connects to
    /// it.
    ///
    /// Reads `CHEFCITO_LISTEN` (an address and a port; 0 takes a free one), `CHEFCITO_DATA` (a folder) or
    /// `CHEFCITO_DATABASE_URL`, `CHEFCITO_DURABILITY`, `CHEFCITO_REDIS_URL`, `CHEFCITO_TRUSTED_CERTIFICATES`,
    /// `CHEFCITO_RETENTION`, `CHEFCITO_SERVICE_TOKEN`, `CHEFCITO_STOP_DELAY` and `CHEFCITO_LOG`.
    ///
    /// Returns 0 after it was told to stop, 1 with the reason on stderr if it can't run or is not healthy, 2 if the
    /// command line has an unknown argument. Told to stop again, it no longer waits for `CHEFCITO_STOP_DELAY`; told once more, it ends
    /// at once with 130 or 143.
    pub fn run(
        self,
        open: impl AsyncFnOnce(ServiceContext) -> Result<Router, Failure>,
    ) -> ExitCode {
        let service = self.service;
        let done = match arguments::read(std::env::args_os().skip(1)) {
            Ok(Asked::Serve) => self.serve(open),
            Ok(Asked::Version) => {
                tell(format_args!("{service} {}", env!("CARGO_PKG_VERSION")));
                Ok(())
            }
            Ok(Asked::Health) => tell_health(service),
            Ok(Asked::Stop) => stop::tell_first_process().map_err(Into::into),
            Ok(Asked::Help) => {
                tell(format_args!("Usage: {service} [--version | --health | --stop]"));
                Ok(())
            }
            Err(unknown) => {
                report(format_args!(
                    "{service}: unknown argument `{unknown}`; try --version, --health or --stop"
                ));
                return ExitCode::from(2);
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report(format_args!("{service}: {}", chain(&*error)));
                ExitCode::FAILURE
            }
        }
    }

    fn serve(
        self,
        open: impl AsyncFnOnce(ServiceContext) -> Result<Router, Failure>,
    ) -> Result<(), Failure> {
        let filter =
            config::read_or("CHEFCITO_LOG", "a log filter such as `info`", "info".to_owned())?;
        let logs = telemetry::start(&filter, Destination::Stdout)?;
        let address = listen_address()?;
        let trust = config::trust()?;
        let location = location(&trust)?;
        let retention = config::retention()?;
        let uses_bus = Program::named(self.service).is_none_or(Program::uses_bus);
        let bus = if uses_bus { config::bus(&trust)? } else { events::in_process() };
        let stop_delay = stop::delay_from_environment()?;
        let token = ServiceToken::from_environment()?;
        let callers = if self.for_guests { Callers::Guests } else { Callers::Services(token) };
        http::raise_open_files_max();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let serving = async {
            let signals = StopSignals::listen()?;
            let startup_retry = match location {
                Location::Postgres { .. } => StartupRetry::endless(),
                Location::Folder { .. } => StartupRetry::default(),
            };
            let context = ServiceContext::new(location, bus, Clock::System)
                .with_retention(retention)
                .with_startup_retry(startup_retry.clone());
            logs.register(&context.metrics);
            let listener = http::listen(address)
                .map_err(|error| format!("can't listen at {address}: {error}"))?;
            info!("Listens at {}", listener.local_addr()?);
            let Self { service, open_below, .. } = self;
            let entrance = AdmissionLayer {
                service,
                callers,
                open_below,
                startup_retry,
                opened: Arc::new(OnceLock::new()),
                is_leaving: Arc::default(),
            };
            context.serve(listener, self.service, entrance.clone().router(), self.limits);
            self.work(context, signals, open, &entrance, stop_delay).await
        };
        let served = runtime.block_on(serving.instrument(service_span(self.service)));
        // A thread that waits for a database that does not answer is not waited for.
        runtime.shutdown_background();
        served
    }

    /// Opens the service and lets it work until it is told to stop.
    async fn work(
        self,
        context: ServiceContext,
        mut signals: StopSignals,
        open: impl AsyncFnOnce(ServiceContext) -> Result<Router, Failure>,
        entrance: &AdmissionLayer,
        stop_delay: Duration,
    ) -> Result<(), Failure> {
        let working = async {
            let _first = entrance.opened.set(open(context.clone()).await?);
            info!("Is open");
            std::future::pending::<Result<(), Failure>>().await
        };
        let ended = tokio::select! {
            _ = signals.arrived() => Ok(()),
            failed = working => failed,
        };
        // Whoever was never open has nobody to take leave of.
        if ended.is_ok() && entrance.opened.get().is_some() && !stop_delay.is_zero() {
            info!("Takes leave for {} ms", stop_delay.as_millis());
            entrance.is_leaving.store(true, Ordering::Relaxed);
            signals.pause(stop_delay).await;
        }
        let began = Instant::now();
        signals.insist();
        context.close().await;
        info!("Has stopped, within {} ms", began.elapsed().as_millis());
        ended
    }
}

fn listen_address() -> Result<SocketAddr, ConfigError> {
    config::read_or(
        "CHEFCITO_LISTEN",
        "an address and a port such as 127.0.0.1:7373",
        SocketAddr::from(([127, 0, 0, 1], 0)),
    )
}

/// Says whether the service that listens where this one would is well.
fn tell_health(service: &str) -> Result<(), Failure> {
    let address = health::reached_at(listen_address()?);
    if address.port() == 0 {
        return Err("CHEFCITO_LISTEN names no port to ask at".into());
    }
    health::ask(address)?;
    tell(format_args!("{service} is well at {address}"));
    Ok(())
}

/// Prints a line. Who does not listen any more misses it.
fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn report(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Reads where the data is: `CHEFCITO_DATABASE_URL` (or its `_FILE`), else `CHEFCITO_DATA`. One of them has to be set.
fn location(trust: &Trust) -> Result<Location, ConfigError> {
    if let Some(url) = config::secret("CHEFCITO_DATABASE_URL")? {
        let trust = trust.clone();
        return Ok(Location::Postgres { url, trust, schema_prefix: String::new() });
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
