//! The restaurant on a real API server: up, changed, down; objects and fields of other programs stay.

use std::net::TcpStream;

use contracts::services::{BOARD, KITCHEN, ORDERS};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    api_server::{GUEST, Pods, free_port},
    chefcito::{Ran, kill, wait_until},
    cluster::Cluster,
    restaurant::{Restaurant, UP},
};

/// Returns the lines of a plan that begin with a word.
fn steps<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(word)).collect()
}

async fn names<K>(client: Client, namespace: &str) -> Vec<String>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let listed =
        Api::<K>::namespaced(client, namespace).list(&ListParams::default()).await.unwrap();
    listed.items.iter().filter_map(|one| one.meta().name.clone()).collect()
}

/// Patches a Deployment as another program.
fn patch(cluster: &Cluster, deployment: &str, change: Value) {
    let name = cluster.name.clone();
    cluster.ask(async |client| {
        let params =
            PatchParams { field_manager: Some("somebody-else".into()), ..Default::default() };
        let all: Api<Deployment> = Api::namespaced(client, &name);
        all.patch(deployment, &params, &Patch::Merge(change)).await.unwrap();
    });
}

#[test]
fn an_environment_on_a_cluster_lives_as_any_other() {
    let Some(it) = Restaurant::prepare("life") else { return };
    let plan = it.must(&[&UP[..], &["--dry-run"]].concat());
    assert!(plan.stdout.contains("create deployment/kitchen\n"), "{plan}");
    assert!(plan.stdout.ends_with(
        "wait until everything is ready\nsend recipes and stock, if there never was a menu\n"
    ));

    let up = it.must(&[&UP[..], &["--port", "0"]].concat());
    assert!(up.stderr.contains("Seeded 6 recipes"), "{up}");
    assert!(up.stderr.contains("(kubernetes: namespace NAME of owner)"), "{up}");
    let address = up.stdout.clone();
    it.must(&["order", "--count", "20"]);
    it.must(&["audit"]);

    let again = it.must(&UP);
    assert!(again.stderr.contains("Already up"), "{again}");
    assert_eq!(again.stdout, address);

    let plan = it.must(&[&UP[..], &["--stoves", "3", "--dry-run"]].concat());
    let kitchen = steps(&plan.stdout, "change deployment/kitchen");
    assert!(kitchen[0].contains("configMapRef.name kitchen-settings-"), "{plan}");
    assert_eq!(steps(&plan.stdout, "change").len(), 1, "only the kitchen has stoves: {plan}");
    it.must(&[&UP[..], &["--stoves", "3"]].concat());
    let maps = it.cluster.ask(async |client| names::<ConfigMap>(client, &it.cluster.name).await);
    let of_kitchen = maps.iter().filter(|name| name.starts_with("kitchen-settings")).count();
    assert_eq!(of_kitchen, 1, "the former settings are removed when no pod needs them: {maps:?}");

    let scaled = it.must(&["scale", "kitchen=3"]);
    assert!(scaled.stderr.contains("There are now 3 of kitchen"), "{scaled}");
    assert_eq!(it.cluster.pods_of(KITCHEN).len(), 3);
    for store in ["postgres=2", "redis=2"] {
        let refused = it.run(&["scale", "kitchen=2", store]);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains("is a database, so it can have only one pod"), "{refused}");
    }
    it.must(&["scale", "postgres=1"]);
    assert_eq!(it.cluster.pods_of(KITCHEN).len(), 3);
    let before = it.cluster.pods_of(ORDERS);
    it.must(&["restart", ORDERS]);
    assert_ne!(it.cluster.pods_of(ORDERS), before);
    let again = it.must(&[&UP[..], &["--stoves", "3"]].concat());
    assert!(again.stderr.contains("Already up"), "what was scaled and restarted stays so: {again}");

    it.must(&["stop"]);
    let left = it.cluster.ask(async |client| names::<Pod>(client, &it.cluster.name).await);
    let of_jobs = |name: &String| name.starts_with("roles-");
    assert!(left.iter().all(of_jobs), "it is stopped: {left:?}");
    it.must(&["start"]);
    assert_eq!(it.cluster.pods_of(KITCHEN).len(), 3);

    let down = it.must(&["down"]);
    assert!(down.stderr.contains("Its data stay in the cluster `owner`"), "{down}");
    let (deployments, secrets) = it.cluster.ask(async |client| {
        let deployments = names::<Deployment>(client.clone(), &it.cluster.name).await;
        (deployments, names::<Secret>(client, &it.cluster.name).await)
    });
    assert_eq!(deployments, Vec::<String>::new());
    assert!(secrets.iter().any(|name| name.starts_with("secrets-")), "they open the data");

    it.must(&UP);
    it.must(&["down", "--volumes"]);
    let namespace = it
        .cluster
        .ask(async |client| Api::<Namespace>::all(client).get_opt(&it.cluster.name).await.unwrap());
    assert!(namespace.is_none());
    assert!(!it.folder().exists());
}

#[test]
fn the_cluster_that_was_named_once_is_remembered() {
    let Some(it) = Restaurant::open("named") else { return };
    const AGAIN: [&str; 3] = ["up", "--runtime", "kubernetes"];
    it.must(&[&AGAIN[..], &["--stoves", "9"]].concat());
    it.must(&["down"]);
    let again = it.must(&AGAIN);
    assert!(again.stderr.contains("of owner)"), "its data are there: {again}");
    it.must(&["down"]);
    it.must(&["down", "--volumes"]);
    let left = it
        .cluster
        .ask(async |client| Api::<Namespace>::all(client).get_opt(&it.cluster.name).await.unwrap());
    assert!(left.is_none(), "{left:?}");
}

#[test]
fn fields_of_another_manager_stay_until_they_are_taken_over() {
    let Some(it) = Restaurant::open("fields") else { return };
    patch(&it.cluster, KITCHEN, json!({"spec": {"replicas": 5}}));
    let refused = it.run(&UP);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stderr.contains(
            "other programs manage fields of deployment/kitchen: `somebody-else` has set spec.replicas"
        ),
        "{refused}"
    );
    let forced = [&UP[..], &["--force-conflicts"]].concat();
    let plan = it.must(&[&forced[..], &["--dry-run"]].concat());
    assert!(plan.stdout.contains("change deployment/kitchen: spec.replicas 5 → 1"), "{plan}");
    it.must(&forced);
    assert!(it.must(&UP).stderr.contains("Already up"));
}

#[test]
fn what_others_have_in_the_namespace_is_never_touched() {
    let Some(it) = Restaurant::prepare("others") else { return };
    let name = it.cluster.name.as_str();
    let object = |name: &str| serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    it.cluster.ask(async |client| {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &object_of(name)).await.unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), name);
        maps.create(&PostParams::default(), &object("decoy")).await.unwrap();
        let services: Api<Service> = Api::namespaced(client, name);
        let redis = json!({"metadata": {"name": "redis"}, "spec": {"ports": [{"port": 1, "protocol": "TCP"}]}});
        services.create(&PostParams::default(), &serde_json::from_value(redis).unwrap()).await.unwrap();
    });
    for more in [&[][..], &["--dry-run"]] {
        let refused = it.run(&[&UP[..], more].concat());
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(
            refused.stderr.contains(
                "the namespace NAME has other objects with the wanted names: service/redis"
            ),
            "{refused}"
        );
    }
    it.cluster.ask(async |client| {
        let services: Api<Service> = Api::namespaced(client, name);
        services.delete("redis", &Default::default()).await.unwrap();
    });
    it.must(&[&UP[..], &["--port", "0"]].concat());
    it.must(&["down"]);
    let claims = |client| names::<PersistentVolumeClaim>(client, name);
    assert_eq!(it.cluster.ask(claims).len(), 1);
    it.must(&["down", "--volumes"]);
    assert_eq!(it.cluster.ask(claims), Vec::<String>::new(), "the data were ours");
    let (maps, deployments) = it.cluster.ask(async |client| {
        let maps = names::<ConfigMap>(client.clone(), name).await;
        (maps, names::<Deployment>(client, name).await)
    });
    assert!(maps.contains(&"decoy".to_owned()), "neither it nor its namespace is ours: {maps:?}");
    assert_eq!(deployments, Vec::<String>::new());
}

fn object_of(name: &str) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

/// Runs `up`, and interrupts it when its pods exist.
fn interrupt_up(it: &Restaurant) -> Ran {
    it.cluster.new_pods_become(BOARD, Pods::Unready);
    let child = it.start(&UP);
    wait_until("its pods are made", || !it.cluster.pods_of(BOARD).is_empty());
    kill("-INT", i32::try_from(child.id()).unwrap());
    let ran = it.cluster.home.finish(&UP, child);
    assert_eq!(ran.code, Some(130), "{ran}");
    ran
}

#[test]
fn a_first_up_that_is_interrupted_leaves_nothing() {
    let Some(it) = Restaurant::prepare("interrupted") else { return };
    let ran = interrupt_up(&it);
    assert!(ran.stderr.contains("Removing what this command made"), "{ran}");
    let left = it
        .cluster
        .ask(async |client| Api::<Namespace>::all(client).get_opt(&it.cluster.name).await.unwrap());
    assert!(left.is_none(), "{left:?}");
}

#[test]
fn an_up_that_is_interrupted_keeps_data_that_were_there() {
    let Some(it) = Restaurant::open("kept") else { return };
    it.must(&["down"]);
    let claims = it.cluster.ask(async |client| {
        // Even if no labelled object is left.
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &it.cluster.name);
        let ours = ListParams::default().labels("chefcito.dev/environment");
        secrets.delete_collection(&Default::default(), &ours).await.unwrap();
        names::<PersistentVolumeClaim>(client, &it.cluster.name).await
    });
    assert_eq!(claims.len(), 1);
    assert!(!interrupt_up(&it).stderr.contains("Removing"));
    let left = it
        .cluster
        .ask(async |client| names::<PersistentVolumeClaim>(client, &it.cluster.name).await);
    assert_eq!(left, claims);
}

#[test]
fn secrets_that_were_lost_here_are_found_in_the_cluster() {
    let Some(it) = Restaurant::open("secrets") else { return };
    let kept = std::fs::read_to_string(it.folder().join("secrets/secrets.env")).unwrap();
    std::fs::remove_file(it.folder().join("secrets/secrets.env")).unwrap();
    std::fs::remove_file(it.folder().join("admin.key")).unwrap();
    let again = it.must(&UP);
    assert!(again.stderr.contains("Already up"), "{again}");
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    let found = std::fs::read_to_string(it.folder().join("secrets/secrets.env")).unwrap();
    assert_eq!(sorted(&found), sorted(&kept));
}

#[test]
fn data_are_kept_by_down_and_removed_with_volumes() {
    let Some(it) = Restaurant::open("data") else { return };
    let claims = || {
        it.cluster
            .ask(async |client| names::<PersistentVolumeClaim>(client, &it.cluster.name).await)
    };
    assert_eq!(claims().len(), 1);
    it.must(&["down"]);
    assert_eq!(claims().len(), 1);
    it.must(&["down", "--volumes"]);
    assert_eq!(claims(), Vec::<String>::new());
}

/// Makes a namespace in which the guest may see everything, and change nothing.
fn open_for_visitors(it: &Restaurant) {
    let name = it.cluster.name.as_str();
    it.cluster.ask(async |client| {
        it.cluster.make_namespace(&client).await;
        let group = "rbac.authorization.k8s.io";
        let role = json!({
            "metadata": {"name": "visitor"},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}],
        });
        let binding = json!({
            "metadata": {"name": "visitor"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "visitor"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": GUEST}],
        });
        let post = PostParams::default();
        let roles: Api<Role> = Api::namespaced(client.clone(), name);
        roles.create(&post, &serde_json::from_value(role).unwrap()).await.unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(client, name);
        bindings.create(&post, &serde_json::from_value(binding).unwrap()).await.unwrap();
    });
}

#[test]
fn a_first_up_that_fails_before_it_has_made_anything_leaves_nothing() {
    let Some(it) = Restaurant::prepare("nothing-made") else { return };
    open_for_visitors(&it);
    std::fs::remove_dir_all(it.folder()).unwrap();
    let port = free_port().to_string();
    let up = ["up", "--runtime", "kubernetes", "--context", GUEST, "--port", &port];
    let failed = it.run(&up);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("is forbidden"), "{failed}");
    assert!(!it.folder().exists(), "{failed}");
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "a forwarder runs on");
    let down = it.must(&["down"]);
    assert_eq!(down.stderr, "Nothing is running as `NAME`\n");
}

#[test]
fn an_up_that_fails_half_way_is_continued_or_taken_down() {
    let Some(it) = Restaurant::prepare("half-way") else { return };
    it.cluster.new_pods_become(BOARD, Pods::without_image("chefcito-board:c-1"));
    let port = free_port().to_string();
    let up = [&UP[..], &["--port", &port]].concat();
    let failed = it.run(&up);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "a forwarder runs on");
    let down = it.must(&["down"]);
    assert!(down.stderr.starts_with("`NAME` is down\n"), "{down}");
    it.cluster.new_pods_become(BOARD, Pods::Ready);
    it.must(&up);
    it.must(&["order"]);
}

#[test]
fn an_environment_is_found_in_the_kubeconfig_of_today() {
    let Some(it) = Restaurant::prepare("today") else { return };
    let home = it.cluster.home.path();
    let (first, second) = (home.join(".kube/config"), home.join("elsewhere"));
    let with = |kubeconfig: &str, args: &[&str]| {
        let args = [args, &["--name", &it.cluster.name]].concat();
        let mut command = it.cluster.home.command(&args);
        let child = command.env("KUBECONFIG", kubeconfig).spawn().unwrap();
        it.cluster.home.finish(&args, child)
    };
    // From another folder, a relative path would lead to nothing.
    let up = with("nowhere:.kube/config", &[&UP[..], &["--port", "0"]].concat());
    assert_eq!(up.code, Some(0), "{up}");
    it.loses_its_forwarder();
    it.must(&["order"]);

    std::fs::rename(&first, &second).unwrap();
    it.loses_its_forwarder();
    let ordered = with("elsewhere", &["order"]);
    assert_eq!(ordered.code, Some(0), "{ordered}");
    let again = it.must(&UP);
    assert!(again.stderr.contains("Already up"), "it is remembered where it was found: {again}");

    // Moved once more, with another name of the context.
    let text = std::fs::read_to_string(&second).unwrap();
    std::fs::remove_file(&second).unwrap();
    let renamed = text.replace("name: owner, context", "name: boss, context");
    std::fs::write(home.join("third"), renamed).unwrap();
    let boss = ["up", "--runtime", "kubernetes", "--context", "boss"];
    let lost = with("third", &UP);
    assert_eq!(lost.code, Some(7), "{lost}");
    let pointed = with("third", &boss);
    assert!(pointed.stderr.contains("Already up"), "{pointed}");
    it.must(&["order"]);
    it.must(&["down"]);
}

#[test]
fn a_kubeconfig_is_named_once_and_kept() {
    let Some(it) = Restaurant::prepare("named") else { return };
    let home = it.cluster.home.path();
    let [first, second] = ["elsewhere", "third"].map(|name| home.join(name));
    std::fs::rename(home.join(".kube/config"), &first).unwrap();
    let naming = |file: &'static str| [&UP[..], &["--port", "0", "--kubeconfig", file]].concat();
    let missing = it.run(&naming("nowhere"));
    assert_eq!(missing.code, Some(7), "{missing}");
    assert!(missing.stderr.contains("there is no kubeconfig at HOME/nowhere"), "{missing}");
    it.must(&naming("elsewhere"));
    it.loses_its_forwarder();
    it.must(&["order"]);
    let again = it.must(&UP);
    assert!(again.stderr.contains("Already up"), "{again}");
    assert!(again.stderr.contains("kubeconfig HOME/elsewhere"), "{again}");

    std::fs::rename(&first, &second).unwrap();
    it.loses_its_forwarder();
    let lost = it.run(&["restart", KITCHEN]);
    assert_eq!(lost.code, Some(7), "{lost}");
    for said in ["there is no kubeconfig at HOME/elsewhere", "`--kubeconfig`"] {
        assert!(lost.stderr.contains(said), "{lost}");
    }
    let pointed = it.must(&naming("third"));
    assert!(pointed.stderr.contains("Already up"), "{pointed}");
    it.must(&["order"]);
    it.must(&["down", "--volumes"]);

    // Without a context, the file's current one counts.
    let planned = it.must(&["up", "--runtime", "kubernetes", "--kubeconfig", "third", "--dry-run"]);
    assert!(planned.stdout.contains("create deployment/kitchen"), "{planned}");

    let listed = it.run(&["up", "--runtime", "kubernetes", "--kubeconfig", "third:elsewhere"]);
    assert_eq!(listed.code, Some(2), "{listed}");
    assert!(listed.stderr.contains("the path of one file"), "{listed}");
}
