//! Hashes of the inputs of a build. A file is read only if its size, times or inode have changed since it was last
//! read.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize, Serializer};

/// A file that was changed less than this before it was read may have been changed again within the same tick of the
/// file system's clock, so the next build reads it again.
const FRESH_NS: i128 = 50_000_000;
/// Top-level folders of a package that no binary is compiled from.
const UNUSED_FOLDERS: [&str; 4] = ["benches", "examples", "target", "tests"];
/// What npm installs beside the sources of a page: the built page is part of a binary, and not this.
const NPM_FOLDER: &str = "node_modules";

/// The metadata of a file when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Look {
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
}

impl Look {
    fn of(metadata: &fs::Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    look: Look,
    read_ns: i128,
    hash: String,
}

/// The files that were read, by path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Files {
    #[serde(serialize_with = "writable")]
    known: BTreeMap<PathBuf, Known>,
    #[serde(skip)]
    changed: bool,
}

impl Files {
    /// Returns the hash of a file's content in hex; `None` if there is no such file. What is neither a file nor a folder,
    /// such as a FIFO, which a read would wait for, counts as missing.
    ///
    /// # Errors
    /// The system's error if it can't be read.
    pub(crate) fn hash(&mut self, path: &Path) -> io::Result<Option<&str>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() || metadata.is_dir() => metadata,
            Ok(_) => return Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                self.changed |= self.known.remove(path).is_some();
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let look = Look::of(&metadata);
        let settled = |known: &Known| {
            known.look == look && look.modified_ns.max(look.changed_ns) + FRESH_NS < known.read_ns
        };
        if !self.known.get(path).is_some_and(settled) {
            let read_ns = now_ns();
            let hash = blake3::hash(&fs::read(path)?).to_hex().to_string();
            self.changed = true;
            let _before = self.known.insert(path.to_owned(), Known { look, read_ns, hash });
        }
        Ok(self.known.get(path).map(|known| known.hash.as_str()))
    }

    /// Returns whether any file was read, so that saving is worth it.
    pub(crate) const fn have_changed(&self) -> bool {
        self.changed
    }
}

/// Writes the files whose path JSON can have. The others, which are not UTF-8, are read again by the next build.
fn writable<S: Serializer>(
    known: &BTreeMap<PathBuf, Known>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(known.iter().filter(|(path, _)| path.to_str().is_some()))
}

fn now_ns() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i128::try_from(since.as_nanos()).ok())
        .unwrap_or_default()
}

/// Returns the files of a package that its binaries may be compiled from, sorted: without hidden files, tests and npm packages.
///
/// # Errors
/// The system's error if a folder can't be read.
pub(crate) fn files_of_package(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for entry in fs::read_dir(&current)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_unused = name == NPM_FOLDER
                || current == folder && UNUSED_FOLDERS.iter().any(|unused| name == *unused);
            if is_unused || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // Symbolic links to folders are not followed: they may form a circle.
            match entry.file_type()?.is_dir() {
                true => open.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files.retain(|file| !file.is_dir());
    files.sort();
    Ok(files)
}

/// Hashes the inputs of a build. Each input has a name and a value, and different lists have different hashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key(blake3::Hasher);

impl Key {
    /// Adds an input.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            let _self = self.0.update(&text.len().to_le_bytes());
            let _self = self.0.update(text.as_bytes());
        }
    }

    /// Returns the hash, in hex.
    pub(crate) fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    fn set_age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_file_is_read_again_only_if_it_looks_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rs");
        fs::write(&path, "one").unwrap();
        let mut files = Files::default();
        let first = files.hash(&path).unwrap().unwrap().to_owned();

        // A wrong saved hash shows that the file is not read.
        let known = files.known.get_mut(&path).unwrap();
        known.read_ns += FRESH_NS * 2;
        known.hash = "remembered".into();
        assert_eq!(files.hash(&path).unwrap(), Some("remembered"));
        set_age(&path, 100);
        assert_eq!(files.hash(&path).unwrap(), Some(first.as_str()), "touched, and the same");
        fs::write(&path, "two").unwrap();
        assert_ne!(files.hash(&path).unwrap(), Some(first.as_str()));
        fs::remove_file(&path).unwrap();
        assert_eq!(files.hash(&path).unwrap(), None);
        assert!(files.have_changed());
        // Nothing writes into it, so that to read it would take for ever.
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(files.hash(&path).unwrap(), None);
    }

    #[test]
    fn a_file_that_was_just_changed_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rs");
        fs::write(&path, "one").unwrap();
        let mut files = Files::default();
        let first = files.hash(&path).unwrap().unwrap().to_owned();
        files.known.get_mut(&path).unwrap().hash = "remembered".into();
        assert_eq!(files.hash(&path).unwrap(), Some(first.as_str()));
    }

    #[test]
    fn tests_and_hidden_files_are_no_part_of_a_binary() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "Cargo.toml",
            "src/main.rs",
            "src/tests/part.rs",
            "tests/it/main.rs",
            "target/x",
            ".git/x",
            "b.sql",
            "page/node_modules/x/index.js",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("src/circle")).unwrap();
        let files = files_of_package(folder.path()).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["Cargo.toml", "b.sql", "src/main.rs", "src/tests/part.rs"]);
    }

    #[test]
    fn a_key_depends_on_where_a_piece_ends() {
        let key = |pieces: &[(&str, &str)]| {
            let mut key = Key::default();
            pieces.iter().for_each(|(name, value)| key.add(name, value));
            key.finish()
        };
        assert_ne!(key(&[("a", "bc")]), key(&[("ab", "c")]));
        assert_ne!(key(&[("a", "b"), ("c", "d")]), key(&[("a", "bcd")]));
        assert_eq!(key(&[("a", "b")]), key(&[("a", "b")]));
    }
}
