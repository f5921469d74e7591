//! Images brought into the nodes of a kind cluster, as `up` does it.

use crate::{
    docker::Engine,
    error::Result,
    kubernetes::nodes::{self, KIND, Needed},
};

/// Brings those of the images into the nodes of a kind cluster that they lack; returns how many bytes were moved. Content tags
/// are believed: names are compared.
///
/// # Errors
/// There is no engine, it lacks an image, or a node does not take it.
pub async fn into_kind(cluster: &str, images: &[String]) -> anyhow::Result<u64> {
    Ok(bring(cluster, images).await?)
}

async fn bring(cluster: &str, images: &[String]) -> Result<u64> {
    let engine = Engine::connect().await?;
    let needed = |name: &String| Needed { name: name.clone(), id: String::new(), moves: false };
    let needed: Vec<Needed> = images.iter().map(needed).collect();
    let nodes = nodes::nodes(&engine, &KIND, cluster).await?;
    let mut moved = 0;
    for (node, lacked) in nodes::lacking(&engine, nodes, &needed).await? {
        moved += node.load(&engine, &lacked).await?;
    }
    Ok(moved)
}
