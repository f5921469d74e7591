//! What there is on the engine, found by label: one call for containers, one for networks, one for volumes, one for images.

use futures_util::future::try_join4;

use super::labels;
use crate::{
    compose_file::Condition,
    docker::{Engine, containers::Container, errors::EngineError, networks::Named},
    error::Result,
    runtimes::images::Images,
};

/// A container of the environment.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// What the engine tells of it.
    pub(super) container: Container,
    /// The service that it is of.
    pub(super) service: String,
    /// Which of the service's containers it is, from 1; 0 if nobody counted.
    pub(super) number: u32,
    /// Whether somebody ran it by hand with `docker compose run`.
    pub(super) is_one_off: bool,
}

impl Seen {
    fn new(container: Container) -> Self {
        let label = |name: &str| container.labels.get(name);
        Self {
            service: label(labels::SERVICE).cloned().unwrap_or_default(),
            number: label(labels::NUMBER).and_then(|number| number.parse().ok()).unwrap_or(0),
            is_one_off: label(labels::ONE_OFF).is_some_and(|one_off| one_off == "True"),
            container,
        }
    }

    /// Returns what chefcito wrote down about it; `None` if somebody else made it.
    pub(super) fn spec_label(&self) -> Option<&str> {
        self.container.labels.get(labels::SPEC).map(String::as_str)
    }

    /// Returns the hash of what it is.
    pub(super) fn hash(&self) -> Option<&str> {
        self.container.labels.get(labels::CONFIG_HASH).map(String::as_str)
    }

    /// Returns the services that it needs, and whether it waits until they have ended well.
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

/// All that there is of an environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// Its containers, by service and number.
    pub(super) containers: Vec<Seen>,
    /// Its networks.
    pub(super) networks: Vec<Named>,
    /// Its volumes.
    pub(super) volumes: Vec<Named>,
    /// All images of the engine.
    pub(super) images: Images,
}

impl Observed {
    /// Returns whether there is nothing of the environment.
    pub(super) fn is_nothing(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }

    /// Returns the containers of a service, those that somebody ran by hand left out.
    pub(super) fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.containers.iter().filter(move |seen| seen.service == service && !seen.is_one_off)
    }
}

/// Looks at all that there is.
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

/// Looks at the containers only.
pub(super) async fn containers(engine: &Engine, project: &str) -> Result<Vec<Seen>, EngineError> {
    let containers = engine.containers(&[labels::of_project(project)]).await?;
    Ok(seen(containers.into_iter()))
}

/// Returns what is told of containers, by service and number.
pub(super) fn seen(containers: impl Iterator<Item = Container>) -> Vec<Seen> {
    let mut seen: Vec<Seen> = containers.map(Seen::new).collect();
    seen.sort_by(|one, other| (&one.service, one.number).cmp(&(&other.service, other.number)));
    seen
}
