//! The rendered manifests of every environment on a real API server: it accepts each object as a whole, creates the
//! pods, and all of them become ready.

use std::fs;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::Value;

use crate::cluster::{Cluster, wait_for};

/// Applies objects as `kubectl apply --server-side -f -` does. Refuses unknown fields.
async fn apply(client: &Client, namespace: &str, document: &str) {
    // Versions that a server of 2021 knows by their former name.
    let document = document
        .replace("\napiVersion: autoscaling/v2\n", "\napiVersion: autoscaling/v2beta2\n")
        .replace("\napiVersion: policy/v1\n", "\napiVersion: policy/v1beta1\n");
    let field = |name: &str| {
        let line = document.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {document}"))
    };
    let (group, version) =
        field("apiVersion: ").split_once('/').unwrap_or(("", field("apiVersion: ")));
    let kind = field("kind: ");
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let within = (kind != "Namespace").then_some(namespace);
    let path = DynamicObject::url_path(&resource, within);
    let request = http::Request::patch(format!("{path}/{}?fieldManager=test", field("  name: ")))
        .header("content-type", "application/apply-patch+yaml")
        .body(document.clone().into_bytes())
        .unwrap();
    let applied = client.request::<Value>(request).await;
    applied.unwrap_or_else(|error| panic!("{error}\n{document}"));
}

#[test]
fn every_environment_becomes_ready() {
    for environment in ["local", "staging", "production"] {
        let Some(cluster) = Cluster::open(environment) else { return };
        let secrets = cluster.home.path().join("secrets.env");
        fs::write(&secrets, "POSTGRES_PASSWORD=of-no-worth\n").unwrap();
        let more: &[&str] = match environment {
            "local" => &["--secrets", secrets.to_str().unwrap()],
            _ => &["--image-registry", "registry.example", "--tag", "1.0.0"],
        };
        let render = ["render", "--env", environment, "--namespace", &cluster.name];
        let printed = cluster.home.must(&[&render, more].concat()).stdout;
        cluster.ask(async |client| {
            for document in printed.split("\n---\n") {
                apply(&client, &cluster.name, &format!("\n{document}\n")).await;
            }
            all_are_ready(&client, &cluster.name).await;
        });
    }
}

async fn all_are_ready(client: &Client, namespace: &str) {
    let all = ListParams::default();
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let services = deployments.list(&all).await.unwrap().items;
    assert!(services.len() >= 6, "{services:#?}");
    for service in services {
        wait_for(&deployments, &service.name_any(), |now| {
            let (spec, status) = (now.spec.as_ref().unwrap(), now.status.as_ref().unwrap());
            status.observed_generation == now.metadata.generation
                && status.ready_replicas == spec.replicas
        })
        .await;
    }
    let sets = Api::<StatefulSet>::namespaced(client.clone(), namespace);
    for set in sets.list(&all).await.unwrap().items {
        wait_for(&sets, &set.name_any(), |now| {
            now.status.as_ref().unwrap().ready_replicas == now.spec.as_ref().unwrap().replicas
        })
        .await;
    }
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    for job in jobs.list(&all).await.unwrap().items {
        wait_for(&jobs, &job.name_any(), |now| now.status.as_ref().unwrap().succeeded == Some(1))
            .await;
    }
}
