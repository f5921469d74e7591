//! Forgets what an environment kept in PostgreSQL.

use contracts::services;
use tokio_postgres::NoTls;

use crate::{
    config::DatabaseUrl,
    error::{CliError, Result},
    state::EnvironmentName,
};

/// Drops the schemas of an environment's services. Those that are not there are fine.
///
/// # Errors
/// [`CliError::Failed`] if the server can't be reached, or refuses.
pub(crate) async fn forget(url: &DatabaseUrl, name: &EnvironmentName) -> Result<()> {
    let failed = |source: tokio_postgres::Error| CliError::Failed {
        what: format!("cannot forget the data in PostgreSQL at {url}"),
        hint: "start the server, then try again; nothing else was forgotten".into(),
        source: Some(source.into()),
    };
    let (client, connection) =
        tokio_postgres::connect(url.reveal(), NoTls).await.map_err(failed)?;
    // It ends with the client.
    let connection = tokio::spawn(connection);
    let prefix = name.schema_prefix();
    // Names of environments and services have no characters that would have to be quoted.
    let drops: Vec<String> = services::ALL
        .iter()
        .map(|service| format!("DROP SCHEMA IF EXISTS {prefix}{service} CASCADE"))
        .collect();
    client.batch_execute(&drops.join("; ")).await.map_err(failed)?;
    drop(client);
    connection.await.map_err(anyhow::Error::from)?.map_err(failed)
}
