//! Adopts objects with wanted names that lack the label of the environment: another program may have applied the same
//! manifests.

use cluster::{Cluster, objects::Object};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{apply::ASKED_MAX, labels, wanted::Wanted};
use crate::error::{CliError, Result};

/// Returns the objects of our manifests that another program has applied; they are changed like our own.
///
/// # Errors
/// [`CliError::Failed`] if another object has a wanted name; the cluster's refusal.
pub(super) async fn adopted(
    cluster: &Cluster,
    namespace: &str,
    wanted: &Wanted,
    observed: &[Object],
) -> Result<Vec<Object>> {
    let is_known = |object: &Object| observed.iter().any(|known| known.id() == object.id());
    let unknown = wanted.objects().filter(|object| !object.is_of_cluster() && !is_known(object));
    let reads = unknown.map(|object| cluster.read(object, namespace));
    let found: Vec<Option<Object>> = stream::iter(reads).buffered(ASKED_MAX).try_collect().await?;
    let (ours, others): (Vec<Object>, Vec<Object>) =
        found.into_iter().flatten().partition(|object| is_ours(object, namespace));
    if others.is_empty() {
        return Ok(ours);
    }
    let ids: Vec<String> = others.iter().map(|object| object.id().to_string()).collect();
    Err(CliError::Failed {
        what: format!(
            "the namespace {namespace} has other objects with the wanted names: {}",
            ids.join(", ")
        ),
        hint: format!(
            "choose another `--namespace`, or remove them; an object that belongs to this environment is adopted \
             if it has the label {}={}",
            labels::MANAGED_BY,
            labels::CHEFCITO
        ),
        source: None,
    })
}

/// Returns whether an object is one of our manifests, and of no other environment.
fn is_ours(object: &Object, namespace: &str) -> bool {
    object.label(labels::MANAGED_BY) == Some(labels::CHEFCITO)
        && object.label(labels::ENVIRONMENT).is_none_or(|environment| environment == namespace)
}
