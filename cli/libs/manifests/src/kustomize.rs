//! The part of Kustomize that `manifests/kubernetes` uses, so that rendering an environment does not need kubectl.
//! `kubectl kustomize` gives the same result for the same folder; a feature that chefcito does not support is an error
//! with its path, and never ignored.
//!
//! ```text
//! tree            the files: of a checkout, or built in
//! kustomization   parses one kustomization.yaml
//! accumulate      collects the objects of a folder: resources, generated objects, components; then applies the changes
//! generators      ConfigMaps and Secrets from files and literals; hash makes the suffix of their names
//! patch           finds the targets of a patch; json_patch and strategic apply it
//! transform       namespace, labels, replicas, images
//! names           replaces references to generated ConfigMaps and Secrets
//! object          an object, and its rank when it is applied
//! ```

mod accumulate;
mod built_in;
mod generators;
mod hash;
mod json_patch;
mod kustomization;
mod names;
mod object;
mod patch;
mod strategic;
mod transform;
mod tree;

use std::collections::BTreeMap;

use self::accumulate::{Accumulated, accumulate};
pub use self::{
    kustomization::NewImage,
    object::Object,
    tree::{FOLDER, Tree},
};
use crate::error::{Error, Result};

/// Adjustments to a folder, as if a kustomization on top of it had them.
#[derive(Clone, Debug, Default)]
pub struct Adjustments {
    /// Components in addition to those that the folder lists, by their paths in the tree.
    pub components: Vec<&'static str>,
    /// The namespace of all objects, and the name of the Namespace among them.
    pub namespace: Option<String>,
    /// Labels of all objects, but not of their pods, which would be replaced.
    pub labels: BTreeMap<String, String>,
    /// Images by their names in the manifests.
    pub images: BTreeMap<String, NewImage>,
    /// The replicas of Deployments and StatefulSets, by name.
    pub replicas: BTreeMap<String, i64>,
    /// Settings by the generator of their ConfigMap, which must exist.
    pub settings: BTreeMap<String, BTreeMap<String, String>>,
}

/// Returns the objects of a folder of the tree, in the order in which to apply them.
///
/// # Errors
/// [`Error::BadFile`] if a file is missing, invalid or uses an unsupported feature.
pub fn render(tree: &Tree, folder: &str, adjustments: &Adjustments) -> Result<Vec<Object>> {
    let mut all = accumulate(tree, folder, &adjustments.components)?;
    adjust(&mut all, adjustments)?;
    let mut objects = names::finish(all.objects);
    objects.sort_by_key(Object::rank);
    Ok(objects)
}

fn adjust(all: &mut Accumulated, adjustments: &Adjustments) -> Result<()> {
    let Adjustments { components: _, namespace, labels, images, replicas, settings } = adjustments;
    for (name, pairs) in settings {
        let mut maps = all.iter_mut().filter(|one| one.kind() == "ConfigMap" && one.name() == name);
        let data = maps.next().and_then(|object| object.map_at(&["data"]));
        let Some(data) = data else {
            return Err(Error::Unmatched(format!(
                "there is no ConfigMap `{name}` to set anything in"
            )));
        };
        data.extend(pairs.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    }
    for (name, count) in replicas {
        let mut found = false;
        for object in all.iter_mut() {
            found |= transform::set_replicas(object, name, *count);
        }
        if !found {
            return Err(Error::Unmatched(format!(
                "there is no `{name}` to set {count} replicas of"
            )));
        }
    }
    for object in all.iter_mut() {
        if let Some(namespace) = namespace {
            transform::set_namespace(object, namespace);
        }
        transform::add_labels(object, labels);
        transform::set_images(object, images);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
