//! Labels of our objects.

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
/// Returns the selector of all objects of an environment.
pub(super) fn of_environment(name: &str) -> String {
    format!("{MANAGED_BY}={CHEFCITO},{ENVIRONMENT}={name}")
}
