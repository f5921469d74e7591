//! Waits for the rollout of what was applied, and ends at once if waiting does not help.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cluster::{
    Cluster,
    logs::Asked,
    objects::Id,
    workloads::{Watch, Workloads},
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
    output::Output,
    progress::Waiting,
    state::LAST_LINES_MAX,
};

/// How long a problem may last that can pass: a new node takes no pods at first.
const STUCK_FOR_MAX: Duration = Duration::from_secs(20);
/// How long a pod may wait for room on a node without any progress of workloads that are not done: the old pods of a
/// rolling update make room one after the other, each when a new one is ready.
const NO_PROGRESS_FOR_MAX: Duration = Duration::from_secs(60);
/// How often the state is printed off a terminal.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How often the events of pods without containers are read.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// The most workloads that a line of progress names.
const NAMED_MAX: usize = 3;
/// The most warnings of a pod that are printed.
const WARNINGS_MAX: usize = 5;

/// A rollout to wait for.
#[derive(Clone, Copy, Debug)]
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
        let mut stuck = Stuck::new(Instant::now());
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
                if !self.is_growing_for(trouble).await {
                    return Err(self.failed(id, trouble).await);
                }
                stuck.progress = Instant::now();
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
                        self.output.progress(format_args!("Still waiting: {last}"));
                    }
                }
                () = sleep_until(deadline.into()) => return Err(self.late(&verdicts, last).await),
            }
        }
    }

    /// Returns whether the cluster is making a node for a pod. Without permission to read events, it is not.
    async fn is_growing_for(&self, trouble: &Trouble) -> bool {
        match &trouble.pod {
            Some(pod) if trouble.lacks_room => {
                self.cluster.is_growing_for(self.namespace, pod).await.unwrap_or(false)
            }
            _ => false,
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
        let kubectl = self.cluster.target().kubectl();
        CliError::Rollout(Box::new(RolloutFailed {
            workload: id.to_string(),
            pod: trouble.pod.clone(),
            reason: trouble.reason.clone(),
            events: events.split_off(first),
            last_lines,
            hint: trouble
                .hint
                .replace("`kubectl ", &format!("`{kubectl} --namespace {} ", self.namespace)),
        }))
    }
}

/// Since when each problem has lasted, and when a verdict has last changed.
#[derive(Debug)]
struct Stuck {
    since: BTreeMap<Id, Instant>,
    last: BTreeMap<Id, Verdict>,
    progress: Instant,
}

impl Stuck {
    const fn new(now: Instant) -> Self {
        Self { since: BTreeMap::new(), last: BTreeMap::new(), progress: now }
    }

    /// Returns the problem that waiting does not help, or that has lasted too long.
    fn worst<'v>(
        &mut self,
        verdicts: &'v BTreeMap<Id, Verdict>,
        now: Instant,
    ) -> Option<(&'v Id, &'v Trouble)> {
        if self.last != *verdicts {
            self.last.clone_from(verdicts);
            self.progress = now;
        }
        let is_under_way = verdicts.values().any(|verdict| matches!(verdict, Verdict::NotYet(_)));
        self.since.retain(|id, _| matches!(verdicts.get(id), Some(Verdict::Stuck(_))));
        for (id, verdict) in verdicts {
            match verdict {
                Verdict::Hopeless(trouble) => return Some((id, trouble)),
                Verdict::Stuck(trouble) => {
                    let since = *self.since.entry(id.clone()).or_insert(now);
                    let (since, limit) = match (trouble.lacks_room, is_under_way) {
                        (false, _) => (since, STUCK_FOR_MAX),
                        (true, false) => (since.max(self.progress), STUCK_FOR_MAX),
                        (true, true) => (since.max(self.progress), NO_PROGRESS_FOR_MAX),
                    };
                    if now.duration_since(since) >= limit {
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

/// Returns the workloads that are not done, for people: those with a problem first, and no more than a line takes; empty if
/// all are done.
fn reported(verdicts: &BTreeMap<Id, Verdict>) -> String {
    let (mut failing, mut open) = (Vec::new(), Vec::new());
    for (id, verdict) in verdicts {
        match verdict {
            Verdict::Done => {}
            Verdict::NotYet(why) => open.push(format!("{id} ({why})")),
            Verdict::Stuck(trouble) | Verdict::Hopeless(trouble) => {
                failing.push(format!("{id} ({})", trouble.reason));
            }
        }
    }
    failing.append(&mut open);
    let more = failing.len().saturating_sub(NAMED_MAX);
    failing.truncate(NAMED_MAX);
    match more {
        0 => failing.join(", "),
        more => format!("{}, and {more} more", failing.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use contracts::services::{BOARD, KITCHEN};

    use super::*;

    fn id(name: &str) -> Id {
        Id { kind: "Deployment".into(), name: name.into() }
    }

    fn stuck(lacks_room: bool) -> Verdict {
        let (pod, reason) = (Some("board-1".to_owned()), "no room".to_owned());
        let (container, has_ended, hint) = (None, false, "");
        Verdict::Stuck(Trouble { pod, container, has_ended, reason, lacks_room, hint })
    }

    /// Returns after how many seconds a rollout with a stuck board fails; each second the kitchen has the next verdict.
    fn fails_after(board: &Verdict, kitchen: impl Fn(u64) -> Verdict) -> Option<u64> {
        let began = Instant::now();
        let mut stuck = Stuck::new(began);
        (0..300).find(|second| {
            let verdicts = [(id(BOARD), board.clone()), (id(KITCHEN), kitchen(*second))].into();
            stuck.worst(&verdicts, began + Duration::from_secs(*second)).is_some()
        })
    }

    #[test]
    fn a_line_of_progress_names_problems_first_and_only_a_few_workloads() {
        let not_yet = || Verdict::NotYet("0 of 1 pods are ready".into());
        let mut verdicts: BTreeMap<Id, Verdict> =
            (1..=8).map(|number| (id(&format!("part-{number}")), not_yet())).collect();
        verdicts.insert(id("part-8"), stuck(true));
        verdicts.insert(id("part-7"), Verdict::Done);
        assert_eq!(
            reported(&verdicts),
            "deployment/part-8 (no room), deployment/part-1 (0 of 1 pods are ready), \
             deployment/part-2 (0 of 1 pods are ready), and 4 more"
        );
        verdicts.values_mut().for_each(|verdict| *verdict = Verdict::Done);
        assert_eq!(reported(&verdicts), "");
    }

    #[test]
    fn a_pod_waits_for_room_while_others_make_progress() {
        let ready = |pods: u64| Verdict::NotYet(format!("{pods} of 9 pods are ready"));
        assert_eq!(fails_after(&stuck(true), |_| Verdict::Done), Some(20));
        assert_eq!(fails_after(&stuck(true), |_| ready(1)), Some(60));
        // Each pod takes longer to become ready than a problem may last.
        let slow = |second: u64| if second < 270 { ready(second / 30) } else { Verdict::Done };
        assert_eq!(fails_after(&stuck(true), slow), Some(290));
        assert_eq!(fails_after(&stuck(false), slow), Some(20), "that is another problem");
    }
}
