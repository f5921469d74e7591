//! Removes objects and their pods.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::ReplicaSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use serde::de::DeserializeOwned;

use super::{
    Cluster,
    errors::ClusterError,
    forward::is_ready,
    objects::{Id, Object},
};

/// How often the removal is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Cluster {
    /// Removes objects with their pods, and waits until they are gone. A missing one is not an error. Returns those
    /// that are not gone in time.
    ///
    /// The cluster's garbage collector handles only a few objects a second, and others wait behind ours: so all of them
    /// are removed directly.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn remove(
        &self,
        objects: &[&Object],
        namespace: &str,
        wait_max: Duration,
    ) -> Result<Option<Id>, ClusterError> {
        let since = Instant::now();
        let found = objects.iter().map(async |object| match object.uid() {
            Some(_) => Ok(Some((*object).clone())),
            None => self.found(object, namespace).await,
        });
        let mut left: Vec<Object> = try_join_all(found).await?.into_iter().flatten().collect();
        let has_pods = |object: &&Object| {
            matches!(object.kind(), "Deployment" | "StatefulSet" | "Job" | "ReplicaSet")
        };
        let mut makers: BTreeSet<String> =
            left.iter().filter(has_pods).filter_map(Object::uid).collect();
        // Found before their owners are removed: afterwards, the garbage collector may be first.
        let sets = self.made_by::<ReplicaSet>(&makers, namespace).await?;
        makers.extend(sets.iter().filter_map(ResourceExt::uid));
        try_join_all(left.iter().map(async |object| self.delete(object, namespace).await)).await?;
        self.delete_each(&sets, namespace).await?;
        loop {
            // A new one is found in the next pass.
            let pods = self.made_by::<Pod>(&makers, namespace).await?;
            let staying = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
            self.delete_each(pods.iter().filter(staying), namespace).await?;
            let still = left.iter().map(async |object| self.found(object, namespace).await);
            left = try_join_all(still).await?.into_iter().flatten().collect();
            let last = left.first().map(Object::id);
            let last = last.or_else(|| Some(Id::new("Pod", pods.first()?.name_any())));
            if last.is_none() || since.elapsed() >= wait_max {
                return Ok(last);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Removes the pods of an object that are not ready, so that new ones replace them.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn remove_unready_pods(
        &self,
        object: &Object,
        namespace: &str,
    ) -> Result<(), ClusterError> {
        let maker = self.found(object, namespace).await?.and_then(|found| found.uid());
        let pods = self.made_by::<Pod>(&maker.into_iter().collect(), namespace).await?;
        self.delete_each(pods.iter().filter(|pod| !is_ready(pod)), namespace).await
    }

    /// Returns the object as it is; `None` if another object has its name by now.
    async fn found(
        &self,
        object: &Object,
        namespace: &str,
    ) -> Result<Option<Object>, ClusterError> {
        let found = self.read(object, namespace).await?;
        Ok(found.filter(|found| object.uid().is_none_or(|uid| found.uid() == Some(uid))))
    }

    async fn delete(&self, object: &Object, namespace: &str) -> Result<(), ClusterError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), ..Preconditions::default() }),
            ..DeleteParams::background()
        };
        let deleted = self.api(object, namespace).delete(object.name(), &params).await;
        match deleted.map_err(self.could_not(|| format!("remove {}", object.id()))) {
            // A conflict means that another object has the name by now; one that is being removed is seen in the next
            // pass.
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the objects of a kind that these owners have. Without permission to list them, the garbage collector
    /// removes them.
    async fn made_by<K>(
        &self,
        makers: &BTreeSet<String>,
        namespace: &str,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Clone
            + fmt::Debug
            + DeserializeOwned
            + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if makers.is_empty() {
            return Ok(Vec::new());
        }
        let api: Api<K> = Api::namespaced(self.client(), namespace);
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.map_err(self.could_not(|| format!("list each {}", K::kind(&()))));
        match listed {
            Err(error) if error.is_forbidden() => Ok(Vec::new()),
            listed => {
                let is_made = |made: &K| has_maker(made.meta(), makers);
                Ok(listed?.items.into_iter().filter(is_made).collect())
            }
        }
    }

    /// Deletes objects that the garbage collector would delete anyway: a lack of permission is not an error.
    async fn delete_each<'k, K>(
        &self,
        objects: impl IntoIterator<Item = &'k K>,
        namespace: &str,
    ) -> Result<(), ClusterError>
    where
        K: Clone
            + fmt::Debug
            + DeserializeOwned
            + Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + 'k,
    {
        let api: Api<K> = Api::namespaced(self.client(), namespace);
        let deleted = objects.into_iter().map(async |object| {
            let name = object.name_any();
            let deleted = api.delete(&name, &DeleteParams::background()).await;
            let what = || format!("remove {}", Id::new(K::kind(&()), &name));
            match deleted.map_err(self.could_not(what)) {
                Err(error) if !error.is_not_found() && !error.is_forbidden() => Err(error),
                _ => Ok(()),
            }
        });
        try_join_all(deleted).await.map(drop)
    }
}

fn has_maker(made: &ObjectMeta, makers: &BTreeSet<String>) -> bool {
    made.owner_references.iter().flatten().any(|owner| makers.contains(&owner.uid))
}
