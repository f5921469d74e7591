//! The containers of an environment on the engine.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result};
use bollard::{
    Docker,
    models::{ContainerStatsResponse, ContainerSummary},
    query_parameters::{KillContainerOptions, ListContainersOptions, StatsOptions},
};
use futures_util::{StreamExt, future::try_join_all};

use crate::process::number;

/// Databases: not our programs.
pub(crate) const SERVERS: [&str; 2] = ["postgres", "redis"];

/// The containers of an environment.
pub(crate) struct Containers {
    engine: Docker,
    project: String,
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Its service.
    pub(crate) service: String,
    id: String,
    image: String,
}

impl Containers {
    /// Connects to the engine as every client does.
    pub(crate) async fn of(project: &str) -> Result<Self> {
        let engine = Docker::connect_with_defaults()?.negotiate_version().await?;
        Ok(Self { engine, project: project.to_owned() })
    }

    /// Returns the running ones.
    pub(crate) async fn running(&self) -> Result<Vec<Container>> {
        let label = format!("com.docker.compose.project={}", self.project);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptions { filters: Some(filters), ..Default::default() };
        let listed = self.engine.list_containers(Some(options)).await?;
        Ok(listed.into_iter().filter_map(Container::read).collect())
    }

    /// Returns the first of a service.
    pub(crate) async fn one(&self, service: &str) -> Result<Container> {
        let running = self.running().await?;
        running
            .into_iter()
            .find(|container| container.service == service)
            .with_context(|| format!("`{service}` does not run"))
    }

    /// Returns the processor time of all of them.
    pub(crate) async fn cpu(&self) -> Result<Duration> {
        let nanos = |stats: ContainerStatsResponse| {
            stats.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage)
        };
        let stats = self.stats(&self.running().await?).await?;
        Ok(Duration::from_nanos(stats.into_iter().filter_map(nanos).sum()))
    }

    /// Returns the memory of our own programs, without caches, in MiB.
    pub(crate) async fn memory_of_services(&self) -> Result<f64> {
        let ours: Vec<Container> = self
            .running()
            .await?
            .into_iter()
            .filter(|container| !SERVERS.contains(&container.service.as_str()))
            .collect();
        let bytes = |stats: ContainerStatsResponse| {
            let memory = stats.memory_stats?;
            let files = memory.stats.as_ref().and_then(|stats| {
                // The first is the key of cgroups v1, the second that of v2.
                ["total_inactive_file", "inactive_file"].iter().find_map(|name| stats.get(*name))
            });
            Some(memory.usage?.saturating_sub(files.copied().unwrap_or(0)))
        };
        let used: u64 = self.stats(&ours).await?.into_iter().filter_map(bytes).sum();
        Ok(number(used) / 1024.0 / 1024.0)
    }

    async fn stats(&self, containers: &[Container]) -> Result<Vec<ContainerStatsResponse>> {
        let once = StatsOptions { stream: false, one_shot: true };
        try_join_all(containers.iter().map(async |container| {
            let mut stats = self.engine.stats(&container.id, Some(once.clone()));
            Ok(stats.next().await.context("the engine says nothing about a container")??)
        }))
        .await
    }

    /// Returns the size of each service's image, in MB of a million bytes.
    pub(crate) async fn image_sizes(&self) -> Result<Vec<(String, f64)>> {
        let mut sizes = Vec::new();
        for container in self.running().await? {
            if !SERVERS.contains(&container.service.as_str()) {
                let image = self.engine.inspect_image(&container.image).await?;
                let bytes = u64::try_from(image.size.unwrap_or(0)).unwrap_or(0);
                sizes.push((container.service, number(bytes) / 1e6));
            }
        }
        Ok(sizes)
    }

    /// Kills a container.
    pub(crate) async fn kill(&self, container: &Container) -> Result<()> {
        Ok(self.engine.kill_container(&container.id, None::<KillContainerOptions>).await?)
    }

    /// Starts a container again; the engine does not restart one that was killed on request.
    pub(crate) async fn start(&self, container: &Container) -> Result<()> {
        Ok(self.engine.start_container(&container.id, None).await?)
    }

    /// Pauses a container.
    pub(crate) async fn pause(&self, container: &Container) -> Result<()> {
        Ok(self.engine.pause_container(&container.id).await?)
    }

    /// Resumes a container.
    pub(crate) async fn unpause(&self, container: &Container) -> Result<()> {
        Ok(self.engine.unpause_container(&container.id).await?)
    }
}

impl Container {
    fn read(summary: ContainerSummary) -> Option<Self> {
        let service = summary.labels?.get("com.docker.compose.service")?.clone();
        Some(Self { service, id: summary.id?, image: summary.image_id? })
    }
}
