//! Asks the cluster what would become of what is wanted, and carries a plan out. Decides nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use contracts::Timestamp;
use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use serde_json::{Value, json};

use super::{
    plan::{Forecast, Step},
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result},
    kubernetes::{
        Cluster,
        errors::ClusterError,
        objects::{How, Id, Object},
    },
    output::Output,
};

/// How many questions the cluster is asked at a time.
pub(super) const ASKED_MAX: usize = 16;
/// How long an object may take to go: its pods end first.
const GOING_WAIT_MAX: Duration = Duration::from_secs(60);
/// The annotation that makes pods anew, as `kubectl rollout restart` sets it.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
/// Who sets it: another than applies the manifests, so that applying them does not take it back.
const RESTARTER: &str = "chefcito-restart";

/// Where a plan is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applying<'a> {
    /// The cluster.
    pub(super) cluster: &'a Cluster,
    /// The namespace.
    pub(super) namespace: &'a str,
    /// Whether fields that others have set are taken over.
    pub(super) force: bool,
    /// Who is told.
    pub(super) output: &'a Output,
}

/// How far a plan has been carried out.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_given_up: Cell<bool>,
    /// What was begun, and what the cluster answered that it is then.
    begun: RefCell<BTreeMap<Id, Option<Object>>>,
}

impl Progress {
    /// Has nothing more begun.
    pub(super) fn give_up(&self) {
        self.is_given_up.set(true);
    }

    fn begin(&self, object: &Object) {
        let _before = self.begun.borrow_mut().insert(object.id(), None);
    }

    fn end(&self, applied: Object) {
        let _before = self.begun.borrow_mut().insert(applied.id(), Some(applied));
    }

    /// Returns whether anything has been done with an object.
    pub(super) fn has_begun(&self, id: &Id) -> bool {
        self.begun.borrow().contains_key(id)
    }

    /// Returns whether an object that was not there before is the one that was made: others may have been quicker, or have made
    /// another in its place.
    pub(super) fn has_made(&self, object: &Object) -> bool {
        match self.begun.borrow().get(&object.id()) {
            Some(Some(made)) => made.is_same(object) && made.is_only_ours(),
            // The answer was lost; what it would have been, the object itself tells.
            Some(None) => object.is_applied_by_us(),
            None => false,
        }
    }
}

impl Applying<'_> {
    /// Returns what would become of each object that is there already. What is not there will be made as it is wanted.
    ///
    /// # Errors
    /// What the cluster refuses, in the words of whoever has to mend it.
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
                // Only a job is worth nothing once it is done.
                Err(error) if error.is_immutable() && object.kind() == "Job" => Forecast::Immutable,
                Err(error) => return Err(in_words(object, error)),
            };
            Ok((object.id(), forecast))
        });
        stream::iter(answers).buffer_unordered(ASKED_MAX).try_collect().await
    }

    /// Makes, changes and replaces what the steps say, wave by wave. What is too much stays for [`Applying::prune`]: as long as
    /// the former pods run, they may need it.
    ///
    /// # Errors
    /// What the cluster refuses; what was done by then stays done, and another try goes on from there.
    pub(super) async fn carry_out(&self, steps: &[Step], wanted: &Wanted) -> Result<()> {
        self.carry_on(steps, wanted, &Progress::default()).await
    }

    /// Does as [`Applying::carry_out`], and notes how far it has come. Once it is given up, what has been asked of the cluster is
    /// waited for, and no more is begun.
    ///
    /// # Errors
    /// As [`Applying::carry_out`].
    pub(super) async fn carry_on(
        &self,
        steps: &[Step],
        wanted: &Wanted,
        progress: &Progress,
    ) -> Result<()> {
        let (mut touched, mut replaced) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Create { id } | Step::Change { id, .. } => touched.insert(id),
                Step::Replace { id } => touched.insert(id) && replaced.insert(id),
                Step::Push { .. }
                | Step::Load { .. }
                | Step::Remove { .. }
                | Step::Retry { .. }
                | Step::AwaitReady => false,
            };
        }
        for wave in wanted.waves() {
            let changed: Vec<&Object> = wave.filter(|one| touched.contains(&one.id())).collect();
            let applied = changed.into_iter().map(async |object| {
                if progress.is_given_up.get() {
                    return Ok(());
                }
                progress.begin(object);
                if replaced.contains(&object.id()) {
                    self.remove(&[object]).await?;
                    if progress.is_given_up.get() {
                        return Ok(());
                    }
                }
                progress.end(self.apply(object).await?);
                Ok(())
            });
            // After an error, too, it is to be known what came of the others.
            let noted =
                applied.map(async |applied| applied.await.inspect_err(|_| progress.give_up()));
            let all: Vec<Result<()>> =
                stream::iter(noted).buffer_unordered(ASKED_MAX).collect().await;
            all.into_iter().collect::<Result<()>>()?;
        }
        let retried = wanted.objects().filter(|object| {
            steps.iter().any(|step| matches!(step, Step::Retry { id, .. } if *id == object.id()))
        });
        try_join_all(retried.map(|object| self.retry(object))).await.map(drop)
    }

    /// Makes an object what it should be, and returns what it is then.
    async fn apply(&self, object: &Object) -> Result<Object> {
        self.output.detail(format_args!("apply {}", object.id()));
        let how = How { dry_run: false, force: self.force };
        let applied = self.cluster.apply(object, self.namespace, how).await;
        applied.map_err(|error| in_words(object, error))
    }

    /// Makes pods of an object anew that can't come right by waiting.
    async fn retry(&self, object: &Object) -> Result<()> {
        self.output.detail(format_args!("try {} again", object.id()));
        match object.kind() {
            "Job" => {
                self.remove(&[object]).await?;
                self.apply(object).await.map(drop)
            }
            "StatefulSet" => Ok(self.cluster.remove_unready_pods(object, self.namespace).await?),
            // Pods that it could not make it would ask for later and later.
            _ => self.restart(object).await,
        }
    }

    /// Makes all pods of an object anew, one after the other, as `kubectl rollout restart` does.
    ///
    /// # Errors
    /// What the cluster refuses.
    pub(super) async fn restart(&self, object: &Object) -> Result<()> {
        let restarted = json!({"spec": {"template": {"metadata": {"annotations": {
            RESTARTED_AT: Timestamp::now().to_string(),
        }}}}});
        Ok(self.cluster.merge(object, self.namespace, &restarted, RESTARTER).await?)
    }

    /// Removes what the steps say.
    ///
    /// # Errors
    /// What the cluster refuses; another try goes on from there.
    pub(super) async fn prune(&self, steps: &[Step], observed: &[Object]) -> Result<()> {
        let removed = |object: &&Object| {
            steps.iter().any(|step| matches!(step, Step::Remove { id } if *id == object.id()))
        };
        self.remove(&observed.iter().filter(removed).collect::<Vec<_>>()).await
    }

    /// Removes objects, and waits until they are gone with their pods.
    ///
    /// # Errors
    /// [`CliError::Failed`] if one does not go.
    pub(super) async fn remove(&self, objects: &[&Object]) -> Result<()> {
        for object in objects {
            self.output.detail(format_args!("remove {}", object.id()));
        }
        let Some(left) = self.cluster.remove(objects, self.namespace, GOING_WAIT_MAX).await? else {
            return Ok(());
        };
        Err(CliError::Failed {
            what: format!(
                "{left} did not go within {}",
                humantime::format_duration(GOING_WAIT_MAX)
            ),
            hint: format!(
                "`kubectl{} describe {} {}` tells what holds it, a finalizer or a pod that does not end; \
                 the same again goes on from here",
                self.cluster.target().kubectl_flags(),
                left.kind.to_lowercase(),
                left.name
            ),
            source: None,
        })
    }
}

/// Returns what would become of an object, told once: in a dry run, and only there, a server before 1.27 has the metrics of an
/// autoscaler twice, with empty ones between them (kubernetes/kubernetes#118293).
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

/// Returns a refusal in the words of whoever has to mend it; a conflict with who else has set which fields.
fn in_words(object: &Object, error: ClusterError) -> CliError {
    let managers = error.other_managers();
    if managers.is_empty() {
        return error.into();
    }
    let told: Vec<String> = managers
        .iter()
        .map(|(manager, fields)| {
            let fields: Vec<&str> =
                fields.iter().map(|field| field.trim_start_matches('.')).collect();
            format!("`{manager}` has set {}", fields.join(", "))
        })
        .collect();
    CliError::Failed {
        what: format!("{} is also looked after by others: {}", object.id(), told.join("; ")),
        hint: "leave it to them by taking the field out of the manifests, or take it over with `--force-conflicts`".into(),
        source: None,
    }
}
