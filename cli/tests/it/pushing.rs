//! Images reach any cluster by a registry: pushed there, and referred to by digest.

use std::{fs, process::Command};

use contracts::services::KITCHEN;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;

use crate::{
    checkout::{Checkout, docker, engine_is_there},
    chefcito::{Home, Ran},
    registry::Registry,
    restaurant::{Restaurant, UP},
};

/// The number of our images.
const IMAGES: usize = 8;

/// Prepares an environment on a machine whose engine has images to push.
fn prepare(story: &str) -> Option<Restaurant> {
    let mut it = Restaurant::prepare(story)?;
    let asked = Command::new("docker").args(["image", "inspect", "chefcito-kitchen:dev"]).output();
    if it.cluster.home.find_engine() && asked.is_ok_and(|asked| asked.status.success()) {
        return Some(it);
    }
    test_support::lacking("the images of `chefcito build`");
    None
}

fn up(it: &Restaurant, more: &[&str]) -> Ran {
    it.run(&[&UP[..], &["--port", "0", "--timeout", "180s"], more].concat())
}

/// Returns the image that a service has on the cluster.
fn image_of(it: &Restaurant, service: &str) -> String {
    let deployment = it.cluster.ask(async |client| {
        Api::<Deployment>::namespaced(client, &it.cluster.name).get(service).await.unwrap()
    });
    let template = deployment.spec.unwrap().template;
    template.spec.unwrap().containers[0].image.clone().unwrap()
}

#[test]
fn a_cluster_pulls_what_was_pushed_by_its_digest() {
    let Some(it) = prepare("pushed") else { return };
    let Some(registry) = Registry::start(false) else { return };
    let to = format!("{}/chefcito", registry.address);

    let plan = up(&it, &["--push", &to, "--dry-run"]);
    assert!(plan.stdout.starts_with("push chefcito-"), "{plan}");
    assert!(registry.repositories("chefcito").is_empty(), "nothing was done");

    let first = up(&it, &["--push", &to]);
    assert_eq!(first.code, Some(0), "{first}");
    assert!(first.stderr.contains(&format!("Pushed 8 of 8 images to {to} in ")), "{first}");
    assert!(!first.stderr.contains("warning"), "{first}");
    assert_eq!(registry.repositories("chefcito").len(), IMAGES);
    let kitchen = image_of(&it, KITCHEN);
    assert!(kitchen.starts_with(&format!("{to}/chefcito-kitchen@sha256:")), "{kitchen}");
    let lent = docker(&["images", "--quiet", &format!("{to}/chefcito-kitchen")]);
    assert_eq!(lent, "", "the engine keeps no name of it");

    // The registry is saved.
    let again = up(&it, &[]);
    assert!(again.stderr.contains("Already up") && !again.stderr.contains("Pushed"), "{again}");
    registry.forget("chefcito/chefcito-kitchen");
    let plan = up(&it, &["--dry-run"]);
    assert!(plan.stdout.starts_with(&format!("push chefcito-kitchen to {to}\n")), "{plan}");
    let mended = up(&it, &[]);
    assert!(mended.stderr.contains("Pushed 1 of 8 images"), "{mended}");
    assert_eq!(image_of(&it, KITCHEN), kitchen, "the same image has the same digest");
}

#[test]
fn credentials_are_found_where_docker_keeps_them() {
    let Some(it) = prepare("login") else { return };
    let Some(registry) = Registry::start(true) else { return };
    let host = registry.address.as_str();
    let to = format!("{host}/chefcito");
    let refused = up(&it, &["--push", &to]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains(&format!("could not be pushed to {to}\n")), "{refused}");
    assert!(
        refused.stderr.contains(&format!("hint: log in with `docker login {host}`")),
        "{refused}"
    );
    assert!(!it.folder().join("settings.json").exists(), "it never came to be");

    let config = |text: String| write_config(&it.cluster.home, &text);
    config(format!(r#"{{"credHelpers": {{"{host}": "salt"}}}}"#));
    let lacking = up(&it, &["--push", &to]);
    assert_eq!(lacking.code, Some(7), "{lacking}");
    assert!(lacking.stderr.contains("the program `docker-credential-salt`, which "), "{lacking}");
    assert!(lacking.stderr.contains(" names, does not exist"), "{lacking}");

    let script = format!(
        "read host; [ \"$1 $host\" = 'get {host}' ] && echo '{{\"Username\":\"chef\",\"Secret\":\"salt\"}}'"
    );
    it.cluster.home.put_program("docker-credential-salt", &script);
    let ran = up(&it, &["--push", &to]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(registry.repositories("chefcito").len(), IMAGES);

    registry.forget("chefcito/chefcito-board");
    // `chef:salt`
    config(format!(r#"{{"auths": {{"https://{host}/v1/": {{"auth": "Y2hlZjpzYWx0"}}}}}}"#));
    let ran = up(&it, &[]);
    assert!(ran.stderr.contains("Pushed 1 of 8 images"), "{ran}");
    config("{".into());
    let ran = up(&it, &[]);
    assert!(ran.stderr.contains("HOME/.docker/config.json: "), "{ran}");
}

fn write_config(home: &Home, text: &str) {
    let folder = home.path().join(".docker");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), text).unwrap();
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let Some(it) = prepare("nowhere") else { return };
    let ran = up(&it, &["--push", "127.0.0.1:1/chefcito"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("connection refused"), "{ran}");
    assert!(ran.stderr.contains("hint: check that the registry runs"), "{ran}");
    let ran = up(&it, &["--push", "registry.invalid/chefcito"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("could not be pushed to registry.invalid/chefcito\n"), "{ran}");
    for lent in ["127.0.0.1:1/chefcito/*", "registry.invalid/chefcito/*"] {
        assert_eq!(docker(&["images", "--quiet", lent]), "", "the engine keeps no name of it");
    }
    let ran = it.run(&["up", "--push", "registry.example/chefcito"]);
    assert_eq!(ran.code, Some(2), "an embedded environment has no images: {ran}");
}

#[test]
fn what_is_built_is_pushed_once() {
    if !engine_is_there() {
        return;
    }
    let Some(registry) = Registry::start(false) else { return };
    let checkout = Checkout::new();
    let to = format!("{}/chefcito", registry.address);
    let built = checkout.must(&["build", "--push", &to]);
    assert!(built.stderr.contains("Pushed 2 of 2 images"), "{built}");
    let tea = format!("{to}/chefcito-{}@sha256:", checkout.tea);
    assert!(built.stdout.contains(&tea), "{built}");
    let again = checkout.must(&["build", "--push", &to]);
    assert!(!again.stderr.contains("Pushed") && again.stdout.contains(&tea), "{again}");

    checkout.change(&checkout.tea, "was");
    let one = checkout.must(&["build", "--push", &to]);
    assert!(one.stderr.contains("Pushed 1 of 2 images"), "{one}");
    let said = checkout.must(&["build", "--push", &to, "--json"]).stdout;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    for image in said["images"].as_array().unwrap() {
        let name = image["pushed"].as_str().unwrap();
        assert!(one.stdout.contains(name), "{name}: {one}");
        docker(&["pull", "--quiet", name]);
        docker(&["rmi", name]);
    }
}
