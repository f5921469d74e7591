//! Log lines of containers and pods, which chefcito does not write to files.

use contracts::Timestamp;
use logs::{files::Line, streams::Merged};

use crate::{
    config::Runtime,
    error::{CliError, Result},
    output::Output,
    runtimes::{
        compose::{self, ContainerLogs},
        kubernetes::{self, PodLogs},
    },
    state::Environment,
};

/// The lines that the containers or pods of an environment have printed.
#[derive(Debug)]
pub(super) enum Streams {
    /// On a container engine.
    Containers(Box<ContainerLogs>),
    /// On a cluster.
    Pods(Box<PodLogs>),
}

impl Streams {
    /// Opens the logs of some services, or of all.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] if there are no containers or pods, [`CliError::Failed`] if
    /// there is no such service.
    pub(super) async fn open(
        runtime: Runtime,
        environment: &Environment,
        services: &[String],
        output: &Output,
    ) -> Result<Self> {
        match runtime {
            Runtime::Kubernetes => {
                let logs = PodLogs::open(environment, services, output).await?;
                Ok(Self::Pods(Box::new(logs)))
            }
            Runtime::Compose | Runtime::Embedded => {
                let logs = ContainerLogs::open(environment, services).await?;
                Ok(Self::Containers(Box::new(logs)))
            }
        }
    }

    /// Returns the lines up to now: all, or a number of each container or pod.
    pub(super) fn printed(
        &self,
        since: Option<Timestamp>,
        tail: Option<usize>,
    ) -> Merged<CliError> {
        match self {
            Self::Containers(logs) => logs.printed(since, tail),
            Self::Pods(logs) => logs.printed(since, tail),
        }
    }

    /// Continues after the lines that were read.
    pub(super) fn follow(self, read: Merged<CliError>) -> Following {
        match self {
            Self::Containers(logs) => Following::Containers(Box::new(logs.follow(read))),
            Self::Pods(logs) => Following::Pods(Box::new(logs.follow(read))),
        }
    }
}

/// The lines that they print from now on.
#[derive(Debug)]
pub(super) enum Following {
    /// On a container engine.
    Containers(Box<compose::Following>),
    /// On a cluster.
    Pods(Box<kubernetes::Following>),
}

impl Following {
    /// Returns the next lines; waits for some.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] when no container or pod of the environment is left.
    pub(super) async fn next_lines(&mut self) -> Result<Vec<Line>> {
        match self {
            Self::Containers(following) => following.next_lines().await,
            Self::Pods(following) => following.next_lines().await,
        }
    }

    /// Returns all lines that are still held back.
    pub(super) fn rest(&mut self) -> Vec<Line> {
        match self {
            Self::Containers(following) => following.rest(),
            Self::Pods(following) => following.rest(),
        }
    }
}
