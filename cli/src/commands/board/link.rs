//! Links by which a browser signs in.

use contracts::api::gateway::{MakeSignInLink, Role, SignInLink};

use crate::{
    commands::connect,
    error::{CliError, Result},
    output::Output,
    signals::Signals,
    state::Environment,
};

/// Prints a link, and opens it if that is wanted.
pub(super) async fn print(
    role: Option<Role>,
    open: bool,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let link = make(role, environment).await?;
    output.data(&link)?;
    if !open {
        return Ok(());
    }
    open::that_detached(&link).map_err(|error| CliError::Failed {
        what: "can't open a browser".into(),
        hint: "open the printed link yourself; it signs in once".into(),
        source: Some(error.into()),
    })
}

/// Prints a link under what `up` says, for a user at a terminal: what goes elsewhere is kept, and shown to others. Without a link the
/// environment is up all the same.
///
/// # Errors
/// The signal that came meanwhile.
pub(crate) async fn print_after_up(
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    if !output.status_is_seen() {
        return Ok(());
    }
    let made = signals.or(async { Ok(make(None, environment).await) }).await?;
    if let Ok(link) = made {
        output.status(format_args!("Board: {link}"));
    }
    Ok(())
}

async fn make(role: Option<Role>, environment: &Environment) -> Result<String> {
    let client = connect(environment).await?;
    let made: SignInLink = client.post("/v1/sign-in-links", &MakeSignInLink { role }).await?;
    Ok(format!("http://{}{}", client.address(), made.path))
}
