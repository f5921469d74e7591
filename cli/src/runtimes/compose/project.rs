//! The compose file with an environment's settings filled in: which services it has, and what should be on the engine.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    env,
    path::Path,
};

use manifests::compose_file::{ComposeFile, PROFILES, Service, Source};

use super::{
    GATEWAY,
    converge::Scope,
    labels::Origin,
    session::Session,
    wanted::{Layout, layout},
};
use crate::{
    config::Settings,
    error::{CliError, Result},
    output::Output,
    runtimes::images::Images,
    state::Environment,
};

/// The variable that names the files of docker compose.
const COMPOSE_FILE: &str = "COMPOSE_FILE";
/// The files that docker compose merges with the one beside them.
const OVERRIDES: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// The compose file of an environment.
#[derive(Debug)]
pub(super) struct ComposeProject {
    source: Source,
    /// Its content.
    pub(super) compose_file: ComposeFile,
    /// The services in scope; `None` for all of them.
    services: Option<BTreeSet<String>>,
    /// The variables of the shell, or of that of the last start, that the file uses.
    variables: BTreeMap<String, String>,
    /// Those of the last start among them.
    kept: BTreeSet<String>,
    /// The variables of `.env` beside the file.
    dot_env: BTreeMap<String, String>,
    /// Those of them that are settings of the environment.
    ignored: Vec<&'static str>,
}

impl ComposeProject {
    /// Reads the file with the settings filled in.
    ///
    /// # Errors
    /// [`CliError::BadFile`] if chefcito does not understand it; [`CliError::UnknownService`].
    pub(super) fn read(
        source: Source,
        environment: &Environment,
        settings: &Settings,
        port: u16,
        scope: &Scope,
    ) -> Result<Self> {
        let set = variables(environment, settings, port);
        let shell = |name: &str| env::var(name).ok();
        let dot_env = source.dot_env(&shell)?;
        let ignored = set.keys().filter(|name| dot_env.contains_key(**name)).copied().collect();
        let (used, kept) = (RefCell::new(BTreeMap::new()), RefCell::new(BTreeSet::new()));
        let variable = |name: &str| {
            if let Some(value) = set.get(name) {
                return value.clone();
            }
            let given = shell(name);
            if given.is_none()
                && let Some(value) = dot_env.get(name)
            {
                // It is read each time.
                return Some(value.clone());
            }
            let value = given.clone().or_else(|| settings.variables.get(name).cloned())?;
            if given.is_none() {
                kept.borrow_mut().insert(name.to_owned());
            }
            used.borrow_mut().insert(name.to_owned(), value.clone());
            Some(value)
        };
        let compose_file = source.parse(&variable)?;
        let named: &[String] = match scope {
            Scope::All => &[],
            Scope::WithNeeds(services) | Scope::Alone(services) => services,
        };
        let mut all = named.iter().chain(settings.replicas.keys());
        if let Some(name) = all.find(|name| !compose_file.services.contains_key(*name)) {
            return Err(CliError::unknown_service(name, compose_file.services.into_keys()));
        }
        let services = match scope {
            Scope::All => None,
            Scope::WithNeeds(services) => Some(compose_file.with_needs(services.iter().cloned())),
            Scope::Alone(services) => Some(services.iter().cloned().collect()),
        };
        check_doors(&compose_file, settings)?;
        check_stores(&compose_file, settings)?;
        let (variables, kept) = (used.into_inner(), kept.into_inner());
        Ok(Self { source, compose_file, services, variables, kept, dot_env, ignored })
    }

    /// Returns the settings with the variables that the file uses, to save them.
    pub(super) fn saved(&self, settings: &Settings) -> Settings {
        Settings { variables: self.variables.clone(), ..settings.clone() }
    }

    /// Returns what should be on the engine.
    pub(super) fn layout(
        &self,
        session: &Session<'_>,
        settings: &Settings,
        images: &Images,
    ) -> Layout {
        let profiles = env::var(PROFILES).ok().or_else(|| self.dot_env.get(PROFILES).cloned());
        let profiles = profiles.unwrap_or_default();
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

    /// Returns the variable and the files by which docker compose would read another file, or more than this one.
    fn unread(&self) -> Vec<String> {
        let variable = env::var_os(COMPOSE_FILE).filter(|files| !files.is_empty());
        let folder = self.source.file.as_ref().map(|_| self.source.folder());
        let overrides = OVERRIDES.iter().filter_map(|name| Some(folder.as_ref()?.join(name)));
        let overrides = overrides.filter(|file| file.is_file());
        let overrides = overrides.map(|file| file.display().to_string());
        variable.map(|_| COMPOSE_FILE.to_owned()).into_iter().chain(overrides).collect()
    }

    /// Warns of what is not read, of settings in `.env` and of variables that are not set, and names those that are as at the
    /// last start.
    pub(super) fn warn_of_unset(&self, output: &Output) {
        if !self.ignored.is_empty() {
            output.warn(format_args!(
                "{} ignored: {}; they are settings of the environment: state them by flags, variables or .chefcito.toml",
                self.source.folder().join(".env").display(),
                self.ignored.join(", ")
            ));
        }
        let unread = self.unread();
        if !unread.is_empty() {
            output.warn(format_args!(
                "chefcito reads {} alone, not {}: write into it what they say",
                self.origin().file,
                unread.join(", ")
            ));
        }
        if !self.kept.is_empty() {
            let names: Vec<&str> = self.kept.iter().map(String::as_str).collect();
            output.status(format_args!("As at the last start: {}", names.join(", ")));
        }
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
    Ok(Source::find(&folder)?)
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

/// Refuses several containers that would have the same name, or publish the same port of the host.
fn check_doors(compose_file: &ComposeFile, settings: &Settings) -> Result<()> {
    for (name, service) in &compose_file.services {
        let replicas = settings.replicas.get(name).copied().unwrap_or(service.replicas);
        if let (2.., Some(container)) = (replicas, &service.container_name) {
            return Err(CliError::Failed {
                what: format!(
                    "{name} has the container name {container}, so it can have only one container"
                ),
                hint: "remove `container_name` from the file".into(),
                source: None,
            });
        }
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
