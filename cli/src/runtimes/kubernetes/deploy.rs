//! `deploy`: applies manifests to a cluster that others use, too, and rolls back if the rollout fails.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use cluster::{Cluster, KubeTarget, objects::Object};
use futures_util::{FutureExt, future::FusedFuture};
use manifests::kustomize;

use super::{
    adopt::adopted,
    apply::{Applying, Progress},
    labels,
    made::SLOW,
    plan::{Step, add_steps, steps},
    retries::is_done,
    rollback::Rollback,
    rollout::Rollout,
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result},
    output::Output,
    plan::{Carrier, Deadline, Execution, Plan},
    progress::Waiting,
    signals::Signals,
};

/// How long a rollback waits until the former pods are ready again.
const BACK_WAIT_MAX: Duration = Duration::from_secs(20);

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
    plan: Plan<Step>,
    progress: Progress,
    force: bool,
    output: &'a Output,
}

/// Prints the steps of [`deploy`] with all fields.
///
/// # Errors
/// As [`deploy`], as far as they are known before.
pub(crate) async fn preview(deployment: &Deployment, output: &Output) -> Result<()> {
    let stage = Stage::set(deployment, output).await?;
    if stage.plan.is_empty() {
        output.status(format_args!("Nothing to do: {} is as the manifests say", stage.title()));
    }
    for step in stage.plan.operations() {
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
    let deadline = Deadline::new(deployment.timeout, true);
    let set = deadline.bound(Stage::set(deployment, output), SLOW);
    let stage = signals.or(set).await?;
    if stage.plan.is_empty() {
        output.status(format_args!("Nothing to do: {} is as the manifests say", stage.title()));
        return Ok(());
    }
    let rollout = stage.rollout(since, deployment.timeout);
    let execution = Execution::of(&stage.plan);
    let none = Deadline::none();
    let is_removal = |step: &Step| matches!(step, Step::Remove { .. });
    let mut applied =
        pin!(execution.run(&stage, |step| step.applies().is_some(), &none, output).fuse());
    let brought_up = async {
        applied.as_mut().await?;
        rollout.wait(&stage.wanted).await
    };
    let brought_up = deadline.bound(brought_up, SLOW);
    if let Err(error) = signals.or(brought_up).await {
        output.status(format_args!("Rolling back: {}", what_happened(&error)));
        execution.give_up();
        let roll_back = async {
            // Requests that were sent may still take effect: only their answers show what to undo.
            if !applied.is_terminated() {
                let _given_up = applied.as_mut().await;
            }
            stage.rollback().roll_back().await
        };
        // A second signal ends even the rollback.
        return match signals.or(roll_back).await {
            Ok(()) => {
                // It is what it was only when its pods are ready again.
                let again = Rollout { since: Instant::now(), wait_max: BACK_WAIT_MAX, ..rollout };
                match signals.or(again.wait(&stage.were_ready())).await {
                    Ok(()) => {
                        output.status(format_args!("{} is what it was before", stage.title()));
                    }
                    Err(unready) => output.warn(format_args!(
                        "{} has its former version again, but is not ready yet: {unready}",
                        stage.title()
                    )),
                }
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
    let removals = stage.plan.operations().filter(|step| is_removal(step));
    let applying = stage.applying();
    for removal in removals {
        applying.carry_out(removal, &stage.wanted, &stage.observed, &stage.progress).await?;
    }
    output.status(format_args!(
        "Deployed in {:.1} s: {} steps on {}",
        since.elapsed().as_secs_f64(),
        stage.plan.operations().filter(|step| **step != Step::AwaitPods).count(),
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

impl Carrier for Stage<'_> {
    type Operation = Step;

    async fn execute(&self, step: &Step, _shown: &Waiting) -> Result<()> {
        self.applying().carry_out(step, &self.wanted, &self.observed, &self.progress).await
    }

    /// The rollback is more than an undo: it also waits for the former pods.
    async fn undo(&self, _begun: Vec<&Step>) -> Result<()> {
        self.rollback().roll_back().await
    }
}

impl<'a> Stage<'a> {
    /// Observes, asks the cluster for forecasts, and plans.
    async fn set(deployment: &Deployment, output: &'a Output) -> Result<Self> {
        let cluster = Cluster::connect(&deployment.target, deployment.timeout, |why| {
            output.progress(format_args!("{why}"));
        })
        .await?;
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
            plan: Plan::default(),
            progress: Progress::default(),
            force: deployment.force,
            output,
        };
        let forecasts = stage.applying().forecasts(&stage.wanted, &stage.observed).await?;
        let steps = steps(&stage.wanted, &stage.observed, &forecasts);
        if !steps.is_empty() {
            add_steps(&mut stage.plan, steps, &stage.wanted);
        }
        Ok(stage)
    }

    /// Returns the workloads that were ready before.
    fn were_ready(&self) -> Wanted {
        let ready = self.observed.iter().filter(|object| object.kind() != "Job" && is_done(object));
        Wanted::of(ready.cloned().map(|object| (0, object)).collect())
    }

    const fn applying(&self) -> Applying<'_> {
        Applying {
            cluster: &self.cluster,
            namespace: self.namespace.as_str(),
            force: self.force,
            output: self.output,
        }
    }

    fn rollback(&self) -> Rollback<'_> {
        Rollback {
            applying: self.applying(),
            wanted: &self.wanted,
            observed: &self.observed,
            plan: &self.plan,
            progress: &self.progress,
        }
    }

    const fn rollout(&self, since: Instant, wait_max: Duration) -> Rollout<'_> {
        let Self { cluster, output, .. } = self;
        Rollout { cluster, namespace: self.namespace.as_str(), output, since, wait_max }
    }

    fn title(&self) -> String {
        format!("{} of {}", self.namespace, self.cluster.context())
    }
}
