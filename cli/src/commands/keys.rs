use clap::{Args, Subcommand};
use contracts::{
    Timestamp,
    api::gateway::{AddKey, AddedKey, Key, Keys, Role},
};
use serde::Serialize;

use super::connect;
use crate::{
    error::{CliError, Result},
    output::{Output, Table},
    state::Environment,
};

/// Add, list and revoke the API keys of the gateway
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Add a key and print it; it can't be shown again
    Add {
        /// Name of its user
        #[arg(value_name = "NAME")]
        whom: String,
        /// Role: viewer (read), manager (also order and seed) or admin (everything)
        #[arg(long)]
        role: Role,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys and the sessions of browsers, without their secrets
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key or a session: the gateway refuses it from now on
    Revoke {
        /// Its id, as `keys list` shows it
        id: String,
    },
}

#[derive(Debug, Serialize)]
struct AddedDocument {
    schema_version: u32,
    #[serde(flatten)]
    added: AddedKey,
}

#[derive(Debug, Serialize)]
struct ListDocument {
    schema_version: u32,
    #[serde(flatten)]
    keys: Keys,
}

pub(crate) async fn run(args: KeysArgs, environment: &Environment, output: &Output) -> Result<()> {
    let client = connect(environment).await?;
    match args.command {
        KeysCommand::Add { whom, role, json } => {
            let added: AddedKey = client.post("/v1/keys", &AddKey { name: whom, role }).await?;
            if json {
                return output.json(&AddedDocument { schema_version: 1, added });
            }
            let Key { id, name, role, .. } = &added.key;
            output.status(format_args!(
                "Added key {id} for {name} ({role}); keep it, it is not shown again:"
            ));
            output.data(&added.secret)
        }
        KeysCommand::List { json } => {
            let keys: Keys = client.get("/v1/keys").await?;
            if json {
                return output.json(&ListDocument { schema_version: 1, keys });
            }
            output.data(table(&keys.keys))
        }
        KeysCommand::Revoke { id } => {
            if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                || id.is_empty()
            {
                return Err(CliError::Failed {
                    what: "this is not the id of a key".into(),
                    hint: "`chefcito keys list` shows the ids".into(),
                    source: None,
                });
            }
            client.delete(&format!("/v1/keys/{id}")).await?;
            output.status(format_args!("Revoked key {id}"));
            Ok(())
        }
    }
}

fn table(keys: &[Key]) -> Table<7> {
    let mut table = Table::new(["id", "name", "role", "created", "revoked", "session of", "ends"]);
    for key in keys {
        let moment =
            |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        table.row([
            key.id.clone(),
            key.name.clone(),
            key.role.to_string(),
            key.created_at.to_string(),
            moment(key.revoked_at),
            key.session_of.clone().unwrap_or_default(),
            moment(key.expires_at),
        ]);
    }
    table
}
