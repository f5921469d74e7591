//! The logs of an environment's pods, merged by the time in each line, or else by the time at which the node received
//! it.

mod follow;

use std::collections::BTreeSet;

use cluster::{
    Cluster,
    pods::{ObservedPod, PodWatch},
};
use contracts::Timestamp;
use logs::streams::{Followers, Merged, Resume, Writer};

pub(crate) use self::follow::Following;
use super::session::Session;
use crate::{
    error::{CliError, Result},
    output::Output,
    state::Environment,
};

/// The pods whose logs are read.
#[derive(Debug)]
pub(crate) struct PodLogs {
    cluster: Cluster,
    namespace: String,
    environment: Environment,
    /// The services to show; empty for all.
    services: BTreeSet<String>,
    pods: Vec<ObservedPod>,
    watch: PodWatch,
}

impl PodLogs {
    /// Finds the pods of some services, or of all. Notes their changes from now on.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] if there are none; [`CliError::UnknownService`].
    pub(crate) async fn open(
        environment: &Environment,
        services: &[String],
        output: &Output,
    ) -> Result<Self> {
        let Session { cluster, namespace, .. } = Session::of_running(environment, output).await?;
        let watch = PodWatch::begin(&cluster, &namespace).await?;
        let mut pods = watch.pods();
        if pods.is_empty() {
            return Err(CliError::NotRunning { name: environment.name().clone() });
        }
        let known: BTreeSet<&str> = pods.iter().map(|pod| pod.service.as_str()).collect();
        if let Some(unknown) = services.iter().find(|service| !known.contains(service.as_str())) {
            return Err(CliError::unknown_service(unknown, known));
        }
        let services: BTreeSet<String> = services.iter().cloned().collect();
        pods.retain(|pod| services.is_empty() || services.contains(&pod.service));
        Ok(Self { cluster, namespace, environment: environment.clone(), services, pods, watch })
    }

    /// Returns the lines up to now: all, or a number of each pod.
    pub(crate) fn printed(
        &self,
        since: Option<Timestamp>,
        tail: Option<usize>,
    ) -> Merged<CliError> {
        let from = Resume::at(since).only_last(tail);
        let streams = self.pods.iter().filter(|pod| pod.has_run).map(|pod| {
            let lines = self.cluster.lines(&self.namespace, pod, &from, tail, false);
            (writer(pod, &self.pods), lines)
        });
        Merged::new(streams, &from)
    }

    /// Continues after the lines that were read.
    pub(crate) fn follow(self, read: Merged<CliError>) -> Following {
        let mut positions = read.positions();
        let mut followers = Followers::new();
        for pod in &self.pods {
            let resume = positions.remove(&pod.uid).unwrap_or_default();
            followers.add(writer(pod, &self.pods), resume);
        }
        Following::new(self, followers)
    }
}

/// Returns the writer of a pod; with its name if its service has several.
fn writer(pod: &ObservedPod, all: &[ObservedPod]) -> Writer {
    let writer = Writer::new(&pod.uid, &pod.service);
    match all.iter().filter(|other| other.service == pod.service).count() {
        0 | 1 => writer,
        _ => writer.which("pod", pod.name.as_str()),
    }
}
