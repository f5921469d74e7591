//! The compiler of this machine. Asking for its version takes longer than the rest of a build without changes, so the
//! answer is saved until its files change.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The version of a compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Toolchain {
    /// Its files' metadata when it was asked.
    pub(crate) look: String,
    /// The output of `rustc -vV`.
    pub(crate) version: String,
}

impl Toolchain {
    /// Returns its name and version: `rustc 1.95.0 (…)`.
    pub(crate) fn name(&self) -> &str {
        self.version.lines().next().unwrap_or_default()
    }

    /// Returns its default target, if it is known: `x86_64-unknown-linux-gnu`.
    pub(crate) fn host(&self) -> Option<&str> {
        self.field("host")
    }

    /// Returns the commit that it was built from.
    pub(crate) fn commit(&self) -> Option<&str> {
        self.field("commit-hash")
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.version.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Returns the program that a shell would start by that name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let runs = |file: &PathBuf| {
        fs::metadata(file)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&folders).map(|folder| folder.join(name)).find(runs)
}

/// Returns the metadata of the compiler's files for a checkout, with those by which rustup chooses and updates it;
/// `None` if there is no compiler.
pub(crate) fn look(root: &Path) -> Option<String> {
    let rustc = program("rustc")?;
    let rustup = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    let choice = root
        .ancestors()
        .flat_map(|folder| [folder.join("rust-toolchain"), folder.join("rust-toolchain.toml")]);
    let mut files: Vec<PathBuf> = choice.collect();
    if let Some(rustup) = rustup {
        let mut toolchains: Vec<PathBuf> = fs::read_dir(rustup.join("toolchains"))
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                Some(entry.ok()?.path().join("lib/rustlib/multirust-channel-manifest.toml"))
            })
            .collect();
        toolchains.sort();
        files.push(rustup.join("settings.toml"));
        files.extend(toolchains);
    }
    let chosen = env::var("RUSTUP_TOOLCHAIN").unwrap_or_default();
    let looks: Vec<String> =
        [rustc].iter().chain(&files).filter_map(|file| look_of(file)).collect();
    Some(format!("{chosen} {}", looks.join(" ")))
}

fn look_of(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    let (size, time, inode) =
        (metadata.len(), (metadata.mtime(), metadata.mtime_nsec()), metadata.ino());
    Some(format!("{}:{size}:{}.{}:{inode}", file.display(), time.0, time.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_says_what_it_makes() {
        let version =
            "rustc 1.95.0\nbinary: rustc\ncommit-hash: 5980\nhost: x86_64-unknown-linux-gnu\n"
                .into();
        let toolchain = Toolchain { look: String::new(), version };
        assert_eq!(
            (toolchain.name(), toolchain.host(), toolchain.commit()),
            ("rustc 1.95.0", Some("x86_64-unknown-linux-gnu"), Some("5980"))
        );
    }

    #[test]
    fn another_choice_of_a_compiler_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let before = look(folder.path());
        assert_eq!(look(folder.path()), before);
        fs::write(folder.path().join("rust-toolchain.toml"), "").unwrap();
        assert!(before.is_none() || look(folder.path()) != before);
    }
}
