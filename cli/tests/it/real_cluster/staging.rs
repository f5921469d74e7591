//! Staging on a real cluster: deployed, and rolled back.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use contracts::services::ALL;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Secret},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PostParams},
};
use serde_json::json;

use super::Real;

/// The namespace of the manifests of staging.
const STAGING: &str = "chefcito-staging";

#[test]
fn staging_is_deployed_and_rolled_back_if_it_does_not_come_up() {
    let Some(it) = Real::find("databases") else { return };
    it.up(&["--port", "0"]);
    let place = it.record()["place"].clone();
    let deploy = |more: &[&str]| {
        let context = place["context"].as_str().unwrap();
        let plain = ["deploy", "--env", "staging", "--context", context, "--timeout", "180s"];
        let args = [&plain[..], more].concat();
        let mut command = it.plain_command(&args);
        if let Some(kubeconfig) = place["kubeconfig"].as_str() {
            command.env("KUBECONFIG", kubeconfig);
        }
        it.finish(&args, command.spawn().unwrap())
    };
    if !it.ask(async |client| lay_the_ground(client, &it).await) {
        return;
    }
    let deployed = it.timed("deploy", |_| deploy(&[]));
    assert!(deployed.stderr.contains("Deployed in"), "{deployed}");
    let again = it.timed("deploy again", |_| deploy(&[]));
    assert!(again.stderr.contains("Nothing to do"), "{again}");

    let images = || {
        it.ask(async |client| {
            let deployments: Api<Deployment> = Api::namespaced(client, STAGING);
            let all = deployments.list(&ListParams::default()).await.unwrap().items;
            let image = |one: &Deployment| {
                one.spec.as_ref()?.template.spec.as_ref()?.containers.first()?.image.clone()
            };
            all.iter().map(|one| image(one).unwrap()).collect::<Vec<_>>()
        })
    };
    let before = images();
    let failed = it.timed("deploy of images that are nowhere", |_| deploy(&["--tag", "nowhere"]));
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("can't be pulled"), "{failed}");
    assert!(failed.stderr.contains("is what it was before"), "{failed}");
    assert_eq!(images(), before);
    let after = deploy(&[]);
    assert!(after.stderr.contains("Nothing to do"), "{after}");
    it.ask(async |client| {
        let namespaces: Api<Namespace> = Api::all(client);
        namespaces.delete(STAGING, &DeleteParams::default()).await.unwrap();
        let since = Instant::now();
        while namespaces.get_opt(STAGING).await.unwrap().is_some() {
            assert!(since.elapsed() < Duration::from_secs(120), "{STAGING} does not go");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

/// Creates for staging what Terraform creates, with the databases of an environment, whose services are stopped for it.
/// Prints a line if the namespace exists already.
async fn lay_the_ground(client: Client, it: &Real) -> bool {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(STAGING).await.unwrap().is_some() {
        test_support::elsewhere(&format!("a cluster without a namespace {STAGING}"));
        return false;
    }
    let post = PostParams::default();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &it.name);
    for service in ALL {
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        deployments.patch(service, &Default::default(), &none).await.unwrap();
    }
    let open = json!({
        "metadata": {"name": "from-staging"},
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/component": "database"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": STAGING}}}]}],
        },
    });
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &it.name);
    policies.create(&post, &serde_json::from_value(open).unwrap()).await.unwrap();
    let place = json!({"metadata": {"name": STAGING}});
    namespaces.create(&post, &serde_json::from_value(place).unwrap()).await.unwrap();
    let secrets = it.home.state().join(&it.name).join("secrets/secrets.env");
    let secrets = fs::read_to_string(secrets).unwrap();
    let elsewhere = |value: &str| {
        let at = |value: String, name| {
            value.replace(&format!("@{name}:"), &format!("@{name}.{}:", it.name))
        };
        at(at(value.to_owned(), "postgres"), "redis")
    };
    let data: BTreeMap<&str, String> = secrets
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key, elsewhere(value)))
        .collect();
    let secret = json!({"metadata": {"name": "secrets"}, "stringData": data});
    let all: Api<Secret> = Api::namespaced(client, STAGING);
    all.create(&post, &serde_json::from_value(secret).unwrap()).await.unwrap();
    true
}
