//! Makes what the services of an environment find when they start, and then ends: `secrets FOLDER` makes the files that each
//! of them reads, `env` prints the same for a Secret on Kubernetes, `roles` makes its role and its schema in PostgreSQL.
//!
//! Guarantees: `secrets` and `roles` make what should be there of what is there: run again, at once, or after they were
//! killed at any moment, the outcome is the same. Everything secret derives from one seed, so that a file that was lost
//! comes back as it was. Each service can read its own secrets and its own schema, and no other.
//!
//! Does not know: tables, events and what a service does; which services there are is in `contracts::services`.

mod arguments;
mod folder;
mod roles;
mod secrets;
mod stop;

use std::{
    error::Error, ffi::OsString, io::Write as _, path::Path, process::ExitCode, time::Duration,
};

use service::config;
use store::chain;

use arguments::Asked;
use secrets::{Places, Seed};

/// Why something could not be made.
pub type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "\
Usage: bootstrap secrets FOLDER            makes the secrets that are missing; needs root, or the right to give files away
       bootstrap roles [--within DURATION] waits for PostgreSQL (120s) and makes a role and a schema for each service
       bootstrap env                       prints secrets for a new environment on Kubernetes, a NAME=value each line
       bootstrap --version";

/// Does what the arguments ask for. Returns 0 when it is done, 1 with the reason on stderr if it could not be, 2 if an
/// argument is unknown. SIGTERM and SIGINT end the process with 143 and 130.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    if let Err(error) = stop::end_on_signals() {
        say(format_args!("bootstrap: can't listen to signals: {error}"));
        return ExitCode::FAILURE;
    }
    let done = match arguments::read(arguments) {
        Ok(Asked::Secrets(folder)) => make_secrets(&folder),
        Ok(Asked::Roles { within }) => make_roles(within),
        Ok(Asked::Env) => new_env().map(|text| {
            // Who does not listen any more misses it.
            let _ = std::io::stdout().write_all(text.as_bytes());
        }),
        Ok(Asked::Version) => {
            // Who does not listen any more misses it.
            let _ = writeln!(std::io::stdout(), "bootstrap {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(Asked::Help) => {
            let _ = writeln!(std::io::stdout(), "{USAGE}");
            Ok(())
        }
        Err(why) => {
            say(format_args!("bootstrap: {why}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("bootstrap: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

/// Makes secrets for a new environment on Kubernetes, one `NAME=value` a line: what its `secrets.env` consists of. Reads
/// `CHEFCITO_POSTGRES_ADDRESS`, `CHEFCITO_POSTGRES_DATABASE` and `CHEFCITO_POSTGRES_SSLMODE`.
///
/// # Errors
/// If one of these can't be used, or the system has no randomness to give.
pub fn new_env() -> Result<String, Failure> {
    let places = Places::from_environment()?;
    let seed = Seed::new().map_err(|error| format!("can't make a seed: {error}"))?;
    let lines = secrets::variables(&seed, &places).into_iter();
    Ok(lines.map(|(name, value)| format!("{name}={value}\n")).collect())
}

/// Adds what another version made otherwise to the secrets of an environment on Kubernetes, as [`new_env`] prints them: the account
/// at Redis. The others stay as they are.
///
/// # Errors
/// If the system has no randomness to give.
pub fn completed_env(lines: &str) -> Result<String, Failure> {
    let seed = Seed::new().map_err(|error| format!("can't make a seed: {error}"))?;
    Ok(secrets::completed(lines, &seed))
}

fn make_secrets(folder: &Path) -> Result<(), Failure> {
    let made = folder::keep(folder, &Places::from_environment()?)?;
    match made {
        0 => say(format_args!("All secrets are there")),
        made => say(format_args!("Made {made} secrets in {}", folder.display())),
    }
    Ok(())
}

fn make_roles(within: Duration) -> Result<(), Failure> {
    let expected = "a URL such as postgres://postgres:password@postgres:5432/postgres";
    let variable = "CHEFCITO_ADMIN_DATABASE_URL";
    let admin = config::secret(variable)?.ok_or_else(|| config::missing(variable, expected))?;
    let expected = "the passwords of all services' roles: {\"orders\": \"…\", …}";
    let variable = "CHEFCITO_ROLE_PASSWORDS";
    let passwords = config::secret(variable)?.ok_or_else(|| config::missing(variable, expected))?;
    let trust = config::trust()?;
    let database = Places::from_environment()?.database;
    let wanted = roles::Wanted::read(&admin, &trust, &database, &passwords)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(roles::make(&wanted, within, |why| {
        say(format_args!("Waits for PostgreSQL: {why}"));
    }));
    // A look-up of a name that takes its time is not waited for.
    runtime.shutdown_background();
    made?;
    say(format_args!("The roles and schemas of {} services are there", wanted.services()));
    Ok(())
}

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
