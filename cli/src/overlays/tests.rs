//! The manifests agree with Kubernetes and with the code.

use std::{fs, path::Path};

use contracts::services::ORDERS;
use serde_json::Value;

use super::*;

mod edges;
mod pods;
mod table;
mod types;

const OVERLAYS: [Overlay; 3] = [Overlay::Local, Overlay::Staging, Overlay::Production];

/// The manifests of this checkout, with secrets for the local environment.
pub(super) fn tree() -> Tree {
    Tree::find(root()).with_file(SECRETS, bootstrap::new_env().unwrap())
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

pub(super) fn objects(overlay: Overlay) -> Vec<Object> {
    render(&tree(), overlay, &Adjustments::default()).unwrap()
}

/// Returns the objects with pods, each with the template of those.
pub(super) fn pods(objects: &[Object]) -> Vec<(&Object, &Value)> {
    let template = |object: &Object| object.value().pointer("/spec/template").is_some();
    let all = objects.iter().filter(|object| template(object));
    all.map(|object| (object, &object.value()["spec"]["template"])).collect()
}

#[test]
fn what_is_built_in_is_what_is_in_the_checkout() {
    let secrets = bootstrap::new_env().unwrap();
    for overlay in OVERLAYS {
        let from = |tree: Tree| {
            render(&tree.with_file(SECRETS, &*secrets), overlay, &Adjustments::default()).unwrap()
        };
        assert_eq!(from(Tree::find(Path::new("/"))), from(Tree::find(root())), "{overlay:?}");
    }
}

#[test]
fn without_secrets_it_is_said_how_to_make_some() {
    let error = render(&Tree::default(), Overlay::Local, &Adjustments::default()).unwrap_err();
    insta::assert_snapshot!(format!("{error}\n{}", error.hint().unwrap()));
}

#[test]
fn images_are_called_as_they_are_asked_for() {
    let content = ContentTag::parse("c-0123456789ab").unwrap();
    let mut contents = Contents::default();
    contents.set(ORDERS.to_owned(), content);
    let image = |images: BTreeMap<String, NewImage>, service: &str| {
        let NewImage { name, tag, .. } = &images[&repository(service)];
        format!("{}:{}", name.as_deref().unwrap_or("-"), tag.as_deref().unwrap())
    };
    assert_eq!(image(images(None, None, &contents), ORDERS), "-:c-0123456789ab");
    assert_eq!(image(images(None, None, &contents), "bootstrap"), "-:dev");
    let pushed = images(Some("registry.example/a"), Some("1.4.0"), &contents);
    assert_eq!(image(pushed, ORDERS), "registry.example/a/chefcito-orders:1.4.0");
    contents.set_pushed("registry.example/a", ORDERS, "sha256:1");
    let pushed = images(Some("registry.example/a/"), None, &contents);
    let orders = &pushed[&repository(ORDERS)];
    assert_eq!((&orders.tag, orders.digest.as_deref()), (&None, Some("sha256:1")));
    let named = images(Some("registry.example/a"), Some("1.4.0"), &contents);
    assert_eq!(image(named, ORDERS), "registry.example/a/chefcito-orders:1.4.0");
    let all = images(None, None, &Contents::default());
    for (object, template) in pods(&objects(Overlay::Local)) {
        let image = template["spec"]["containers"][0]["image"].as_str().unwrap();
        let name = image.split(':').next().unwrap();
        let is_ours = all.contains_key(name);
        assert!(is_ours || ["postgres", "redis"].contains(&object.name()), "{image}");
    }
}

/// Terraform creates what the manifests of its environment need.
#[test]
fn terraform_makes_the_place_and_every_secret_that_is_asked_for() {
    let read =
        |path: &str| fs::read_to_string(root().join("manifests/terraform").join(path)).unwrap();
    let made = read("modules/secrets/main.tf");
    let names = made.split_once("names = toset(").unwrap().1;
    let place = read("modules/secrets/namespace.tf");
    let services = made.split_once("services = [").unwrap().1.split_once(']').unwrap().0;
    for (overlay, folder) in [(Overlay::Staging, "staging"), (Overlay::Production, "production")] {
        let objects = objects(overlay);
        let namespace = objects.iter().find(|one| one.kind() == "Namespace").unwrap();
        for (label, value) in namespace.value()["metadata"]["labels"].as_object().unwrap() {
            if label.starts_with("pod-security.kubernetes.io/") {
                let line = place.lines().find(|line| line.contains(label));
                assert!(line.is_some_and(|line| line.ends_with(&format!("= {value}"))), "{label}");
            }
        }
        let namespace = namespace.name();
        let root = read(&format!("{folder}/main.tf"));
        let line = root.lines().find(|line| line.trim_start().starts_with("namespace "));
        assert!(line.unwrap().ends_with(&format!("= \"{namespace}\"")), "{line:?}");
        for (object, template) in pods(&objects) {
            let secret = &template["spec"]["volumes"][0]["secret"];
            assert_eq!(secret["secretName"], "secrets", "{}", object.name());
            for item in secret["items"].as_array().unwrap() {
                let key = item["key"].as_str().unwrap();
                let is_made = match key.strip_suffix("-database-url") {
                    Some(service) if service != "admin" => {
                        services.contains(&format!("\"{service}\""))
                    }
                    _ => names.contains(&format!("\"{key}\"")),
                };
                assert!(is_made, "{folder}: nothing creates `{key}` of {}", object.name());
            }
            let certificates = &template["spec"]["volumes"][1]["configMap"];
            let (name, key) = (&certificates["name"], &certificates["items"][0]["key"]);
            let (_, map) = place.split_once("kubernetes_config_map_v1").unwrap();
            assert!(map.contains(&format!("= {name}")) && map.contains(&format!("{key} =")));
            // For tasks of ECS.
            assert!(made.contains(&format!("${{var.prefix}}{}\"", key.as_str().unwrap())));
        }
    }
}
