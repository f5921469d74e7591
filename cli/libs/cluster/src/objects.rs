//! Objects of a cluster of any kind: read, and changed by server-side apply.

use std::{collections::BTreeMap, fmt};

use futures_util::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Cluster, errors::ClusterError};

/// Our field manager: the server records our fields under this name.
pub const FIELD_MANAGER: &str = "chefcito";
/// Kinds listed for our objects; `true`: the listing must succeed if no wanted objects are given. Other kinds are
/// skipped if the cluster does not have them or we may not list them.
const KINDS: [(&str, &str, &str, bool); 12] = [
    ("", "v1", "ConfigMap", true),
    ("", "v1", "Secret", true),
    ("", "v1", "ServiceAccount", false),
    ("", "v1", "Service", true),
    ("", "v1", "PersistentVolumeClaim", false),
    ("networking.k8s.io", "v1", "NetworkPolicy", true),
    ("networking.k8s.io", "v1", "Ingress", false),
    ("apps", "v1", "Deployment", true),
    ("apps", "v1", "StatefulSet", true),
    ("batch", "v1", "Job", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", false),
    ("policy", "v1", "PodDisruptionBudget", false),
];

/// The id of an object: `deployment/kitchen`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Id {
    /// Its kind, as in manifests.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Id {
    /// Returns an id.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

/// An object of a cluster, as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    resource: ApiResource,
    inner: DynamicObject,
}

impl Object {
    /// Parses an object of a manifest.
    ///
    /// # Errors
    /// The part that it lacks to be an object.
    pub fn from_value(value: Value) -> Result<Self, String> {
        let inner: DynamicObject = serde_json::from_value(value)
            .map_err(|error| format!("it is not an object: {error}"))?;
        let types = inner.types.as_ref().ok_or("it has no `apiVersion` and `kind`")?;
        let kind = GroupVersionKind::try_from(types).map_err(|error| error.to_string())?;
        if inner.metadata.name.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("a {} has no `metadata.name`", types.kind));
        }
        Ok(Self { resource: ApiResource::from_gvk(&kind), inner })
    }

    /// Returns it as JSON.
    pub fn to_value(&self) -> Value {
        // A value that was parsed from JSON can be serialised.
        serde_json::to_value(&self.inner).unwrap_or_default()
    }

    /// Returns its kind, as in manifests.
    pub fn kind(&self) -> &str {
        &self.resource.kind
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.inner.metadata.name.as_deref().unwrap_or_default()
    }

    /// Returns its id.
    pub fn id(&self) -> Id {
        Id::new(self.kind(), self.name())
    }

    /// Returns its uid; `None` if it is only wanted.
    pub(super) fn uid(&self) -> Option<String> {
        self.inner.metadata.uid.clone()
    }

    /// Returns whether both are the same object: one that was created again has another uid.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id() == other.id() && self.inner.metadata.uid == other.inner.metadata.uid
    }

    /// Returns its fields by manager; empty if it is only wanted.
    pub(super) fn managed_fields(&self) -> &[ManagedFieldsEntry] {
        self.inner.metadata.managed_fields.as_deref().unwrap_or_default()
    }

    /// Returns its API version.
    pub(super) fn api_version(&self) -> &str {
        &self.resource.api_version
    }

    /// Returns all but its kind and metadata.
    pub const fn data(&self) -> &Value {
        &self.inner.data
    }

    /// Returns all but its kind and metadata, mutable.
    pub const fn data_mut(&mut self) -> &mut Value {
        &mut self.inner.data
    }

    /// Returns one of its labels.
    pub fn label(&self, key: &str) -> Option<&str> {
        Some(self.inner.metadata.labels.as_ref()?.get(key)?.as_str())
    }

    #[cfg(test)]
    pub(super) const fn inner_mut(&mut self) -> &mut DynamicObject {
        &mut self.inner
    }

    /// Sets a label.
    pub fn set_label(&mut self, key: &str, value: &str) {
        let labels = self.inner.metadata.labels.get_or_insert_default();
        let _before = labels.insert(key.to_owned(), value.to_owned());
    }

    /// Returns one of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        Some(self.inner.metadata.annotations.as_ref()?.get(key)?.as_str())
    }

    /// Sets an annotation.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        let annotations = self.inner.metadata.annotations.get_or_insert_default();
        let _before = annotations.insert(key.to_owned(), value.to_owned());
    }

    /// Returns the manifest of the object, without the fields that the server maintains.
    pub fn as_wanted(&self) -> Self {
        let mut wanted = self.clone();
        wanted.inner.metadata = ObjectMeta {
            name: self.inner.metadata.name.clone(),
            namespace: self.inner.metadata.namespace.clone(),
            labels: self.inner.metadata.labels.clone(),
            annotations: self.inner.metadata.annotations.clone(),
            ..ObjectMeta::default()
        };
        if let Some(data) = wanted.inner.data.as_object_mut() {
            let _status = data.remove("status");
        }
        if self.kind() == "Job" {
            wanted.forget_pods_of_job();
        }
        wanted
    }

    /// Removes the label and the selector of a job's pods, which differ if it is created again.
    fn forget_pods_of_job(&mut self) {
        let Some(spec) = self.inner.data.get_mut("spec").and_then(Value::as_object_mut) else {
            return;
        };
        let _selector = spec.remove("selector");
        let labels = spec.get_mut("template").and_then(|all| all.pointer_mut("/metadata/labels"));
        if let Some(labels) = labels.and_then(Value::as_object_mut) {
            let is_own =
                |label: &str| label.ends_with("controller-uid") || label.ends_with("job-name");
            labels.retain(|label, _| !is_own(label));
        }
    }

    /// Returns whether it has no namespace.
    pub fn is_of_cluster(&self) -> bool {
        self.kind() == "Namespace"
    }

    /// Returns whether another object owns it, and will remove it.
    pub fn has_owner(&self) -> bool {
        self.inner.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
    }

    /// Returns whether it is being removed.
    pub const fn is_terminating(&self) -> bool {
        self.inner.metadata.deletion_timestamp.is_some()
    }
}

/// How an object is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Only return the forecast.
    pub dry_run: bool,
    /// Take over fields of other managers.
    pub force: bool,
}

impl Cluster {
    pub(super) fn api(&self, object: &Object, namespace: &str) -> Api<DynamicObject> {
        match object.is_of_cluster() {
            true => Api::all_with(self.client(), &object.resource),
            false => Api::namespaced_with(self.client(), namespace, &object.resource),
        }
    }

    /// Applies an object, and returns it as it is then.
    ///
    /// # Errors
    /// The cluster's refusal; [`ClusterError::other_managers`] returns the managers in conflict.
    pub async fn apply(
        &self,
        object: &Object,
        namespace: &str,
        how: How,
    ) -> Result<Object, ClusterError> {
        let params = PatchParams {
            dry_run: how.dry_run,
            force: how.force,
            ..PatchParams::apply(FIELD_MANAGER)
        };
        let applied = self
            .api(object, namespace)
            .patch(object.name(), &params, &Patch::Apply(&object.inner))
            .await
            .map_err(self.could_not(|| format!("apply {}", object.id())))?;
        Ok(Object { resource: object.resource.clone(), inner: applied })
    }

    /// Returns an object as it is.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn read(
        &self,
        object: &Object,
        namespace: &str,
    ) -> Result<Option<Object>, ClusterError> {
        let found = self
            .api(object, namespace)
            .get_opt(object.name())
            .await
            .map_err(self.could_not(|| format!("read {}", object.id())))?;
        Ok(found.map(|inner| Object { resource: object.resource.clone(), inner }))
    }

    /// Returns a namespace.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn namespace(&self, name: &str) -> Result<Option<Object>, ClusterError> {
        self.read(&namespace(name), name).await
    }

    /// Returns all namespaces that have a label.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn namespaces(&self, selector: &str) -> Result<Vec<Object>, ClusterError> {
        self.list(&namespace("").resource, None, selector).await
    }

    /// Returns all objects with a label, of the kinds that we create, except those with an owner. Kinds of `wanted` are
    /// listed in their versions, and must be listable. Other kinds may have surplus objects of ours, but are skipped if
    /// we may not list them.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn labelled<'w>(
        &self,
        namespace: &str,
        selector: &str,
        wanted: impl Iterator<Item = &'w Object>,
    ) -> Result<Vec<Object>, ClusterError> {
        let wanted = wanted.filter(|object| !object.is_of_cluster());
        let mut kinds: BTreeMap<&str, (ApiResource, bool)> =
            wanted.map(|object| (object.kind(), (object.resource.clone(), true))).collect();
        let knows_wanted = !kinds.is_empty();
        for (group, version, kind, is_needed) in KINDS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let _known = kinds.entry(kind).or_insert((resource, is_needed && !knows_wanted));
        }
        let lists = kinds.values().map(async |(resource, is_needed)| {
            match self.list(resource, Some(namespace), selector).await {
                Err(error) if !is_needed && (error.is_unknown_kind() || error.is_forbidden()) => {
                    Ok(Vec::new())
                }
                listed => listed,
            }
        });
        let listed = try_join_all(lists).await?;
        Ok(listed.into_iter().flatten().filter(|object| !object.has_owner()).collect())
    }

    async fn list(
        &self,
        resource: &ApiResource,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Object>, ClusterError> {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, resource),
            None => Api::all_with(self.client(), resource),
        };
        let listed = api
            .list(&ListParams::default().labels(selector))
            .await
            .map_err(self.could_not(|| format!("list each {}", resource.kind)))?;
        let object = |mut inner: DynamicObject| {
            // Items of a list have no kind of their own.
            inner.types = Some(kube::core::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
            Object { resource: resource.clone(), inner }
        };
        Ok(listed.items.into_iter().map(object).collect())
    }

    /// Changes fields of an object, whatever their manager is, as `manager`: a later apply does not undo them.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn merge(
        &self,
        object: &Object,
        namespace: &str,
        change: &Value,
        manager: &str,
    ) -> Result<(), ClusterError> {
        let params = PatchParams { field_manager: Some(manager.into()), ..Default::default() };
        self.api(object, namespace)
            .patch(object.name(), &params, &Patch::Merge(change))
            .await
            .map_err(self.could_not(|| format!("change {}", object.id())))?;
        Ok(())
    }
}

/// Returns a namespace as in a manifest.
pub fn namespace(name: &str) -> Object {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
    Object { inner: DynamicObject::new(name, &resource).data(json!({})), resource }
}
