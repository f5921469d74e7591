//! The wanted objects of an environment on a cluster, from the manifests, in the order of creation.

use serde_json::{Value, json};

use cluster::objects::{Id, Object};

/// Objects, each with its rank: lower ranks come first, equal ones at the same time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted(Vec<(u8, Object)>);

impl Wanted {
    /// Returns these objects, sorted.
    pub(super) fn of(mut objects: Vec<(u8, Object)>) -> Self {
        objects.sort_by_key(|(rank, _)| *rank);
        Self(objects)
    }

    /// Keeps only some objects.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Object) -> bool) {
        self.0.retain(|(_, object)| keep(object));
    }

    /// Sets the replicas of all workloads to zero.
    pub(super) fn stop(&mut self) {
        self.scale_all(|_| 0);
    }

    /// Sets the replicas of each workload explicitly, so that another program's number does not persist; `count` gets
    /// the manifest's number, 1 by default.
    pub(super) fn scale_all(&mut self, count: impl Fn(u64) -> u64) {
        for (_, object) in self.0.iter_mut().filter(|(_, object)| is_scaled(object.kind())) {
            let Some(spec) = object.data_mut().get_mut("spec") else { continue };
            let said = spec.get("replicas").and_then(Value::as_u64).unwrap_or(1);
            spec["replicas"] = count(said).into();
        }
    }

    /// Returns whether an object is a workload with replicas.
    pub(super) fn has_pods(&self, id: &Id) -> bool {
        is_scaled(&id.kind)
    }

    /// Returns the volume claims of the templates of StatefulSets: they may lack our labels.
    pub(super) fn claims(&self) -> Vec<Object> {
        let sets = self.objects().filter(|object| object.kind() == "StatefulSet");
        let claims = sets.flat_map(|set| {
            let spec = set.data().get("spec");
            let count = spec.and_then(|spec| spec.get("replicas")?.as_u64()).unwrap_or(1);
            let templates = spec.and_then(|spec| spec.get("volumeClaimTemplates")?.as_array());
            let names = templates
                .into_iter()
                .flatten()
                .filter_map(|template| template.pointer("/metadata/name").and_then(Value::as_str));
            names.flat_map(move |name| {
                (0..count).map(move |number| format!("{name}-{}-{number}", set.name()))
            })
        });
        let object = |name: String| {
            Object::from_value(json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            }))
        };
        claims.filter_map(|name| object(name).ok()).collect()
    }

    /// Returns all objects, in their order.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.iter().map(|(_, object)| object)
    }

    /// Returns the objects in waves: each begins when the one before is done.
    pub(super) fn waves(&self) -> impl Iterator<Item = impl Iterator<Item = &Object>> {
        self.0
            .chunk_by(|(rank, _), (next, _)| rank == next)
            .map(|wave| wave.iter().map(|(_, object)| object))
    }

    /// Returns the objects with a rollout to wait for.
    pub(super) fn workloads(&self) -> impl Iterator<Item = &Object> {
        self.objects()
            .filter(|object| matches!(object.kind(), "Deployment" | "StatefulSet" | "Job"))
    }
}

fn is_scaled(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_have_the_names_that_the_cluster_gives_them() {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "postgres"},
            "spec": {"replicas": 2, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]},
        });
        let wanted = Wanted::of(vec![(0, Object::from_value(set).unwrap())]);
        let names: Vec<String> = wanted.claims().iter().map(|one| one.id().to_string()).collect();
        assert_eq!(
            names,
            ["persistentvolumeclaim/data-postgres-0", "persistentvolumeclaim/data-postgres-1"]
        );
    }
}
