use contracts::services::KITCHEN;
use serde_json::{Value, json};

use super::*;

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A Deployment that wants two pods.
fn deployment(generation: i64, status: Value) -> Deployment {
    let template = json!({"metadata": {"labels": {"made": "new"}}});
    parse(json!({
        "metadata": {"name": KITCHEN, "uid": "d", "generation": generation},
        "spec": {"replicas": 2, "selector": {}, "template": template},
        "status": status,
    }))
}

/// A replica set of a template.
fn set(made: &str) -> ReplicaSet {
    let labels = json!({"made": made, "pod-template-hash": "1"});
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": KITCHEN, "uid": "d"});
    parse(json!({
        "metadata": {"name": made, "uid": made, "ownerReferences": [owner]},
        "spec": {"selector": {}, "template": {"metadata": {"labels": labels}}},
    }))
}

fn pod(owner: &str, status: Value) -> Pod {
    parse(json!({
        "metadata": {
            "name": format!("{owner}-pod"),
            "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": owner, "uid": owner}],
        },
        "status": status,
    }))
}

fn container(state: Value, restarts: i32) -> Value {
    json!({"containerStatuses": [{
        "name": KITCHEN, "image": "chefcito-kitchen:c-1", "imageID": "", "ready": false,
        "restartCount": restarts, "state": state,
    }]})
}

fn waiting(reason: &str, message: &str, restarts: i32) -> Value {
    container(json!({"waiting": {"reason": reason, "message": message}}), restarts)
}

fn judged(status: Value, pods: &[&Pod]) -> Verdict {
    let (old, new) = (set("old"), set("new"));
    of_deployment(&deployment(2, status), &[&new, &old], pods)
}

fn not_yet(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::NotYet(why) => why,
        other => panic!("{other:?}"),
    }
}

fn hopeless(verdict: Verdict) -> Trouble {
    match verdict {
        Verdict::Hopeless(trouble) => trouble,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deployment_is_done_when_all_its_new_pods_are_ready_and_the_old_ones_gone() {
    let status = |updated: i32, all: i32, available: i32| {
        json!({
            "observedGeneration": 2, "updatedReplicas": updated, "replicas": all,
            "availableReplicas": available,
            // It is left from the rollout before.
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        })
    };
    let mut unseen = status(2, 2, 2);
    unseen["observedGeneration"] = json!(1);
    assert_eq!(not_yet(&judged(unseen, &[])), "the cluster has not seen the change yet");
    assert_eq!(not_yet(&judged(status(1, 3, 2), &[])), "1 of 2 new pods are created");
    assert_eq!(not_yet(&judged(status(2, 3, 2), &[])), "1 old pods are terminating");
    assert_eq!(not_yet(&judged(status(2, 2, 1), &[])), "1 of 2 pods are ready");
    assert_eq!(judged(status(2, 2, 2), &[]), Verdict::Done);
}

#[test]
fn what_waiting_will_not_mend_ends_it_at_once() {
    let now = json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1});
    let cases = [
        ("ImagePullBackOff", "not found", 0, "can't be pulled"),
        ("ErrImagePull", "manifest not found", 0, "can't be pulled"),
        ("InvalidImageName", "", 0, "is not a valid image name"),
        ("CreateContainerConfigError", "secret \"x\" not found", 0, "secret \"x\" not found"),
        ("RunContainerError", "no such file", 0, "no such file"),
        ("CrashLoopBackOff", "", 2, "it ended 3 times"),
    ];
    for (reason, message, restarts, expected) in cases {
        let pod = pod("new", waiting(reason, message, restarts));
        let trouble = hopeless(judged(now.clone(), &[&pod]));
        assert!(trouble.reason.contains(expected), "{reason}: {}", trouble.reason);
        assert_eq!(trouble.pod.as_deref(), Some("new-pod"));
        assert!(!trouble.hint.is_empty());
    }
}

#[test]
fn what_may_still_come_right_is_waited_for() {
    let now = json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1});
    for (reason, message, restarts) in [
        ("ErrImagePull", "i/o timeout", 0),
        ("ContainerCreating", "", 0),
        ("CrashLoopBackOff", "", 1),
    ] {
        let pod = pod("new", waiting(reason, message, restarts));
        assert_eq!(
            not_yet(&judged(now.clone(), &[&pod])),
            "1 of 2 new pods are created",
            "{reason}"
        );
    }
}

#[test]
fn an_old_pod_that_fails_is_why_there_is_a_new_one() {
    let now = json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 2});
    let failing = pod("old", waiting("CrashLoopBackOff", "", 9));
    assert_eq!(not_yet(&judged(now, &[&failing])), "1 of 2 new pods are created");
}

#[test]
fn a_former_pod_is_not_taken_for_one_that_is_not_made_yet() {
    let failing = pod("old", waiting("CrashLoopBackOff", "", 9));
    let status = json!({"observedGeneration": 2, "updatedReplicas": 0, "replicas": 2});
    let verdict = of_deployment(&deployment(2, status), &[&set("old")], &[&failing]);
    assert_eq!(not_yet(&verdict), "0 of 2 new pods are created");
}

#[test]
fn too_little_memory_is_named_as_such() {
    let now = json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1});
    let mut status = waiting("CrashLoopBackOff", "", 1);
    status["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}});
    let trouble = hopeless(judged(now.clone(), &[&pod("new", status.clone())]));
    assert_eq!(trouble.reason, "it needs more memory than its limit (exit code 137)");
    assert!(trouble.has_ended);
    // It ran out of memory once, and runs again.
    status["containerStatuses"][0]["state"] = json!({"running": {}});
    assert_eq!(not_yet(&judged(now, &[&pod("new", status)])), "1 of 2 new pods are created");
}

#[test]
fn a_pod_that_no_node_takes_is_stuck() {
    let now = json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1});
    let status = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient memory.",
    }]});
    let pod = pod("new", status);
    let verdict = judged(now, &[&pod]);
    assert!(
        matches!(verdict, Verdict::Stuck(trouble) if trouble.reason.contains("Insufficient memory"))
    );
}

#[test]
fn a_cluster_that_has_just_been_made_is_given_time() {
    let now = json!({"observedGeneration": 2, "updatedReplicas": 1, "replicas": 1});
    let status = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message":
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
    }]});
    assert_eq!(not_yet(&judged(now, &[&pod("new", status)])), "1 of 2 new pods are created");
    let account = json!({"observedGeneration": 2, "conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "error looking up service account a/default: serviceaccount \"default\" not found",
    }]});
    assert!(matches!(judged(account, &[]), Verdict::Stuck(_)));
}

#[test]
fn a_quota_is_named_as_such() {
    let now = json!({"observedGeneration": 2, "conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"kitchen-1\" is forbidden: exceeded quota: small",
    }]});
    let trouble = hopeless(judged(now, &[]));
    assert!(trouble.reason.contains("exceeded quota: small"), "{}", trouble.reason);
    assert!(trouble.hint.contains("quota"));
}

#[test]
fn a_job_is_done_or_failed_as_its_conditions_say() {
    let job = |conditions: Value| -> Job {
        parse(
            json!({"metadata": {"name": "roles", "uid": "j"}, "status": {"conditions": conditions}}),
        )
    };
    let condition =
        |kind: &str| json!([{"type": kind, "status": "True", "message": "BackoffLimit"}]);
    assert_eq!(of_job(&job(condition("Complete")), &[]), Verdict::Done);
    assert_eq!(not_yet(&of_job(&job(json!([])), &[])), "it is not completed yet");
    let last = pod("j", json!({"phase": "Failed"}));
    let trouble = hopeless(of_job(&job(condition("Failed")), &[&last]));
    assert_eq!(trouble.reason, "it failed: BackoffLimit");
    assert_eq!(trouble.pod.as_deref(), Some("j-pod"));
    let again: Job =
        parse(json!({"metadata": {"name": "roles", "uid": "j"}, "status": {"failed": 2}}));
    assert_eq!(hopeless(of_job(&again, &[&last])).reason, "it failed 2 times");
}

#[test]
fn a_stateful_set_is_done_when_its_pods_are_ready_and_new() {
    let judged = |ready: i32, current: &str| {
        let it: StatefulSet = parse(json!({
            "metadata": {"name": "postgres", "uid": "s", "generation": 1},
            "spec": {"replicas": 1, "selector": {}, "template": {}, "serviceName": "postgres"},
            "status": {
                "observedGeneration": 1, "replicas": 1, "readyReplicas": ready,
                "updatedReplicas": i32::from(current == "b"), "currentRevision": current,
                "updateRevision": "b",
            },
        }));
        of_stateful_set(&it, &[])
    };
    assert_eq!(not_yet(&judged(0, "b")), "0 of 1 pods are ready");
    assert_eq!(not_yet(&judged(1, "a")), "0 of 1 pods are new");
    assert_eq!(judged(1, "b"), Verdict::Done);
}
