//! New lines of all pods as they are printed: across restarts, log rotations, replaced pods, new replicas, and a
//! cluster that is away for a while; each line once.

use std::{
    collections::{BTreeSet, HashMap},
    iter,
    time::{Duration, Instant},
};

use cluster::{
    Cluster,
    pods::{ObservedPod, PodWatch},
};
use logs::{
    files::Line,
    streams::{FollowEvent, Followers},
};

use super::{PodLogs, writer};
use crate::{
    error::{CliError, Result},
    runtimes::kubernetes::labels,
    state::Environment,
};

/// How long a cluster may be away.
const CLUSTER_WAIT_MAX: Duration = Duration::from_secs(60);
/// The pause before a stream that ended is opened again; doubled each time it ends at once.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The longest pause.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(5);
/// How often the existence of an environment without pods is checked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Follows all pods of an environment.
#[derive(Debug)]
pub(crate) struct Following {
    cluster: Cluster,
    namespace: String,
    environment: Environment,
    services: BTreeSet<String>,
    watch: PodWatch,
    followers: Followers<CliError>,
    /// The last attempt to follow each pod, by its uid.
    attempts: HashMap<String, Attempt>,
    /// When the cluster stopped answering.
    away_since: Option<Instant>,
    /// When the existence of the environment was last checked.
    looked_at: Instant,
}

/// An attempt to follow a pod.
#[derive(Debug)]
struct Attempt {
    begun_at: Instant,
    /// How often the pod's container had restarted.
    restarts: i64,
    /// Whether the container had ended by then, so that the end of the stream is that of its log.
    was_at_rest: bool,
    broke: bool,
    /// The time of the next attempt, and the pause before it.
    next_at: Instant,
    pause: Duration,
}

impl Attempt {
    /// Returns whether to open the stream of a pod again.
    fn is_due(&self, pod: &ObservedPod, now: Instant) -> bool {
        let has_more = !(self.was_at_rest && pod.is_at_rest) || self.broke;
        pod.restarts > self.restarts || (has_more && now >= self.next_at)
    }

    fn ended(&mut self, broke: bool, now: Instant) {
        let lasted = now.duration_since(self.begun_at) > AGAIN_AFTER_MAX;
        self.pause = if lasted { AGAIN_AFTER } else { (self.pause * 2).min(AGAIN_AFTER_MAX) };
        self.broke = broke;
        self.next_at = now + self.pause;
    }
}

impl Following {
    pub(super) fn new(logs: PodLogs, followers: Followers<CliError>) -> Self {
        let PodLogs { cluster, namespace, environment, services, watch, .. } = logs;
        let mut following = Self {
            cluster,
            namespace,
            environment,
            services,
            watch,
            followers,
            attempts: HashMap::new(),
            away_since: None,
            looked_at: Instant::now(),
        };
        following.look();
        following
    }

    /// Returns the next lines that were held back long enough; waits for some.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] when the environment no longer exists; the cluster's error.
    pub(crate) async fn next_lines(&mut self) -> Result<Vec<Line>> {
        loop {
            tokio::select! {
                heard = self.followers.next() => match heard {
                    FollowEvent::Lines(lines) => return Ok(lines),
                    FollowEvent::End(uid, end) => self.ended(&uid, end)?,
                    FollowEvent::Nothing => self.look(),
                },
                changed = self.watch.changed() => {
                    changed?;
                    self.away_since = None;
                    self.look();
                }
            }
            if self.followers.has_no_stream() && self.looked_at.elapsed() >= LOOK_EVERY {
                self.looked_at = Instant::now();
                self.check_that_it_is_there().await?;
            }
        }
    }

    /// Returns all lines that are still held back.
    pub(crate) fn rest(&mut self) -> Vec<Line> {
        self.followers.rest()
    }

    fn ended(&mut self, uid: &str, end: Result<()>) -> Result<()> {
        let now = Instant::now();
        if let Some(attempt) = self.attempts.get_mut(uid) {
            attempt.ended(end.is_err(), now);
        }
        match end {
            Ok(()) => self.away_since = None,
            Err(CliError::Cluster(error)) if error.is_forbidden() => return Err(error.into()),
            Err(CliError::Cluster(error)) if error.is_gone() => {
                let since = *self.away_since.get_or_insert(now);
                if now.duration_since(since) >= CLUSTER_WAIT_MAX {
                    return Err(error.into());
                }
            }
            // A node may be away, and its pods come back there or elsewhere.
            Err(_) => {}
        }
        Ok(())
    }

    /// Begins to listen to each pod with unread lines, and drops removed pods. A new pod is added before it runs, since its first
    /// lines are older than the report that it does.
    fn look(&mut self) {
        let now = Instant::now();
        let pods = self.watch.pods();
        for pod in &pods {
            if !self.shows(pod) {
                continue;
            }
            // Its service may have several pods now.
            self.followers.add_or_update(writer(pod, &pods));
            let last = self.attempts.get(&pod.uid);
            if !pod.has_run
                || self.followers.is_listening(&pod.uid)
                || last.is_some_and(|last| !last.is_due(pod, now))
            {
                continue;
            }
            let pause = last.map_or(AGAIN_AFTER, |last| last.pause);
            let attempt = Attempt {
                begun_at: now,
                restarts: pod.restarts,
                was_at_rest: pod.is_at_rest,
                broke: false,
                next_at: now,
                pause,
            };
            self.attempts.insert(pod.uid.clone(), attempt);
            let (cluster, namespace) = (&self.cluster, &self.namespace);
            self.followers.listen(&pod.uid, |from| cluster.lines(namespace, pod, from, None, true));
        }
        let is_there = |uid: &str| pods.iter().any(|pod| pod.uid == uid);
        // The last lines of a removed pod may still be on their way.
        self.attempts.retain(|uid, _| self.followers.is_listening(uid) || is_there(uid));
        self.followers.retain(is_there);
    }

    fn shows(&self, pod: &ObservedPod) -> bool {
        self.services.is_empty() || self.services.contains(&pod.service)
    }

    /// Checks that the environment still exists: a stopped one has no pods, but may be started again.
    async fn check_that_it_is_there(&self) -> Result<()> {
        if !self.watch.pods().is_empty() {
            return Ok(());
        }
        let gone = || CliError::NotRunning { name: self.environment.name().clone() };
        if self.environment.cluster()?.is_none() {
            return Err(gone());
        }
        let selector = labels::of_environment(&self.environment.name().to_string());
        match self.cluster.labelled(&self.namespace, &selector, iter::empty()).await {
            Ok(found) if found.iter().any(|object| object.kind() == "Deployment") => Ok(()),
            Ok(_) => Err(gone()),
            // It may come back.
            Err(error) if error.is_gone() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(restarts: i64, is_at_rest: bool) -> ObservedPod {
        ObservedPod { restarts, is_at_rest, ..ObservedPod::default() }
    }

    fn attempt(pod: &ObservedPod, now: Instant) -> Attempt {
        Attempt {
            begun_at: now,
            restarts: pod.restarts,
            was_at_rest: pod.is_at_rest,
            broke: false,
            next_at: now,
            pause: AGAIN_AFTER,
        }
    }

    #[test]
    fn a_pod_is_listened_to_until_all_is_heard_that_it_will_say() {
        let now = Instant::now();
        let (runs, rests) = (pod(0, false), pod(0, true));
        let mut heard = attempt(&runs, now);
        heard.ended(false, now);
        assert!(!heard.is_due(&runs, now), "not at once");
        let later = now + AGAIN_AFTER_MAX;
        assert!(heard.is_due(&runs, later), "its log may have been rotated");
        assert!(heard.is_due(&rests, later), "the end of the stream may not have been its own");

        let mut last_words = attempt(&rests, now);
        last_words.ended(false, now);
        assert!(!last_words.is_due(&rests, later));
        assert!(last_words.is_due(&pod(1, true), now), "it was started again");
        assert!(last_words.is_due(&runs, later));
        last_words.ended(true, now);
        assert!(last_words.is_due(&rests, later), "they were cut off");
    }

    #[test]
    fn a_pod_that_ends_at_once_is_retried_less_and_less_often() {
        let now = Instant::now();
        let mut attempt = attempt(&pod(0, false), now);
        (0..10).for_each(|_| attempt.ended(true, now));
        assert_eq!(attempt.pause, AGAIN_AFTER_MAX);
        attempt.ended(true, now + AGAIN_AFTER_MAX * 2);
        assert_eq!(attempt.pause, AGAIN_AFTER);
    }
}
