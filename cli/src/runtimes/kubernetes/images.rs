//! Delivers images to the cluster: directly into the nodes of kind, by the loaders of k3d and minikube, by a registry,
//! or not at all if the nodes share the engine's store.

use std::{collections::BTreeSet, time::Instant};

use cluster::{
    Maker,
    loaders::Loader,
    nodes::{self, K3D, KIND, Needed, Node},
    objects::Object,
};
use contracts::services::TABLE;
use engine::Engine;
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{plan::Step, wanted::Wanted};
use crate::{
    error::Result,
    images::{self, ContentTag, Contents, DEV_TAG, Registry, repository},
    output::Output,
    progress::Waiting,
    runtimes::images::Images,
};

/// The images of the services on the engine, and the way to the cluster.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    /// The engine that has them; without one, the cluster or a registry must have them.
    engine: Option<Engine>,
    /// The registry from which the cluster pulls the images of the services, if there is one.
    registry: Option<&'a str>,
    output: &'a Output,
}

impl<'a> Delivery<'a> {
    /// Connects to the engine, if there is one.
    pub(super) async fn open(registry: Option<&'a str>, output: &'a Output) -> Self {
        Self { engine: Engine::connect().await.ok(), registry, output }
    }

    /// Returns the services whose images are to be built: these, or all if none is named, if `always` is set; else those
    /// that the engine lacks, if they can be built. Without an engine, there are none.
    ///
    /// # Errors
    /// The engine's refusal; that there is none if `always` is set.
    pub(super) async fn to_build(&self, services: &[String], always: bool) -> Result<Vec<String>> {
        let services = match services {
            [] => built(),
            named => named.to_vec(),
        };
        match &self.engine {
            Some(_) if always => images::require_checkout().map(|()| services),
            Some(engine) if images::require_checkout().is_ok() => {
                images::missing(engine, &services).await
            }
            // The error says so.
            None if always => Ok(Engine::connect().await.map(|_| Vec::new())?),
            _ => Ok(Vec::new()),
        }
    }

    /// Builds images of services.
    ///
    /// # Errors
    /// As [`images::build_missing_or_all`].
    pub(super) async fn build(&self, services: &[String], always: bool) -> Result<()> {
        let Some(engine) = &self.engine else { return Ok(()) };
        images::build_missing_or_all(engine, services, always, self.output).await
    }

    /// Returns the content of each service's newest image, from the engine, or else from the last build.
    ///
    /// # Errors
    /// The engine's refusal.
    pub(super) async fn contents(&self) -> Result<Contents> {
        let mut contents = images::newest_contents();
        let Some(engine) = &self.engine else { return Ok(contents) };
        let there = Images::new(engine.images(&repository("*")).await?);
        for service in built() {
            let deployed = there.deployed(&format!("{}:{DEV_TAG}", repository(&service)));
            let tag = deployed.reference.rsplit(':').next().and_then(ContentTag::parse);
            if let Some(tag) = tag {
                contents.set(service, tag);
            }
        }
        Ok(contents)
    }

    /// Returns the push that the registry needs, if there is one; the digests of images that it has are noted. Without an
    /// engine, earlier pushes count.
    ///
    /// # Errors
    /// As [`Registry::lacking`]; the engine's error if an image was never pushed.
    pub(super) async fn to_push(&self, contents: &mut Contents) -> Result<Option<Step>> {
        let Some(registry) = self.registry else { return Ok(None) };
        let services = built();
        let lacking = match &self.engine {
            Some(engine) => {
                Registry::open(engine, registry).await?.lacking(&services, contents).await?
            }
            None if services.iter().all(|one| contents.digest(registry, one).is_some()) => {
                Vec::new()
            }
            None => return Ok(Engine::connect().await.map(|_| None)?),
        };
        let images = lacking.iter().map(|service| repository(service)).collect();
        Ok((!lacking.is_empty()).then(|| Step::Push { images, registry: registry.to_owned() }))
    }

    /// Pushes the images that the registry lacks, if there is one.
    ///
    /// # Errors
    /// As [`Registry::push`].
    pub(super) async fn push(&self) -> Result<()> {
        let (Some(registry), Some(engine)) = (self.registry, &self.engine) else { return Ok(()) };
        let mut contents = self.contents().await?;
        let opened = Registry::open(engine, registry).await?;
        opened.push(&built(), &mut contents, self.output).await
    }

    /// Returns the engine's images that the cluster's nodes lack, if that can be seen.
    ///
    /// # Errors
    /// The refusal of the engine or the loader.
    pub(super) async fn lacking(&self, wanted: &Wanted, maker: &Maker) -> Result<Loads> {
        let Some(engine) = &self.engine else { return Ok(Loads::Nothing) };
        // The nodes pull images that the engine lacks, too.
        let on_engine = Images::new(engine.all_images().await?);
        let needed = named(wanted).into_iter().filter_map(|name| {
            let id = on_engine.deployed(&name).id?;
            Some(Needed { id, moves: moves(&name), name, replaces: false })
        });
        let needed: Vec<Needed> = needed.collect();
        match maker {
            Maker::Kind(name) => {
                let nodes = nodes::nodes(engine, &KIND, name).await?;
                let lacked = nodes::lacking(engine, nodes, &needed).await?;
                Ok(Loads::IntoNodes(lacked))
            }
            Maker::K3d(name) if self.registry.is_none() => {
                let nodes = nodes::nodes(engine, &K3D, name).await?;
                let looked = match nodes.is_empty() {
                    true => None,
                    false => nodes::lacking(engine, nodes, &needed).await.ok(),
                };
                let lacked = match looked {
                    // They are containers of another engine, or can't be listed: k3d finds them.
                    None => needed,
                    Some(lacked) => {
                        let of_node = |image: Needed| {
                            let same = lacked.iter().flat_map(|(_, all)| all);
                            let same = same.filter(|one| one.name == image.name);
                            same.max_by_key(|one| one.replaces).cloned()
                        };
                        needed.into_iter().filter_map(of_node).collect()
                    }
                };
                Ok(Loads::By(Loader::K3d(name.clone()), lacked))
            }
            Maker::Minikube(profile) if self.registry.is_none() => {
                let loader = Loader::Minikube(profile.clone());
                let there = loader.images().await?;
                let lacked = needed.into_iter().filter(|image| !there.contains(&image.name));
                Ok(Loads::By(loader, lacked.collect()))
            }
            Maker::K3d(_) | Maker::Minikube(_) | Maker::Desktop => Ok(Loads::Nothing),
            Maker::Unknown => {
                // No registry has our images under a name without a registry.
                let ours = needed.into_iter().filter(|image| is_of_here(&image.name));
                Ok(Loads::Unseen(ours.map(|image| image.name).collect()))
            }
        }
    }

    /// Warns of images that the nodes must have, if it can't be seen whether they do.
    pub(super) fn warn_of_unseen(&self, loads: &Loads) {
        if let Loads::Unseen(names) = loads
            && !names.is_empty()
        {
            self.output.warn(format_args!(
                "the nodes of this cluster must have {} already; `--push REGISTRY` lets them pull: {}",
                counted(names.len()),
                names.join(", ")
            ));
        }
    }

    /// Loads images into the nodes that lack them.
    ///
    /// # Errors
    /// [`crate::error::CliError::Failed`] with the error of the node or the loader.
    pub(super) async fn load(&self, loads: &Loads) -> Result<()> {
        match (loads, &self.engine) {
            (Loads::IntoNodes(each), Some(engine)) => {
                let each = each.iter().map(|(node, images)| self.load_into(engine, node, images));
                try_join_all(each).await.map(drop)
            }
            (Loads::By(loader, images), _) if !images.is_empty() => {
                let since = Instant::now();
                let names: Vec<String> = images.iter().map(|image| image.name.clone()).collect();
                let what = format!("{} into the cluster of {loader}", counted(names.len()));
                let shown = Waiting::new(self.output, format_args!("Loading {what}"));
                loader.load(&names).await?;
                drop(shown);
                let seconds = since.elapsed().as_secs_f64();
                self.output.progress(format_args!("Loaded {what} in {seconds:.1} s"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn load_into(&self, engine: &Engine, node: &Node, images: &[Needed]) -> Result<()> {
        let since = Instant::now();
        let what = format!("{} into {}", counted(images.len()), node.name);
        let shown = Waiting::new(self.output, format_args!("Loading {what}"));
        let bytes = node.load(engine, images).await?;
        drop(shown);
        #[expect(clippy::cast_precision_loss, reason = "a size for people's eyes")]
        let megabytes = bytes as f64 / 1e6;
        let seconds = since.elapsed().as_secs_f64();
        self.output.progress(format_args!("Loaded {what}: {megabytes:.1} MB in {seconds:.1} s"));
        Ok(())
    }
}

/// The images that the nodes lack, and the way to load them.
#[derive(Debug, Default)]
pub(super) enum Loads {
    /// No image is missing.
    #[default]
    Nothing,
    /// Load these images directly into these nodes.
    IntoNodes(Vec<(Node, Vec<Needed>)>),
    /// Load these images by a program that knows the nodes.
    By(Loader, Vec<Needed>),
    /// It can't be seen whether the nodes have these.
    Unseen(Vec<String>),
}

impl Loads {
    /// Returns the images that will be loaded, each once.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.images().into_iter().map(|image| image.name.as_str()).collect()
    }

    /// Returns the images that take the place of others of the same name.
    fn replacing(&self) -> BTreeSet<&str> {
        let images = self.images().into_iter().filter(|image| image.replaces);
        images.map(|image| image.name.as_str()).collect()
    }

    fn images(&self) -> Vec<&Needed> {
        match self {
            Self::Nothing | Self::Unseen(_) => Vec::new(),
            Self::IntoNodes(each) => each.iter().flat_map(|(_, images)| images).collect(),
            Self::By(_, images) => images.iter().collect(),
        }
    }

    /// Returns a restart for each workload that runs another image of a name, unless a step makes new pods of it anyway:
    /// the cluster does not look at what a name refers to now.
    pub(super) fn restarts(
        &self,
        wanted: &Wanted,
        observed: &[Object],
        steps: &[Step],
    ) -> Vec<Step> {
        let replacing = self.replacing();
        let restart = |object: &Object| {
            let id = object.id();
            let image =
                of_object(object).into_iter().find(|image| replacing.contains(image.as_str()))?;
            let is_there = wanted.has_pods(&id) && observed.iter().any(|one| one.id() == id);
            let is_needed = is_there && !steps.iter().any(|step| step.makes_pods_of(&id));
            is_needed.then_some(Step::Restart { id, image })
        };
        wanted.workloads().filter_map(restart).collect()
    }
}

fn counted(images: usize) -> String {
    format!("{images} {}", if images == 1 { "image" } else { "images" })
}

/// Returns whether a name may refer to another image later; a content tag never does.
fn moves(name: &str) -> bool {
    let is_content = name.rsplit(':').next().and_then(ContentTag::parse).is_some();
    !is_content && !name.contains('@')
}

/// Returns whether an image comes from `chefcito build` and its name has no registry.
fn is_of_here(name: &str) -> bool {
    name.starts_with(&repository("")) && !name.contains('/')
}

/// Returns the programs that have images of ours.
fn built() -> Vec<String> {
    TABLE.iter().map(|program| program.name.to_owned()).collect()
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
    use contracts::services::KITCHEN;
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
            deployment(KITCHEN, "chefcito-kitchen:c-111111111111"),
            deployment("redis", "redis:7.4.5"),
        ]);
        let names: Vec<String> = named(&wanted).into_iter().collect();
        assert_eq!(
            names,
            ["chefcito-bootstrap:c-000000000000", "chefcito-kitchen:c-111111111111", "redis:7.4.5"]
        );
        let moving: Vec<bool> = names.iter().map(|name| moves(name)).collect();
        assert_eq!(moving, [false, false, true]);
        assert!(
            !moves("registry.example:5000/redis@sha256:1") && moves("registry.example:5000/redis")
        );
    }

    #[test]
    fn a_workload_whose_image_was_replaced_under_its_name_is_restarted() {
        let set = |kind: &str, name: &str, image: &str| {
            let value = json!({
                "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
                "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
            });
            Object::from_value(value).unwrap()
        };
        let redis = set("StatefulSet", "redis", "redis:7.4.5");
        let cache = set("Deployment", "cache", "redis:7.4.5");
        let postgres = set("StatefulSet", "postgres", "postgres:17.6");
        let roles = set("Job", "roles", "redis:7.4.5");
        let all = vec![redis.clone(), cache.clone(), postgres.clone(), roles];
        let wanted = Wanted::of(all.iter().cloned().map(|object| (0, object)).collect());
        let image = |name: &str, replaces| Needed {
            name: name.into(),
            id: "sha256:new".into(),
            moves: true,
            replaces,
        };
        let lacked = vec![image("redis:7.4.5", true), image("postgres:17.6", false)];
        let loads = Loads::By(Loader::K3d("pan".into()), lacked);
        let told = |observed: &[Object], steps: &[Step]| {
            let steps = loads.restarts(&wanted, observed, steps);
            steps.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&all, &[]),
            [
                "restart statefulset/redis: its image redis:7.4.5 has changed",
                "restart deployment/cache: its image redis:7.4.5 has changed",
            ]
        );
        let replaced = Step::Replace { id: cache.id() };
        assert_eq!(told(&all, &[replaced]).len(), 1, "its pods are new anyway");
        assert_eq!(told(&[postgres], &[]), Vec::<String>::new(), "they do not exist yet");
    }
}
