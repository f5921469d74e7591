//! The part of Kustomize that `manifests/kubernetes` uses, so that nobody needs kubectl to see what an environment is made of.
//! What `kubectl kustomize` makes of the same folder is the same; what chefcito does not do is an error that names its place,
//! and is never passed over in silence.
//!
//! ```text
//! tree            where files come from: a checkout, or this program
//! kustomization   reads one kustomization.yaml
//! accumulate      walks from folder to folder: resources, what is generated, components, and then what changes them
//! generators      ConfigMaps and Secrets from files and literals; hash gives them the end of their names
//! patch           finds what a patch is for; json_patch and strategic change it
//! transform       namespace, labels, replicas, images
//! names           who mentions a ConfigMap or a Secret is told its whole name
//! object          an object, and what comes before what when they are applied
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
pub(crate) use self::{kustomization::NewImage, object::Object, tree::Tree};
use crate::error::{CliError, Result};

/// What is wanted otherwise than the folder has it: as if a kustomization on top of it said so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adjustments {
    /// Components beside those that the folder lists, by their paths in the tree; it does with them what it does with its own.
    pub(crate) components: Vec<&'static str>,
    /// The namespace of all objects, and the name of the Namespace among them.
    pub(crate) namespace: Option<String>,
    /// Labels of all objects; not of the pods that they make, which would be made anew.
    pub(crate) labels: BTreeMap<String, String>,
    /// Images by the names that the manifests have.
    pub(crate) images: BTreeMap<String, NewImage>,
    /// How many pods a Deployment or StatefulSet of this name has.
    pub(crate) replicas: BTreeMap<String, i64>,
    /// Settings by the generator of the ConfigMap that they belong to; it has to be there.
    pub(crate) settings: BTreeMap<String, BTreeMap<String, String>>,
}

/// Returns the objects of a folder of the tree, in the order in which they are applied.
///
/// # Errors
/// [`CliError::BadFile`] if a file is missing, can't be understood, or asks for what chefcito does not do.
pub(crate) fn render(tree: &Tree, folder: &str, adjustments: &Adjustments) -> Result<Vec<Object>> {
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
            return Err(CliError::failed(format!(
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
            return Err(CliError::failed(format!("there is no `{name}` to have {count} of")));
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
pub(crate) mod tests;
