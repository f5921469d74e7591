//! What is there already under the names that are wanted, though nothing says that it is of this environment: the same manifests
//! may have been applied by others.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{apply::ASKED_MAX, labels, wanted::Wanted};
use crate::{
    error::{CliError, Result},
    kubernetes::{Cluster, objects::Object},
};

/// Returns what others have applied of our manifests, `observed` apart: it is there, and is changed like what we have applied.
///
/// # Errors
/// [`CliError::Failed`] if something else has a name that is wanted; what the cluster refuses.
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
            "the namespace {namespace} has objects of others that would be in the way: {}",
            ids.join(", ")
        ),
        hint: format!(
            "choose another `--namespace`, or remove them; what is of this restaurant after all is made over \
             if it has the label {}={}",
            labels::MANAGED_BY,
            labels::CHEFCITO
        ),
        source: None,
    })
}

/// Returns whether our manifests have laid it out, and for no other environment.
fn is_ours(object: &Object, namespace: &str) -> bool {
    object.label(labels::MANAGED_BY) == Some(labels::CHEFCITO)
        && object.label(labels::ENVIRONMENT).is_none_or(|environment| environment == namespace)
}
