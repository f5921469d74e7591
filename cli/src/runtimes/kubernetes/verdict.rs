//! Verdicts on the rollout of workloads, by the rules of `kubectl rollout status`, and whether waiting helps: plain
//! functions.
//!
//! The rules: <https://github.com/kubernetes/kubectl/blob/master/pkg/polymorphichelpers/rollout_status.go>

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, StatefulSet},
        batch::v1::Job,
        core::v1::{ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// The taint of a node that is not ready for pods.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// A container that exited this often will not start by waiting.
const ENDS_MAX: i32 = 3;
/// A job that failed this often will not complete by waiting.
const FAILURES_MAX: i32 = 2;
/// The label of a replica set's own pods.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// The verdict on a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its rollout is done.
    Done,
    /// Not done, with the reason.
    NotYet(String),
    /// Not done, because of a problem that may pass.
    Stuck(Trouble),
    /// Waiting does not help.
    Hopeless(Trouble),
}

/// A problem of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The pod that has it, if one does.
    pub(super) pod: Option<String>,
    /// The container in it.
    pub(super) container: Option<String>,
    /// Whether it exited, so that its last lines matter.
    pub(super) has_ended: bool,
    /// The cause.
    pub(super) reason: String,
    /// Whether no node has room for the pod: one gets some when another pod ends, or the cluster may grow.
    pub(super) lacks_room: bool,
    /// What to try.
    pub(super) hint: &'static str,
}

impl Trouble {
    fn of_workload(reason: String, hint: &'static str) -> Self {
        Self { pod: None, container: None, has_ended: false, reason, lacks_room: false, hint }
    }
}

/// Judges a Deployment.
pub(super) fn of_deployment(it: &Deployment, sets: &[&ReplicaSet], pods: &[&Pod]) -> Verdict {
    let status = it.status.clone().unwrap_or_default();
    if it.metadata.generation > status.observed_generation {
        return Verdict::NotYet("the cluster has not seen the change yet".into());
    }
    let conditions = status.conditions.unwrap_or_default();
    if let Some(failure) =
        conditions.iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True")
    {
        let message = failure.message.clone().unwrap_or_default();
        let trouble = Trouble::of_workload(
            format!("its pods can't be created: {message}"),
            hint_of_refusal(&message),
        );
        // A new namespace has no default service account at first.
        return match is_about_account(&message) {
            true => Verdict::Stuck(trouble),
            false => Verdict::Hopeless(trouble),
        };
    }
    let newest = newest(it, sets);
    let of_newest = |pod: &&&Pod| newest.is_some_and(|set| is_owned(&pod.metadata, &set.metadata));
    if let Some(bad @ (Verdict::Hopeless(_) | Verdict::Stuck(_))) =
        worst(pods.iter().filter(of_newest).copied())
    {
        return bad;
    }
    let progress = conditions.iter().find(|one| one.type_ == "Progressing");
    if let Some(late) =
        progress.filter(|one| one.reason.as_deref() == Some("ProgressDeadlineExceeded"))
    {
        return Verdict::Hopeless(Trouble::of_workload(
            late.message
                .clone()
                .unwrap_or_else(|| "it took longer than its progress deadline".into()),
            "look at its pods for the reason why they are not ready",
        ));
    }
    let wanted = it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or(0);
    let all = status.replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
    if updated < wanted {
        Verdict::NotYet(format!("{updated} of {wanted} new pods are created"))
    } else if all > updated {
        Verdict::NotYet(format!("{} old pods are terminating", all - updated))
    } else if available < updated {
        Verdict::NotYet(format!("{available} of {updated} pods are ready"))
    } else {
        Verdict::Done
    }
}

/// Judges a StatefulSet.
pub(super) fn of_stateful_set(it: &StatefulSet, pods: &[&Pod]) -> Verdict {
    let status = it.status.clone().unwrap_or_default();
    if it.metadata.generation > status.observed_generation {
        return Verdict::NotYet("the cluster has not seen the change yet".into());
    }
    let revision = status.update_revision.as_deref();
    let of_newest = |pod: &&&Pod| {
        let labels = pod.metadata.labels.as_ref();
        let is_ours = is_owned(&pod.metadata, &it.metadata);
        is_ours
            && labels.and_then(|all| all.get("controller-revision-hash")).map(String::as_str)
                == revision
    };
    if let Some(bad @ (Verdict::Hopeless(_) | Verdict::Stuck(_))) =
        worst(pods.iter().filter(of_newest).copied())
    {
        return bad;
    }
    let wanted = it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or(0);
    let updated = status.updated_replicas.unwrap_or(0);
    if ready < wanted {
        Verdict::NotYet(format!("{ready} of {wanted} pods are ready"))
    } else if status.update_revision != status.current_revision && updated < wanted {
        Verdict::NotYet(format!("{updated} of {wanted} pods are new"))
    } else {
        Verdict::Done
    }
}

/// Judges a Job.
pub(super) fn of_job(it: &Job, pods: &[&Pod]) -> Verdict {
    let status = it.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let has = |kind: &str| conditions.iter().find(|one| one.type_ == kind && one.status == "True");
    if has("Complete").is_some() {
        return Verdict::Done;
    }
    let ours = || pods.iter().filter(|pod| is_owned(&pod.metadata, &it.metadata)).copied();
    let failures = status.failed.unwrap_or(0);
    let reason = match has("Failed") {
        Some(failed) => Some(match &failed.message {
            Some(message) => format!("it failed: {message}"),
            None => "it failed".into(),
        }),
        // The cluster retries it with ever longer pauses, which are not worth waiting for.
        None => (failures >= FAILURES_MAX).then(|| format!("it failed {failures} times")),
    };
    if let Some(reason) = reason {
        let ended = ours().filter(|pod| phase(pod) == Some("Failed"));
        let newest =
            ended.max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        return Verdict::Hopeless(Trouble {
            pod: newest.and_then(|pod| pod.metadata.name.clone()),
            container: None,
            has_ended: false,
            reason,
            lacks_room: false,
            hint: "fix the cause that its last lines show",
        });
    }
    match worst(ours()) {
        Some(bad @ (Verdict::Hopeless(_) | Verdict::Stuck(_))) => bad,
        _ => Verdict::NotYet("it is not completed yet".into()),
    }
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// Returns the worst verdict on pods; `None` if they are well.
fn worst<'p>(pods: impl Iterator<Item = &'p Pod>) -> Option<Verdict> {
    let mut stuck = None;
    for pod in pods.filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        match of_pod(pod) {
            Some(hopeless @ Verdict::Hopeless(_)) => return Some(hopeless),
            Some(other) => stuck = Some(other),
            None => {}
        }
    }
    stuck
}

/// Returns the verdict on a pod; `None` if it is well.
fn of_pod(pod: &Pod) -> Option<Verdict> {
    let status = pod.status.as_ref()?;
    let trouble = |container: Option<&str>, has_ended, reason: String, hint| Trouble {
        pod: pod.metadata.name.clone(),
        container: container.map(ToOwned::to_owned),
        has_ended,
        reason,
        lacks_room: false,
        hint,
    };
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.find(|one| one.type_ == "PodScheduled" && one.status == "False");
    let unscheduled = unscheduled.filter(|one| one.reason.as_deref() == Some("Unschedulable"));
    let message = unscheduled.and_then(|condition| condition.message.as_deref());
    // A new node is not ready for pods at first.
    if let Some(message) = message.filter(|message| !message.contains(NOT_READY)) {
        let trouble = trouble(
            None,
            false,
            format!("no node can take its pod: {message}"),
            "add nodes to the cluster, or lower the requests in the manifests: `kubectl describe nodes` shows what is free",
        );
        return Some(Verdict::Stuck(Trouble { lacks_room: true, ..trouble }));
    }
    let containers = status.init_container_statuses.iter().flatten();
    for container in containers.chain(status.container_statuses.iter().flatten()) {
        let name = Some(container.name.as_str());
        if let Some((reason, hint, has_ended)) = hopeless(container) {
            return Some(Verdict::Hopeless(trouble(name, has_ended, reason, hint)));
        }
    }
    None
}

/// Returns why a container will not start by waiting, what to try, and whether it has run.
fn hopeless(container: &ContainerStatus) -> Option<(String, &'static str, bool)> {
    let state = container.state.as_ref()?;
    if state.running.is_some() {
        // It has restarted after its end.
        return None;
    }
    let ended =
        state.terminated.as_ref().or_else(|| container.last_state.as_ref()?.terminated.as_ref());
    if let Some(ended) = ended.filter(|ended| ended.reason.as_deref() == Some("OOMKilled")) {
        return Some((
            format!("it needs more memory than its limit (exit code {})", ended.exit_code),
            "raise `resources.limits.memory` in its manifest",
            true,
        ));
    }
    let waiting = state.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let image = &container.image;
    match waiting.reason.as_deref().unwrap_or_default() {
        "ImagePullBackOff" | "ErrImageNeverPull" => Some((
            format!("its image {image} can't be pulled: {message}"),
            "make it accessible to the cluster's nodes, or load it into them",
            false,
        )),
        "ErrImagePull" if is_final(message) => Some((
            format!("its image {image} can't be pulled: {message}"),
            "make it accessible to the cluster's nodes, or load it into them",
            false,
        )),
        "InvalidImageName" => Some((
            format!("`{image}` is not a valid image name"),
            "fix `image` in its manifest",
            false,
        )),
        "CreateContainerConfigError" => Some((
            format!("its container can't be created: {message}"),
            "a ConfigMap, a Secret or a key in it is missing, or a setting contradicts its security context",
            false,
        )),
        "CreateContainerError" | "RunContainerError" => Some((
            format!("its container can't be started: {message}"),
            "look at `command`, `volumeMounts` and `securityContext` in its manifest",
            true,
        )),
        "CrashLoopBackOff" if container.restart_count >= ENDS_MAX - 1 => {
            let code = ended.map_or(0, |ended| ended.exit_code);
            Some((
                format!(
                    "it ended {} times, the last time with exit code {code}",
                    container.restart_count + 1
                ),
                "fix the cause that its last lines show",
                true,
            ))
        }
        _ => None,
    }
}

/// Returns whether another pull would fail in the same way.
fn is_final(message: &str) -> bool {
    ["not found", "does not exist", "denied", "unauthorized", "no match for platform"]
        .iter()
        .any(|word| message.contains(word))
}

fn is_about_account(message: &str) -> bool {
    message.contains("serviceaccount") || message.contains("service account")
}

fn hint_of_refusal(message: &str) -> &'static str {
    if message.contains("exceeded quota") {
        "ask for a larger quota, or scale down: `kubectl describe resourcequota` shows what is used"
    } else if message.contains("violates PodSecurity") {
        "the namespace's Pod Security is stricter than the manifests; fix what it names"
    } else if is_about_account(message) {
        "the service account of its manifest is missing"
    } else {
        "a policy of the cluster refuses it; its administrators know why"
    }
}

/// Returns the replica set of the current template; `None` if it does not exist yet. The cluster reports it apart from
/// its Deployment, earlier or later: comparing revision numbers would find a former one.
fn newest<'s>(it: &Deployment, sets: &[&'s ReplicaSet]) -> Option<&'s ReplicaSet> {
    let template = &it.spec.as_ref()?.template;
    let is_of_template = |set: &&&ReplicaSet| {
        let made_of = set.spec.as_ref().and_then(|spec| spec.template.clone());
        made_of.is_some_and(|mut made_of| {
            if let Some(labels) = made_of.metadata.as_mut().and_then(|all| all.labels.as_mut()) {
                let _hash = labels.remove(TEMPLATE_HASH);
            }
            made_of == *template
        })
    };
    sets.iter().find(is_of_template).copied()
}

/// Returns whether one object owns another.
pub(super) fn is_owned(it: &ObjectMeta, by: &ObjectMeta) -> bool {
    let owners = it.owner_references.iter().flatten();
    by.uid.as_ref().is_some_and(|uid| owners.into_iter().any(|owner| owner.uid == *uid))
}

#[cfg(test)]
mod tests;
