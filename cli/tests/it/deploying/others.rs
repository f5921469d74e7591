//! Objects and fields of other programs are never touched: before, during and after a deployment.

use std::collections::BTreeMap;

use contracts::services::{BOARD, KITCHEN};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::Service,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, TypeMeta},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::Staging;
use crate::{
    api_server::{GUEST, Pods},
    chefcito::{kill, wait_until},
    cluster::deployment,
};

/// Another program that applies manifests.
const KUBECTL: &str = "kubectl";

fn api(client: &Client, namespace: &str, types: &TypeMeta) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types).unwrap());
    match types.kind.as_str() {
        "Namespace" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

impl Staging {
    /// The objects of its manifests.
    fn rendered(&self, tag: &str) -> Vec<DynamicObject> {
        let name = self.cluster.name.as_str();
        let render = ["render", "--env", "staging", "--namespace", name, "--tag", tag];
        let printed = self.cluster.home.must(&render).stdout;
        let objects = yaml::documents(&printed).unwrap().into_iter();
        objects.map(|object| serde_json::from_value(object.to_json()).unwrap()).collect()
    }

    /// Applies them as another program: `chefcito render | kubectl apply --server-side -f -`.
    fn is_applied_by_kubectl(&self, tag: &str) {
        self.cluster.ask(async |client| {
            for object in self.rendered(tag) {
                let api = api(&client, &self.cluster.name, object.types.as_ref().unwrap());
                let params = PatchParams::apply(KUBECTL);
                api.patch(&object.name_any(), &params, &Patch::Apply(&object)).await.unwrap();
            }
        });
    }

    /// All objects of its manifests: their specification and their uid. For a Job that was replaced, the next one
    /// counts as well; autoscalers set the number of pods.
    fn all(&self) -> BTreeMap<String, Value> {
        let is = |object: DynamicObject| {
            let kind = object.types.unwrap().kind;
            let mut data = object.data;
            let _status = data.as_object_mut().unwrap().remove("status");
            match kind.as_str() {
                "Job" => return data["spec"]["template"]["spec"].clone(),
                "Deployment" => {
                    let _count = data["spec"].as_object_mut().unwrap().remove("replicas");
                }
                _ => {}
            }
            json!({"uid": object.metadata.uid, "labels": object.metadata.labels, "data": data})
        };
        self.cluster.ask(async |client| {
            let mut all = BTreeMap::new();
            for object in self.rendered("1.0.0") {
                let types = object.types.as_ref().unwrap();
                let (api, name) = (api(&client, &self.cluster.name, types), object.name_any());
                let found = api.get_opt(&name).await.unwrap();
                all.extend(found.map(|found| (format!("{}/{name}", types.kind), is(found))));
            }
            all
        })
    }

    /// Sets the number of pods of a service as another program.
    fn is_scaled(&self, service: &str, replicas: i32) {
        self.cluster.ask(async |client| {
            let all: Api<Deployment> = Api::namespaced(client, &self.cluster.name);
            let params = PatchParams { field_manager: Some("scaler".into()), ..Default::default() };
            let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            all.patch(service, &params, &change).await.unwrap();
        });
    }

    fn replicas(&self, service: &str) -> i32 {
        self.cluster.ask(async |client| {
            let all: Api<Deployment> = Api::namespaced(client, &self.cluster.name);
            all.get(service).await.unwrap().spec.unwrap().replicas.unwrap()
        })
    }

    /// Deploys an image that does not become ready, runs a step meanwhile, and interrupts the deployment.
    fn is_interrupted(&self, more: &[&str], meanwhile: impl FnOnce()) {
        let before = self.kitchen();
        self.cluster.new_pods_become(KITCHEN, Pods::Unready);
        let args = self.args(more);
        let child = self.cluster.home.start(&args);
        wait_until("it is applied", || self.kitchen() != before);
        meanwhile();
        kill("-TERM", i32::try_from(child.id()).unwrap());
        let ran = self.cluster.home.finish(&args, child);
        assert_eq!(ran.code, Some(143), "{ran}");
        // Pods that were added meanwhile are not ready.
        let is_back = ["is what it was before", "has its former version again"];
        assert!(is_back.iter().any(|words| ran.stderr.contains(words)), "{ran}");
        self.cluster.new_pods_become(KITCHEN, Pods::Ready);
    }

    /// The image of the kitchen, if there is one.
    fn kitchen(&self) -> Option<String> {
        self.cluster.ask(async |client| {
            let all: Api<Deployment> = Api::namespaced(client, &self.cluster.name);
            let kitchen = all.get_opt(KITCHEN).await.unwrap()?.spec?.template.spec?;
            kitchen.containers[0].image.clone()
        })
    }
}

#[test]
fn what_was_brought_up_by_others_is_never_rolled_back_to_nothing() {
    let Some(staging) = Staging::open("handed-over") else { return };
    staging.is_applied_by_kubectl("1.0.0");
    let before = staging.all();

    let refused = staging.deploy(&["--tag", "1.0.1"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("other programs manage fields of "), "{refused}");
    let reported = ": `kubectl` has set spec.template.spec.containers";
    assert!(refused.stderr.contains(reported), "{refused}");
    assert_eq!(staging.all(), before, "nothing was begun");

    staging.cluster.new_pods_become(KITCHEN, Pods::without_image("chefcito-kitchen:1.0.1"));
    let failed = staging.deploy(&["--tag", "1.0.1", "--force-conflicts"]);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("is what it was before"), "{failed}");
    assert_eq!(staging.all(), before);

    staging.cluster.new_pods_become(KITCHEN, Pods::Ready);
    staging.must(&["--tag", "1.0.1", "--force-conflicts"]);
    assert_eq!(staging.kitchen().as_deref(), Some("chefcito-kitchen:1.0.1"));
}

#[test]
fn what_is_not_of_these_manifests_is_not_made_over() {
    let Some(staging) = Staging::open("in-the-way") else { return };
    staging.cluster.ask(async |client| {
        staging.cluster.make_namespace(&client).await;
        staging.cluster.apply(&client, deployment(KITCHEN, 1)).await;
    });
    let before = staging.all();
    for more in [&[][..], &["--force-conflicts"], &["--dry-run"]] {
        let refused = staging.deploy(&[&["--tag", "1.0.0"], more].concat());
        assert_eq!(refused.code, Some(1), "{refused}");
        for reported in
            ["NAME has other objects with the wanted names", "deployment/kitchen", "hint: "]
        {
            assert!(refused.stderr.contains(reported), "`{reported}`: {refused}");
        }
    }
    assert_eq!(staging.all(), before);
}

#[test]
fn what_others_made_in_place_of_what_was_deployed_stays() {
    let Some(staging) = Staging::open("in-place") else { return };
    staging.is_interrupted(&["--tag", "1.0.0"], || {
        staging.cluster.ask(async |client| {
            let all: Api<Service> = Api::namespaced(client, &staging.cluster.name);
            all.delete(BOARD, &DeleteParams::default()).await.unwrap();
            let theirs = json!({
                "metadata": {"name": BOARD, "labels": {"of": "others"}},
                "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
            });
            let theirs = serde_json::from_value(theirs).unwrap();
            all.create(&PostParams::default(), &theirs).await.unwrap();
        });
    });
    let left = staging.all();
    let names: Vec<&str> = left.keys().map(String::as_str).collect();
    let namespace = format!("Namespace/{}", staging.cluster.name);
    assert_eq!(names, [namespace.as_str(), "Service/board"], "all that was deployed is gone");
    assert_eq!(left["Service/board"]["labels"], json!({"of": "others"}));
}

#[test]
fn the_number_of_pods_is_left_to_its_manager() {
    let Some(staging) = Staging::open("scaled") else { return };
    staging.must(&["--tag", "1.0.0"]);
    staging.is_scaled(KITCHEN, 3);
    staging.is_interrupted(&["--tag", "1.0.1"], || staging.is_scaled(KITCHEN, 4));
    assert_eq!(staging.kitchen().as_deref(), Some("chefcito-kitchen:1.0.0"));
    assert_eq!(staging.replicas(KITCHEN), 4, "a rollback is about what was deployed");
    staging.must(&["--tag", "1.0.2"]);
    assert_eq!(staging.replicas(KITCHEN), 4, "and has taken nothing over");
}

/// The permissions that a deployment needs, in the namespace only.
fn rights() -> Value {
    let changed = ["get", "list", "watch", "create", "patch", "delete"];
    json!([
        {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": changed},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": changed},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": changed},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": changed},
        {
            "apiGroups": ["networking.k8s.io"],
            "resources": ["ingresses", "networkpolicies"],
            "verbs": changed,
        },
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": changed},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["replicasets", "statefulsets"], "verbs": ["list", "watch"]},
    ])
}

#[test]
fn a_deployment_needs_no_permission_to_read_secrets() {
    let Some(staging) = Staging::open("deployer") else { return };
    let name = staging.cluster.name.as_str();
    staging.cluster.ask(async |client| {
        staging.cluster.make_namespace(&client).await;
        let role: Role =
            serde_json::from_value(json!({"metadata": {"name": "deployer"}, "rules": rights()}))
                .unwrap();
        let group = "rbac.authorization.k8s.io";
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "deployer"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "deployer"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": GUEST}],
        }))
        .unwrap();
        let post = PostParams::default();
        Api::namespaced(client.clone(), name).create(&post, &role).await.unwrap();
        Api::namespaced(client, name).create(&post, &binding).await.unwrap();
    });
    let first = staging.deploy_by(GUEST, &["--tag", "1.0.0"]);
    assert_eq!(first.code, Some(0), "{first}");
    let before = staging.all();
    staging.cluster.new_pods_become(KITCHEN, Pods::without_image("chefcito-kitchen:1.0.1"));
    let failed = staging.deploy_by(GUEST, &["--tag", "1.0.1"]);
    assert!(failed.stderr.contains("is what it was before"), "{failed}");
    assert_eq!(staging.all(), before);
}
