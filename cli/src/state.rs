//! The state folder of an environment: what runs there, where, with which settings; its data, logs and keys.

mod files;
mod identity;
mod name;
mod records;

use std::{
    fs::{self, DirBuilder, TryLockError},
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use ::files::open_regular;
use printable::shell_word;

use self::files::{field, read_record, refuse_newer, remove};
pub(crate) use self::{
    files::{write_json, write_private, write_record},
    identity::{EngineRecord, Mark},
    name::EnvironmentName,
    records::{ClusterRecord, ContainersRecord, EmbeddedState, EnvironmentRecord},
};
use crate::{
    config::Settings,
    error::{CliError, Result},
};

/// How many last log lines an error quotes.
pub(crate) const LAST_LINES_MAX: usize = 12;
/// How often the folders are made: `down --volumes` may remove one while a command that waits for it makes the next.
const CREATE_ATTEMPTS_MAX: u32 = 100;
/// Files of an embedded environment in the state folder of an earlier version, each with its name in this version.
const EARLIER_FILES: [(&str, &str); 2] =
    [("house.lock", "environment.lock"), ("house.json", "environment.json")];

/// An environment: its name and its state folder.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    name: EnvironmentName,
    folder: PathBuf,
}

impl Environment {
    /// Finds an environment's folder below `$XDG_STATE_HOME/chefcito` or `~/.local/state/chefcito`; touches nothing.
    ///
    /// # Errors
    /// [`CliError::Lacking`] without a home.
    pub(crate) fn locate(name: EnvironmentName) -> Result<Self> {
        let absolute = |variable| {
            std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .ok_or_else(|| CliError::Lacking {
                what: "there is no folder to keep state in".into(),
                hint: "set HOME or XDG_STATE_HOME to a folder that can be written to".into(),
            })?;
        let folder = state.join("chefcito").join(name.as_str());
        Ok(Self { name, folder })
    }

    /// Returns all environments that have a state folder beside this one's, by name.
    ///
    /// # Errors
    /// [`CliError::Io`] if the folder of all can't be read.
    pub(crate) fn all(&self) -> Result<Vec<Self>> {
        let Some(folder) = self.folder.parent() else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CliError::io(|| format!("read {}", folder.display()))(error)),
        };
        let of = |entry: fs::DirEntry| {
            let name = entry.file_name().to_str()?.parse().ok()?;
            entry.path().is_dir().then(|| Self { name, folder: entry.path() })
        };
        let mut all: Vec<Self> = entries.flatten().filter_map(of).collect();
        all.sort_by_key(|environment| environment.name.to_string());
        Ok(all)
    }

    /// Refuses a state folder that other users can write to, or that belongs to one: its keys and records may be theirs.
    /// Changes nothing.
    ///
    /// # Errors
    /// [`CliError::Lacking`].
    pub(crate) fn refuse_unsafe(&self) -> Result<()> {
        const OTHERS_WRITE: u32 = 0o002;
        let own = rustix::process::geteuid().as_raw();
        let all = self.folder.parent().unwrap_or(&self.folder).to_owned();
        let files = [&all, &self.folder, &self.secrets(), &self.data(), &self.admin_key_file()];
        for path in files {
            // What can't be looked at is reported by what needs it.
            let Ok(found) = fs::metadata(path) else { continue };
            let (what, hint) = match found.uid() {
                owner if owner != own => (
                    format!("belongs to another user ({owner})"),
                    "remove it, if it is not yours, or set XDG_STATE_HOME to a folder of your own"
                        .into(),
                ),
                _ if found.mode() & OTHERS_WRITE != 0 => (
                    "can be written by every user".to_owned(),
                    format!(
                        "if nobody else has written there, `chmod -R go-w {}`; else remove it",
                        shell_word(path)
                    ),
                ),
                _ => continue,
            };
            let what = format!("{} is not safe to keep state in: it {what}", path.display());
            return Err(CliError::Lacking { what, hint });
        }
        Ok(())
    }

    /// Refuses the state folder of an earlier version, of which this one would not see what runs there, and of a later one,
    /// of which it would lose what it does not know. Changes nothing.
    ///
    /// # Errors
    /// [`CliError::EarlierState`] or [`CliError::NewerRecord`], exit code 1.
    pub(crate) fn refuse_other_versions(&self) -> Result<()> {
        let found = |(earlier, now): &(&str, &str)| {
            self.folder.join(earlier).exists().then(|| format!("{earlier}, which is {now} now"))
        };
        let found = EARLIER_FILES.iter().find_map(found).or_else(|| {
            let record = self.cluster_record();
            field(&record, "place")
                .map(|_| "cluster.json with the field `place`, which is `target` now".into())
        });
        match found {
            Some(found) => Err(CliError::EarlierState {
                name: self.name.clone(),
                folder: self.folder.clone(),
                found,
            }),
            None => self.records().iter().try_for_each(|record| refuse_newer(record)),
        }
    }

    /// Returns the files of all records.
    fn records(&self) -> [PathBuf; 6] {
        [
            self.identity_file(),
            self.settings_file(),
            self.former_settings_file(),
            self.record_file(),
            self.containers_record(),
            self.cluster_record(),
        ]
    }

    /// Creates the folder and those in it, readable for their owner only.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if a folder can't be created.
    pub(crate) fn create(&self) -> Result<()> {
        let mut attempts = 1..CREATE_ATTEMPTS_MAX;
        loop {
            match self.create_folders() {
                Ok(()) => return Ok(()),
                Err(error) if is_of_removal(&error) && attempts.next().is_some() => {}
                Err(error) => return Err(self.unwritable(&error)),
            }
        }
    }

    fn create_folders(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        [self.folder.clone(), self.secrets(), self.data(), self.logs(), self.ledgers()]
            .iter()
            .try_for_each(|folder| builder.create(folder))
    }

    /// Returns the error for a state folder that can't be written to.
    pub(crate) fn unwritable(&self, error: &io::Error) -> CliError {
        CliError::Lacking {
            what: format!("cannot keep state in {}: {error}", self.folder.display()),
            hint: "make it writable, or set XDG_STATE_HOME to a folder that is".into(),
        }
    }

    /// Returns whether the file system of the folder has less than 1 MiB left.
    pub(crate) fn disk_is_full(&self) -> bool {
        const ROOM_BYTES_MIN: u64 = 1024 * 1024;
        rustix::fs::statvfs(&self.folder)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_BYTES_MIN)
    }

    /// Returns the name.
    pub(crate) const fn name(&self) -> &EnvironmentName {
        &self.name
    }

    /// Returns the folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file that the embedded process locks for as long as it runs.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.folder.join("environment.lock")
    }

    /// Returns the file that a command locks while it changes what runs.
    pub(crate) fn change_lock(&self) -> PathBuf {
        self.folder.join("change.lock")
    }

    /// Returns the file with the record of the embedded process.
    pub(crate) fn record_file(&self) -> PathBuf {
        self.folder.join("environment.json")
    }

    /// Returns the file with the record of the containers.
    fn containers_record(&self) -> PathBuf {
        self.folder.join("containers.json")
    }

    /// Returns the record of the containers; `None` if none were started.
    ///
    /// # Errors
    /// [`CliError::BadRecord`] or [`CliError::Io`] if it can't be read.
    pub(crate) fn containers(&self) -> Result<Option<ContainersRecord>> {
        read_record(&self.containers_record())
    }

    /// Writes the record of the containers.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn remember_containers(&self, record: &ContainersRecord) -> Result<()> {
        write_record(&self.containers_record(), record)
    }

    /// Removes the record of the containers.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be removed.
    pub(crate) fn forget_containers(&self) -> Result<()> {
        remove(&self.containers_record())
    }

    /// Returns the file with the record of the cluster.
    fn cluster_record(&self) -> PathBuf {
        self.folder.join("cluster.json")
    }

    /// Returns the record of the cluster; `None` if the environment is on none.
    ///
    /// # Errors
    /// [`CliError::BadRecord`] or [`CliError::Io`] if it can't be read.
    pub(crate) fn cluster(&self) -> Result<Option<ClusterRecord>> {
        read_record(&self.cluster_record())
    }

    /// Writes the record of the cluster.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn remember_cluster(&self, record: &ClusterRecord) -> Result<()> {
        write_record(&self.cluster_record(), record)
    }

    /// Removes the record of the cluster.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be removed.
    pub(crate) fn forget_cluster(&self) -> Result<()> {
        remove(&self.cluster_record())
    }

    /// Returns the file that the forwarder to a cluster locks for as long as it runs.
    pub(crate) fn forward_lock(&self) -> PathBuf {
        self.folder.join("forward.lock")
    }

    /// Returns the lock file by which environments claim the shared kind cluster. No environment can have that name.
    pub(crate) fn kind_lock(&self) -> PathBuf {
        self.folder.with_file_name("kind.lock")
    }

    /// Returns the kubeconfig of the shared kind cluster.
    pub(crate) fn kubeconfig_file(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Returns the file of secrets for the local overlay.
    pub(crate) fn cluster_secrets_file(&self) -> PathBuf {
        self.secrets().join("secrets.env")
    }

    /// Returns the file with the record of the identity.
    fn identity_file(&self) -> PathBuf {
        self.folder.join("identity.json")
    }

    /// Returns the file of the last settings.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.folder.join("settings.json")
    }

    /// Returns the file of the settings before the last `down`: they tell where the data are.
    pub(crate) fn former_settings_file(&self) -> PathBuf {
        self.folder.join("settings.former.json")
    }

    /// Returns the file of the local admin key.
    pub(crate) fn admin_key_file(&self) -> PathBuf {
        self.folder.join("admin.key")
    }

    /// Returns the folder of secrets that no command prints.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// Returns the file of the pepper for the hashes of API keys.
    pub(crate) fn key_pepper_file(&self) -> PathBuf {
        self.secrets().join("key.pepper")
    }

    /// Returns the folder of the databases.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Returns the folder of the log files.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Returns the folder of the ledgers that `order` keeps.
    pub(crate) fn ledgers(&self) -> PathBuf {
        self.folder.join("ledgers")
    }

    /// Returns the state of the embedded process. The lock decides whether it runs, not the record.
    ///
    /// # Errors
    /// [`CliError::Io`] if the folder can't be read.
    pub(crate) fn embedded(&self) -> Result<EmbeddedState> {
        let path = self.lock_file();
        let mut lock = match open_regular(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(EmbeddedState::Stopped);
            }
            Err(source) => {
                return Err(CliError::Io { what: format!("open {}", path.display()), source });
            }
        };
        match lock.try_lock_shared() {
            Ok(()) if self.record_file().exists() => Ok(EmbeddedState::Crashed),
            Ok(()) => Ok(EmbeddedState::Stopped),
            Err(TryLockError::Error(source)) => {
                Err(CliError::Io { what: format!("lock {}", path.display()), source })
            }
            Err(TryLockError::WouldBlock) => {
                let record: Option<EnvironmentRecord> = match read_record(&self.record_file()) {
                    // The lock says that it runs, and `up` replaces it.
                    Err(CliError::BadRecord { .. }) => None,
                    read => read?,
                };
                let mut holder = String::new();
                let pid =
                    lock.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                Ok(match record {
                    Some(record) if pid == Some(record.pid) => {
                        EmbeddedState::Running(Box::new(record))
                    }
                    // A crashed process leaves its record until the next one overwrites it.
                    _ => EmbeddedState::Starting { pid },
                })
            }
        }
    }

    /// Returns the record of the embedded process that runs here.
    ///
    /// # Errors
    /// [`CliError::NotRunning`], [`CliError::NoRecord`] or [`CliError::Crashed`] if none runs or its record is missing.
    pub(crate) fn running(&self) -> Result<EnvironmentRecord> {
        match self.embedded()? {
            EmbeddedState::Running(record) => Ok(*record),
            EmbeddedState::Stopped => Err(CliError::NotRunning { name: self.name.clone() }),
            EmbeddedState::Starting { .. } => Err(CliError::NoRecord { name: self.name.clone() }),
            EmbeddedState::Crashed => Err(self.crashed()),
        }
    }

    /// Returns the address of the gateway.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] or [`CliError::Crashed`] if no environment runs here; [`CliError::ServiceNotRunning`]
    /// if it runs without a gateway.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        if let Some(record) = self.containers()? {
            return record.address.ok_or_else(|| CliError::ServiceNotRunning {
                name: self.name.clone(),
                container: "the gateway".into(),
            });
        }
        match self.cluster()? {
            Some(record) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, record.port))),
            None => Ok(self.running()?.address),
        }
    }

    /// Returns the local admin key.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if there is none, [`CliError::Io`] if it can't be read.
    pub(crate) fn admin_key(&self) -> Result<String> {
        let path = self.admin_key_file();
        match open_regular(&path).and_then(io::read_to_string) {
            Ok(key) => Ok(key.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CliError::Lacking {
                what: format!("the admin key of `{}` is not known here", self.name),
                hint: format!(
                    "`chefcito up{}` saves it, if the gateway gets one from CHEFCITO_ADMIN_KEY or \
                     CHEFCITO_ADMIN_KEY_FILE",
                    self.name.flag()
                ),
            }),
            Err(source) => Err(CliError::Io { what: format!("read {}", path.display()), source }),
        }
    }

    /// Returns the error for the crash of the embedded process.
    pub(crate) fn crashed(&self) -> CliError {
        let (when, last_lines) = logs::files::last_lines(&self.logs(), LAST_LINES_MAX);
        CliError::Crashed { name: self.name.clone(), when, last_lines }
    }

    /// Returns the settings of the last start, if there was one.
    ///
    /// # Errors
    /// [`CliError::Io`] if they can't be read.
    pub(crate) fn last_settings(&self) -> Result<Option<Settings>> {
        read_record(&self.settings_file())
    }

    /// Returns the settings of the last start, even if a `down` came after it.
    ///
    /// # Errors
    /// [`CliError::Io`] if they can't be read.
    pub(crate) fn former_settings(&self) -> Result<Option<Settings>> {
        match self.last_settings()? {
            Some(settings) => Ok(Some(settings)),
            None => read_record(&self.former_settings_file()),
        }
    }
}

/// Returns whether a folder could not be made because another command removed one on the way there.
fn is_of_removal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn folders_are_made_while_another_command_removes_them() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("chefcito");
        let environment = Environment { name: "chefcito".parse().unwrap(), folder: folder.clone() };
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // As `down --volumes` does.
                let doomed = home.path().join(".doomed");
                while !is_over.load(Ordering::Relaxed) {
                    let _absent = fs::rename(&folder, &doomed);
                    let _absent = fs::remove_dir_all(&doomed);
                }
            });
            let made: Vec<Result<()>> = (0..50_000).map(|_| environment.create()).collect();
            is_over.store(true, Ordering::Relaxed);
            for made in made {
                made.unwrap();
            }
        });
    }
}
