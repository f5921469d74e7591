//! How what is ours is told from what is others'.

/// Who looks after an object, as Kubernetes recommends to say it.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Ourselves.
pub(super) const CHEFCITO: &str = "chefcito";
/// What part an object has, as Kubernetes recommends to say it.
pub(super) const COMPONENT: &str = "app.kubernetes.io/component";
/// That it keeps what others know.
pub(super) const DATABASE: &str = "database";
/// Which environment an object is of.
pub(super) const ENVIRONMENT: &str = "chefcito.dev/environment";
/// Returns what selects all that is of an environment.
pub(super) fn of_environment(name: &str) -> String {
    format!("{MANAGED_BY}={CHEFCITO},{ENVIRONMENT}={name}")
}
