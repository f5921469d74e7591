//! The compose file with an environment's settings filled in: which services it has, and what should be on the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::Path,
};

use super::{
    GATEWAY,
    converge::Scope,
    labels::Origin,
    session::Session,
    wanted::{Layout, layout},
};
use crate::{
    compose_file::{ComposeFile, PROFILES, Service, Source},
    config::Settings,
    error::{CliError, Result},
    output::Output,
    runtimes::images::Images,
    state::Environment,
};

/// The compose file of an environment.
#[derive(Debug)]
pub(super) struct ComposeProject {
    source: Source,
    /// Its content.
    pub(super) compose_file: ComposeFile,
    /// The services in scope; `None` for all of them.
    services: Option<BTreeSet<String>>,
}

impl ComposeProject {
    /// Reads the file with the settings filled in.
    ///
    /// # Errors
    /// [`CliError::BadFile`] if chefcito does not understand it; [`CliError::Failed`] if it has no such service.
    pub(super) fn read(
        source: Source,
        environment: &Environment,
        settings: &Settings,
        port: u16,
        scope: &Scope,
    ) -> Result<Self> {
        let set = variables(environment, settings, port);
        let variable = |name: &str| match set.get(name) {
            Some(value) => value.clone(),
            None => env::var(name).ok(),
        };
        let compose_file = source.parse(&variable)?;
        let named: &[String] = match scope {
            Scope::All => &[],
            Scope::WithNeeds(services) | Scope::Alone(services) => services,
        };
        let mut all = named.iter().chain(settings.replicas.keys());
        if let Some(name) = all.find(|name| !compose_file.services.contains_key(*name)) {
            return Err(unknown_service(name, &compose_file));
        }
        let services = match scope {
            Scope::All => None,
            Scope::WithNeeds(services) => Some(compose_file.with_needs(services.iter().cloned())),
            Scope::Alone(services) => Some(services.iter().cloned().collect()),
        };
        check_doors(&compose_file, settings)?;
        check_stores(&compose_file, settings)?;
        Ok(Self { source, compose_file, services })
    }

    /// Returns what should be on the engine.
    pub(super) fn layout(
        &self,
        session: &Session<'_>,
        settings: &Settings,
        images: &Images,
    ) -> Layout {
        let profiles = env::var(PROFILES).unwrap_or_default();
        let profiles: Vec<String> = profiles
            .split(',')
            .map(|profile| profile.trim().to_owned())
            .filter(|profile| !profile.is_empty())
            .collect();
        let services = self.services.as_ref();
        let origin = self.origin();
        layout(
            &session.project_name,
            &self.compose_file,
            services,
            settings,
            images,
            &origin,
            &profiles,
        )
    }

    fn origin(&self) -> Origin {
        let file = self.source.file.as_deref().unwrap_or(Path::new("built into chefcito"));
        Origin {
            folder: self.source.folder().display().to_string(),
            file: file.display().to_string(),
        }
    }

    /// Warns of variables that are not set.
    pub(super) fn warn_of_unset(&self, output: &Output) {
        if !self.compose_file.unset.is_empty() {
            let names: Vec<&str> = self.compose_file.unset.iter().map(String::as_str).collect();
            output.warn(format_args!("not set, so empty: {}", names.join(", ")));
        }
    }
}

/// Returns the compose file of the current folder's checkout, or the built-in one.
///
/// # Errors
/// [`CliError::Io`] if it can't be read.
pub(super) fn source() -> Result<Source> {
    let folder = env::current_dir().unwrap_or_else(|_| "/".into());
    Source::find(&folder)
}

/// Returns the variables that the settings define. One without a value is unset, whatever the shell has: the flags have
/// read the shell's variables already.
fn variables(
    environment: &Environment,
    settings: &Settings,
    port: u16,
) -> BTreeMap<&'static str, Option<String>> {
    let cooking_time = settings
        .cooking_time
        .map(|time| humantime::format_duration(time).to_string().replace(' ', ""));
    BTreeMap::from([
        ("CHEFCITO_NAME", Some(environment.name().to_string())),
        ("CHEFCITO_PORT", Some(port.to_string())),
        ("CHEFCITO_STOVES", Some(settings.stoves.to_string())),
        ("CHEFCITO_COOKING_TIME", cooking_time),
        ("CHEFCITO_SEED", Some(settings.seed.to_string())),
        ("CHEFCITO_DURABILITY", Some(settings.durability.to_string())),
        ("CHEFCITO_MARKET_URL", settings.market_url.clone()),
        ("CHEFCITO_LOG", settings.log_filter.clone()),
    ])
}

/// Returns the error for a service that the file does not have.
pub(super) fn unknown_service(name: &str, compose_file: &ComposeFile) -> CliError {
    let known: Vec<&str> = compose_file.services.keys().map(String::as_str).collect();
    CliError::Failed {
        what: format!("there is no service `{name}`"),
        hint: format!("there are {}", known.join(", ")),
        source: None,
    }
}

/// Refuses several containers that would publish the same port of the host.
fn check_doors(compose_file: &ComposeFile, settings: &Settings) -> Result<()> {
    for (name, service) in &compose_file.services {
        let replicas = settings.replicas.get(name).copied().unwrap_or(service.replicas);
        let fixed = service.ports.iter().find_map(|port| port.published);
        if let (2.., Some(port)) = (replicas, fixed) {
            return Err(CliError::Failed {
                what: format!(
                    "{name} has the port {port} of the host, so it can have only one container"
                ),
                hint: if name == GATEWAY {
                    "scale the services behind it".into()
                } else {
                    String::new()
                },
                source: None,
            });
        }
    }
    Ok(())
}

/// Refuses several containers of a store: each would have a part of the data, or they would overwrite each other's.
fn check_stores(compose_file: &ComposeFile, settings: &Settings) -> Result<()> {
    let scaled = settings.replicas.iter().filter(|(_, count)| **count > 1);
    for (name, _) in scaled {
        let store = compose_file.services.get(name).and_then(Service::store);
        if let Some(store) = store {
            return Err(CliError::Failed {
                what: format!("{name} keeps data in {store}, so it can have only one container"),
                hint: "scale the services that need it".into(),
                source: None,
            });
        }
    }
    Ok(())
}
