//! Replaces references to generated ConfigMaps and Secrets by their full names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{accumulate::Gathered, hash::hash_of, object::Object};

/// New names, by kind, namespace and old name.
type Names = BTreeMap<(&'static str, String, String), String>;

/// The fields of a pod that refer to ConfigMaps and Secrets, through lists on the way.
const OF_PODS: [(&str, &[&str]); 13] = [
    ("ConfigMap", &["volumes", "configMap", "name"]),
    ("ConfigMap", &["volumes", "projected", "sources", "configMap", "name"]),
    ("ConfigMap", &["containers", "env", "valueFrom", "configMapKeyRef", "name"]),
    ("ConfigMap", &["containers", "envFrom", "configMapRef", "name"]),
    ("ConfigMap", &["initContainers", "env", "valueFrom", "configMapKeyRef", "name"]),
    ("ConfigMap", &["initContainers", "envFrom", "configMapRef", "name"]),
    ("Secret", &["volumes", "secret", "secretName"]),
    ("Secret", &["volumes", "projected", "sources", "secret", "name"]),
    ("Secret", &["containers", "env", "valueFrom", "secretKeyRef", "name"]),
    ("Secret", &["containers", "envFrom", "secretRef", "name"]),
    ("Secret", &["initContainers", "env", "valueFrom", "secretKeyRef", "name"]),
    ("Secret", &["initContainers", "envFrom", "secretRef", "name"]),
    ("Secret", &["imagePullSecrets", "name"]),
];
/// The fields of other objects that refer to them, by kind. Kustomize knows these and no more: a field that it leaves alone names an
/// object without a suffix.
const OF_OTHERS: [(&str, &str, &[&str]); 6] = [
    ("Ingress", "Secret", &["spec", "tls", "secretName"]),
    ("Ingress", "Secret", &["metadata", "annotations", "ingress.kubernetes.io/auth-secret"]),
    ("Ingress", "Secret", &["metadata", "annotations", "nginx.ingress.kubernetes.io/auth-secret"]),
    (
        "Ingress",
        "Secret",
        &["metadata", "annotations", "nginx.ingress.kubernetes.io/auth-tls-secret"],
    ),
    (
        "Ingress",
        "ConfigMap",
        &["metadata", "annotations", "nginx.ingress.kubernetes.io/fastcgi-params-configmap"],
    ),
    ("ServiceAccount", "Secret", &["imagePullSecrets", "name"]),
];

/// Adds the hash to the names of generated objects, and updates all references.
pub(super) fn finish(all: Vec<Gathered>) -> Vec<Object> {
    let mut names = Names::new();
    let mut objects = Vec::with_capacity(all.len());
    for Gathered { mut object, has_hash, .. } in all {
        if has_hash {
            let before = object.name().to_owned();
            let after = format!("{before}-{}", hash_of(&object));
            let kind = if object.kind() == "Secret" { "Secret" } else { "ConfigMap" };
            if let Some(metadata) = object.map_at(&["metadata"]) {
                metadata.insert("name".into(), after.clone().into());
            }
            names.insert((kind, namespace(&object), before), after);
        }
        objects.push(object);
    }
    for object in &mut objects {
        let (own, namespace) = (object.kind().to_owned(), namespace(object));
        let after = |kind, name: &str| names.get(&(kind, namespace.clone(), name.into()));
        if let Some(pod) = object.value_mut().pointer_mut("/spec/template/spec") {
            for (kind, path) in OF_PODS {
                rename(pod, path, &|name| after(kind, name));
            }
        }
        for (_, kind, path) in OF_OTHERS.iter().filter(|(of, ..)| *of == own) {
            rename(object.value_mut(), path, &|name| after(kind, name));
        }
    }
    objects
}

/// An object without a namespace gets the default one.
fn namespace(object: &Object) -> String {
    let own = object.namespace();
    if own.is_empty() { "default".into() } else { own.into() }
}

fn rename<'a>(value: &mut Value, path: &[&str], after: &dyn Fn(&str) -> Option<&'a String>) {
    match (value, path) {
        (Value::Array(list), _) => list.iter_mut().for_each(|one| rename(one, path, after)),
        (Value::Object(map), [key, rest @ ..]) => {
            if let Some(value) = map.get_mut(*key) {
                rename(value, rest, after);
            }
        }
        (Value::String(name), []) => {
            if let Some(after) = after(name) {
                name.clone_from(after);
            }
        }
        _ => {}
    }
}
