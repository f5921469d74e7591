//! The first admin key: made by `bootstrap` in the environment's own volume, and read from there, or said by the file itself.

use super::{GATEWAY, observed::Observed, session::Session};
use crate::{
    compose_file::ComposeFile,
    error::{CliError, Result},
    state::write_private,
};

/// The gateway's variable for the key; with this end, it says in which file the key lies.
const KEY: &str = "CHEFCITO_ADMIN_KEY";
const IN_A_FILE: &str = "_FILE";

/// Reads the key and keeps it in the state folder, for its owner's eyes only. A file without a gateway, or one whose gateway
/// lets nobody in, has none.
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
                "`chefcito logs{} bootstrap` tells how making it went",
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

/// Returns the id of the gateway, if there is one.
pub(super) fn gateway_id(observed: &Observed) -> Option<String> {
    observed.of_service(GATEWAY).next().map(|gateway| gateway.id().to_owned())
}
