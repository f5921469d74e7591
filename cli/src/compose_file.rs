//! The environment as `manifests/compose.yaml` lays it out, read strictly: what chefcito does not do is an error that names
//! its place in the document, and is never passed over in silence. `x-…` keys are for people and are left alone.

pub(crate) mod at;
mod interpolation;
mod merge;
mod model;
mod networks;
mod service;
mod sizes;
pub(crate) mod where_is;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use self::at::{At, Flaw};
pub(crate) use self::model::{
    Condition, Health, Mount, MountKind, Need, Network, Port, Protocol, Restart, Service, Volume,
};
use crate::{
    error::{CliError, Result},
    yaml,
};

/// Where the file lies in a checkout.
const FILE: &str = "manifests/compose.yaml";
/// The file that this program was built with, for those who have no checkout.
const BUILT_IN: &str = include_str!("../../manifests/compose.yaml");
/// The network of those that name none.
const DEFAULT_NETWORK: &str = "default";
/// Services with one of these profiles are started, too, as `docker compose` does it.
pub(crate) const PROFILES: &str = "COMPOSE_PROFILES";

/// A text to read, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file; `None` if it is the one that is built in.
    pub(crate) file: Option<PathBuf>,
    text: String,
}

impl Source {
    /// Finds the file of the checkout around a folder; without one, the file that is built in.
    ///
    /// # Errors
    /// [`CliError::Io`] if there is one that can't be read.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        // A folder that happens to have such a file is no checkout: this program's own sources have to lie beside it.
        let is_checkout =
            |folder: &&Path| folder.join(FILE).is_file() && folder.join("cli/Cargo.toml").is_file();
        match folder.ancestors().find(is_checkout) {
            Some(checkout) => Self::read(&checkout.join(FILE)),
            None => Ok(Self { file: None, text: BUILT_IN.into() }),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        Self { file: None, text: text.into() }
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .map_err(CliError::io(|| format!("read {}", file.display())))?;
        Ok(Self { file: Some(file.to_owned()), text })
    }

    /// Returns the folder that relative paths in it start from.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map_or_else(|| "/".into(), Path::to_owned)
    }

    /// Reads the environment that it lays out. Variables are looked up as they are met.
    ///
    /// # Errors
    /// [`CliError::BadFile`] that names the line, as far as it can be told, and the place in the document.
    pub(crate) fn parse(&self, variables: &dyn Fn(&str) -> Option<String>) -> Result<ComposeFile> {
        read(&self.text, &self.folder(), variables).map_err(|flaw| CliError::BadFile {
            path: self.file.clone().unwrap_or_else(|| FILE.into()),
            detail: match where_is::line_of(&self.text, &flaw) {
                Some(line) => format!("line {line}: {flaw}"),
                None => flaw.to_string(),
            },
        })
    }
}

/// An environment as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ComposeFile {
    /// Its name, if the file gives one.
    pub(crate) name: Option<String>,
    /// What runs, by name.
    pub(crate) services: BTreeMap<String, Service>,
    /// What connects them, by key. Only those that a service is on.
    pub(crate) networks: BTreeMap<String, Network>,
    /// What keeps their data, by key.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Variables that it asks for, and that nobody has set; they count as empty.
    pub(crate) unset: BTreeSet<String>,
}

/// Reads the text of a file.
///
/// # Errors
/// [`Flaw`]: the first thing in it that can't be understood, or that chefcito does not do.
fn read(
    text: &str,
    folder: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<ComposeFile, Flaw> {
    let documents =
        yaml::documents(text).map_err(|error| Flaw::at_line(error.line, error.to_string()))?;
    let [document] = documents.as_slice() else {
        return Err(Flaw::new(
            "",
            format!("there should be one document, not {}", documents.len()),
        ));
    };
    let document = merge::merged(document, "")?;
    let mut unset = BTreeSet::new();
    let document = interpolation::interpolated(&document, "", variables, &mut unset)?;
    let mut fields = At::root(&document).fields()?;
    if let Some(version) = fields.take("version") {
        return Err(version.flaw("it means nothing any more: leave it out"));
    }
    let name = fields.take("name").map(|name| name.text()).transpose()?;
    let networks = networks::networks(fields.take("networks"))?;
    let volumes = networks::volumes(fields.take("volumes"))?;
    let services =
        fields.take("services").ok_or_else(|| Flaw::new("services", "there are none"))?;
    let services = services
        .entries()?
        .into_iter()
        .map(|(name, at)| {
            let service = service::read(&name, &at, folder)?;
            Ok((name, service))
        })
        .collect::<Result<BTreeMap<_, _>, Flaw>>()?;
    fields.finish()?;
    let mut compose_file = ComposeFile { name, services, networks, volumes, unset };
    compose_file.check()?;
    Ok(compose_file)
}

impl ComposeFile {
    /// Refuses names that nobody has, and circles; forgets networks that nobody is on.
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
                return Err(Flaw::new(path, "it depends on itself, by way of others"));
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

    /// Returns the services that are named, and those that they need, and so on. Names that nobody has are left out.
    pub(crate) fn with_needs(&self, names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
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

    /// Returns the services that are started when none is named: those without a profile, or with one of these.
    pub(crate) fn default_services(&self, profiles: &[String]) -> BTreeSet<String> {
        let starts = |service: &Service| {
            let wanted =
                |profile| profiles.contains(profile) || profiles.iter().any(|one| one == "*");
            service.profiles.is_empty() || service.profiles.iter().any(wanted)
        };
        let named = self.services.iter().filter(|(_, service)| starts(service));
        self.with_needs(named.map(|(name, _)| name.clone()))
    }

    /// Returns whether a service is a job: it does something, ends, and is done if it ended well.
    pub(crate) fn is_job(&self, name: &str) -> bool {
        let awaited = |service: &Service| {
            service.needs.get(name).is_some_and(|need| need.condition == Condition::Completed)
        };
        self.services.values().any(awaited)
    }

    /// Returns whether a job comes before all else: others wait for its end, and it waits for nobody.
    pub(crate) fn is_first(&self, name: &str) -> bool {
        self.is_job(name) && self.services.get(name).is_some_and(|job| job.needs.is_empty())
    }
}

#[cfg(test)]
mod tests;
