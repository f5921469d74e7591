//! Waits until what was applied runs, and gives up at once where waiting will not help.

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

/// How long what looks bad may last: a node that has just come takes no pods yet, and a cluster may grow.
const STUCK_FOR_MAX: Duration = Duration::from_secs(20);
/// How often it is told, off a terminal, what is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often it is asked what pods lack that are not made yet.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How many of a pod's warnings are told.
const WARNINGS_MAX: usize = 5;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Rollout<'a> {
    /// The cluster.
    pub(super) cluster: &'a Cluster,
    /// The namespace.
    pub(super) namespace: &'a str,
    /// Who is told.
    pub(super) output: &'a Output,
    /// Since when it is waited for.
    pub(super) since: Instant,
    /// How long it may take from then on.
    pub(super) wait_max: Duration,
}

impl Rollout<'_> {
    /// Waits until each workload is what it should be.
    ///
    /// # Errors
    /// [`CliError::Rollout`] with the pod's last lines and what the cluster noted, where it can't come right;
    /// [`CliError::NotReady`] if it takes too long.
    pub(super) async fn wait(&self, wanted: &Wanted) -> Result<()> {
        let deadline = self.since + self.wait_max;
        let shown = Waiting::new(self.output, "Waiting until every pod is ready");
        let mut tell = interval_at(tokio::time::Instant::now() + TELL_EVERY, TELL_EVERY);
        let mut watch = Watch::begin(self.cluster, self.namespace).await?;
        let mut stuck = Stuck::default();
        let mut done = BTreeSet::new();
        let (mut asked, mut lacking) = (Instant::now(), BTreeMap::new());
        loop {
            let mut verdicts = judge(wanted, watch.workloads());
            let unmade = mounts::unmade(watch.workloads());
            if !unmade.is_empty() && asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                // Whoever may not see events waits for this as for anything else.
                lacking = self.cluster.unmounted(self.namespace).await.unwrap_or_default();
            }
            mounts::blame(&mut verdicts, &unmade, &lacking);
            if let Some((id, trouble)) = stuck.worst(&verdicts, Instant::now()) {
                return Err(self.failed(id, trouble).await);
            }
            for (id, _) in verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Done) {
                if done.insert(id.clone()) {
                    let after = self.since.elapsed().as_secs_f64();
                    self.output.detail(format_args!("{id} is ready after {after:.1} s"));
                }
            }
            let last = told(&verdicts);
            if last.is_empty() {
                return Ok(());
            }
            shown.say(format_args!("Waiting for {last}"));
            tokio::select! {
                changed = watch.changed() => changed?,
                // What is stuck need not change to be stuck for too long.
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = tell.tick() => {
                    if self.output.bars().is_none() {
                        self.output.status(format_args!("Still waiting: {last}"));
                    }
                }
                () = sleep_until(deadline.into()) => return Err(self.late(&verdicts, last).await),
            }
        }
    }

    /// Returns what took too long: of what is stuck the trouble is told, of the rest how far it is.
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
            // What can't be told is left out: the trouble itself is told anyway.
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

/// Since when what looks bad has looked so.
#[derive(Debug, Default)]
struct Stuck(BTreeMap<Id, Instant>);

impl Stuck {
    /// Returns what can't come right, or has looked bad for too long.
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

/// Returns how far each workload is.
pub(super) fn judge(wanted: &Wanted, workloads: &Workloads) -> BTreeMap<Id, Verdict> {
    let pods = workloads.pods();
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    let sets = workloads.replica_sets();
    let not_there = || Verdict::NotYet("it is not there yet".into());
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

/// Returns what is not done, in words; nothing if all is.
fn told(verdicts: &BTreeMap<Id, Verdict>) -> String {
    let open = verdicts.iter().filter_map(|(id, verdict)| match verdict {
        Verdict::Done => None,
        Verdict::NotYet(why) => Some(format!("{id} ({why})")),
        Verdict::Stuck(trouble) | Verdict::Hopeless(trouble) => {
            Some(format!("{id} ({})", trouble.reason))
        }
    });
    open.collect::<Vec<_>>().join(", ")
}
