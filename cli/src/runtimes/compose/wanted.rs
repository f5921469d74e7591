//! The layout: what the engine should have, by the compose file, the settings and the existing images.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use manifests::compose_file::{ComposeFile, Network, Service, Volume};

use super::{
    labels::{self, Origin},
    spec::Spec,
};
use crate::{
    config::Settings,
    runtimes::images::{Images, built_here},
};

/// A wanted container.
#[derive(Clone, Debug)]
pub(super) struct WantedContainer {
    /// The engine's name for it.
    pub(super) name: String,
    /// The service.
    pub(super) service: String,
    /// Its number among the service's containers, from 1.
    pub(super) number: u32,
    /// Its configuration, with the image that is deployed.
    pub(super) what: Service,
    /// The same, for comparison.
    pub(super) spec: Spec,
    /// Its image, as the file names it.
    pub(super) image: String,
    /// The id of its image; `None` if the engine lacks it.
    pub(super) image_id: Option<String>,
    /// Its labels.
    pub(super) labels: HashMap<String, String>,
    /// The engine's names of its networks, each with the names that it has there.
    pub(super) networks: Vec<(String, Vec<String>)>,
    /// Whether it is a job, which ends.
    pub(super) is_job: bool,
    /// Whether all others wait for its end.
    pub(super) is_first: bool,
}

impl WantedContainer {
    /// Returns the service whose image `chefcito build` makes, if this container runs it.
    pub(super) fn built_here(&self) -> Option<&str> {
        built_here(&self.image)
    }
}

/// A wanted network or volume.
#[derive(Clone, Debug)]
pub(super) struct WantedThing<T> {
    /// Its name in the file.
    pub(super) key: String,
    /// The engine's name for it.
    pub(super) name: String,
    /// Its configuration.
    pub(super) what: T,
    /// The same, for comparison.
    pub(super) spec: Spec,
    /// Its labels.
    pub(super) labels: HashMap<String, String>,
}

/// All that the engine should have.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The containers, first jobs first, then by name.
    pub(super) containers: Vec<WantedContainer>,
    /// The networks.
    pub(super) networks: Vec<WantedThing<Network>>,
    /// The volumes.
    pub(super) volumes: Vec<WantedThing<Volume>>,
    /// All services of the file, in scope or not.
    pub(super) known: BTreeSet<String>,
    /// Whether this is the whole environment, so that other containers of it are removed.
    pub(super) is_whole: bool,
}

/// Returns the layout.
pub(super) fn layout(
    project: &str,
    compose_file: &ComposeFile,
    services: Option<&BTreeSet<String>>,
    settings: &Settings,
    images: &Images,
    origin: &Origin,
    profiles: &[String],
) -> Layout {
    let in_scope = services.cloned().unwrap_or_else(|| compose_file.default_services(profiles));
    let mut containers = Vec::new();
    for (name, service) in compose_file.services.iter().filter(|(name, _)| in_scope.contains(*name))
    {
        let image = images.deployed(&service.image);
        let what = Service { image: image.reference, ..service.clone() };
        let spec = Spec::of(&what);
        let replicas = settings.replicas.get(name).copied().unwrap_or(service.replicas);
        for number in 1..=replicas {
            let mut labels: HashMap<String, String> = what.labels.clone().into_iter().collect();
            let needs = service.needs.iter();
            labels.extend(labels::of_container(project, (name, number), &spec, needs, origin));
            let networks = what.networks.iter().map(|(key, attachment)| {
                let aliases = [name].into_iter().chain(&attachment.aliases).cloned().collect();
                (format!("{project}_{key}"), aliases)
            });
            containers.push(WantedContainer {
                name: match &service.container_name {
                    Some(name) => name.clone(),
                    None => format!("{project}-{name}-{number}"),
                },
                service: name.clone(),
                number,
                networks: networks.collect(),
                spec: spec.clone(),
                image: service.image.clone(),
                image_id: image.id.clone(),
                labels,
                is_job: compose_file.is_job(name),
                is_first: compose_file.is_first(name),
                what: what.clone(),
            });
        }
    }
    containers.sort_by_key(|container| !container.is_first);
    Layout {
        networks: networks(project, compose_file, &containers),
        volumes: volumes(project, compose_file, &containers),
        containers,
        known: compose_file.services.keys().cloned().collect(),
        is_whole: services.is_none(),
    }
}

fn networks(
    project: &str,
    compose_file: &ComposeFile,
    containers: &[WantedContainer],
) -> Vec<WantedThing<Network>> {
    let used =
        |key: &String| containers.iter().any(|container| container.what.networks.contains_key(key));
    things(project, &compose_file.networks, used, |network| &network.labels, labels::of_network)
}

fn volumes(
    project: &str,
    compose_file: &ComposeFile,
    containers: &[WantedContainer],
) -> Vec<WantedThing<Volume>> {
    let used = |key: &String| {
        let mut mounts = containers.iter().flat_map(|container| &container.what.mounts);
        mounts.any(|mount| mount.source.as_ref() == Some(key))
    };
    things(project, &compose_file.volumes, used, |volume| &volume.labels, labels::of_volume)
}

fn things<T: Clone + serde::Serialize>(
    project: &str,
    things: &BTreeMap<String, T>,
    used: impl Fn(&String) -> bool,
    own_labels: impl Fn(&T) -> &BTreeMap<String, String>,
    labels: impl Fn(&str, &str, &Spec) -> HashMap<String, String>,
) -> Vec<WantedThing<T>> {
    let thing = |(key, what): (&String, &T)| {
        let spec = Spec::of(what);
        let mut all: HashMap<String, String> = own_labels(what).clone().into_iter().collect();
        all.extend(labels(project, key, &spec));
        WantedThing {
            key: key.clone(),
            name: format!("{project}_{key}"),
            what: what.clone(),
            spec,
            labels: all,
        }
    };
    things.iter().filter(|(key, _)| used(key)).map(thing).collect()
}
