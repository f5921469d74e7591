//! The schemas of an environment in PostgreSQL: whose they are, and how they are removed.

use std::fmt::Display;

use contracts::services;
use store::Server;
use tokio_postgres::{Client, GenericClient, error::SqlState};

use crate::{
    config::DatabaseUrl,
    error::{CliError, Result},
    state::{Environment, EnvironmentName, Mark},
};

/// What the comment on a schema begins with; the id and the owner of its environment follow.
const COMMENT: &str = "Chefcito environment ";
/// Locked while schemas are claimed, so that two environments can't claim the same. Any number that nobody else locks would do.
const CLAIM_LOCK: i64 = 0x6368_6566_6369_746f;

/// Creates the missing schemas of an environment's services, and notes on each whose it is.
///
/// # Errors
/// [`CliError::Failed`] if any of them is of another environment; [`CliError::NotStarted`] if the server can't be reached;
/// [`CliError::Other`] if it refuses.
pub(crate) async fn claim(url: &DatabaseUrl, environment: &Environment) -> Result<()> {
    let mut client = connect(url).await.map_err(|error| CliError::NotStarted {
        reason: format!("{error:#}"),
        last_lines: Vec::new(),
    })?;
    let transaction = client.transaction().await.map_err(anyhow::Error::from)?;
    let lock = transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&CLAIM_LOCK]).await;
    lock.map_err(anyhow::Error::from)?;
    let mark = mark(&transaction, url, environment).await?;
    environment.remember_identity(&mark, None)?;
    // Names of environments and services contain no quotes.
    let comment = format!("{COMMENT}{} of {}", mark.id, mark.owner).replace('\'', "''");
    let claims: Vec<String> = schemas(environment.name())
        .map(|schema| {
            format!(
                "CREATE SCHEMA IF NOT EXISTS \"{schema}\"; COMMENT ON SCHEMA \"{schema}\" IS '{comment}'"
            )
        })
        .collect();
    let claimed = async {
        transaction.batch_execute(&claims.join("; ")).await?;
        transaction.commit().await
    };
    match claimed.await {
        // A role that may use its schemas, and not make or comment any: the server's owner knows whose they are.
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(()),
        claimed => Ok(claimed.map_err(anyhow::Error::from)?),
    }
}

/// Refuses schemas of another environment, for a command that changes nothing. A server that can't be reached is no error.
///
/// # Errors
/// [`CliError::Failed`] if any of them is of another environment.
pub(crate) async fn check(url: &DatabaseUrl, environment: &Environment) -> Result<()> {
    match connect(url).await {
        Ok(client) => mark(&client, url, environment).await.map(drop),
        Err(_) => Ok(()),
    }
}

/// Drops the schemas of an environment's services. Missing ones are not an error.
///
/// # Errors
/// [`CliError::Failed`] if the server can't be reached, or refuses, or if any of them is of another environment.
pub(crate) async fn forget(url: &DatabaseUrl, environment: &Environment) -> Result<()> {
    let failed = |source: anyhow::Error| CliError::Failed {
        what: format!("cannot remove the data in PostgreSQL at {url}"),
        hint: "start the server, then try again; nothing else was removed".into(),
        source: Some(source.into()),
    };
    let client = connect(url).await.map_err(failed)?;
    let _ours = mark(&client, url, environment).await?;
    let drops: Vec<String> = schemas(environment.name())
        .map(|schema| format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"))
        .collect();
    client.batch_execute(&drops.join("; ")).await.map_err(|error| failed(error.into()))
}

/// Returns the mark of the environment that has the schemas of this name.
///
/// # Errors
/// [`CliError::Failed`] if any of them is of another environment.
async fn mark(
    client: &impl GenericClient,
    place: impl Display,
    environment: &Environment,
) -> Result<Mark> {
    const COMMENTS: &str = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace \
                            WHERE nspname = ANY($1) AND obj_description(oid, 'pg_namespace') IS NOT NULL";
    let schemas: Vec<String> = schemas(environment.name()).collect();
    let rows = client.query(COMMENTS, &[&schemas]).await.map_err(anyhow::Error::from)?;
    let marks: Vec<Mark> = rows.iter().filter_map(|row| mark_in(row.get(0))).collect();
    environment.mark(&marks, &format!("PostgreSQL at {place}"))
}

fn mark_in(comment: &str) -> Option<Mark> {
    let (id, owner) = comment.strip_prefix(COMMENT)?.split_once(" of ")?;
    Some(Mark { id: id.to_owned(), owner: owner.to_owned() })
}

fn schemas(name: &EnvironmentName) -> impl Iterator<Item = String> {
    let prefix = name.schema_prefix();
    services::ALL.into_iter().map(move |service| format!("{prefix}{service}"))
}

async fn connect(url: &DatabaseUrl) -> anyhow::Result<Client> {
    let trust = service::config::trust()?;
    Ok(Server::read(url.reveal(), "chefcito", &trust)?.connect().await?)
}
