//! Labels and annotations of our objects.

use cluster::objects::Object;

use crate::state::Mark;

/// The recommended label for the manager of an object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value for chefcito.
pub(super) const CHEFCITO: &str = "chefcito";
/// The recommended label for the role of an object.
pub(super) const COMPONENT: &str = "app.kubernetes.io/component";
/// Its value for a store of data.
pub(super) const DATABASE: &str = "database";
/// The environment of an object.
pub(super) const ENVIRONMENT: &str = "chefcito.dev/environment";
/// The id of the environment of an object.
const ENVIRONMENT_ID: &str = "chefcito.dev/environment-id";
/// The owner of the environment of an object: an annotation, since a label can't have an `@`.
const OWNER: &str = "chefcito.dev/owner";

/// Returns the mark of an object; `None` if it has none: another program applied it, or an earlier version.
pub(super) fn mark_of(object: &Object) -> Option<Mark> {
    let owner = object.annotation(OWNER).unwrap_or_default().to_owned();
    Some(Mark { id: object.label(ENVIRONMENT_ID)?.to_owned(), owner })
}

/// Marks an object as one of an environment. Its pods are not marked, since that would replace those of an earlier version.
pub(super) fn mark(object: &mut Object, mark: &Mark) {
    object.set_label(ENVIRONMENT_ID, &mark.id);
    object.set_annotation(OWNER, &mark.owner);
}

/// Returns the selector of all objects of an environment.
pub(super) fn of_environment(name: &str) -> String {
    format!("{MANAGED_BY}={CHEFCITO},{ENVIRONMENT}={name}")
}
