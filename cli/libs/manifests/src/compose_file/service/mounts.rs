//! `volumes` of a service, in the short form `name:/path:ro` or the long one.

use std::path::{Component, Path, PathBuf};

use yaml::Node;

use crate::{
    at::{At, Result},
    compose_file::model::{Mount, MountKind},
};

pub(super) fn read(at: &At<'_>, folder: &Path) -> Result<Vec<Mount>> {
    let mut mounts: Vec<Mount> = Vec::new();
    for at in at.list()? {
        let mount = mount(&at, folder)?;
        if mounts.iter().any(|other| other.target == mount.target) {
            return Err(at.flaw(format!("`{}` is a duplicate", mount.target)));
        }
        mounts.push(mount);
    }
    Ok(mounts)
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
    if plain(Path::new(&mount.target)).as_os_str() != mount.target.as_str() {
        return Err(at.flaw(format!("`{}` has more slashes or dots than it needs", mount.target)));
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
    let mut fields = at.extensible_fields()?;
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
        MountKind::Bind => path_of(at, source, folder),
    }
}

/// Returns an absolute path of the host; a relative one refers to the folder.
pub(crate) fn path_of(at: &At<'_>, path: &str, folder: &Path) -> Result<String> {
    if path.starts_with('~') {
        return Err(at.flaw("`~` depends on the user: write the absolute path"));
    }
    Ok(plain(&folder.join(path)).to_string_lossy().into_owned())
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
