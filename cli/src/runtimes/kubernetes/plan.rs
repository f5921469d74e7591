//! The plan: a plain function from what is wanted, observed and forecast to steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use cluster::{
    diff::{self, Change},
    objects::{Id, Object},
};

use serde::Serialize;

use super::wanted::Wanted;
use crate::plan::{NodeId, Operation, Plan, SEED_IF_EMPTY, write_order};

/// The most changed fields of an object that a plan shows.
const CHANGES_SHOWN_MAX: usize = 4;

/// An operation of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Create the kind cluster.
    CreateCluster {
        /// Its name.
        cluster: &'static str,
    },
    /// Build images of services.
    Build {
        /// The services.
        services: Vec<String>,
    },
    /// Push images to a registry that lacks them.
    Push {
        /// Their names.
        images: Vec<String>,
        /// The registry.
        registry: String,
    },
    /// Plan again with what was created, built or pushed, and carry that plan out.
    Rest {
        /// The namespace of the environment.
        namespace: String,
    },
    /// Load images into the nodes that lack them.
    Load {
        /// Their names.
        images: Vec<String>,
    },
    /// Forward a port of this machine to the gateway.
    Forward {
        /// The port.
        port: u16,
    },
    /// Create an object.
    Create {
        /// Its id.
        id: Id,
    },
    /// Change fields of an object.
    Change {
        /// Its id.
        id: Id,
        /// The fields.
        changes: Vec<Change>,
    },
    /// Remove an object with changed immutable fields, and create it again.
    Replace {
        /// Its id.
        id: Id,
    },
    /// Remove an object that is not wanted.
    Remove {
        /// Its id.
        id: Id,
    },
    /// Replace the pods of a workload that waiting does not help.
    Retry {
        /// Its id.
        id: Id,
        /// The cause.
        why: String,
    },
    /// Replace the pods of a workload one by one: its image's name refers to another image now.
    Restart {
        /// Its id.
        id: Id,
        /// The name of the image.
        image: String,
    },
    /// Wait until every pod is ready.
    AwaitPods,
    /// Wait until the gateway says that every service is ready.
    AwaitReady,
    /// Send recipes and stock, if there never was a menu.
    SeedIfEmpty,
    /// Place orders and follow each to the table.
    Order {
        /// How many.
        count: u32,
    },
}

impl Step {
    /// Returns the object that it creates, changes or replaces.
    pub(super) const fn applies(&self) -> Option<&Id> {
        match self {
            Self::Create { id } | Self::Change { id, .. } | Self::Replace { id } => Some(id),
            _ => None,
        }
    }

    /// Returns whether it changes something of the environment.
    pub(super) const fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::Forward { .. } | Self::AwaitReady | Self::SeedIfEmpty | Self::Order { .. }
        )
    }

    /// Returns whether the step replaces all pods of a workload. A StatefulSet does not while one of its pods is not
    /// ready, whatever changes.
    ///
    /// <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback>
    pub(super) fn makes_pods_of(&self, it: &Id) -> bool {
        match self {
            Self::Create { id } | Self::Replace { id } => id == it,
            Self::Restart { id, .. } => id == it && id.kind == "Deployment",
            Self::Change { id, changes } => {
                let is_of_pods = |change: &Change| change.field.starts_with("spec.template.");
                id == it && id.kind == "Deployment" && changes.iter().any(is_of_pods)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateCluster { cluster } => {
                write!(formatter, "create the kind cluster {cluster}")
            }
            Self::Build { services } => match services.as_slice() {
                [service] => write!(formatter, "build the image of {service}"),
                services => write!(formatter, "build the images of {}", services.join(", ")),
            },
            Self::Push { images, registry } => {
                write!(formatter, "push {} to {registry}", images.join(", "))
            }
            Self::Rest { namespace } => {
                write!(formatter, "bring the namespace {namespace} to what the manifests say then")
            }
            Self::Load { images } => write!(formatter, "load {}", images.join(", ")),
            Self::Forward { port } => write!(formatter, "forward port {port} to the gateway"),
            Self::Create { id } => write!(formatter, "create {id}"),
            Self::Change { id, changes } => {
                let shown: Vec<String> =
                    changes.iter().take(CHANGES_SHOWN_MAX).map(ToString::to_string).collect();
                write!(formatter, "change {id}: {}", shown.join(", "))?;
                match changes.len().saturating_sub(CHANGES_SHOWN_MAX) {
                    0 => Ok(()),
                    more => write!(formatter, ", and {more} more"),
                }
            }
            Self::Replace { id } => {
                write!(formatter, "replace {id}: a changed field is immutable")
            }
            Self::Remove { id } => {
                write!(formatter, "remove {id}: the manifests no longer have it")
            }
            Self::Retry { id, why } => write!(formatter, "retry {id}: {why}"),
            Self::Restart { id, image } => {
                write!(formatter, "restart {id}: its image {image} has changed")
            }
            Self::AwaitPods => formatter.write_str("wait until every pod is ready"),
            Self::AwaitReady => formatter.write_str("wait until everything is ready"),
            Self::SeedIfEmpty => formatter.write_str(SEED_IF_EMPTY),
            Self::Order { count } => write_order(*count, formatter),
        }
    }
}

impl Operation for Step {
    fn is_large(&self) -> bool {
        matches!(
            self,
            Self::CreateCluster { .. } | Self::Build { .. } | Self::Push { .. } | Self::Load { .. }
        )
    }

    fn is_request(&self) -> bool {
        self.applies().is_some()
    }
}

/// The cluster's forecast for an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Forecast {
    /// The object after an apply.
    Becomes(Box<Object>),
    /// The apply would change immutable fields.
    Immutable,
}

/// Returns the operations on objects, in order; empty if nothing has to change.
pub(super) fn steps(
    wanted: &Wanted,
    observed: &[Object],
    forecasts: &BTreeMap<Id, Forecast>,
) -> Vec<Step> {
    let there: BTreeMap<Id, &Object> =
        observed.iter().map(|object| (object.id(), object)).collect();
    let mut steps = Vec::new();
    let mut kept = BTreeSet::new();
    for object in wanted.objects() {
        let id = object.id();
        let step = match (there.get(&id), forecasts.get(&id)) {
            (_, Some(Forecast::Immutable)) => Some(Step::Replace { id: id.clone() }),
            (Some(is), Some(Forecast::Becomes(becomes))) => {
                let changes = diff::changes(is, becomes);
                (!changes.is_empty()).then(|| Step::Change { id: id.clone(), changes })
            }
            _ => Some(Step::Create { id: id.clone() }),
        };
        steps.extend(step);
        kept.insert(id);
    }
    let too_much = observed.iter().filter(|object| !kept.contains(&object.id()));
    // Data outlive their workload; `down --volumes` removes them.
    let too_much = too_much.filter(|object| !is_data(object) && !object.is_terminating());
    steps.extend(too_much.map(|object| Step::Remove { id: object.id() }));
    steps
}

/// Adds operations on objects to a plan: those that create, change and replace objects in waves, then retries and
/// restarts, then the wait for pods, then removals, since the old pods may need those objects.
pub(super) fn add_steps(plan: &mut Plan<Step>, steps: Vec<Step>, wanted: &Wanted) {
    let (removals, steps): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| matches!(step, Step::Remove { .. }));
    let (applied, later): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| step.applies().is_some());
    let mut done: Vec<NodeId> = plan.ids().collect();
    for wave in wanted.waves() {
        let ids: BTreeSet<Id> = wave.map(Object::id).collect();
        let of_wave =
            applied.iter().filter(|step| step.applies().is_some_and(|id| ids.contains(id)));
        let nodes: Vec<NodeId> = of_wave.map(|step| plan.add(step.clone(), done.clone())).collect();
        done.extend(nodes);
    }
    for step in later {
        plan.add(step, done.clone());
    }
    let ready = plan.add_after_all(Step::AwaitPods);
    for removal in removals {
        plan.add(removal, [ready]);
    }
}

/// Returns whether an object holds data, which can't be created again.
pub(super) fn is_data(object: &Object) -> bool {
    object.kind() == "PersistentVolumeClaim"
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use contracts::services::{BOARD, KITCHEN};
    use serde_json::{Value, json};

    use super::*;

    fn object(kind: &str, name: &str, spec: Value) -> Object {
        let value = json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        Object::from_value(value).unwrap()
    }

    fn plan_text(wanted: &[Object], observed: &[Object], forecasts: Vec<Forecast>) -> Vec<String> {
        let forecasts = wanted.iter().map(Object::id).zip(forecasts).collect();
        let wanted = Wanted::of(wanted.iter().cloned().map(|object| (0, object)).collect());
        let mut plan = Plan::default();
        let steps = steps(&wanted, observed, &forecasts);
        if !steps.is_empty() {
            add_steps(&mut plan, steps, &wanted);
        }
        plan.operations().map(ToString::to_string).collect()
    }

    fn becomes(object: &Object) -> Forecast {
        Forecast::Becomes(Box::new(object.clone()))
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let kitchen = object("Deployment", KITCHEN, json!({"replicas": 1}));
        let plan_text = plan_text(from_ref(&kitchen), from_ref(&kitchen), vec![becomes(&kitchen)]);
        assert_eq!(plan_text, Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_changed_and_said_field_by_field() {
        let is = object("Deployment", KITCHEN, json!({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}));
        let new = object("Deployment", KITCHEN, json!({"a": 2, "b": 2, "c": 2, "d": 2, "e": 2}));
        assert_eq!(
            plan_text(from_ref(&new), &[is], vec![becomes(&new)]),
            [
                "change deployment/kitchen: spec.a 1 → 2, spec.b 1 → 2, spec.c 1 → 2, spec.d 1 → 2, and 1 more",
                "wait until every pod is ready",
            ]
        );
    }

    #[test]
    fn what_is_new_is_made_what_can_t_change_is_replaced_and_what_is_too_much_goes() {
        let roles = object("Job", "roles", json!({}));
        let board = object("Deployment", BOARD, json!({}));
        let old = object("ConfigMap", "lunch-1", json!({}));
        let data = object("PersistentVolumeClaim", "data-postgres-0", json!({}));
        let observed = [roles.clone(), old, data];
        assert_eq!(
            plan_text(&[roles, board], &observed, vec![Forecast::Immutable]),
            [
                "replace job/roles: a changed field is immutable",
                "create deployment/board",
                "wait until every pod is ready",
                "remove configmap/lunch-1: the manifests no longer have it",
            ]
        );
    }
}
