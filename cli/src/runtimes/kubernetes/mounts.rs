//! Pods whose volumes can't be mounted, because a Secret or ConfigMap is missing: their own status says only that their
//! containers are being created.

use std::collections::BTreeMap;

use cluster::{objects::Id, workloads::Workloads};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::verdict::{Trouble, Verdict};

/// The label with the name of a pod's workload.
const WORKLOAD: &str = "app.kubernetes.io/name";

/// Returns the pods that have a node but no containers yet, each with the name of its workload.
pub(super) fn creating(workloads: &Workloads) -> BTreeMap<String, String> {
    let pods = workloads.pods();
    let creating = pods.iter().filter(|pod| is_pending(pod));
    let named = creating.filter_map(|pod| {
        let workload = pod.metadata.labels.as_ref()?.get(WORKLOAD)?;
        Some((pod.metadata.name.clone()?, workload.clone()))
    });
    named.collect()
}

fn is_pending(pod: &Pod) -> bool {
    let is_creating = |container: &ContainerStatus| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("ContainerCreating"))
    };
    let containers =
        pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    pod.metadata.deletion_timestamp.is_none() && containers.into_iter().any(is_creating)
}

/// Adds the missing volumes to the verdict of each workload that is not done. They may still be created.
pub(super) fn blame(
    verdicts: &mut BTreeMap<Id, Verdict>,
    creating: &BTreeMap<String, String>,
    lacking: &BTreeMap<String, String>,
) {
    for (id, verdict) in verdicts {
        let Verdict::NotYet(_) = verdict else { continue };
        let mut own = creating.iter().filter(|(_, workload)| **workload == id.name);
        if let Some((pod, message)) = own.find_map(|(pod, _)| lacking.get_key_value(pod)) {
            *verdict = Verdict::Stuck(Trouble {
                pod: Some(pod.clone()),
                container: None,
                has_ended: false,
                reason: format!("a volume can't be mounted: {message}"),
                lacks_room: false,
                hint: "create the Secret or ConfigMap, or the missing key in it",
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::services::{BOARD, KITCHEN, ORDERS};

    use super::*;

    #[test]
    fn only_the_workload_with_a_missing_volume_is_blamed() {
        let not_yet = || Verdict::NotYet("0 of 1 pods are ready".into());
        let mut verdicts: BTreeMap<Id, Verdict> = [
            (Id::new("Deployment", BOARD), not_yet()),
            (Id::new("Deployment", KITCHEN), not_yet()),
            (Id::new("Deployment", ORDERS), Verdict::Done),
        ]
        .into();
        let text = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let creating = text(&[("board-1", BOARD), ("kitchen-1", KITCHEN), ("orders-1", ORDERS)]);
        let message = "secret \"secrets\" not found";
        let lacking = text(&[("kitchen-1", message), ("orders-1", message), ("gone-1", message)]);
        blame(&mut verdicts, &creating, &lacking);
        let stuck: Vec<_> = verdicts
            .iter()
            .filter_map(|(id, verdict)| match verdict {
                Verdict::Stuck(trouble) => Some((id.name.as_str(), trouble.pod.as_deref())),
                _ => None,
            })
            .collect();
        assert_eq!(stuck, [(KITCHEN, Some("kitchen-1"))]);
    }
}
