//! `manifests/compose.yaml`, parsed strictly: a key that chefcito does not support is an error with its path, and never
//! ignored. `x-…` keys are for people and are skipped.

mod dot_env;
mod interpolation;
mod model;
mod networks;
mod secrets;
mod service;
pub(crate) mod sizes;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use yaml::Node;

pub use self::model::{
    Condition, Health, Mount, MountKind, Need, Network, Port, Protocol, Restart, Service, Ulimit,
    Volume,
};
use crate::{
    at::{At, Flaw},
    error::{Error, Result},
};

/// The path of the file in a checkout.
pub const FILE: &str = "manifests/compose.yaml";
/// The file that this program was built with, for use without a checkout.
const BUILT_IN: &str = include_str!("../../../../manifests/compose.yaml");
/// The network of services without `networks`.
const DEFAULT_NETWORK: &str = "default";
/// The variable for the profiles whose services are started, too, as in `docker compose`.
pub const PROFILES: &str = "COMPOSE_PROFILES";

/// The text of a compose file and its origin.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path; `None` for the built-in one.
    pub file: Option<PathBuf>,
    text: String,
}

impl Source {
    /// Finds the file of the checkout around a folder, or else the built-in one.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be read.
    pub fn find(folder: &Path) -> Result<Self> {
        // A folder that only happens to have such a file is not a checkout: this program's sources must be there, too.
        let is_checkout =
            |folder: &&Path| folder.join(FILE).is_file() && folder.join("cli/Cargo.toml").is_file();
        match folder.ancestors().find(is_checkout) {
            Some(checkout) => Self::read(&checkout.join(FILE)),
            None => Ok(Self { file: None, text: BUILT_IN.into() }),
        }
    }

    /// Returns a text that is in no file.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        Self { file: None, text: text.into() }
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .map_err(|source| Error::Io { path: file.to_owned(), source })?;
        Ok(Self { file: Some(file.to_owned()), text })
    }

    /// Returns the folder to which its relative paths refer.
    pub fn folder(&self) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map_or_else(|| "/".into(), Path::to_owned)
    }

    /// Returns the variables of `.env` in the folder of the file, in which those of the shell are filled in; none for the
    /// built-in one.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be read; [`Error::BadFile`] with its first invalid line.
    pub fn dot_env(
        &self,
        shell: &dyn Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, String>> {
        match &self.file {
            Some(_) => dot_env::read(&self.folder(), shell),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Parses the file, with variables looked up by the function.
    ///
    /// # Errors
    /// [`Error::BadFile`] with the path in the document, and with the line if it can be found.
    pub fn parse(&self, variables: &dyn Fn(&str) -> Option<String>) -> Result<ComposeFile> {
        read(&self.text, &self.folder(), variables).map_err(|flaw| Error::BadFile {
            path: self.file.clone().unwrap_or_else(|| FILE.into()),
            detail: flaw.in_text(&self.text),
        })
    }
}

/// The content of a compose file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ComposeFile {
    /// Its name, if the file gives one.
    pub name: Option<String>,
    /// Its services, by name.
    pub services: BTreeMap<String, Service>,
    /// The networks that a service uses, by key.
    pub networks: BTreeMap<String, Network>,
    /// Its volumes, by key.
    pub volumes: BTreeMap<String, Volume>,
    /// Variables that are used but not set; they count as empty.
    pub unset: BTreeSet<String>,
}

/// What a service refers to.
struct Surroundings<'a> {
    /// The folder of relative paths.
    folder: &'a Path,
    /// The files of the secrets, by name.
    secrets: &'a BTreeMap<String, String>,
}

/// Parses the text of a file.
///
/// # Errors
/// [`Flaw`]: the first part of it that is invalid or not supported.
fn read(
    text: &str,
    folder: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<ComposeFile, Flaw> {
    let documents = yaml::strict_documents(text, yaml::Reader::Compose)?;
    let document = match documents.as_slice() {
        [] => &Node::Null,
        [document] => document,
        several => {
            let what = format!("there should be one document, not {}", several.len());
            return Err(Flaw::new("", what));
        }
    };
    let mut unset = BTreeSet::new();
    let document = interpolation::interpolated(document, "", variables, &mut unset)?;
    let mut fields = At::root(&document).extensible_fields()?;
    fields.refuse("version", "it is obsolete: remove it")?;
    let name = fields.take("name").map(|name| name.text()).transpose()?;
    let networks = networks::networks(fields.take("networks"))?;
    let volumes = networks::volumes(fields.take("volumes"))?;
    let secrets = secrets::read(fields.take("secrets"), folder)?;
    let services =
        fields.take("services").ok_or_else(|| Flaw::new("services", "there are none"))?;
    let services = services
        .entries()?
        .into_iter()
        .map(|(name, at)| {
            let service = service::read(&name, &at, &Surroundings { folder, secrets: &secrets })?;
            Ok((name, service))
        })
        .collect::<Result<BTreeMap<_, _>, Flaw>>()?;
    fields.finish()?;
    let mut compose_file = ComposeFile { name, services, networks, volumes, unset };
    compose_file.check()?;
    Ok(compose_file)
}

impl ComposeFile {
    /// Refuses references to unknown names, and circular needs; drops unused networks.
    fn check(&mut self) -> Result<(), Flaw> {
        let mut used = BTreeSet::new();
        for (name, service) in &self.services {
            for need in service.needs.keys() {
                if !self.services.contains_key(need) {
                    let path = format!("services.{name}.depends_on.{need}");
                    return Err(Flaw::new(path, "there is no such service"));
                }
            }
            for network in service.networks.keys() {
                if network != DEFAULT_NETWORK && !self.networks.contains_key(network) {
                    let path = format!("services.{name}.networks.{network}");
                    return Err(Flaw::new(path, "there is no such network below `networks`"));
                }
                used.insert(network.clone());
            }
            let volumes = service.mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
            for key in volumes.filter_map(|mount| mount.source.as_ref()) {
                if !self.volumes.contains_key(key) {
                    let path = format!("services.{name}.volumes");
                    return Err(Flaw::new(path, format!("there is no `{key}` below `volumes`")));
                }
            }
        }
        for name in self.services.keys() {
            if self.needs_itself(name) {
                let path = format!("services.{name}.depends_on");
                return Err(Flaw::new(path, "it depends on itself through other services"));
            }
        }
        if used.contains(DEFAULT_NETWORK) {
            self.networks.entry(DEFAULT_NETWORK.into()).or_default();
        }
        self.networks.retain(|key, _| used.contains(key));
        Ok(())
    }

    fn needs_itself(&self, name: &str) -> bool {
        let direct = self.services.get(name).into_iter().flat_map(|service| service.needs.keys());
        self.with_needs(direct.cloned()).contains(name)
    }

    /// Returns the named services and all that they need. Unknown names are ignored.
    pub fn with_needs(&self, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open: Vec<String> = names.into_iter().collect();
        while let Some(name) = open.pop() {
            let Some(service) = self.services.get(&name) else { continue };
            if found.insert(name) {
                open.extend(service.needs.keys().cloned());
            }
        }
        found
    }

    /// Returns the services to start by default: those without a profile, and those with one of these.
    pub fn default_services(&self, profiles: &[String]) -> BTreeSet<String> {
        let starts = |service: &Service| {
            let wanted =
                |profile| profiles.contains(profile) || profiles.iter().any(|one| one == "*");
            service.profiles.is_empty() || service.profiles.iter().any(wanted)
        };
        let named = self.services.iter().filter(|(_, service)| starts(service));
        self.with_needs(named.map(|(name, _)| name.clone()))
    }

    /// Returns whether a service is a job: another one waits for its completion.
    pub fn is_job(&self, name: &str) -> bool {
        let awaited = |service: &Service| {
            service.needs.get(name).is_some_and(|need| need.condition == Condition::Completed)
        };
        self.services.values().any(awaited)
    }

    /// Returns whether a service is a first job: others wait for its completion, and it needs none.
    pub fn is_first(&self, name: &str) -> bool {
        self.is_job(name) && self.services.get(name).is_some_and(|job| job.needs.is_empty())
    }
}

#[cfg(test)]
mod tests;
