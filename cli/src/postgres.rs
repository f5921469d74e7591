//! Removes the data of an environment from PostgreSQL.

use contracts::services;
use store::Server;

use crate::{
    config::DatabaseUrl,
    error::{CliError, Result},
    state::EnvironmentName,
};

/// Drops the schemas of an environment's services. Missing ones are not an error.
///
/// # Errors
/// [`CliError::Failed`] if the server can't be reached, or refuses.
pub(crate) async fn forget(url: &DatabaseUrl, name: &EnvironmentName) -> Result<()> {
    let failed = |source: anyhow::Error| CliError::Failed {
        what: format!("cannot remove the data in PostgreSQL at {url}"),
        hint: "start the server, then try again; nothing else was removed".into(),
        source: Some(source.into()),
    };
    let client = connect(url).await.map_err(failed)?;
    let prefix = name.schema_prefix();
    // Names of environments and services contain no quotes.
    let drops: Vec<String> = services::ALL
        .iter()
        .map(|service| format!("DROP SCHEMA IF EXISTS \"{prefix}{service}\" CASCADE"))
        .collect();
    client.batch_execute(&drops.join("; ")).await.map_err(|error| failed(error.into()))
}

async fn connect(url: &DatabaseUrl) -> anyhow::Result<tokio_postgres::Client> {
    let trust = service::config::trust()?;
    Ok(Server::read(url.reveal(), "chefcito", &trust)?.connect().await?)
}
