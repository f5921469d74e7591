//! The behaviour of a service's pods, and their status: word for word as a kubelet and a scheduler write it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

/// The behaviour of the pods of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Pods {
    /// They run and are ready; those of a job succeed.
    #[default]
    Ready,
    /// They run, and their readiness probe fails.
    Unready,
    /// Their containers can't be started: `ImagePullBackOff`, `CreateContainerConfigError` and the like.
    Waiting {
        /// The reason, one word.
        reason: &'static str,
        /// The kubelet's sentence.
        message: String,
    },
    /// Their containers end repeatedly; those of a job fail.
    Crashing {
        /// The exit code.
        exit_code: i32,
        /// How often they have restarted.
        restarts: i32,
    },
    /// No node can take them.
    Unschedulable {
        /// The scheduler's sentence.
        message: String,
    },
}

/// An event about them: its source, the reason and the message.
pub(super) type PodEvent = (&'static str, &'static str, String);

impl Pods {
    /// Their image does not exist, or can't be pulled.
    pub(crate) fn without_image(image: &str) -> Self {
        let message = format!("Back-off pulling image \"{image}\"");
        Self::Waiting { reason: "ImagePullBackOff", message }
    }

    /// Their environment refers to a missing Secret or ConfigMap.
    pub(crate) fn without_secret(name: &str) -> Self {
        let message = format!("secret \"{name}\" not found");
        Self::Waiting { reason: "CreateContainerConfigError", message }
    }

    /// They mount a missing Secret, which their own status does not show.
    pub(crate) fn without_mount(name: &str) -> Self {
        let message =
            format!("MountVolume.SetUp failed for volume \"{name}\" : secret \"{name}\" not found");
        Self::Waiting { reason: "ContainerCreating", message }
    }

    /// Returns whether they are bound to a node at all.
    pub(super) fn are_bound(&self) -> bool {
        !matches!(self, Self::Unschedulable { .. })
    }

    /// Returns the status of one of them.
    pub(super) fn status(&self, pod: &Pod, address: &str, now: Timestamp) -> Value {
        let ends = ends(pod);
        let (phase, ready) = match self {
            Self::Unschedulable { message } => {
                let mut scheduled = condition("PodScheduled", false, now);
                scheduled["reason"] = "Unschedulable".into();
                scheduled["message"] = message.as_str().into();
                return json!({"phase": "Pending", "conditions": [scheduled]});
            }
            Self::Waiting { .. } => ("Pending", false),
            Self::Ready if ends => ("Succeeded", false),
            Self::Crashing { .. } if ends => ("Failed", false),
            Self::Ready => ("Running", true),
            Self::Unready | Self::Crashing { .. } => ("Running", false),
        };
        let conditions: Vec<Value> = [
            ("Initialized", true),
            ("Ready", ready),
            ("ContainersReady", ready),
            ("PodScheduled", true),
        ]
        .map(|(name, is)| {
            let mut condition = condition(name, is, now);
            if !is && phase != "Succeeded" {
                condition["reason"] = "ContainersNotReady".into();
                let names: Vec<_> = containers(pod).map(|one| one.name.as_str()).collect();
                let message = format!("containers with unready status: [{}]", names.join(" "));
                condition["message"] = message.into();
            }
            condition
        })
        .into();
        let one = |container: &Container| self.container(pod, container, ready, ends, now);
        let containers: Vec<Value> = containers(pod).map(one).collect();
        let done =
            |container: &Container| described(container, true, 0, terminated(0, now), json!({}));
        let first = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let before: Vec<Value> = first.map(done).collect();
        json!({
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": containers,
            "initContainerStatuses": before,
            "hostIP": "127.0.0.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": seconds(now),
            "qosClass": pod.status.as_ref().and_then(|status| status.qos_class.clone()),
        })
    }

    fn container(
        &self,
        pod: &Pod,
        container: &Container,
        ready: bool,
        ends: bool,
        now: Timestamp,
    ) -> Value {
        let running = json!({"running": {"startedAt": seconds(now)}});
        match self {
            Self::Waiting { reason: reason @ "ContainerCreating", .. } => {
                let state = json!({"waiting": {"reason": reason}});
                described(container, false, 0, state, json!({}))
            }
            Self::Waiting { reason, message } => {
                let state = json!({"waiting": {"reason": reason, "message": message}});
                described(container, false, 0, state, json!({}))
            }
            Self::Crashing { exit_code, .. } if ends => {
                described(container, false, 0, terminated(*exit_code, now), json!({}))
            }
            Self::Crashing { exit_code, restarts } => {
                let back_off = format!(
                    "back-off 20s restarting failed container={} pod={}_{}({})",
                    container.name,
                    pod.name_any(),
                    pod.namespace().unwrap_or_default(),
                    pod.uid().unwrap_or_default(),
                );
                let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": back_off}});
                described(container, false, *restarts, state, terminated(*exit_code, now))
            }
            _ if ends => described(container, false, 0, terminated(0, now), json!({})),
            _ => described(container, ready, 0, running, json!({})),
        }
    }

    /// Returns the kubelet's error to a request for logs of containers that have never run.
    pub(super) fn why_not_started(&self) -> Option<&'static str> {
        match self {
            Self::Waiting { reason: "ImagePullBackOff", .. } => {
                Some("trying and failing to pull image")
            }
            Self::Waiting { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Returns the event about them.
    pub(super) fn events(&self, pod: &Pod) -> Vec<PodEvent> {
        match self {
            Self::Unschedulable { message } => {
                vec![("default-scheduler", "FailedScheduling", message.clone())]
            }
            Self::Waiting { reason: "ImagePullBackOff", message } => {
                let image = containers(pod).next().and_then(|one| one.image.clone());
                let why =
                    format!("Failed to pull image \"{}\": not found", image.unwrap_or_default());
                vec![("kubelet", "Failed", why), ("kubelet", "BackOff", message.clone())]
            }
            Self::Waiting { reason: "ContainerCreating", message } => {
                vec![("kubelet", "FailedMount", message.clone())]
            }
            Self::Waiting { message, .. } => {
                vec![("kubelet", "Failed", format!("Error: {message}"))]
            }
            Self::Crashing { .. } if !ends(pod) => {
                vec![("kubelet", "BackOff", "Back-off restarting failed container".into())]
            }
            Self::Unready => {
                let why = "Readiness probe failed: HTTP probe failed with statuscode: 503";
                vec![("kubelet", "Unhealthy", why.into())]
            }
            _ => Vec::new(),
        }
    }
}

/// Returns the status of a pod whose containers have ended with a code and run again.
pub(super) fn restarted(pod: &Pod, exit_code: i32, now: Timestamp) -> Value {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let again = containers(pod).zip(statuses.into_iter().flatten()).map(|(container, status)| {
        let running = json!({"running": {"startedAt": seconds(now)}});
        described(container, true, status.restart_count + 1, running, terminated(exit_code, now))
    });
    json!({"containerStatuses": again.collect::<Vec<_>>()})
}

/// Those of a job end; others restart for ever.
fn ends(pod: &Pod) -> bool {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    matches!(policy, Some("Never" | "OnFailure"))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

/// As the API server keeps times.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn condition(name: &str, is: bool, now: Timestamp) -> Value {
    let status = if is { "True" } else { "False" };
    json!({"type": name, "status": status, "lastTransitionTime": seconds(now)})
}

fn terminated(exit_code: i32, now: Timestamp) -> Value {
    let reason = if exit_code == 0 { "Completed" } else { "Error" };
    let (started, finished) = (seconds(now), seconds(now));
    json!({"terminated": {
        "exitCode": exit_code, "reason": reason, "startedAt": started, "finishedAt": finished,
    }})
}

fn described(
    container: &Container,
    ready: bool,
    restarts: i32,
    state: Value,
    last_state: Value,
) -> Value {
    let image = container.image.as_deref().unwrap_or_default();
    json!({
        "name": container.name,
        "image": image,
        "imageID": format!("docker.io/library/{image}"),
        "containerID": format!("containerd://{}", container.name),
        "ready": ready,
        "started": state.get("running").is_some(),
        "restartCount": restarts,
        "state": state,
        "lastState": last_state,
    })
}
