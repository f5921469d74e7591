//! The manifests as they are: that they mean what they say, to Kubernetes and to the code.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::*;
use crate::yaml;

mod edges;
mod pods;
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

/// Returns the objects that have pods, each with the template of these.
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
    let contents = BTreeMap::from([("orders".to_owned(), content)]);
    let image = |images: BTreeMap<String, NewImage>, service: &str| {
        let NewImage { name, tag, .. } = &images[&repository(service)];
        format!("{}:{}", name.as_deref().unwrap_or("-"), tag.as_deref().unwrap())
    };
    assert_eq!(image(images(None, None, &contents), "orders"), "-:c-0123456789ab");
    assert_eq!(image(images(None, None, &contents), "bootstrap"), "-:dev");
    let pushed = images(Some("registry.example/a"), Some("1.4.0"), &contents);
    assert_eq!(image(pushed, "orders"), "registry.example/a/chefcito-orders:1.4.0");
    let all = images(None, None, &BTreeMap::new());
    for (object, template) in pods(&objects(Overlay::Local)) {
        let image = template["spec"]["containers"][0]["image"].as_str().unwrap();
        let name = image.split(':').next().unwrap();
        let is_ours = all.contains_key(name);
        assert!(is_ours || ["postgres", "redis"].contains(&object.name()), "{image}");
    }
}

#[test]
fn kubectl_makes_the_same_of_the_same_files() {
    let Some(kubectl) = kubectl() else { return };
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("manifests/kubernetes"))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    let secrets = bootstrap::new_env().unwrap();
    std::fs::write(copy.path().join("kubernetes").join(SECRETS), &secrets).unwrap();
    for overlay in OVERLAYS {
        let folder = copy.path().join("kubernetes").join(overlay.folder());
        let ran = Command::new(&kubectl).arg("kustomize").arg(folder).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let documents = yaml::documents(&String::from_utf8(ran.stdout).unwrap()).unwrap();
        let theirs = documents.iter().map(|document| in_one_line(document.to_json().unwrap()));
        let ours = render(
            &Tree::find(root()).with_file(SECRETS, &*secrets),
            overlay,
            &Adjustments::default(),
        );
        let ours = ours.unwrap().into_iter().map(|object| object.value().clone());
        assert_eq!(by_id(ours), by_id(theirs), "{overlay:?}");
    }
}

/// Objects by what they are, so that the first difference is easily found.
fn by_id(objects: impl Iterator<Item = Value>) -> BTreeMap<String, String> {
    objects
        .map(|object| {
            let id = format!("{} {}", object["kind"], object["metadata"]["name"]);
            (id, yaml::text_of(&object))
        })
        .collect()
}

/// Kustomize breaks long secrets into lines.
fn in_one_line(mut object: Value) -> Value {
    if object["kind"] == "Secret" {
        for value in object["data"].as_object_mut().unwrap().values_mut() {
            *value = value.as_str().unwrap().replace('\n', "").into();
        }
    }
    object
}

/// Finds a kubectl with a Kustomize that knows components: 1.27 or later.
fn kubectl() -> Option<String> {
    const MINOR_MIN: u32 = 27;
    let program = std::env::var("CHEFCITO_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".into());
    let asked = Command::new(&program).args(["version", "--client", "--output=json"]).output();
    let minor = asked.ok().and_then(|asked| {
        let version: Value = serde_json::from_slice(&asked.stdout).ok()?;
        version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse::<u32>().ok()
    });
    if minor.is_none_or(|minor| minor < MINOR_MIN) {
        chassis::testing::lacking("kubectl 1.27 or later; set CHEFCITO_TEST_KUBECTL to its path");
        return None;
    }
    Some(program)
}
