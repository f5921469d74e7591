//! Loads images into the nodes of a kind cluster, as `up` does it.

use engine::Engine;

use crate::{
    errors::Result,
    nodes::{self, KIND, Needed},
};

/// Loads images into the nodes of a kind cluster that lack them; returns the number of bytes. Content tags are compared
/// by name only.
///
/// # Errors
/// There is no engine, it lacks an image, or a node refuses one.
pub async fn into_kind(cluster: &str, images: &[String]) -> Result<u64> {
    let engine = Engine::connect().await?;
    let needed = |name: &String| Needed {
        name: name.clone(),
        id: String::new(),
        moves: false,
        replaces: false,
    };
    let needed: Vec<Needed> = images.iter().map(needed).collect();
    let nodes = nodes::nodes(&engine, &KIND, cluster).await?;
    let mut moved = 0;
    for (node, lacked) in nodes::lacking(&engine, nodes, &needed).await? {
        moved += node.load(&engine, &lacked).await?;
    }
    Ok(moved)
}
