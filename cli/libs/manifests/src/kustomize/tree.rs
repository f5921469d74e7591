//! The files of kustomizations.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::built_in::BUILT_IN;
use crate::error::{Error, Result};

/// The folder of the files in a checkout.
pub const FOLDER: &str = "manifests/kubernetes";

/// Files below one folder, by their paths in it: `overlays/local/kustomization.yaml`. Files outside are never read.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The folder; `None` for the files that this program was built with.
    root: Option<PathBuf>,
    /// Texts that replace files, or are added to them.
    instead: BTreeMap<String, String>,
}

impl Tree {
    /// Finds the manifests of the checkout around a folder, or else the built-in ones.
    pub fn find(folder: &Path) -> Self {
        // A folder that only happens to have such a folder is not a checkout: this program's sources must be there,
        // too.
        let is_checkout = |folder: &&Path| {
            folder.join(FOLDER).is_dir() && folder.join("cli/Cargo.toml").is_file()
        };
        Self {
            root: folder.ancestors().find(is_checkout).map(|checkout| checkout.join(FOLDER)),
            instead: BTreeMap::new(),
        }
    }

    /// Returns a tree of these files only.
    #[cfg(test)]
    pub(super) fn of_files(files: &[(&str, &str)]) -> Self {
        let instead = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { root: Some("/nowhere".into()), instead: instead.collect() }
    }

    /// Replaces or adds a file.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: impl Into<String>) -> Self {
        let _before = self.instead.insert(path.to_owned(), text.into());
        self
    }

    /// Returns whether a file exists.
    pub fn has(&self, path: &str) -> bool {
        self.instead.contains_key(path)
            || match &self.root {
                Some(root) => root.join(path).is_file(),
                None => BUILT_IN.iter().any(|(file, _)| *file == path),
            }
    }

    /// Returns whether a folder exists.
    pub(super) fn has_folder(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.instead.keys().any(|file| file.starts_with(&below))
            || match &self.root {
                Some(root) => root.join(path).is_dir(),
                None => BUILT_IN.iter().any(|(file, _)| file.starts_with(&below)),
            }
    }

    /// Reads a file; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be read.
    pub(super) fn read(&self, path: &str) -> Result<Option<String>> {
        if let Some(text) = self.instead.get(path) {
            return Ok(Some(text.clone()));
        }
        let Some(root) = &self.root else {
            let built_in = BUILT_IN.iter().find(|(file, _)| *file == path);
            return Ok(built_in.map(|(_, text)| (*text).to_owned()));
        };
        let file = root.join(path);
        match fs::read_to_string(&file) {
            Ok(text) => Ok(Some(text)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(Error::Io { path: file, source }),
        }
    }

    /// Returns the path of a file for people.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.as_deref().unwrap_or(Path::new(FOLDER)).join(path)
    }
}

/// Returns the path that a relative path of a folder refers to; `None` if that is outside of the tree or invalid.
pub(super) fn joined(folder: &str, path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') || path.contains("://") || path.contains('\\') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_tree() {
        assert_eq!(joined("overlays/local", "../../base"), Some("base".into()));
        assert_eq!(
            joined("overlays/local", "./secrets.env"),
            Some("overlays/local/secrets.env".into())
        );
        for outside in ["../../../etc", "/etc/passwd", "https://example.org/base", "", "..\\x"] {
            assert_eq!(joined("overlays/local", outside), None, "{outside}");
        }
    }

    #[test]
    fn a_text_stands_in_for_a_file() {
        let tree = Tree::default().with_file("overlays/local/secrets.env", "a=b\n");
        assert!(tree.has("overlays/local/secrets.env") && tree.has_folder("overlays/local"));
        assert_eq!(tree.read("overlays/local/secrets.env").unwrap().as_deref(), Some("a=b\n"));
        assert_eq!(tree.read("overlays/local/none").unwrap(), None);
    }
}
