//! `<<`: a map that inherits keys of other maps.

use super::at::{Flaw, Result, below};
use crate::yaml::Node;

const MERGE: &str = "<<";

/// Returns the value with all `<<` resolved. A map's own keys override inherited ones, and those of an earlier map
/// override those of a later one.
pub(super) fn merged(node: &Node, path: &str) -> Result<Node> {
    match node {
        Node::List(list) => list
            .iter()
            .enumerate()
            .map(|(at, node)| merged(node, &format!("{path}[{at}]")))
            .collect::<Result<_>>()
            .map(Node::List),
        Node::Map(entries) => merged_map(entries, path).map(Node::Map),
        plain => Ok(plain.clone()),
    }
}

fn merged_map(entries: &[(String, Node)], path: &str) -> Result<Vec<(String, Node)>> {
    let mut own: Vec<(String, Node)> = Vec::with_capacity(entries.len());
    let mut others = Vec::new();
    for (key, node) in entries {
        let place = below(path, key);
        let node = merged(node, &place)?;
        if key == MERGE {
            others.extend(sources(node, &place)?);
        } else if own.iter().any(|(known, _)| known == key) {
            return Err(Flaw::new(place, "it is a duplicate"));
        } else {
            own.push((key.clone(), node));
        }
    }
    for (key, node) in others.into_iter().flatten() {
        if !own.iter().any(|(known, _)| *known == key) {
            own.push((key, node));
        }
    }
    Ok(own)
}

fn sources(node: Node, path: &str) -> Result<Vec<Vec<(String, Node)>>> {
    let source = |node: Node| match node {
        Node::Map(entries) => Ok(entries),
        other => Err(Flaw::new(path, format!("it should be a map, not {}", other.kind()))),
    };
    match node {
        Node::List(list) => list.into_iter().map(source).collect(),
        other => Ok(vec![source(other)?]),
    }
}
