//! Replaces references to generated ConfigMaps and Secrets by their full names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{accumulate::Gathered, hash::hash_of, object::Object};

/// Old and new names, by kind.
type Names = BTreeMap<(&'static str, String), String>;

/// The fields of a pod that refer to ConfigMaps and Secrets, through lists on the way.
const OF_PODS: [(&str, &[&str]); 11] = [
    ("ConfigMap", &["volumes", "configMap", "name"]),
    ("ConfigMap", &["volumes", "projected", "sources", "configMap", "name"]),
    ("ConfigMap", &["containers", "env", "valueFrom", "configMapKeyRef", "name"]),
    ("ConfigMap", &["containers", "envFrom", "configMapRef", "name"]),
    ("ConfigMap", &["initContainers", "envFrom", "configMapRef", "name"]),
    ("Secret", &["volumes", "secret", "secretName"]),
    ("Secret", &["volumes", "projected", "sources", "secret", "name"]),
    ("Secret", &["containers", "env", "valueFrom", "secretKeyRef", "name"]),
    ("Secret", &["containers", "envFrom", "secretRef", "name"]),
    ("Secret", &["initContainers", "envFrom", "secretRef", "name"]),
    ("Secret", &["imagePullSecrets", "name"]),
];

/// Adds the hash to the names of generated objects, and updates all references.
pub(super) fn finish(all: Vec<Gathered>) -> Vec<Object> {
    let mut names = Names::new();
    let mut objects = Vec::with_capacity(all.len());
    for Gathered { mut object, has_hash } in all {
        if has_hash {
            let before = object.name().to_owned();
            let after = format!("{before}-{}", hash_of(&object));
            let kind = if object.kind() == "Secret" { "Secret" } else { "ConfigMap" };
            if let Some(metadata) = object.map_at(&["metadata"]) {
                metadata.insert("name".into(), after.clone().into());
            }
            names.insert((kind, before), after);
        }
        objects.push(object);
    }
    for object in &mut objects {
        if let Some(pod) = object.value_mut().pointer_mut("/spec/template/spec") {
            for (kind, path) in OF_PODS {
                rename(pod, path, kind, &names);
            }
        }
        if object.kind() == "Ingress"
            && let Some(spec) = object.value_mut().get_mut("spec")
        {
            rename(spec, &["tls", "secretName"], "Secret", &names);
        }
    }
    objects
}

fn rename(value: &mut Value, path: &[&str], kind: &'static str, names: &Names) {
    match (value, path) {
        (Value::Array(list), _) => list.iter_mut().for_each(|one| rename(one, path, kind, names)),
        (Value::Object(map), [key, rest @ ..]) => {
            if let Some(value) = map.get_mut(*key) {
                rename(value, rest, kind, names);
            }
        }
        (Value::String(name), []) => {
            if let Some(after) = names.get(&(kind, name.clone())) {
                name.clone_from(after);
            }
        }
        _ => {}
    }
}
