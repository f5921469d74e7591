//! Nodes that are containers of an engine, each with a containerd of its own: lists their images and loads others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use engine::{Engine, errors::EngineError};
use futures_util::{Stream, TryStreamExt, future::try_join_all, stream};

use super::kind::CLUSTER_LABEL;
use crate::errors::{Error, Result};

/// The labels of node containers.
#[derive(Debug)]
pub struct Marks {
    cluster: &'static str,
    role: &'static str,
    /// The roles of nodes that run pods.
    roles: [&'static str; 2],
}

/// kind's labels.
pub const KIND: Marks = Marks {
    cluster: CLUSTER_LABEL,
    role: "io.x-k8s.kind.role",
    roles: ["control-plane", "worker"],
};
/// k3d's labels.
pub const K3D: Marks =
    Marks { cluster: "k3d.cluster", role: "k3d.role", roles: ["server", "agent"] };

/// The label of an image on a node with the engine's id of the same image. Engine and containerd may have different ids
/// for one image, and this makes them comparable.
const ENGINE_ID: &str = "chefcito.engine-id";
/// The prefix of image names that the kubelet's side of containerd adds, before the digest of the configuration.
const CONFIG: &str = "sha256:";

/// A node: a container of the engine.
#[derive(Clone, Debug)]
pub struct Node {
    id: String,
    /// The container's name.
    pub name: String,
}

/// An image that nodes need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its name in manifests.
    pub name: String,
    /// The engine's id for it.
    pub id: String,
    /// Whether the name may refer to another image later.
    pub moves: bool,
    /// Whether a node has another image of that name, so that its pods run that one.
    pub replaces: bool,
}

/// An image on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The digest of its manifest or index.
    digest: String,
    /// The digests of its configuration, if they are known.
    configs: BTreeSet<String>,
    /// The engine's id of the image that it was loaded from.
    engine_id: Option<String>,
}

impl Held {
    /// Returns whether it is the needed image. An engine's id is the digest of the configuration, or of the manifest if
    /// the engine keeps its images in a containerd. If neither can be compared, the name decides.
    pub fn is(&self, needed: &Needed) -> bool {
        let id = &needed.id;
        let is_known = self.engine_id.is_some() || !self.configs.is_empty();
        !needed.moves
            || !is_known
            || self.digest == *id
            || self.engine_id.as_ref() == Some(id)
            || self.configs.contains(id)
    }
}

/// Returns the nodes of a cluster that run pods.
///
/// # Errors
/// The engine's refusal.
pub async fn nodes(engine: &Engine, marks: &Marks, cluster: &str) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for role in marks.roles {
        let labels = [format!("{}={cluster}", marks.cluster), format!("{}={role}", marks.role)];
        let containers = engine.containers(&labels).await?;
        let running = containers.into_iter().filter(|container| container.state.is_up());
        nodes.extend(running.map(|container| Node { id: container.id, name: container.name }));
    }
    Ok(nodes)
}

/// Lists the images of each node; returns the nodes that lack some, with those.
///
/// # Errors
/// As [`Node::images`].
pub async fn lacking(
    engine: &Engine,
    nodes: Vec<Node>,
    needed: &[Needed],
) -> Result<Vec<(Node, Vec<Needed>)>> {
    let each = nodes.into_iter().map(async |node| {
        let there = node.images(engine).await?;
        let lacks = |image: &&Needed| !there.get(&image.name).is_some_and(|held| held.is(image));
        let lacked = needed
            .iter()
            .filter(lacks)
            .map(|image| Needed { replaces: there.contains_key(&image.name), ..image.clone() });
        let lacked: Vec<Needed> = lacked.collect();
        Ok::<_, Error>((node, lacked))
    });
    let all = try_join_all(each).await?;
    Ok(all.into_iter().filter(|(_, lacked)| !lacked.is_empty()).collect())
}

impl Node {
    /// Returns its images, by their names in manifests.
    ///
    /// # Errors
    /// [`Error::Failed`] if they can't be listed.
    pub async fn images(&self, engine: &Engine) -> Result<BTreeMap<String, Held>> {
        let said = self.ctr(engine, &["images", "ls"], stream::empty()).await?;
        Ok(held(&said))
    }

    /// Loads images of the engine as a stream, without storing them on the way. Returns the number of bytes.
    ///
    /// # Errors
    /// [`Error::Failed`] with the node's error.
    pub async fn load(&self, engine: &Engine, images: &[Needed]) -> Result<u64> {
        let config = engine.run_fed(&self.id, &["containerd", "config", "dump"], stream::empty());
        let (_, config) = config.await?;
        let snapshotter = format!("--snapshotter={}", snapshotter(&config));
        // One platform: an image that was pulled for one can't be exported for all.
        let import = ["images", "import", "--digests", &snapshotter, "-"];
        let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
        let moved = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&moved);
        let archive = engine.export_images(&names).inspect_ok(move |piece| {
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        });
        self.ctr(engine, &import, archive).await?;
        for image in images.iter().filter(|image| image.moves) {
            let label = format!("{ENGINE_ID}={}", image.id);
            let arguments = ["images", "label", &whole(&image.name), &label];
            // Without it, the digests or the name decide.
            let _unnoted = self.ctr(engine, &arguments, stream::empty()).await;
        }
        Ok(moved.load(Ordering::Relaxed))
    }

    async fn ctr(
        &self,
        engine: &Engine,
        arguments: &[&str],
        archive: impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
    ) -> Result<String> {
        let command: Vec<&str> =
            ["ctr", "--namespace=k8s.io"].into_iter().chain(arguments.iter().copied()).collect();
        match engine.run_fed(&self.id, &command, archive).await? {
            (0, said) => Ok(said),
            (code, said) => Err(Error::Failed {
                what: format!(
                    "the node {} could not do `{}`: it ended with exit code {code}",
                    self.name,
                    command.join(" ")
                ),
                hint: hint(&said, &self.name),
                source: Some(said.trim().to_owned().into()),
            }),
        }
    }
}

fn hint(said: &str, node: &str) -> String {
    if said.contains("no space left") {
        format!(
            "free some room: `docker exec {node} crictl rmi --prune` removes what no pod uses, \
             `docker system df` shows what uses the engine's disk"
        )
    } else if said.contains("failed to dial") || said.contains("connection refused") {
        format!(
            "its containerd does not answer: `docker restart {node}` restarts it and keeps its data"
        )
    } else {
        format!("`docker exec {node} journalctl --unit containerd` may show more")
    }
}

/// Parses the output of `ctr images ls`: a name, a type, a digest, columns that are not needed, and the labels.
fn held(listing: &str) -> BTreeMap<String, Held> {
    let rows: Vec<(&str, &str, &str)> = listing
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, digest) = (words.next()?, words.nth(1)?);
            Some((name, digest, words.last().unwrap_or_default()))
        })
        .collect();
    let configs = |digest: &str| {
        let same = rows.iter().filter(|(name, of, _)| *of == digest && name.starts_with(CONFIG));
        same.map(|(name, ..)| (*name).to_owned()).collect()
    };
    let label = |labels: &str| {
        let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == ENGINE_ID).map(|(_, id)| id.to_owned())
    };
    let images = rows.iter().filter(|(name, ..)| !name.starts_with(CONFIG));
    images
        .map(|(name, digest, labels)| {
            let held = Held {
                digest: (*digest).to_owned(),
                configs: configs(digest),
                engine_id: label(labels),
            };
            (plain(name).to_owned(), held)
        })
        .collect()
}

/// Returns an image's name without the prefix that containerd adds to names without a host.
pub(super) fn plain(name: &str) -> &str {
    let plain = name.strip_prefix("docker.io/library/").or_else(|| name.strip_prefix("docker.io/"));
    plain.unwrap_or(name)
}

/// Returns an image's name in containerd: the inverse of [`plain`].
fn whole(name: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
    }
}

/// Returns the snapshotter in a containerd configuration.
fn snapshotter(config: &str) -> &str {
    const DEFAULT: &str = "overlayfs";
    let lines = config.lines().map(str::trim);
    let values =
        lines.filter_map(|line| line.strip_prefix("snapshotter")?.trim_start().strip_prefix('='));
    let named = values.map(|value| value.trim().trim_matches(['"', '\'']));
    named.into_iter().find(|name| !name.is_empty()).unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/library/postgres:17.6 application/vnd.docker.distribution.manifest.v2+json sha256:aa 138.6 MiB linux/amd64 io.cri-containerd.image=managed
docker.io/library/redis:7.4.5 application/vnd.oci.image.index.v1+json sha256:bb 40.0 MiB linux/amd64,linux/arm64 chefcito.engine-id=sha256:rr,io.cri-containerd.image=managed
registry.example/chefcito-orders:c-1 application/vnd.oci.image.manifest.v1+json sha256:cc 8.7 MiB linux/amd64 -
sha256:pp application/vnd.docker.distribution.manifest.v2+json sha256:aa 138.6 MiB linux/amd64 io.cri-containerd.image=managed
";

    #[test]
    fn images_are_known_by_the_names_that_manifests_have() {
        let held = held(LISTING);
        let names: Vec<&String> = held.keys().collect();
        assert_eq!(names, ["postgres:17.6", "redis:7.4.5", "registry.example/chefcito-orders:c-1"]);
        for name in names {
            assert_eq!(plain(&whole(name)), name);
        }
        assert_eq!(whole("kindest/node:v1.33.1"), "docker.io/kindest/node:v1.33.1");
    }

    #[test]
    fn a_name_that_moves_is_compared_by_what_it_means() {
        let held = held(LISTING);
        let is = |name: &str, id: &str, moves| {
            held[name].is(&Needed { name: name.into(), id: id.into(), moves, replaces: false })
        };
        assert!(is("postgres:17.6", "sha256:pp", true), "by its configuration");
        assert!(is("postgres:17.6", "sha256:aa", true), "by its manifest");
        assert!(!is("postgres:17.6", "sha256:xx", true));
        assert!(is("postgres:17.6", "sha256:xx", false), "its name says what it is");
        assert!(is("redis:7.4.5", "sha256:rr", true), "by what it was loaded as");
        assert!(!is("redis:7.4.5", "sha256:xx", true));
        let orders = "registry.example/chefcito-orders:c-1";
        assert!(is(orders, "sha256:xx", true), "nothing but its name can be compared");
    }

    #[test]
    fn a_node_keeps_layers_as_its_containerd_says() {
        assert_eq!(snapshotter("  snapshotter = \"native\"\n"), "native");
        assert_eq!(snapshotter("snapshotter = 'fuse-overlayfs'"), "fuse-overlayfs");
        assert_eq!(snapshotter("snapshotters = 1\n snapshotter = \"\""), "overlayfs");
        assert_eq!(snapshotter(""), "overlayfs");
    }
}
