//! Forecasts changes by dry runs, and applies a plan. Decides nothing.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cluster::{
    Cluster,
    errors::ClusterError,
    objects::{How, Id, Object},
};
use contracts::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{
    plan::{Forecast, Step},
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result},
    output::Output,
};

/// The most requests to the cluster at a time.
pub(super) const ASKED_MAX: usize = 16;
/// How long the removal of an object may take: its pods end first.
pub(super) const GOING_WAIT_MAX: Duration = Duration::from_secs(60);
/// The annotation that replaces all pods, as `kubectl rollout restart` sets it.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// The field manager of that annotation: not that of the manifests, so that applying them does not remove it.
const RESTARTER: &str = "chefcito-restart";

/// Where and how a plan is applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applying<'a> {
    /// The cluster.
    pub(super) cluster: &'a Cluster,
    /// The namespace.
    pub(super) namespace: &'a str,
    /// Whether to take over fields that other programs have set.
    pub(super) force: bool,
    /// The output of the command.
    pub(super) output: &'a Output,
}

/// The objects whose operations have begun, each with the cluster's answer.
#[derive(Debug, Default)]
pub(super) struct Progress(RefCell<BTreeMap<Id, Option<Object>>>);

impl Progress {
    fn begin(&self, object: &Object) {
        let _before = self.0.borrow_mut().insert(object.id(), None);
    }

    fn end(&self, applied: Object) {
        let _before = self.0.borrow_mut().insert(applied.id(), Some(applied));
    }

    /// Returns whether an operation on an object has begun.
    pub(super) fn has_begun(&self, id: &Id) -> bool {
        self.0.borrow().contains_key(id)
    }

    /// Returns whether an object that did not exist before is the one that an operation created: another program may have
    /// created it first, or replaced it.
    pub(super) fn has_made(&self, object: &Object) -> bool {
        match self.0.borrow().get(&object.id()) {
            Some(Some(made)) => made.is_same(object) && made.is_only_ours(),
            // The answer was lost: compare the object with the wanted one.
            Some(None) => object.is_applied_by_us(),
            None => false,
        }
    }
}

impl Applying<'_> {
    /// Returns the forecast of each object that exists. A missing object has none: it will be created.
    ///
    /// # Errors
    /// The cluster's refusal, with what the user can do about it.
    pub(super) async fn forecasts(
        &self,
        wanted: &Wanted,
        observed: &[Object],
    ) -> Result<BTreeMap<Id, Forecast>> {
        let there: BTreeSet<Id> = observed.iter().map(Object::id).collect();
        let asked = wanted.objects().filter(|object| there.contains(&object.id()));
        let how = How { dry_run: true, force: self.force };
        let answers = asked.map(async |object| {
            let forecast = match self.cluster.apply(object, self.namespace, how).await {
                Ok(becomes) => Forecast::Becomes(Box::new(without_repeats(becomes))),
                // Only a completed job is replaced.
                Err(error) if error.is_immutable() && object.kind() == "Job" => Forecast::Immutable,
                Err(error) => return Err(in_words(object, error)),
            };
            Ok((object.id(), forecast))
        });
        stream::iter(answers).buffer_unordered(ASKED_MAX).try_collect().await
    }

    /// Carries out an operation on an object.
    ///
    /// # Errors
    /// The cluster's refusal; another try continues from there.
    pub(super) async fn carry_out(
        &self,
        step: &Step,
        wanted: &Wanted,
        observed: &[Object],
        progress: &Progress,
    ) -> Result<()> {
        let find = |id: &Id| wanted.objects().find(|object| object.id() == *id);
        match step {
            Step::Create { id } | Step::Change { id, .. } | Step::Replace { id } => {
                let Some(object) = find(id) else { return Ok(()) };
                progress.begin(object);
                if matches!(step, Step::Replace { .. }) {
                    self.remove(&[object]).await?;
                }
                progress.end(self.apply(object).await?);
                Ok(())
            }
            Step::Retry { id, .. } => match find(id) {
                Some(object) => self.retry(object).await,
                None => Ok(()),
            },
            Step::Restart { id, .. } => match find(id) {
                Some(object) => self.restart(object).await,
                None => Ok(()),
            },
            Step::Remove { id } => {
                let removed: Vec<&Object> =
                    observed.iter().filter(|object| object.id() == *id).collect();
                self.remove(&removed).await
            }
            _ => Ok(()),
        }
    }

    /// Applies an object, and returns it as it is then.
    async fn apply(&self, object: &Object) -> Result<Object> {
        self.output.detail(format_args!("apply {}", object.id()));
        let how = How { dry_run: false, force: self.force };
        let applied = self.cluster.apply(object, self.namespace, how).await;
        applied.map_err(|error| in_words(object, error))
    }

    /// Replaces the pods of a workload that waiting does not help.
    async fn retry(&self, object: &Object) -> Result<()> {
        self.output.detail(format_args!("try {} again", object.id()));
        match object.kind() {
            "Job" => {
                self.remove(&[object]).await?;
                self.apply(object).await.map(drop)
            }
            "StatefulSet" => Ok(self.cluster.remove_unready_pods(object, self.namespace).await?),
            // The workload retries pods that it could not create with ever longer pauses.
            _ => self.restart(object).await,
        }
    }

    /// Replaces all pods of a workload, one after the other, as `kubectl rollout restart` does.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub(super) async fn restart(&self, object: &Object) -> Result<()> {
        let restarted = json!({"spec": {"template": {"metadata": {"annotations": {
            RESTARTED_AT: Timestamp::now().to_string(),
        }}}}});
        Ok(self.cluster.merge(object, self.namespace, &restarted, RESTARTER).await?)
    }

    /// Removes objects, and waits until they and their pods are gone.
    ///
    /// # Errors
    /// [`CliError::Failed`] if one is not gone in time.
    pub(super) async fn remove(&self, objects: &[&Object]) -> Result<()> {
        for object in objects {
            self.output.detail(format_args!("remove {}", object.id()));
        }
        let Some(left) = self.cluster.remove(objects, self.namespace, GOING_WAIT_MAX).await? else {
            return Ok(());
        };
        Err(CliError::Failed {
            what: format!(
                "{left} was not removed within {}",
                humantime::format_duration(GOING_WAIT_MAX)
            ),
            hint: format!(
                "`{} --namespace {} describe {} {}` shows the cause, a finalizer or a pod that does not end; \
                 the same command continues from here",
                self.cluster.target().kubectl(),
                self.namespace,
                left.kind.to_lowercase(),
                left.name
            ),
            source: None,
        })
    }
}

/// Drops repeated parts of a forecast: in a dry run, a server before 1.27 lists the metrics of an autoscaler twice,
/// with empty ones between them (kubernetes/kubernetes#118293).
fn without_repeats(mut becomes: Object) -> Object {
    if becomes.kind() != "HorizontalPodAutoscaler" {
        return becomes;
    }
    if let Some(metrics) = becomes.data_mut().pointer_mut("/spec/metrics") {
        let mut once: Vec<Value> = Vec::new();
        for metric in metrics.as_array_mut().map(std::mem::take).unwrap_or_default() {
            if metric["type"] != "" && !once.contains(&metric) {
                once.push(metric);
            }
        }
        *metrics = once.into();
    }
    becomes
}

/// Returns a refusal with a hint; a conflict with the other managers and their fields.
fn in_words(object: &Object, error: ClusterError) -> CliError {
    let managers = error.other_managers();
    if managers.is_empty() {
        return error.into();
    }
    let reported: Vec<String> = managers
        .iter()
        .map(|(manager, fields)| {
            let fields: Vec<&str> =
                fields.iter().map(|field| field.trim_start_matches('.')).collect();
            format!("`{manager}` has set {}", fields.join(", "))
        })
        .collect();
    CliError::Failed {
        what: format!("other programs manage fields of {}: {}", object.id(), reported.join("; ")),
        hint: "remove the fields from the manifests, or take them over with `--force-conflicts`"
            .into(),
        source: None,
    }
}
