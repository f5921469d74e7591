//! The first admin key: `bootstrap` makes it in a volume of the environment, from which it is read; or the file
//! contains it.

use manifests::compose_file::ComposeFile;

use super::{GATEWAY, observed::Observed, session::Session};
use crate::{
    error::{CliError, Result},
    state::write_private,
};

/// The gateway's variable for the key; with the suffix `_FILE`, it names the file of the key.
const KEY: &str = "CHEFCITO_ADMIN_KEY";
const IN_A_FILE: &str = "_FILE";

/// Returns whether the gateway of a file has an admin key.
pub(super) fn is_in(compose_file: &ComposeFile) -> bool {
    let Some(gateway) = compose_file.services.get(GATEWAY) else { return false };
    [KEY.to_owned(), format!("{KEY}{IN_A_FILE}")]
        .iter()
        .any(|variable| gateway.environment.contains_key(variable))
}

/// Reads the key and saves it in the state folder, readable for its owner only. Without a gateway, or with one that has
/// no admin key, there is none.
///
/// # Errors
/// [`CliError::Failed`] if it is not where the file says.
pub(super) async fn fetch(
    session: &Session<'_>,
    compose_file: &ComposeFile,
    gateway_id: &str,
) -> Result<()> {
    let Some(gateway) = compose_file.services.get(GATEWAY) else { return Ok(()) };
    if let Some(key) = gateway.environment.get(KEY) {
        return keep(session, key);
    }
    let Some(path) = gateway.environment.get(&format!("{KEY}{IN_A_FILE}")) else { return Ok(()) };
    let key = session.engine.file(gateway_id, path).await?;
    let key = key.and_then(|key| String::from_utf8(key).ok()).filter(|key| !key.trim().is_empty());
    let Some(key) = key else {
        return Err(CliError::Failed {
            what: format!("there is no admin key in {path} of {GATEWAY}"),
            hint: format!(
                "`chefcito logs{} bootstrap` shows why",
                session.environment.name().flag()
            ),
            source: None,
        });
    };
    keep(session, &key)
}

fn keep(session: &Session<'_>, key: &str) -> Result<()> {
    write_private(&session.environment.admin_key_file(), format!("{}\n", key.trim()).as_bytes())
}

/// Returns the id of the gateway's container, if there is one.
pub(super) fn gateway_id(observed: &Observed) -> Option<String> {
    observed.of_service(GATEWAY).next().map(|gateway| gateway.id().to_owned())
}
