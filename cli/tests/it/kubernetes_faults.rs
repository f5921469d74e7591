//! Failures on a cluster, each reported on one screen: what, why, what to try.

mod connecting;

use std::{fs, net::TcpListener, time::Instant};

use contracts::services::{BOARD, KITCHEN};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::{
    Api,
    api::{Patch, PostParams},
};
use serde_json::json;

use crate::{
    api_server::Pods,
    chefcito::{Home, Ran, lives},
    cluster::Cluster,
    restaurant::{Restaurant, UP},
};

/// More lines do not fit on one screen.
const SCREEN_LINES_MAX: usize = 24;

/// Asserts that an error has these texts, and a hint.
fn assert_reported(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran}");
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is not reported: {ran}");
    }
    assert!(ran.stderr.contains("hint: "), "nothing to try: {ran}");
    assert!(ran.stderr.lines().count() <= SCREEN_LINES_MAX, "{ran}");
}

#[test]
fn a_missing_permission_is_reported() {
    let Some(cluster) = Cluster::open("guest") else { return };
    let up = ["up", "--runtime", "kubernetes", "--context", "guest", "--name", &cluster.name];
    let ran = cluster.home.run(&up);
    assert_reported(
        &ran,
        1,
        &["cannot get resource \"namespaces\"", "get a role with this permission"],
    );
}

#[test]
fn a_rollout_that_can_t_come_right_ends_at_once_with_the_reason() {
    let Some(it) = Restaurant::prepare("rollout") else { return };
    it.cluster.new_pods_say(KITCHEN, &["the stove is cold", "giving up"]);
    let crash = Pods::Crashing { exit_code: 101, restarts: 3 };
    let waiting = |reason, message: &str| Pods::Waiting { reason, message: message.to_owned() };
    let cases = [
        (
            Pods::without_image("chefcito-kitchen:c-1"),
            &["can't be pulled", "Back-off pulling image"][..],
        ),
        (Pods::without_secret("secrets"), &["secret \"secrets\" not found", "is missing"]),
        (
            Pods::without_mount("secrets"),
            &["secret \"secrets\" not found", "FailedMount", "create the Secret"],
        ),
        (waiting("InvalidImageName", "no"), &["is not a valid image name"]),
        (waiting("RunContainerError", "exec: no such file"), &["exec: no such file"]),
        (crash, &["it ended 4 times, the last time with exit code 101", "giving up"]),
    ];
    for (pods, words) in cases {
        it.cluster.new_pods_become(KITCHEN, pods);
        // Each time another number of stoves, so that there are new pods.
        let stoves = (words.len() + words[0].len()).to_string();
        let began = Instant::now();
        let ran =
            it.run(&[&UP[..], &["--port", "0", "--timeout", "5m", "--stoves", &stoves]].concat());
        assert_reported(&ran, 1, &["deployment/kitchen did not come up", "(pod kitchen-"]);
        assert_reported(&ran, 1, words);
        assert!(began.elapsed().as_secs() < 60, "it waited: {ran}");
    }
    it.cluster.new_pods_become(KITCHEN, Pods::Ready);
    it.must(&[&UP[..], &["--port", "0"]].concat());
}

#[test]
fn a_cause_fixed_outside_of_the_manifests_is_retried_at_once() {
    let Some(it) = Restaurant::prepare("mended") else { return };
    let up = [&UP[..], &["--port", "0", "--timeout", "5m"]].concat();
    let cases = [
        (KITCHEN, Pods::without_image("chefcito-kitchen:c-1"), "deployment/kitchen"),
        ("postgres", Pods::without_image("postgres:17.6"), "statefulset/postgres"),
        ("roles", Pods::Crashing { exit_code: 1, restarts: 0 }, "job/roles"),
    ];
    for (service, pods, workload) in cases {
        it.cluster.new_pods_become(service, pods);
        it.must(&["down"]);
        let ran = it.run(&up);
        assert_reported(&ran, 1, &[&format!("{workload} did not come up")]);
        let foreseen = it.must(&[&up[..], &["--dry-run"]].concat());
        assert!(foreseen.stdout.contains(&format!("retry {workload}: it")), "{foreseen}");
        it.cluster.new_pods_become(service, Pods::Ready);
        it.must(&up);
        let again = it.must(&[&up[..], &["--dry-run"]].concat());
        assert!(again.stderr.contains("Nothing to do"), "{again}");
    }
}

#[test]
fn a_pod_that_no_node_takes_is_waited_for_a_while() {
    let Some(it) = Restaurant::prepare("unschedulable") else { return };
    let message = "0/1 nodes are available: 1 Insufficient memory.".to_owned();
    it.cluster.new_pods_become(BOARD, Pods::Unschedulable { message });
    let ran = it.run(&[&UP[..], &["--port", "0", "--timeout", "5m"]].concat());
    assert_reported(
        &ran,
        1,
        &["deployment/board did not come up", "no node can take its pod", "Insufficient memory"],
    );
}

#[test]
fn a_pod_that_is_never_ready_is_named_when_time_is_up() {
    let Some(it) = Restaurant::prepare("unready") else { return };
    it.cluster.new_pods_become(BOARD, Pods::Unready);
    let ran = it.run(&[&UP[..], &["--port", "0", "--timeout", "8s"]].concat());
    assert_reported(&ran, 4, &["not ready within 8s", "deployment/board (0 of 1 pods are ready)"]);
}

#[test]
fn a_failed_job_is_reported_with_its_last_lines() {
    let Some(it) = Restaurant::prepare("job") else { return };
    it.cluster.new_pods_say("roles", &["no PostgreSQL answered within 120s"]);
    it.cluster.new_pods_become("roles", Pods::Crashing { exit_code: 1, restarts: 0 });
    let ran = it.run(&[&UP[..], &["--port", "0", "--timeout", "5m"]].concat());
    assert_reported(&ran, 1, &["job/roles did not come up", "no PostgreSQL answered within 120s"]);
}

#[test]
fn a_quota_is_named() {
    let Some(it) = Restaurant::prepare("quota") else { return };
    let name = it.cluster.name.as_str();
    it.cluster.ask(async |client| {
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}});
        let quotas: Api<ResourceQuota> = Api::namespaced(client, name);
        quotas
            .create(&PostParams::default(), &serde_json::from_value(quota).unwrap())
            .await
            .unwrap();
    });
    let ran = it.run(&[&UP[..], &["--port", "0", "--timeout", "60s"]].concat());
    assert_reported(&ran, 1, &["did not come up", "exceeded quota: small", "larger quota"]);

    it.cluster.ask(async |client| {
        let quotas: Api<ResourceQuota> = Api::namespaced(client, name);
        let larger = Patch::Merge(json!({"spec": {"hard": {"pods": "100"}}}));
        quotas.patch("small", &Default::default(), &larger).await.unwrap();
    });
    it.must(&[&UP[..], &["--port", "0", "--timeout", "60s"]].concat());
}

#[test]
fn a_terminating_namespace_is_waited_for() {
    let Some(it) = Restaurant::open("going") else { return };
    let name = it.cluster.name.as_str();
    // A finalizer in it delays its removal.
    it.cluster.ask(async |client| {
        let namespaces: Api<Namespace> = Api::all(client);
        namespaces.delete(name, &Default::default()).await.unwrap();
    });
    it.must(&[&UP[..], &["--port", "0"]].concat());
}

#[test]
fn what_is_asked_for_together_must_fit() {
    let home = Home::new();
    for wrong in [
        &["up", "--context", "far"][..],
        &["up", "--runtime", "compose", "--node-image", "x"],
        &["up", "--runtime", "kubernetes", "--context", "far", KITCHEN],
        &["up", "--runtime", "kubernetes", "--database-url", "postgres://db"],
        &["deploy", "--env", "staging"],
        &["deploy", "--env", "moon", "--context", "far"],
    ] {
        let ran = home.run(wrong);
        assert_eq!(ran.code, Some(2), "{ran}");
    }
}

#[test]
fn an_environment_stays_on_its_cluster() {
    let Some(it) = Restaurant::open("moved") else { return };
    let elsewhere = ["up", "--runtime", "kubernetes", "--context", "guest"];
    assert_reported(&it.run(&elsewhere), 1, &["`NAME` is on the cluster `owner`, not on `guest`"]);
    let embedded = it.run(&["up", "--runtime", "embedded"]);
    assert_reported(&embedded, 1, &["`NAME` runs as kubernetes, not as embedded"]);
}

#[test]
fn an_environment_on_a_cluster_that_is_lost_can_be_forgotten() {
    let Some(it) = Restaurant::open("lost") else { return };
    let path = it.cluster.home.path().join(".kube/config");
    let good = fs::read_to_string(&path).unwrap();
    let forwarder = fs::read_to_string(it.folder().join("forward.lock")).unwrap();
    let server = good.split_once("server: '").unwrap().1.split_once('\'').unwrap().0;
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();

    let stranger = good.replace("token: owner", "token: nobody");
    fs::write(&path, stranger).unwrap();
    assert_reported(
        &it.run(&["down", "--volumes"]),
        7,
        &["refuses the credentials of the kubeconfig", "log in to it again"],
    );

    let silent = good.replace(server, &format!("https://{nowhere}"));
    let nameless = good.replace("name: owner, context", "name: other, context");
    let way_out =
        "if it is gone for good, `chefcito down --volumes --name NAME` removes its records";
    for (kubeconfig, why) in
        [(silent, "no cluster answers at"), (nameless, "there is no context `owner`")]
    {
        fs::write(&path, kubeconfig).unwrap();
        let again = ["up", "--runtime", "kubernetes"];
        for command in [&again[..], &["down"], &["logs"]] {
            assert_reported(&it.run(command), 7, &[why, way_out]);
        }
    }
    let down = it.must(&["down", "--volumes"]);
    let warning = "objects in its namespace `NAME` may be left";
    assert!(down.stderr.contains("warning: there is no context `owner`"), "{down}");
    assert!(down.stderr.contains(warning), "{down}");
    assert!(!it.folder().exists());
    let forwarder = forwarder.lines().next().unwrap().parse().unwrap();
    assert!(!lives(forwarder), "the way there has ended");
}

#[test]
fn without_kind_no_cluster_is_made() {
    let home = Home::new();
    let ran = home.run(&["up", "--runtime", "kubernetes"]);
    assert_reported(&ran, 7, &["this machine has no program `kind`", "install kind", "--context"]);
    assert!(!home.environment().exists());
}
