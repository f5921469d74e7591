//! Waits for the rollout of what was applied, and ends at once if waiting does not help.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use tokio::time::{interval_at, sleep_until};

use super::{
    mounts,
    verdict::{self, Trouble, Verdict, is_owned},
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result, RolloutFailed},
    kubernetes::{
        Cluster,
        logs::Asked,
        objects::Id,
        workloads::{Watch, Workloads},
    },
    output::Output,
    progress::Waiting,
    state::LAST_LINES_MAX,
};

/// How long a problem may last that can pass: a new node takes no pods at first, and a cluster may grow.
const STUCK_FOR_MAX: Duration = Duration::from_secs(20);
/// How often the state is printed off a terminal.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How often the events of pods without containers are read.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// The most warnings of a pod that are printed.
const WARNINGS_MAX: usize = 5;

/// A rollout to wait for.
#[derive(Debug)]
pub(super) struct Rollout<'a> {
    /// The cluster.
    pub(super) cluster: &'a Cluster,
    /// The namespace.
    pub(super) namespace: &'a str,
    /// The output of the command.
    pub(super) output: &'a Output,
    /// When the rollout began.
    pub(super) since: Instant,
    /// The time-out from then on.
    pub(super) wait_max: Duration,
}

impl Rollout<'_> {
    /// Waits until each workload is rolled out.
    ///
    /// # Errors
    /// [`CliError::Rollout`] with the pod's last lines and the cluster's events if waiting does not help;
    /// [`CliError::NotReady`] after the time-out.
    pub(super) async fn wait(&self, wanted: &Wanted) -> Result<()> {
        let deadline = self.since + self.wait_max;
        let shown = Waiting::new(self.output, "Waiting until every pod is ready");
        let mut report = interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
        let mut watch = Watch::begin(self.cluster, self.namespace).await?;
        let mut stuck = Stuck::default();
        let mut done = BTreeSet::new();
        let (mut asked, mut lacking) = (Instant::now(), BTreeMap::new());
        loop {
            let mut verdicts = judge(wanted, watch.workloads());
            let creating = mounts::creating(watch.workloads());
            if !creating.is_empty() && asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                // Without permission to read events, wait as for anything else.
                lacking = self.cluster.unmounted(self.namespace).await.unwrap_or_default();
            }
            mounts::blame(&mut verdicts, &creating, &lacking);
            if let Some((id, trouble)) = stuck.worst(&verdicts, Instant::now()) {
                return Err(self.failed(id, trouble).await);
            }
            for (id, _) in verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Done) {
                if done.insert(id.clone()) {
                    let after = self.since.elapsed().as_secs_f64();
                    self.output.detail(format_args!("{id} is ready after {after:.1} s"));
                }
            }
            let last = reported(&verdicts);
            if last.is_empty() {
                return Ok(());
            }
            shown.say(format_args!("Waiting for {last}"));
            tokio::select! {
                changed = watch.changed() => changed?,
                // A problem may last too long without any change.
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = report.tick() => {
                    if self.output.bars().is_none() {
                        self.output.status(format_args!("Still waiting: {last}"));
                    }
                }
                () = sleep_until(deadline.into()) => return Err(self.late(&verdicts, last).await),
            }
        }
    }

    /// Returns the error after the time-out: the problems of stuck workloads, and the progress of the others.
    async fn late(&self, verdicts: &BTreeMap<Id, Verdict>, last: String) -> CliError {
        let stuck = verdicts.iter().find_map(|(id, verdict)| match verdict {
            Verdict::Stuck(trouble) => Some((id, trouble)),
            _ => None,
        });
        match stuck {
            Some((id, trouble)) => self.failed(id, trouble).await,
            None => CliError::NotReady { waited: self.wait_max, reason: last },
        }
    }

    async fn failed(&self, id: &Id, trouble: &Trouble) -> CliError {
        let (mut last_lines, mut events) = (Vec::new(), Vec::new());
        if let Some(pod) = &trouble.pod {
            let asked = Asked {
                container: trouble.container.clone(),
                tail: Some(LAST_LINES_MAX),
                previous: trouble.has_ended,
                ..Asked::default()
            };
            // Parts that can't be read are omitted: the problem itself is in the error.
            last_lines =
                self.cluster.last_lines(self.namespace, pod, asked).await.unwrap_or_default();
            events = self.cluster.warnings(self.namespace, "Pod", pod).await.unwrap_or_default();
        } else {
            events =
                self.cluster.warnings(self.namespace, &id.kind, &id.name).await.unwrap_or(events);
        }
        let first = events.len().saturating_sub(WARNINGS_MAX);
        CliError::Rollout(Box::new(RolloutFailed {
            workload: id.to_string(),
            pod: trouble.pod.clone(),
            reason: trouble.reason.clone(),
            events: events.split_off(first),
            last_lines,
            hint: trouble.hint,
        }))
    }
}

/// Since when each problem has lasted.
#[derive(Debug, Default)]
struct Stuck(BTreeMap<Id, Instant>);

impl Stuck {
    /// Returns the problem that waiting does not help, or that has lasted too long.
    fn worst<'v>(
        &mut self,
        verdicts: &'v BTreeMap<Id, Verdict>,
        now: Instant,
    ) -> Option<(&'v Id, &'v Trouble)> {
        self.0.retain(|id, _| matches!(verdicts.get(id), Some(Verdict::Stuck(_))));
        for (id, verdict) in verdicts {
            match verdict {
                Verdict::Hopeless(trouble) => return Some((id, trouble)),
                Verdict::Stuck(trouble) => {
                    let since = *self.0.entry(id.clone()).or_insert(now);
                    if now.duration_since(since) >= STUCK_FOR_MAX {
                        return Some((id, trouble));
                    }
                }
                Verdict::Done | Verdict::NotYet(_) => {}
            }
        }
        None
    }
}

/// Returns the verdict on each workload.
pub(super) fn judge(wanted: &Wanted, workloads: &Workloads) -> BTreeMap<Id, Verdict> {
    let pods = workloads.pods();
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    let sets = workloads.replica_sets();
    let not_there = || Verdict::NotYet("it does not exist yet".into());
    let verdicts = wanted.workloads().map(|object| {
        let name = object.name();
        let verdict = match object.kind() {
            "Deployment" => workloads.deployment(name).map_or_else(not_there, |it| {
                let own: Vec<&ReplicaSet> = sets
                    .iter()
                    .map(AsRef::as_ref)
                    .filter(|set: &&ReplicaSet| is_owned(&set.metadata, &it.metadata))
                    .collect();
                verdict::of_deployment(&it, &own, &pods)
            }),
            "StatefulSet" => workloads
                .stateful_set(name)
                .map_or_else(not_there, |it| verdict::of_stateful_set(&it, &pods)),
            _ => workloads.job(name).map_or_else(not_there, |it| verdict::of_job(&it, &pods)),
        };
        (object.id(), verdict)
    });
    verdicts.collect()
}

/// Returns the workloads that are not done, for people; empty if all are.
fn reported(verdicts: &BTreeMap<Id, Verdict>) -> String {
    let open = verdicts.iter().filter_map(|(id, verdict)| match verdict {
        Verdict::Done => None,
        Verdict::NotYet(why) => Some(format!("{id} ({why})")),
        Verdict::Stuck(trouble) | Verdict::Hopeless(trouble) => {
            Some(format!("{id} ({})", trouble.reason))
        }
    });
    open.collect::<Vec<_>>().join(", ")
}
