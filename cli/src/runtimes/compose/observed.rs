//! What the engine has of an environment, found by label: one call for containers, one for networks, one for volumes, one
//! for images.

use std::collections::HashMap;

use engine::{Engine, containers::Container, errors::EngineError, networks::Named};
use futures_util::future::try_join4;
use manifests::compose_file::Condition;

use super::labels;
use crate::{error::Result, runtimes::images::Images};

/// A container of the environment.
#[derive(Clone, Debug)]
pub(super) struct ObservedContainer {
    /// The engine's entry for it.
    pub(super) container: Container,
    /// Its service.
    pub(super) service: String,
    /// Its number among the service's containers, from 1; 0 without the label.
    pub(super) number: u32,
    /// Whether `docker compose run` made it.
    pub(super) is_one_off: bool,
}

impl ObservedContainer {
    fn new(container: Container) -> Self {
        let label = |name: &str| container.labels.get(name);
        Self {
            service: label(labels::SERVICE).cloned().unwrap_or_default(),
            number: label(labels::NUMBER).and_then(|number| number.parse().ok()).unwrap_or(0),
            is_one_off: label(labels::ONE_OFF).is_some_and(|one_off| one_off == "True"),
            container,
        }
    }

    /// Returns the specification that chefcito made it from; `None` if chefcito did not make it.
    pub(super) fn spec_label(&self) -> Option<&str> {
        self.container.labels.get(labels::SPEC).map(String::as_str)
    }

    /// Returns the hash of its specification.
    pub(super) fn hash(&self) -> Option<&str> {
        self.container.labels.get(labels::CONFIG_HASH).map(String::as_str)
    }

    /// Returns the services that it needs; `true` if each has to complete with exit code 0 first.
    pub(super) fn needs(&self) -> impl Iterator<Item = (&str, bool)> {
        let label = self.container.labels.get(labels::NEEDS).map_or("", String::as_str);
        label.split(',').filter_map(|need| {
            let (name, condition) = need.split_once(':')?;
            Some((name, condition.starts_with(Condition::Completed.name())))
        })
    }

    /// Returns its id.
    pub(super) fn id(&self) -> &str {
        &self.container.id
    }

    /// Returns its name.
    pub(super) fn name(&self) -> &str {
        &self.container.name
    }
}

/// Everything that the engine has of an environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// Its containers, by service and number.
    pub(super) containers: Vec<ObservedContainer>,
    /// Its networks.
    pub(super) networks: Vec<Named>,
    /// Its volumes.
    pub(super) volumes: Vec<Named>,
    /// All images of the engine.
    pub(super) images: Images,
}

impl Observed {
    /// Returns whether the engine has nothing of the environment.
    pub(super) fn is_nothing(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }

    /// Returns the labels of each.
    pub(super) fn labels(&self) -> impl Iterator<Item = &HashMap<String, String>> {
        let things = self.networks.iter().chain(&self.volumes).map(|thing| &thing.labels);
        self.containers.iter().map(|seen| &seen.container.labels).chain(things)
    }

    /// Returns the containers of a service without those of `docker compose run`.
    pub(super) fn of_service<'a>(
        &'a self,
        service: &'a str,
    ) -> impl Iterator<Item = &'a ObservedContainer> {
        self.containers.iter().filter(move |seen| seen.service == service && !seen.is_one_off)
    }
}

/// Lists everything that the engine has of a project.
pub(super) async fn observe(engine: &Engine, project: &str) -> Result<Observed> {
    let label = labels::of_project(project);
    let (containers, networks, volumes, images) = try_join4(
        containers(engine, project),
        engine.networks(&label),
        engine.volumes(&label),
        engine.all_images(),
    )
    .await?;
    Ok(Observed { containers, networks, volumes, images: Images::new(images) })
}

/// Lists all images of the engine.
pub(super) async fn images_of(engine: &Engine) -> Result<Images> {
    Ok(Images::new(engine.all_images().await?))
}

/// Lists the containers of a project.
pub(super) async fn containers(
    engine: &Engine,
    project: &str,
) -> Result<Vec<ObservedContainer>, EngineError> {
    let containers = engine.containers(&[labels::of_project(project)]).await?;
    Ok(observed_containers(containers.into_iter()))
}

/// Returns containers by service and number.
pub(super) fn observed_containers(
    containers: impl Iterator<Item = Container>,
) -> Vec<ObservedContainer> {
    let mut observed: Vec<ObservedContainer> = containers.map(ObservedContainer::new).collect();
    observed.sort_by(|one, other| (&one.service, one.number).cmp(&(&other.service, other.number)));
    observed
}
