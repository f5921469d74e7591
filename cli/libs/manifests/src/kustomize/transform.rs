//! The transformations of all objects of a kustomization.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{kustomization::NewImage, object::Object};

/// Puts an object into a namespace. A Namespace gets its name.
pub(super) fn set_namespace(object: &mut Object, namespace: &str) {
    let field = if object.is_namespaced() { "namespace" } else { "name" };
    if let Some(metadata) = object.map_at(&["metadata"]) {
        metadata.insert(field.into(), namespace.into());
    }
}

/// Adds labels to an object, and overwrites existing ones.
pub(super) fn add_labels(object: &mut Object, labels: &BTreeMap<String, String>) {
    if labels.is_empty() {
        return;
    }
    if let Some(map) = object.map_at(&["metadata", "labels"]) {
        map.extend(labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
    }
}

/// Sets the replicas of an object, if it is the Deployment or StatefulSet of this name; returns whether it is.
pub(super) fn set_replicas(object: &mut Object, name: &str, count: i64) -> bool {
    let is_meant = object.name() == name && matches!(object.kind(), "Deployment" | "StatefulSet");
    if is_meant && let Some(spec) = object.map_at(&["spec"]) {
        spec.insert("replicas".into(), count.into());
    }
    is_meant
}

/// Replaces images by their names.
pub(super) fn set_images(object: &mut Object, images: &BTreeMap<String, NewImage>) {
    let Some(pod) = object.value_mut().pointer_mut("/spec/template/spec") else { return };
    for list in ["initContainers", "containers"] {
        let containers = pod.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let Some(Value::String(image)) = container.get_mut("image") else { continue };
            let (name, end) = split(image);
            if let Some(new) = images.get(name) {
                *image = replaced(name, end, new);
            }
        }
    }
}

/// Splits an image into its name, and its tag and digest with their separators.
fn split(image: &str) -> (&str, &str) {
    let last = image.rfind('/').map_or(0, |at| at + 1);
    let end = image[last..].find([':', '@']).map_or(image.len(), |at| last + at);
    image.split_at(end)
}

fn replaced(name: &str, end: &str, new: &NewImage) -> String {
    let name = new.name.as_deref().unwrap_or(name);
    match (&new.tag, &new.digest) {
        (Some(tag), Some(digest)) => format!("{name}:{tag}@{digest}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (Some(tag), None) => format!("{name}:{tag}"),
        (None, None) => format!("{name}{end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_replaced_part_by_part() {
        let new = |name: &str, tag: &str, digest: &str| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            NewImage { name: given(name), tag: given(tag), digest: given(digest) }
        };
        let changed = |image: &str, new: NewImage| {
            let (name, end) = split(image);
            replaced(name, end, &new)
        };
        assert_eq!(changed("orders:dev", new("", "c-1", "")), "orders:c-1");
        assert_eq!(
            changed("a.example:5000/orders", new("", "c-1", "")),
            "a.example:5000/orders:c-1"
        );
        assert_eq!(changed("orders:dev", new("b.example/o", "", "")), "b.example/o:dev");
        assert_eq!(changed("orders:dev", new("", "", "sha256:1")), "orders@sha256:1");
        assert_eq!(changed("orders@sha256:1", new("o", "2", "sha256:2")), "o:2@sha256:2");
    }
}
