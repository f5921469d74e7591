//! The secrets of an environment on a cluster: made once, kept in the state folder, and read from the cluster if they
//! are lost.

use std::fs;

use cluster::objects::Object;
use serde_json::Value;

use super::{labels, session::Session};
use crate::{
    error::{CliError, Result},
    state::write_private,
};

/// The name of the first admin key among the secrets.
const ADMIN_KEY: &str = "admin-key";
/// The prefix of the Secret's name; the suffix is a hash of its content.
const NAME: &str = "secrets-";

/// Returns the secrets, one `name=value` a line, and saves them and the admin key, readable for their owner only.
///
/// # Errors
/// [`CliError::Io`] if they can't be saved.
pub(super) fn of(session: &Session<'_>, observed: &[Object]) -> Result<String> {
    let path = session.environment.cluster_secrets_file();
    let kept = fs::read_to_string(&path).ok().filter(|text| admin_key(text).is_some());
    let text = whole(kept.clone(), observed)?;
    if kept.as_ref() != Some(&text) {
        write_private(&path, text.as_bytes())?;
    }
    let key = admin_key(&text).unwrap_or_default();
    if session.environment.admin_key().ok().as_deref() != Some(key) {
        write_private(&session.environment.admin_key_file(), format!("{key}\n").as_bytes())?;
    }
    Ok(text)
}

/// Returns secrets without saving them, for a dry run.
///
/// # Errors
/// [`CliError::Failed`] if the system has no randomness.
pub(super) fn to_look(session: &Session<'_>, observed: &[Object]) -> Result<String> {
    whole(fs::read_to_string(session.environment.cluster_secrets_file()).ok(), observed)
}

/// Returns the saved secrets, else those in the cluster, else new ones; adds those that an earlier version did not
/// have.
fn whole(kept: Option<String>, observed: &[Object]) -> Result<String> {
    let made = match kept.or_else(|| observed.iter().find_map(in_cluster)) {
        Some(text) => bootstrap::completed_env(&text),
        None => bootstrap::new_env(),
    };
    made.map_err(|error| CliError::Failed {
        what: "cannot make secrets".into(),
        hint: String::new(),
        source: Some(error),
    })
}

fn admin_key(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(ADMIN_KEY)?.strip_prefix('='))
}

/// Returns the content of our Secret.
fn in_cluster(object: &Object) -> Option<String> {
    let is_it = object.kind() == "Secret"
        && object.name().starts_with(NAME)
        && object.label(labels::ENVIRONMENT).is_some();
    let data = object.data().get("data").filter(|_| is_it)?.as_object()?;
    let lines = data.iter().map(|(name, value)| {
        let value = decoded(value)?;
        Some(format!("{name}={value}\n"))
    });
    lines.collect()
}

fn decoded(value: &Value) -> Option<String> {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).ok()?;
    String::from_utf8(bytes.0).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_secret_of_ours_holds_is_found_again() {
        let secret = |name: &str| {
            Object::from_value(json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": name, "labels": {"chefcito.dev/environment": "a"}},
                "data": {"admin-key": "Y2ZrXzE=", "service-token": "dG9rZW4="},
            }))
            .unwrap()
        };
        let text = in_cluster(&secret("secrets-abc")).unwrap();
        assert_eq!(text, "admin-key=cfk_1\nservice-token=token\n");
        assert_eq!(admin_key(&text), Some("cfk_1"));
        assert_eq!(in_cluster(&secret("others")), None);
    }

    #[test]
    fn secrets_that_an_earlier_version_kept_get_what_they_lack() {
        let whole = whole(Some("admin-key=cfk_1\n".into()), &[]).unwrap();
        assert_eq!(admin_key(&whole), Some("cfk_1"));
        for name in ["redis-url=", "redis-users="] {
            assert!(whole.lines().any(|line| line.starts_with(name)), "{whole}");
        }
    }
}
