//! The state folder of an environment: who runs there, where, with which settings; its data, logs and keys.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use contracts::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    config::Settings,
    error::{CliError, Result},
    kubernetes::Place,
    log_files,
};

/// The longest name of an environment, in bytes; short enough for a schema, a label or a cluster.
const NAME_BYTES_MAX: usize = 32;
/// How many last log lines an error tells.
pub(crate) const LAST_LINES_MAX: usize = 12;

/// The name of an environment: a lower-case letter, then lower-case letters, digits and hyphens, 32 at the most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvironmentName(String);

impl EnvironmentName {
    /// The name unless another is given.
    pub(crate) const DEFAULT: &str = "chefcito";

    /// Returns whether it is the name unless another is given.
    pub(crate) fn is_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }

    /// Returns the flag that a command for this environment needs: empty for the default one, else ` --name NAME`.
    pub(crate) fn flag(&self) -> String {
        if self.is_default() { String::new() } else { format!(" --name {self}") }
    }

    /// Returns what its schemas begin with, so that environments may share a database: `_` is in no name.
    pub(crate) fn schema_prefix(&self) -> String {
        format!("{}_", self.0.replace('-', "_"))
    }
}

impl FromStr for EnvironmentName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase());
        let goes_on_well = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (begins_well && goes_on_well && name.len() <= NAME_BYTES_MAX)
            .then(|| Self(name.to_owned()))
            .ok_or("it should be a lower-case letter, then lower-case letters, digits and hyphens, 32 at the most")
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// What a house that runs says about itself in `house.json`, written once it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HouseRecord {
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    /// Where the plaza listens, if it is open.
    pub(crate) plaza_address: Option<SocketAddr>,
    /// The process.
    pub(crate) pid: u32,
    /// The version of the program.
    pub(crate) version: String,
    /// Tells one build of a version from another.
    pub(crate) build: String,
    /// What it was started with.
    pub(crate) settings: Settings,
    /// When it was ready to listen.
    pub(crate) started_at: Timestamp,
}

/// What is known of an environment in containers, in `containers.json`, from the moment on at which they were started until
/// they are stopped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainersRecord {
    /// Where the gateway listens; absent where only services without a door were brought up.
    pub(crate) address: Option<SocketAddr>,
    /// The engine, as `DOCKER_HOST` says it.
    pub(crate) engine: String,
    /// The version of the program that started them.
    pub(crate) version: String,
    /// When they were started.
    pub(crate) started_at: Timestamp,
}

/// What is known of an environment on a cluster, in `cluster.json`, from the first `up` on until `down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    /// Where the cluster is.
    pub(crate) place: Place,
    /// The address of its API server.
    pub(crate) server: String,
    /// The namespace.
    pub(crate) namespace: String,
    /// The loopback port at which the gateway is reached.
    pub(crate) port: u16,
    /// Whether a process of ours carries what comes to that port, or the cluster itself does.
    pub(crate) is_forwarded: bool,
    /// The version of the program that applied it.
    pub(crate) version: String,
    /// When it was ready.
    pub(crate) started_at: Timestamp,
}

/// What can be seen of an environment's house.
#[derive(Clone, Debug)]
pub(crate) enum HouseState {
    /// Nobody holds the lock, and the last one said goodbye.
    Stopped,
    /// Nobody holds the lock, and the last one left its record lying about.
    Crashed,
    /// The lock is held, and nothing is said yet about where it listens.
    Starting {
        /// Who holds the lock; absent for the moment before it wrote itself down.
        pid: Option<u32>,
    },
    /// The lock is held, and the house listens.
    Running(Box<HouseRecord>),
}

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
        let folder = state.join("chefcito").join(&name.0);
        Ok(Self { name, folder })
    }

    /// Makes the folder and those in it, for their owner's eyes only.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if it can't be made.
    pub(crate) fn create(&self) -> Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        [self.folder.clone(), self.secrets(), self.data(), self.logs(), self.ledgers()]
            .iter()
            .try_for_each(|folder| builder.create(folder))
            .map_err(|error| self.unwritable(&error))
    }

    /// Returns the error for a state folder that can't be written to.
    pub(crate) fn unwritable(&self, error: &io::Error) -> CliError {
        CliError::Lacking {
            what: format!("cannot keep state in {}: {error}", self.folder.display()),
            hint: "make it writable, or set XDG_STATE_HOME to a folder that is".into(),
        }
    }

    /// Returns whether the disk with the folder has no room for anything that is worth writing.
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

    /// Returns the file that the house holds locked for its life.
    pub(crate) fn house_lock(&self) -> PathBuf {
        self.folder.join("house.lock")
    }

    /// Returns the file that a command holds locked while it changes what runs.
    pub(crate) fn change_lock(&self) -> PathBuf {
        self.folder.join("change.lock")
    }

    /// Returns the file in which the house says where it is.
    pub(crate) fn house_record(&self) -> PathBuf {
        self.folder.join("house.json")
    }

    /// Returns the file in which it is written down where containers are.
    fn containers_record(&self) -> PathBuf {
        self.folder.join("containers.json")
    }

    /// Returns what is known of the containers; `None` if none were started.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be read.
    pub(crate) fn containers(&self) -> Result<Option<ContainersRecord>> {
        read_json(&self.containers_record())
    }

    /// Writes down where the containers are.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn remember_containers(&self, record: &ContainersRecord) -> Result<()> {
        write_json(&self.containers_record(), record)
    }

    /// Forgets where the containers were.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be removed.
    pub(crate) fn forget_containers(&self) -> Result<()> {
        remove(&self.containers_record())
    }

    /// Returns the file in which it is written down on which cluster it is.
    fn cluster_record(&self) -> PathBuf {
        self.folder.join("cluster.json")
    }

    /// Returns what is known of the cluster; `None` if it is on none.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be read.
    pub(crate) fn cluster(&self) -> Result<Option<ClusterRecord>> {
        read_json(&self.cluster_record())
    }

    /// Writes down on which cluster it is.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn remember_cluster(&self, record: &ClusterRecord) -> Result<()> {
        write_json(&self.cluster_record(), record)
    }

    /// Forgets on which cluster it was.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be removed.
    pub(crate) fn forget_cluster(&self) -> Result<()> {
        remove(&self.cluster_record())
    }

    /// Returns the file that the process to the gateway on a cluster holds locked for its life.
    pub(crate) fn forward_lock(&self) -> PathBuf {
        self.folder.join("forward.lock")
    }

    /// Returns the kubeconfig of the cluster that we made.
    pub(crate) fn kubeconfig_file(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Returns the file of the secrets that the local overlay is rendered with.
    pub(crate) fn cluster_secrets_file(&self) -> PathBuf {
        self.secrets().join("secrets.env")
    }

    /// Returns the file of the last settings.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.folder.join("settings.json")
    }

    /// Returns the file of the settings before the last `down`: they say where the data are.
    pub(crate) fn former_settings_file(&self) -> PathBuf {
        self.folder.join("settings.former.json")
    }

    /// Returns the file of the local admin key.
    pub(crate) fn admin_key_file(&self) -> PathBuf {
        self.folder.join("admin.key")
    }

    /// Returns the folder of what only the house may know.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// Returns the file of what keys are hashed with.
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

    /// Looks who runs here. The lock says whether somebody does, not the record.
    ///
    /// # Errors
    /// [`CliError::Io`] if the folder can't be read.
    pub(crate) fn house(&self) -> Result<HouseState> {
        let path = self.house_lock();
        let mut lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(HouseState::Stopped);
            }
            Err(source) => {
                return Err(CliError::Io { what: format!("open {}", path.display()), source });
            }
        };
        match lock.try_lock_shared() {
            Ok(()) if self.house_record().exists() => Ok(HouseState::Crashed),
            Ok(()) => Ok(HouseState::Stopped),
            Err(TryLockError::Error(source)) => {
                Err(CliError::Io { what: format!("lock {}", path.display()), source })
            }
            Err(TryLockError::WouldBlock) => {
                let record: Option<HouseRecord> = read_json(&self.house_record())?;
                let mut holder = String::new();
                let pid =
                    lock.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                Ok(match record {
                    Some(record) if pid == Some(record.pid) => {
                        HouseState::Running(Box::new(record))
                    }
                    // The record of one that crashed stays until the new one writes its own.
                    _ => HouseState::Starting { pid },
                })
            }
        }
    }

    /// Returns the record of the house that runs here.
    ///
    /// # Errors
    /// [`CliError::NotRunning`], [`CliError::Mute`] or [`CliError::Crashed`] if none does that can be found.
    pub(crate) fn running(&self) -> Result<HouseRecord> {
        match self.house()? {
            HouseState::Running(record) => Ok(*record),
            HouseState::Stopped => Err(CliError::NotRunning { name: self.name.clone() }),
            HouseState::Starting { .. } => Err(CliError::Mute { name: self.name.clone() }),
            HouseState::Crashed => Err(self.crashed()),
        }
    }

    /// Returns where the gateway is.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] or [`CliError::Crashed`] if no house runs here; [`CliError::ServiceNotRunning`] if a part of
    /// one does, without a gateway.
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
    /// [`CliError::Io`] if it can't be read.
    pub(crate) fn admin_key(&self) -> Result<String> {
        let path = self.admin_key_file();
        let key = fs::read_to_string(&path)
            .map_err(CliError::io(|| format!("read {}", path.display())))?;
        Ok(key.trim().to_owned())
    }

    /// Returns the error that tells of the last house's end.
    pub(crate) fn crashed(&self) -> CliError {
        let (when, last_lines) = log_files::last_words(&self.logs(), LAST_LINES_MAX);
        CliError::Crashed { name: self.name.clone(), when, last_lines }
    }

    /// Returns the settings of the last start, if there was one.
    ///
    /// # Errors
    /// [`CliError::Io`] if they can't be read.
    pub(crate) fn last_settings(&self) -> Result<Option<Settings>> {
        read_json(&self.settings_file())
    }

    /// Returns the settings of the last start, even if a `down` came after it.
    ///
    /// # Errors
    /// [`CliError::Io`] if they can't be read.
    pub(crate) fn former_settings(&self) -> Result<Option<Settings>> {
        match self.last_settings()? {
            Some(settings) => Ok(Some(settings)),
            None => read_json(&self.former_settings_file()),
        }
    }
}

/// Removes a file, whether it is there or not.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CliError::Io { what: format!("remove {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

/// Reads a JSON file of ours; `None` if it is not there, or was written by a version that meant something else by it.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Io { what: format!("read {}", path.display()), source }),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// [`CliError::Io`] if it can't be written.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        // What is half-written is of no use to anybody.
        let _gone = fs::remove_file(&temporary);
        CliError::Io { what: format!("write {}", path.display()), source }
    })
}

/// Writes a value as JSON, as [`write_private`] does.
///
/// # Errors
/// [`CliError::Io`] if it can't be written.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write_private(path, &serde_json::to_vec_pretty(value).map_err(anyhow::Error::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lower_case_words() {
        for good in ["chefcito", "a", "ci-2"] {
            assert!(good.parse::<EnvironmentName>().is_ok(), "{good}");
        }
        let long = "a".repeat(33);
        for bad in ["", "Chef", "2ci", "-a", "a/b", "..", "a b", long.as_str()] {
            assert!(bad.parse::<EnvironmentName>().is_err(), "{bad}");
        }
    }
}
