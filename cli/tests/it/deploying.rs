//! Deployments to a cluster that others use, too, and rollbacks.

mod others;

use std::{fs, path::Path, process::Command};

use contracts::services::KITCHEN;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{Api, api::ListParams};

use crate::{
    api_server::{OWNER, Pods},
    chefcito::{Ran, kill, wait_until},
    cluster::Cluster,
};

/// Staging on the shared cluster, from a checkout of its own.
struct Staging {
    cluster: Cluster,
}

impl Staging {
    fn open(story: &str) -> Option<Self> {
        let cluster = Cluster::open(story)?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let home = cluster.home.path();
        let mut copy = Command::new("cp");
        copy.arg("-r").args([root.join("manifests"), home.join("manifests")]);
        assert!(copy.status().unwrap().success());
        // The files that make it a checkout.
        fs::create_dir(home.join("cli")).unwrap();
        fs::copy(root.join("cli/Cargo.toml"), home.join("cli/Cargo.toml")).unwrap();
        let staging = Self { cluster };
        // The API server of the tests is older than the autoscalers and budgets of the manifests.
        staging.change(
            "components/scaling/autoscalers.yaml",
            "autoscaling/v2",
            "autoscaling/v2beta2",
        );
        staging.change("components/scaling/disruption-budgets.yaml", "policy/v1", "policy/v1beta1");
        Some(staging)
    }

    /// Changes a manifest.
    fn change(&self, file: &str, before: &str, after: &str) {
        let path = self.cluster.home.path().join("manifests/kubernetes").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(before), "{file} has no `{before}`");
        fs::write(path, text.replace(before, after)).unwrap();
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        self.args_of(OWNER, more)
    }

    /// Deploys as a user.
    fn args_of<'a>(&'a self, who: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let name = self.cluster.name.as_str();
        [&["deploy", "--env", "staging", "--context", who, "--namespace", name], more].concat()
    }

    fn deploy(&self, more: &[&str]) -> Ran {
        self.deploy_by(OWNER, more)
    }

    fn deploy_by(&self, who: &str, more: &[&str]) -> Ran {
        let ran = self.cluster.home.run(&self.args_of(who, more));
        let plain = |text: String| text.replace(&self.cluster.name, "NAME");
        Ran { stdout: plain(ran.stdout), stderr: plain(ran.stderr), ..ran }
    }

    fn must(&self, more: &[&str]) -> Ran {
        let ran = self.deploy(more);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    /// The image of a service, and its ConfigMaps.
    fn state(&self) -> (String, Vec<String>) {
        let name = self.cluster.name.as_str();
        self.cluster.ask(async |client| {
            let all: Api<Deployment> = Api::namespaced(client.clone(), name);
            let kitchen = all.get(KITCHEN).await.unwrap().spec.unwrap().template.spec.unwrap();
            let maps: Api<ConfigMap> = Api::namespaced(client, name);
            let maps = maps.list(&ListParams::default()).await.unwrap().items;
            let mut maps: Vec<String> =
                maps.into_iter().filter_map(|map| map.metadata.name).collect();
            maps.sort();
            (kitchen.containers[0].image.clone().unwrap(), maps)
        })
    }
}

#[test]
fn only_what_differs_is_deployed() {
    let Some(staging) = Staging::open("deploy") else { return };
    let unknown = staging.deploy(&[]);
    assert_eq!(unknown.code, Some(1), "{unknown}");
    assert!(unknown.stderr.contains("the images to deploy are not known"), "{unknown}");
    let first = staging.must(&["--tag", "1.0.0"]);
    assert!(first.stderr.contains("steps on NAME of owner"), "{first}");
    let again = staging.must(&["--tag", "1.0.0"]);
    assert!(again.stderr.contains("Nothing to do"), "{again}");

    let registry = ["--tag", "1.0.1", "--image-registry", "registry.example/chefcito"];
    let plan = staging.must(&[&registry[..], &["--dry-run"]].concat());
    assert!(
        plan.stdout.contains(
            "change deployment/kitchen\n    spec.template.spec.containers[kitchen].image \
             chefcito-kitchen:1.0.0 → registry.example/chefcito/chefcito-kitchen:1.0.1\n"
        ),
        "{plan}"
    );
    assert_eq!(staging.state().0, "chefcito-kitchen:1.0.0", "a dry run changes nothing");
    staging.must(&registry);
    assert_eq!(staging.state().0, "registry.example/chefcito/chefcito-kitchen:1.0.1");
}

#[test]
fn a_deployment_that_does_not_come_up_is_rolled_back() {
    let Some(staging) = Staging::open("rollback") else { return };
    staging.must(&["--tag", "1.0.0"]);
    let before = staging.state();
    staging.cluster.new_pods_become(KITCHEN, Pods::without_image("chefcito-kitchen:1.0.1"));
    staging.change("base/kustomization.yaml", "CHEFCITO_STOVES=8", "CHEFCITO_STOVES=9");
    let failed = staging.deploy(&["--tag", "1.0.1"]);
    assert_eq!(failed.code, Some(1), "{failed}");
    for reported in [
        "Rolling back: deployment/kitchen did not come up",
        "NAME of owner is what it was before",
        "error: deployment/kitchen did not come up: its image chefcito-kitchen:1.0.1 can't be pulled",
    ] {
        assert!(failed.stderr.contains(reported), "`{reported}`: {failed}");
    }
    assert_eq!(staging.state(), before, "settings that only the new pods had are gone, too");
    let (kitchen, pods) = staging.cluster.ask(async |client| {
        let all = Api::<Deployment>::namespaced(client, &staging.cluster.name);
        let kitchen = all.get(KITCHEN).await.unwrap();
        (kitchen.metadata.generation, kitchen.status.unwrap())
    });
    assert_eq!(kitchen, pods.observed_generation, "it says so only when it is: {failed}");
    assert_eq!(pods.replicas, pods.available_replicas, "it says so only when it is: {failed}");
    staging.cluster.new_pods_become(KITCHEN, Pods::Ready);
    let again = staging.must(&["--tag", "1.0.1"]);
    assert!(again.stderr.contains("Deployed in"), "{again}");
}

#[test]
fn an_interrupted_deployment_is_rolled_back() {
    let Some(staging) = Staging::open("cut") else { return };
    staging.must(&["--tag", "1.0.0"]);
    let before = staging.state();
    staging.cluster.new_pods_become(KITCHEN, Pods::Unready);
    let args = staging.args(&["--tag", "1.0.1"]);
    let child = staging.cluster.home.start(&args);
    wait_until("it is applied", || staging.state() != before);
    kill("-TERM", i32::try_from(child.id()).unwrap());
    let ran = staging.cluster.home.finish(&args, child);
    assert_eq!(ran.code, Some(143), "{ran}");
    assert_eq!(staging.state(), before);
}

#[test]
fn an_unsupported_kind_is_reported_before_anything_is_done() {
    let Some(staging) = Staging::open("old") else { return };
    staging.change("components/scaling/disruption-budgets.yaml", "policy/v1beta1", "policy/v1");
    let refused = staging.deploy(&["--tag", "1.0.0"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("could not list each PodDisruptionBudget"), "{refused}");
    assert!(refused.stderr.contains("the cluster is too old for such objects"), "{refused}");
    let namespace = staging.cluster.ask(async |client| {
        Api::<k8s_openapi::api::core::v1::Namespace>::all(client)
            .get_opt(&staging.cluster.name)
            .await
            .unwrap()
    });
    assert!(namespace.is_none());
}
