//! A role and a schema for each service in one database, so that none can see what is another's.

use std::{collections::BTreeMap, time::Duration};

use contracts::services::TABLE;
use postgres_protocol::password::scram_sha_256;
use store::{ConnectError, Server, chain, tls::Trust};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::error::SqlState;

/// How long to wait before it is tried again; doubled each time.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// By which bootstraps that run at once go one after the other.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('chefcito bootstrap', 7373))";

/// Roles that can't be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolesError {
    /// The URL is none.
    #[error(
        "CHEFCITO_ADMIN_DATABASE_URL should be like postgres://postgres:password@postgres:5432/postgres"
    )]
    Url(#[source] tokio_postgres::Error),
    /// The passwords are none.
    #[error("CHEFCITO_ROLE_PASSWORDS should have a password for each service, but {0}")]
    Passwords(String),
    /// PostgreSQL did not answer.
    #[error("PostgreSQL was not there within {within:?}: {why}; look at its log")]
    Late {
        /// How long it was waited for.
        within: Duration,
        /// What was seen last.
        why: String,
    },
    /// Whoever answered is not trusted.
    #[error("no roles can be made")]
    Distrusted(#[source] ConnectError),
    /// PostgreSQL knows another password.
    #[error(
        "PostgreSQL was first started with another password than this environment has; its data and the secrets belong \
         together"
    )]
    OtherPassword(#[source] tokio_postgres::Error),
    /// PostgreSQL refused.
    #[error("PostgreSQL refused to make roles and schemas")]
    Refused(#[source] tokio_postgres::Error),
}

/// What should be there.
pub(crate) struct Wanted {
    admin: Server,
    database: String,
    passwords: BTreeMap<String, String>,
}

impl Wanted {
    /// Reads what should be there: all services' roles, in this database; `trust` says whose certificates are trusted.
    pub(crate) fn read(
        admin: &str,
        trust: &Trust,
        database: &str,
        passwords: &str,
    ) -> Result<Self, RolesError> {
        let admin = Server::read(admin, "chefcito-bootstrap", trust).map_err(RolesError::Url)?;
        // Without its words: they could show a secret.
        let passwords: BTreeMap<String, String> = serde_json::from_str(passwords)
            .map_err(|_| RolesError::Passwords("it is not JSON of that form".into()))?;
        let roles: Vec<&str> = TABLE.iter().filter_map(|program| program.role).collect();
        if let Some(role) =
            roles.iter().find(|role| passwords.get(**role).is_none_or(String::is_empty))
        {
            return Err(RolesError::Passwords(format!("`{role}` has none")));
        }
        match passwords.keys().find(|role| !roles.contains(&role.as_str())) {
            Some(other) => Err(RolesError::Passwords(format!("`{other}` is no service"))),
            None => Ok(Self { admin, database: database.to_owned(), passwords }),
        }
    }

    pub(crate) fn services(&self) -> usize {
        self.passwords.len()
    }
}

/// Makes what is missing, once PostgreSQL answers; `waits` is told why not yet, each reason once.
pub(crate) async fn make(
    wanted: &Wanted,
    within: Duration,
    mut waits: impl FnMut(&str),
) -> Result<(), RolesError> {
    let deadline = Instant::now() + within;
    let mut pause = PAUSE;
    let mut why = String::from("no answer");
    loop {
        let error = match timeout_at(deadline, make_once(wanted)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(RolesError::Late { within, why }),
        };
        let seen = match error {
            Stopped::Unconnected(error @ ConnectError::Distrusted { .. }) => {
                return Err(RolesError::Distrusted(error));
            }
            Stopped::Unconnected(error) => chain(&error),
            Stopped::By(error) if may_pass(&error) => chain(&error),
            Stopped::By(error) if error.code() == Some(&SqlState::INVALID_PASSWORD) => {
                return Err(RolesError::OtherPassword(error));
            }
            Stopped::By(error) => return Err(RolesError::Refused(error)),
        };
        if seen != why {
            waits(&seen);
            why = seen;
        }
        if Instant::now() + pause >= deadline {
            return Err(RolesError::Late { within, why });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

enum Stopped {
    Unconnected(ConnectError),
    By(tokio_postgres::Error),
}

impl From<ConnectError> for Stopped {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Postgres(error) => Self::By(error),
            error => Self::Unconnected(error),
        }
    }
}

impl From<tokio_postgres::Error> for Stopped {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::By(error)
    }
}

/// Returns whether it may be over when the same is tried again: no connection, or a server that is starting, stopping or
/// full.
fn may_pass(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)),
    }
}

async fn make_once(wanted: &Wanted) -> Result<(), Stopped> {
    let Wanted { admin, database, passwords } = wanted;
    // Held by this connection until the end.
    let server = admin.connect().await?;
    server.batch_execute(LOCK).await?;
    let known = "SELECT 1 FROM pg_database WHERE datname = $1";
    if server.query_opt(known, &[database]).await?.is_none() {
        server.batch_execute(&format!("CREATE DATABASE {}", identifier(database))).await?;
    }
    // Where PostgreSQL is managed by somebody, nobody is one: then who may make roles and databases will do.
    let superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    let is_superuser: bool = server.query_one(superuser, &[]).await?.try_get(0)?;
    for (role, password) in passwords {
        let known = "SELECT 1 FROM pg_roles WHERE rolname = $1";
        if server.query_opt(known, &[role]).await?.is_none() {
            server.batch_execute(&format!("CREATE ROLE {}", identifier(role))).await?;
        }
        // Hashed here, so that the server never sees it, nor its log.
        let verifier = scram_sha_256(password.as_bytes());
        server.batch_execute(&alter_role(role, &verifier, is_superuser)).await?;
    }
    let inside = admin.with_database(database).connect().await?;
    inside.batch_execute(&lay_out(database, passwords.keys().map(String::as_str))).await?;
    Ok(())
}

/// Returns the SQL that lets a role log in with its password, and takes from it what only a superuser may take.
fn alter_role(role: &str, verifier: &str, is_superuser: bool) -> String {
    let (role, verifier) = (identifier(role), verifier.replace('\'', "''"));
    let login = format!("ALTER ROLE {role} WITH LOGIN PASSWORD '{verifier}'");
    if is_superuser {
        login + " NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    } else {
        // Who is no superuser can give a schema only to a role that it is a member of.
        login + &format!("; GRANT {role} TO CURRENT_USER")
    }
}

/// Returns the SQL, one transaction, that gives each role a schema of its own and nothing else of the database.
fn lay_out<'a>(database: &str, roles: impl Iterator<Item = &'a str>) -> String {
    let database = identifier(database);
    let mut sql = format!(
        "BEGIN;
         REVOKE ALL ON DATABASE {database} FROM PUBLIC;
         REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;
         REVOKE ALL ON SCHEMA public FROM PUBLIC;"
    );
    for role in roles {
        let role = identifier(role);
        sql += &format!(
            "GRANT CONNECT ON DATABASE {database} TO {role};
             CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role};
             ALTER SCHEMA {role} OWNER TO {role};
             REVOKE ALL ON SCHEMA {role} FROM PUBLIC;"
        );
    }
    sql + "COMMIT"
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
