//! `deploy`: applies manifests to a cluster that others use, too, and rolls back if the rollout fails.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::FusedFuture};

use super::{
    adopt::adopted,
    apply::{Applying, Progress},
    labels,
    plan::{Step, plan},
    rollback::Rollback,
    rollout::Rollout,
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result},
    kubernetes::{Cluster, KubeTarget, objects::Object},
    kustomize,
    output::Output,
    signals::Signals,
};

/// A deployment: what, and where.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// The target cluster.
    pub(crate) target: KubeTarget,
    /// The objects of the manifests.
    pub(crate) objects: Vec<kustomize::Object>,
    /// Whether to take over fields that other programs have set.
    pub(crate) force: bool,
    /// The time-out of the rollout.
    pub(crate) timeout: Duration,
}

/// A deployment on its cluster: what is observed and wanted, and the steps between.
struct Stage<'a> {
    cluster: Cluster,
    namespace: String,
    wanted: Wanted,
    observed: Vec<Object>,
    steps: Vec<Step>,
    force: bool,
    output: &'a Output,
}

/// Prints the steps of [`deploy`] with all fields.
///
/// # Errors
/// As [`deploy`], as far as they are known before.
pub(crate) async fn preview(deployment: &Deployment, output: &Output) -> Result<()> {
    let stage = Stage::set(deployment, output).await?;
    if stage.steps.is_empty() {
        output.status(format_args!("Nothing to do: {} is as the manifests say", stage.title()));
    }
    for step in &stage.steps {
        match step {
            Step::Change { id, changes } => {
                output.data(format_args!("change {id}"))?;
                changes.iter().try_for_each(|change| output.data(format_args!("    {change}")))?;
            }
            step => output.data(step)?,
        }
    }
    Ok(())
}

/// Applies differences, waits for the rollout, and removes surplus objects. A failed rollout or a signal rolls
/// everything back.
///
/// # Errors
/// The cluster's refusal; [`CliError::Rollout`] or [`CliError::NotReady`] if the rollout failed.
pub(crate) async fn deploy(
    deployment: &Deployment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let since = Instant::now();
    let stage = signals.or(Stage::set(deployment, output)).await?;
    if stage.steps.is_empty() {
        output.status(format_args!("Nothing to do: {} is as the manifests say", stage.title()));
        return Ok(());
    }
    let rollout = Rollout {
        cluster: &stage.cluster,
        namespace: &stage.namespace,
        output,
        since,
        wait_max: deployment.timeout,
    };
    let applying = stage.applying();
    let progress = Progress::default();
    let mut applied = pin!(applying.carry_on(&stage.steps, &stage.wanted, &progress).fuse());
    let brought_up = async {
        applied.as_mut().await?;
        rollout.wait(&stage.wanted).await
    };
    if let Err(error) = signals.or(brought_up).await {
        output.status(format_args!("Rolling back: {}", what_happened(&error)));
        progress.give_up();
        let roll_back = async {
            // Requests that were sent may still take effect: only their answers show what to undo.
            if !applied.is_terminated() {
                let _given_up = applied.as_mut().await;
            }
            stage.rollback(&progress).roll_back().await
        };
        // A second signal ends even the rollback.
        return match signals.or(roll_back).await {
            Ok(()) => {
                output.status(format_args!("{} is what it was before", stage.title()));
                Err(error)
            }
            Err(failed) => {
                output.error(&error);
                Err(CliError::Failed {
                    what: format!("{} could not be rolled back", stage.title()),
                    hint: "deploy the former version again; `--dry-run` shows what differs from it"
                        .into(),
                    source: Some(Box::new(failed)),
                })
            }
        };
    }
    applying.prune(&stage.steps, &stage.observed).await?;
    output.status(format_args!(
        "Deployed in {:.1} s: {} steps on {}",
        since.elapsed().as_secs_f64(),
        stage.steps.iter().filter(|step| **step != Step::AwaitReady).count(),
        stage.title()
    ));
    Ok(())
}

fn what_happened(error: &CliError) -> String {
    match error {
        CliError::Rollout(failed) => format!("{} did not come up", failed.workload),
        error => error.to_string(),
    }
}

impl<'a> Stage<'a> {
    /// Observes, asks the cluster for forecasts, and plans.
    async fn set(deployment: &Deployment, output: &'a Output) -> Result<Self> {
        let cluster = Cluster::connect(&deployment.target).await?;
        let namespace = deployment.objects.iter().map(kustomize::Object::namespace);
        let Some(namespace) = namespace.clone().find(|name| !name.is_empty()) else {
            return Err(CliError::failed("the manifests name no namespace"));
        };
        let namespace = namespace.to_owned();
        let mut objects = Vec::new();
        for object in &deployment.objects {
            let rank = object.rank();
            let mut object =
                Object::from_value(object.value().clone()).map_err(CliError::failed)?;
            object.set_label(labels::ENVIRONMENT, &namespace);
            objects.push((rank, object));
        }
        let mut wanted = Wanted::of(objects);
        let selector = labels::of_environment(&namespace);
        let mut observed = cluster.labelled(&namespace, &selector, wanted.objects()).await?;
        observed.extend(adopted(&cluster, &namespace, &wanted, &observed).await?);
        match cluster.namespace(&namespace).await {
            Ok(Some(found)) if found.label(labels::ENVIRONMENT).is_some() => observed.push(found),
            Ok(None) => {}
            // The namespace is not ours, or we may not read it: use it and leave it as it is.
            Ok(Some(_)) => wanted.retain(|object| !object.is_of_cluster()),
            Err(error) if error.is_forbidden() => wanted.retain(|object| !object.is_of_cluster()),
            Err(error) => return Err(error.into()),
        }
        let mut stage = Self {
            cluster,
            namespace,
            wanted,
            observed,
            steps: Vec::new(),
            force: deployment.force,
            output,
        };
        let forecasts = stage.applying().forecasts(&stage.wanted, &stage.observed).await?;
        stage.steps = plan(&stage.wanted, &stage.observed, &forecasts);
        Ok(stage)
    }

    const fn applying(&self) -> Applying<'_> {
        Applying {
            cluster: &self.cluster,
            namespace: self.namespace.as_str(),
            force: self.force,
            output: self.output,
        }
    }

    fn rollback<'p>(&'p self, progress: &'p Progress) -> Rollback<'p> {
        Rollback {
            applying: self.applying(),
            wanted: &self.wanted,
            observed: &self.observed,
            steps: &self.steps,
            progress,
        }
    }

    fn title(&self) -> String {
        format!("{} of {}", self.namespace, self.cluster.context())
    }
}
