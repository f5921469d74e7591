//! Forgets what an environment kept in PostgreSQL.

use contracts::services;
use store::Server;

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
    let failed = |source: anyhow::Error| CliError::Failed {
        what: format!("cannot forget the data in PostgreSQL at {url}"),
        hint: "start the server, then try again; nothing else was forgotten".into(),
        source: Some(source.into()),
    };
    let client = connect(url).await.map_err(failed)?;
    let prefix = name.schema_prefix();
    // Names of environments and services have no quotes in them.
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
