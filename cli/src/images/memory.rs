//! The memory of `chefcito build`. Everything in it can be found out again: a lost or damaged file only costs time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{archive::ContentTag, inputs::Files, toolchain::Toolchain};
use crate::{error::Result, state::write_json};

/// Increased when its content changes its meaning.
const VERSION: u32 = 1;
/// How many builds of a service it keeps, so that switching between branches compiles nothing again.
const BUILDS_MAX: usize = 32;
/// How many contents of a service keep their image.
const CONTENTS_KEPT_MAX: usize = 8;

/// The memory of a checkout.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    version: u32,
    /// The files that were read.
    pub(crate) files: Files,
    /// The compiler of this machine.
    toolchain: Option<Toolchain>,
    /// The metadata of the workspace.
    workspace: Option<Workspace>,
    services: BTreeMap<String, Vec<Build>>,
    /// The content of each service's last build.
    #[serde(default)]
    newest: BTreeMap<String, ContentTag>,
    /// Files outside of its packages that a service was compiled from.
    outside: BTreeMap<String, BTreeSet<PathBuf>>,
    #[serde(skip)]
    has_changed: bool,
}

/// The metadata of the workspace, from its manifests and its lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workspace {
    /// The hash of its manifests and its lock file.
    pub(crate) key: String,
    /// The manifests of its packages.
    pub(crate) manifests: BTreeSet<PathBuf>,
    /// For each service with a package, the folders of the checkout's packages that it is compiled from.
    pub(crate) folders: BTreeMap<String, BTreeSet<PathBuf>>,
}

/// The content that some sources were compiled to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Build {
    key: String,
    content: ContentTag,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            version: VERSION,
            files: Files::default(),
            toolchain: None,
            workspace: None,
            services: BTreeMap::new(),
            newest: BTreeMap::new(),
            outside: BTreeMap::new(),
            has_changed: true,
        }
    }
}

impl Memory {
    /// Reads the memory; empty if the file is missing or damaged.
    pub(crate) fn read(path: &Path) -> Self {
        let read: Option<Self> =
            fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.filter(|memory| memory.version == VERSION).unwrap_or_default()
    }

    /// Writes it atomically, if there is anything new.
    ///
    /// # Errors
    /// [`crate::error::CliError::Io`] if the file can't be written.
    pub(crate) fn write(&mut self, path: &Path) -> Result<()> {
        if self.has_changed || self.files.have_changed() {
            write_json(path, self)?;
            self.has_changed = false;
        }
        Ok(())
    }

    /// Returns the compiler of this machine, if it is known.
    pub(crate) const fn toolchain(&self) -> Option<&Toolchain> {
        self.toolchain.as_ref()
    }

    /// Saves the compiler of this machine.
    pub(crate) fn remember_toolchain(&mut self, toolchain: Toolchain) {
        self.has_changed = true;
        self.toolchain = Some(toolchain);
    }

    /// Returns the metadata of the workspace, if it is known.
    pub(crate) const fn workspace(&self) -> Option<&Workspace> {
        self.workspace.as_ref()
    }

    /// Saves the metadata of the workspace.
    pub(crate) fn remember_workspace(&mut self, workspace: Workspace) {
        self.has_changed = true;
        self.workspace = Some(workspace);
    }

    /// Returns the content that a service's sources were compiled to.
    pub(crate) fn content(&self, service: &str, key: &str) -> Option<&ContentTag> {
        let builds = self.services.get(service)?;
        builds.iter().find(|build| build.key == key).map(|build| &build.content)
    }

    /// Saves the content that a service's sources were compiled to; drops the oldest.
    pub(crate) fn remember(&mut self, service: &str, key: String, content: ContentTag) {
        self.has_changed = true;
        let builds = self.services.entry(service.to_owned()).or_default();
        builds.retain(|build| build.key != key);
        builds.insert(0, Build { key, content });
        builds.truncate(BUILDS_MAX);
    }

    /// Returns the content of each service's last build, compiled or cached.
    pub(crate) const fn newest(&self) -> &BTreeMap<String, ContentTag> {
        &self.newest
    }

    /// Saves the content of a service's last build.
    pub(crate) fn remember_newest(&mut self, service: &str, content: &ContentTag) {
        if self.newest.get(service) != Some(content) {
            self.has_changed = true;
            let _before = self.newest.insert(service.to_owned(), content.clone());
        }
    }

    /// Returns the old contents of a service, and drops them.
    pub(crate) fn forget_old(&mut self, service: &str) -> Vec<ContentTag> {
        let Some(builds) = self.services.get_mut(service) else { return Vec::new() };
        let mut kept = BTreeSet::new();
        let mut old = Vec::new();
        builds.retain(|build| {
            let stays = kept.contains(&build.content) || kept.len() < CONTENTS_KEPT_MAX;
            match stays {
                true => drop(kept.insert(build.content.clone())),
                false => old.push(build.content.clone()),
            }
            stays
        });
        self.has_changed |= !old.is_empty();
        old
    }

    /// Returns the files outside of its packages that a service was compiled from.
    pub(crate) fn outside(&self, service: &str) -> impl Iterator<Item = &PathBuf> {
        self.outside.get(service).into_iter().flatten()
    }

    /// Saves the files outside of its packages that a service was compiled from.
    pub(crate) fn remember_outside(&mut self, service: &str, files: BTreeSet<PathBuf>) {
        self.has_changed = true;
        let _before = self.outside.insert(service.to_owned(), files);
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    fn content(digit: char) -> ContentTag {
        ContentTag::of_hash(&digit.to_string().repeat(12)).unwrap()
    }

    #[test]
    fn several_builds_of_a_service_are_remembered() {
        let mut memory = Memory::default();
        memory.remember("tea", "main".into(), content('a'));
        memory.remember("tea", "branch".into(), content('b'));
        assert_eq!(memory.content("tea", "main"), Some(&content('a')));
        memory.remember("tea", "main".into(), content('c'));
        assert_eq!(memory.content("tea", "main"), Some(&content('c')));
        (0..BUILDS_MAX).for_each(|n| memory.remember("tea", n.to_string(), content('d')));
        assert_eq!(memory.content("tea", "main"), None);
    }

    #[test]
    fn the_oldest_contents_are_forgotten() {
        let mut memory = Memory::default();
        let contents: Vec<ContentTag> = (0..=CONTENTS_KEPT_MAX)
            .map(|n| ContentTag::of_hash(&format!("{n:012}")).unwrap())
            .collect();
        for (n, content) in contents.iter().enumerate() {
            memory.remember("tea", n.to_string(), content.clone());
            memory.remember("tea", format!("touched {n}"), content.clone());
        }
        assert_eq!(memory.forget_old("tea"), [contents[0].clone(), contents[0].clone()]);
        assert!(memory.forget_old("tea").is_empty());
        assert_eq!(memory.content("tea", "1"), Some(&contents[1]));
    }

    #[test]
    fn what_is_written_is_read_and_what_is_spoiled_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        let mut memory = Memory::default();
        memory.remember("tea", "main".into(), content('a'));
        memory.remember_newest("tea", &content('b'));
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path).content("tea", "main"), Some(&content('a')));
        assert_eq!(Memory::read(&path).newest().get("tea"), Some(&content('b')));
        // A file whose name is not UTF-8 has no place in JSON.
        let latin = folder.path().join(OsStr::from_bytes(b"caf\xe9.rs"));
        fs::write(&latin, "").unwrap();
        assert!(memory.files.hash(&latin).unwrap().is_some());
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path).content("tea", "main"), Some(&content('a')));
        for spoiled in ["", "{", "{\"version\": 1}", "[]"] {
            fs::write(&path, spoiled).unwrap();
            assert_eq!(Memory::read(&path).content("tea", "main"), None, "{spoiled}");
        }
    }
}
