//! Keeps the secrets in a folder as they should be.
//!
//! It runs as root with the capability CHOWN alone: it can neither read nor change files of other users, only replace them. So it
//! notes a fingerprint of the files that it made, and makes a file again that is missing or does not fit the fingerprint.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use crate::secrets::{Places, SecretFile, Seed, files, withdrawn};

/// The file of the seed, and the one that says what was made of it.
const SEED: &str = "seed";
const MADE: &str = "made";
/// Held while the folder is being worked on.
const LOCK: &str = "lock";
/// How a file is called until it is complete. The next process writes over one that a killed process left.
const INCOMPLETE: &str = "incomplete";
/// Only its owner may read it.
const READ_BY_OWNER: u32 = 0o400;
/// Other users may open files of theirs in it, and can't list it.
const FOLDER_MODE: u32 = 0o711;

/// Secrets that can't be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// Something can't be read or written.
    #[error("can't make `{}`", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file can't be given to the service that reads it.
    #[error("can't give `{}` to user {owner}: this takes root, or the capability CHOWN", path.display())]
    Chown {
        /// Which file.
        path: PathBuf,
        /// To whom.
        owner: u32,
        /// Why not.
        source: io::Error,
    },
    /// The seed is none.
    #[error("`{}` is damaged: put it back as it was, or remove the whole environment with its data", path.display())]
    SeedDamaged {
        /// The seed's file.
        path: PathBuf,
    },
    /// There are secrets whose seed is gone.
    #[error(
        "`{}` is gone, but secrets were made from it, and PostgreSQL knows them: put it back, or remove the whole \
         environment with its data", path.display()
    )]
    SeedGone {
        /// The seed's file.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("can't make a seed: {0}")]
    Random(String),
}

/// Makes the secrets that are missing or not as they should be, and removes those that no program reads any more; returns how many
/// it made.
///
/// # Errors
/// [`FolderError`]; what is made then is complete, and the next run goes on.
pub(crate) fn keep(folder: &Path, places: &Places) -> Result<usize, FolderError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    // A second process waits for the lock, and finds all files made. The kernel releases it when the process ends, however it does.
    let lock = folder.join(LOCK);
    let lock_file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock)
        .map_err(at(&lock))?;
    lock_file.lock().map_err(at(&lock))?;

    let seed = seed_of(folder)?;
    let files = files(&seed, places);
    let fingerprint = seed.fingerprint(&files) + "\n";
    let noted = folder.join(MADE);
    let as_noted = fs::read_to_string(&noted).is_ok_and(|text| text == fingerprint);
    let mut made = 0;
    for file in &files {
        if !(as_noted && is_as_made(folder, file)) {
            make(folder, file)?;
            made += 1;
        }
    }
    for path in withdrawn() {
        let path = folder.join(path);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FolderError::Io { path, source });
            }
            _ => {}
        }
    }
    if !as_noted {
        write(folder, &noted, None, &fingerprint)?;
    }
    Ok(made)
}

/// Returns the seed of the folder; the first time, a new one.
fn seed_of(folder: &Path) -> Result<Seed, FolderError> {
    let path = folder.join(SEED);
    match fs::read_to_string(&path) {
        Ok(text) => Seed::parse(&text).ok_or(FolderError::SeedDamaged { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if folder.join(MADE).exists() {
                return Err(FolderError::SeedGone { path });
            }
            let seed = Seed::new().map_err(|error| FolderError::Random(error.to_string()))?;
            write(folder, &path, None, &(seed.text() + "\n"))?;
            Ok(seed)
        }
        Err(source) => Err(FolderError::Io { path, source }),
    }
}

/// Returns whether a file is there, belongs to whom it should, and is as long as it should be: what can be seen of it
/// without reading it.
fn is_as_made(folder: &Path, SecretFile { path, owner, text }: &SecretFile) -> bool {
    fs::symlink_metadata(folder.join(path)).is_ok_and(|found| {
        found.is_file()
            && (found.uid(), found.gid()) == (*owner, *owner)
            && found.mode() & 0o7777 == READ_BY_OWNER
            && found.len() == text.len() as u64
    })
}

fn make(folder: &Path, SecretFile { path, owner, text }: &SecretFile) -> Result<(), FolderError> {
    let path = folder.join(path);
    let parent = path.parent().unwrap_or(folder);
    let failed = |source| FolderError::Io { path: parent.to_owned(), source };
    fs::create_dir_all(parent).map_err(failed)?;
    fs::set_permissions(parent, Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
    write(parent, &path, Some(*owner), text)
}

/// Writes a file that is there whole or not at all.
fn write(folder: &Path, path: &Path, owner: Option<u32>, text: &str) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io { path: path.to_owned(), source };
    let incomplete = folder.join(INCOMPLETE);
    match fs::remove_file(&incomplete) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(READ_BY_OWNER)
        .open(&incomplete)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    // Before it is given away: afterwards it is another's.
    file.set_permissions(Permissions::from_mode(READ_BY_OWNER)).map_err(failed)?;
    if let Some(owner) = owner {
        fchown(&file, Some(owner), Some(owner)).map_err(|source| FolderError::Chown {
            path: path.to_owned(),
            owner,
            source,
        })?;
    }
    file.sync_all().map_err(failed)?;
    fs::rename(&incomplete, path).map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
