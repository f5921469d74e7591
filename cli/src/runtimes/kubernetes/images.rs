//! How the images come into the cluster: straight into the nodes of kind, by the loaders of k3d and minikube, by a registry,
//! or not at all where the nodes share the engine's own store.

use std::collections::{BTreeMap, BTreeSet};

use contracts::services;
use serde_json::Value;

use super::wanted::Wanted;
use crate::{
    docker::Engine,
    error::Result,
    images::{self, ContentTag, DEV_TAG, repository},
    kubernetes::{
        Cluster,
        kind::{Kind, Node, nodes},
        objects::Object,
    },
    output::Output,
    runtimes::images::Images,
};

/// What the images of the services are called on the engine, and how they come into the cluster.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    /// The engine that has them; without one, the cluster must have them already, or a registry.
    engine: Option<Engine>,
    output: &'a Output,
}

impl<'a> Delivery<'a> {
    /// Finds the engine, if there is one.
    pub(super) async fn open(output: &'a Output) -> Self {
        Self { engine: Engine::connect().await.ok(), output }
    }

    /// Builds the images of services, or of all if none is named, if `always`; else those that the engine lacks, where they can
    /// be built. Without an engine nothing can.
    ///
    /// # Errors
    /// As [`images::build_missing_or_all`].
    pub(super) async fn build(&self, services: &[String], always: bool) -> Result<()> {
        let services = match services {
            [] => built(),
            named => named.to_vec(),
        };
        match &self.engine {
            Some(engine) if always || images::require_checkout().is_ok() => {
                images::build_missing_or_all(engine, &services, always, self.output).await
            }
            // It says what is wrong with it.
            None if always => Engine::connect().await.map(drop),
            _ => Ok(()),
        }
    }

    /// Returns the content of each service's newest image: as the engine has it, else as it was built last.
    ///
    /// # Errors
    /// What the engine refuses.
    pub(super) async fn contents(&self) -> Result<BTreeMap<String, ContentTag>> {
        let mut contents = images::newest_contents();
        let Some(engine) = &self.engine else { return Ok(contents) };
        let there = Images::new(engine.images(&repository("*")).await?);
        for service in built() {
            let deployed = there.deployed(&format!("{}:{DEV_TAG}", repository(&service)));
            let tag = deployed.reference.rsplit(':').next().and_then(ContentTag::parse);
            if let Some(tag) = tag {
                let _older = contents.insert(service, tag);
            }
        }
        Ok(contents)
    }

    /// Returns which images the cluster's nodes lack, where that can be seen.
    ///
    /// # Errors
    /// What the engine refuses.
    pub(super) async fn lacking(&self, wanted: &Wanted, cluster: &Cluster) -> Result<Loads> {
        let names = named(wanted);
        let mut loads = Loads::default();
        let (Some(engine), Some(name)) = (&self.engine, Kind::cluster_of(cluster.context())) else {
            return Ok(loads);
        };
        let on_engine = Images::new(engine.all_images().await?);
        for node in nodes(engine, name).await? {
            let there = node.images(engine).await?;
            let missing = names.iter().filter(|name| !there.contains(*name));
            // What the engine lacks as well, the node pulls by itself.
            let missing: Vec<String> =
                missing.filter(|name| on_engine.deployed(name).id.is_some()).cloned().collect();
            if !missing.is_empty() {
                loads.0.push((node, missing));
            }
        }
        Ok(loads)
    }

    /// Loads images into the nodes that lack them.
    ///
    /// # Errors
    /// [`crate::error::CliError::Failed`] with the node's own words.
    pub(super) async fn load(&self, loads: &Loads) -> Result<()> {
        let Some(engine) = &self.engine else { return Ok(()) };
        let each = loads.0.iter().map(async |(node, names)| {
            self.output.detail(format_args!("load {} into {}", names.join(", "), node.name));
            node.load(engine, names).await
        });
        futures_util::future::try_join_all(each).await.map(drop)
    }
}

/// Which images which nodes lack.
#[derive(Debug, Default)]
pub(super) struct Loads(Vec<(Node, Vec<String>)>);

impl Loads {
    /// Returns the images, each once.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|(_, names)| names).map(String::as_str).collect()
    }
}

/// Returns the services that have images of ours.
fn built() -> Vec<String> {
    services::ALL.into_iter().chain([services::BOOTSTRAP]).map(ToOwned::to_owned).collect()
}

/// Returns the names of all images.
fn named(wanted: &Wanted) -> BTreeSet<String> {
    wanted.workloads().flat_map(of_object).collect()
}

fn of_object(object: &Object) -> Vec<String> {
    let spec = object.data().pointer("/spec/template/spec");
    let lists = ["containers", "initContainers"].into_iter();
    let containers = lists.filter_map(|list| spec?.get(list)?.as_array()).flatten();
    let image = |container: &Value| Some(container.get("image")?.as_str()?.to_owned());
    containers.filter_map(image).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_images_of_all_that_runs_are_known_each_once() {
        let deployment = |name: &str, image: &str| {
            let value = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {"template": {"spec": {
                    "initContainers": [{"image": "chefcito-bootstrap:c-000000000000"}],
                    "containers": [{"image": image}],
                }}},
            });
            (0, Object::from_value(value).unwrap())
        };
        let wanted = Wanted::of(vec![
            deployment("kitchen", "chefcito-kitchen:c-111111111111"),
            deployment("redis", "redis:7.4.5"),
        ]);
        let names: Vec<String> = named(&wanted).into_iter().collect();
        assert_eq!(
            names,
            ["chefcito-bootstrap:c-000000000000", "chefcito-kitchen:c-111111111111", "redis:7.4.5"]
        );
    }
}
