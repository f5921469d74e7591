//! `secrets`: files of the host that are mounted into containers. Docker compose does the same on one engine.

use std::{collections::BTreeMap, path::Path};

use yaml::Node;

use super::{
    model::{Mount, MountKind},
    service::path_of,
};
use crate::at::{At, Result};

/// The folder of secrets in a container.
const FOLDER: &str = "/run/secrets";

/// Parses the secrets of a file; returns the path of each on the host.
pub(super) fn read(at: Option<At<'_>>, folder: &Path) -> Result<BTreeMap<String, String>> {
    let entries = at.map(|at| at.entries()).transpose()?.unwrap_or_default();
    let file = |(name, at): (String, At<'_>)| {
        let mut fields = at.extensible_fields()?;
        let file = fields.read("file", |at| path_of(at, &at.text()?, folder))?;
        fields.finish()?;
        Ok((name, file.ok_or_else(|| at.flaw("it has no `file`"))?))
    };
    entries.into_iter().map(file).collect()
}

/// Parses the secrets of a service.
pub(super) fn mounts(at: &At<'_>, secrets: &BTreeMap<String, String>) -> Result<Vec<Mount>> {
    at.list()?.iter().map(|at| mount(at, secrets)).collect()
}

fn mount(at: &At<'_>, secrets: &BTreeMap<String, String>) -> Result<Mount> {
    let (name, target) = match at.node() {
        Node::Map(_) => {
            let mut fields = at.extensible_fields()?;
            let source = fields.read("source", At::text)?;
            let target = fields.read("target", At::text)?.filter(|target| !target.is_empty());
            fields.finish()?;
            (source.ok_or_else(|| at.flaw("it has no `source`"))?, target)
        }
        _ => (at.text()?, None),
    };
    let Some(file) = secrets.get(&name) else {
        return Err(at.flaw(format!("there is no secret `{name}` below `secrets`")));
    };
    let target = target.unwrap_or(name);
    let target = if target.starts_with('/') { target } else { format!("{FOLDER}/{target}") };
    Ok(Mount { kind: MountKind::Bind, source: Some(file.clone()), target, read_only: true })
}
