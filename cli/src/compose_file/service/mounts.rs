//! `volumes` of a service, in the short form `name:/path:ro` or the long one.

use std::path::{Component, Path, PathBuf};

use crate::{
    compose_file::{
        at::{At, Result},
        model::{Mount, MountKind},
    },
    yaml::Node,
};

pub(super) fn read(at: &At<'_>, folder: &Path) -> Result<Vec<Mount>> {
    at.list()?.iter().map(|at| mount(at, folder)).collect()
}

fn mount(at: &At<'_>, folder: &Path) -> Result<Mount> {
    let mount = match at.node() {
        Node::Map(_) => long(at, folder)?,
        _ => short(at, folder)?,
    };
    if !mount.target.starts_with('/') {
        return Err(
            at.flaw(format!("`{}` should be an absolute path in the container", mount.target))
        );
    }
    Ok(mount)
}

fn short(at: &At<'_>, folder: &Path) -> Result<Mount> {
    let text = at.text()?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(at.flaw("it should be like name:/path or name:/path:ro")),
    };
    let read_only = match options {
        "" | "rw" => false,
        "ro" => true,
        _ => return Err(at.flaw(format!("chefcito does not support the option `{options}`"))),
    };
    let is_path = source.is_some_and(|source| source.starts_with(['/', '.', '~']));
    let kind = if is_path { MountKind::Bind } else { MountKind::Volume };
    let source = source.map(|source| source_of(at, kind, source, folder)).transpose()?;
    Ok(Mount { kind, source, target: target.into(), read_only })
}

fn long(at: &At<'_>, folder: &Path) -> Result<Mount> {
    let mut fields = at.fields()?;
    let kind = fields.read("type", |at| match at.text()?.as_str() {
        "volume" => Ok(MountKind::Volume),
        "bind" => Ok(MountKind::Bind),
        _ => Err(at.flaw("chefcito supports `volume` and `bind`; for memory there is `tmpfs`")),
    })?;
    let kind = kind.unwrap_or(MountKind::Volume);
    let source = fields.read("source", |at| source_of(at, kind, &at.text()?, folder))?;
    let target = fields.read("target", At::text)?.ok_or_else(|| at.flaw("it has no `target`"))?;
    let read_only = fields.read("read_only", At::truth)?.unwrap_or_default();
    fields.finish()?;
    if kind == MountKind::Bind && source.is_none() {
        return Err(at.flaw("it has no `source`"));
    }
    Ok(Mount { kind, source, target, read_only })
}

fn source_of(at: &At<'_>, kind: MountKind, source: &str, folder: &Path) -> Result<String> {
    match kind {
        MountKind::Volume => Ok(source.into()),
        MountKind::Bind if source.starts_with('~') => {
            Err(at.flaw("`~` depends on the user: write the absolute path"))
        }
        MountKind::Bind => Ok(plain(&folder.join(source)).to_string_lossy().into_owned()),
    }
}

/// Returns the path without `.` and `..`, so that equal paths compare as equal.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
