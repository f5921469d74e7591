//! The sources of each service, and their key: while it is the same, so is the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, io,
    path::{Path, PathBuf},
};

use cargo_metadata::Metadata;

use super::{
    checkout::Checkout,
    containerfile::Containerfile,
    graph, host,
    inputs::{Key, files_of_package},
    memory::{Memory, Workspace},
};
use crate::error::{CliError, Result};

/// Increased when the same sources give another image, by other flags or another way to pack.
const SCHEME: &str = "1";

/// Returns the saved metadata of the workspace, if its manifests and its lock file are unchanged.
///
/// # Errors
/// [`CliError::Io`] if one can't be read.
pub(crate) fn remembered(
    checkout: &Checkout,
    services: &BTreeMap<String, Containerfile>,
    memory: &mut Memory,
) -> Result<Option<Workspace>> {
    let Some(workspace) = memory.workspace().cloned() else { return Ok(None) };
    let key =
        workspace_key(checkout, services, &workspace.manifests, memory).map_err(unreadable)?;
    Ok((workspace.key == key).then_some(workspace))
}

/// Extracts the workspace from cargo's metadata, and saves it.
///
/// # Errors
/// [`CliError::Io`] if a manifest can't be read.
pub(crate) fn learn(
    checkout: &Checkout,
    services: &BTreeMap<String, Containerfile>,
    metadata: &Metadata,
    memory: &mut Memory,
) -> Result<Workspace> {
    let manifests: BTreeSet<PathBuf> = metadata
        .workspace_members
        .iter()
        .map(|id| metadata[id].manifest_path.as_std_path().to_owned())
        .collect();
    let folders = services
        .keys()
        .filter_map(|service| Some((service.clone(), graph::folders(metadata, service)?)));
    let workspace = Workspace {
        key: workspace_key(checkout, services, &manifests, memory).map_err(unreadable)?,
        folders: folders.collect(),
        manifests,
    };
    memory.remember_workspace(workspace.clone());
    Ok(workspace)
}

fn workspace_key(
    checkout: &Checkout,
    services: &BTreeMap<String, Containerfile>,
    manifests: &BTreeSet<PathBuf>,
    memory: &mut Memory,
) -> io::Result<String> {
    let mut key = Key::default();
    key.add("root", &checkout.root().to_string_lossy());
    services.keys().for_each(|service| key.add("service", service));
    for file in
        ["Cargo.toml", "Cargo.lock"].map(|name| checkout.root().join(name)).iter().chain(manifests)
    {
        add_file(&mut key, checkout, file, memory)?;
    }
    Ok(key.finish())
}

/// The key of each service's sources.
pub(crate) type Keys = BTreeMap<String, String>;

/// The circumstances that change the image of the same sources.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    /// The target.
    pub(crate) target: String,
    /// The compiler.
    pub(crate) compiler: String,
}

/// Returns the key of each service's sources.
///
/// # Errors
/// [`CliError::Io`] if a file can't be read.
pub(crate) fn keys(
    checkout: &Checkout,
    services: &BTreeMap<String, Containerfile>,
    workspace: &Workspace,
    circumstances: &Circumstances,
    memory: &mut Memory,
) -> Result<Keys> {
    let mut common = Key::default();
    common.add("scheme", SCHEME);
    common.add("target", &circumstances.target);
    common.add("compiler", &circumstances.compiler);
    host::variables().iter().for_each(|(name, value)| common.add(name, value));
    // The features of a crate depend on all packages that are compiled.
    common.add("workspace", &workspace.key);
    for file in configurations(checkout.root()) {
        add_file(&mut common, checkout, &file, memory).map_err(unreadable)?;
    }
    let mut keys = Keys::new();
    for (service, folders) in &workspace.folders {
        let Some(file) = services.get(service) else { continue };
        let mut key = common.clone();
        key.add("stage", &serde_json::to_string(&file.config).map_err(anyhow::Error::from)?);
        key.add("binary", &format!("{} {}", file.binary, file.path));
        for folder in folders {
            for file in files_of_package(folder).map_err(unreadable)? {
                add_file(&mut key, checkout, &file, memory).map_err(unreadable)?;
            }
        }
        let outside: Vec<PathBuf> = memory.outside(service).cloned().collect();
        for file in outside {
            add_file(&mut key, checkout, &file, memory).map_err(unreadable)?;
        }
        let _none = keys.insert(service.clone(), key.finish());
    }
    Ok(keys)
}

/// Returns the files outside of a service's packages that it was compiled from, except generated ones.
pub(crate) fn outside(
    sources: &[PathBuf],
    checkout: &Checkout,
    folders: &BTreeSet<PathBuf>,
) -> BTreeSet<PathBuf> {
    let is_known = |file: &Path| {
        file.starts_with(checkout.target()) || folders.iter().any(|folder| file.starts_with(folder))
    };
    sources.iter().filter(|file| !is_known(file)).cloned().collect()
}

/// Returns the configuration files of cargo and rustup for a checkout.
fn configurations(root: &Path) -> Vec<PathBuf> {
    const NAMES: [&str; 4] =
        [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"];
    let around = root.ancestors().flat_map(|folder| NAMES.map(|name| folder.join(name)));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    around.chain(home.map(|home| home.join("config.toml"))).collect()
}

fn add_file(
    key: &mut Key,
    checkout: &Checkout,
    file: &Path,
    memory: &mut Memory,
) -> io::Result<()> {
    let name = file.strip_prefix(checkout.root()).unwrap_or(file);
    if let Some(hash) = memory.files.hash(file)? {
        key.add(&name.to_string_lossy(), hash);
    }
    Ok(())
}

fn unreadable(source: io::Error) -> CliError {
    CliError::Io { what: "read the sources".into(), source }
}
