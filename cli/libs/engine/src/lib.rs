//! The Docker engine and its API. Only this crate uses the client library.
//!
//! Guarantees: an engine that does not answer, refuses or is too old is an error that says what to try; every answer has a
//! time-out; what is asked for twice is found done the second time.
//!
//! Does not know: environments, commands, output and exit codes.
//!
//! Any engine with Docker's API from [`API_MIN`] on works, rootless and remote ones too. The library sends no version
//! in the path, so an engine answers in its newest one; all versions have what we send, and fields that only newer
//! engines return are optional here.
//!
//! # Podman
//! Podman's socket is tried last, after every Docker one. It has the same API with these differences:
//! - Its events have no `health_status: …`, and `died` instead of `die`; both words are understood.
//! - Systemd timers run its health checks; without systemd the state stays `starting`. Nothing here waits for it.
//! - Rootless, its containers can't publish ports below 1024, and limits of memory and processes need cgroups v2 with
//!   the controllers delegated to the user: `chefcito doctor` checks that.
//! - Its list of containers has no filter for published ports, so the ports are filtered here.
//! - Its log times are whole seconds, so lines without a time of their own are sorted by seconds only.
//! - A short image name may refer to `localhost/`; images of `chefcito build` are found under both names.

mod archive;
pub mod containers;
pub mod credentials;
mod endpoint;
pub mod errors;
pub mod events;
pub mod exec;
pub mod images;
pub mod logs;
pub mod machine;
pub mod making;
pub mod networks;
mod pulls;
mod registry;
pub mod stats;
pub mod terminal;
pub mod workshops;

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::UnixStream;

use self::{
    endpoint::{EngineEndpoint, Tls, Wanted},
    errors::{EngineError, Result},
};

/// The oldest supported API: that of Docker 20.10.
pub const API_MIN: Api = Api { major: 1, minor: 41 };
/// How long an engine may take to report its API version.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take to begin, in seconds. Stopping a container takes as long as its grace period.
const ANSWER_WAIT_SECONDS_MAX: u64 = 120;
/// How long the end of a command waits for its last request: a removal takes less, and nothing depends on it.
const LAST_WAIT_MAX: Duration = Duration::from_secs(3);
/// Whether an engine did not answer a last request in time.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

/// A version of the engine's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api {
    major: u32,
    minor: u32,
}

impl Api {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// An engine that has answered.
#[derive(Clone, Debug)]
pub struct Engine {
    docker: Docker,
    host: String,
    api: Api,
    version: String,
    is_local: bool,
}

impl Engine {
    /// Connects to the engine that `docker` would use: `DOCKER_HOST`, then `DOCKER_CONTEXT`, then the current context
    /// of `~/.docker/config.json`, then the usual sockets; then asks for its API version.
    ///
    /// # Errors
    /// [`errors::Error::NoEngine`] with a hint: nothing answers, permission is denied, the engine is too old,
    /// or TLS failed.
    pub async fn connect() -> Result<Self> {
        Self::at(&endpoint().await?).await
    }

    /// Connects to the engine at an address in the form of `DOCKER_HOST`; `DOCKER_CERT_PATH` applies if it is set.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn connect_to(host: &str) -> Result<Self> {
        Self::at(&endpoint::named(host, &|name| env::var(name).ok())?).await
    }

    /// Connects as [`Engine::connect`] does, if that engine is on this machine. Returns `None` for one elsewhere, without a
    /// connection to it.
    ///
    /// # Errors
    /// As [`Engine::connect`].
    pub async fn connect_to_local() -> Result<Option<Self>> {
        let endpoint = endpoint().await?;
        if endpoint.is_local() { Self::at(&endpoint).await.map(Some) } else { Ok(None) }
    }

    async fn at(endpoint: &EngineEndpoint) -> Result<Self> {
        let host = endpoint.to_string();
        if let EngineEndpoint::Unix(path) = endpoint {
            knock(path).await.map_err(|error| errors::no_socket(path, &error))?;
        }
        let docker = open(endpoint).map_err(|error| errors::no_hello(&host, error))?;
        let version = tokio::time::timeout(HELLO_WAIT_MAX, docker.version())
            .await
            .map_err(|_| errors::silent(&host, HELLO_WAIT_MAX))?
            .map_err(|error| errors::no_hello(&host, error))?;
        let api = version.api_version.as_deref().and_then(Api::parse);
        let Some(api) = api else { return Err(errors::no_engine_there(&host)) };
        if api < API_MIN {
            return Err(errors::too_old(&host, api, API_MIN));
        }
        Ok(Self {
            docker,
            host,
            api,
            version: version.version.unwrap_or_default(),
            is_local: endpoint.is_local(),
        })
    }

    /// Returns its address, in the form of `DOCKER_HOST`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns its API version.
    pub const fn api(&self) -> Api {
        self.api
    }

    /// Returns its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns whether it is on this machine, so that its published ports are ports of this machine.
    pub const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Runs a last request where code can't await: in `drop`, maybe after Ctrl-C. Gives up after three seconds;
    /// the next command finds what is left.
    pub fn at_last<F: Future>(&self, work: impl FnOnce(Self) -> F + Send + 'static) {
        let engine = self.clone();
        let (sender, done) = mpsc::channel::<()>();
        let _worker = thread::spawn(move || {
            // Dropped at the end, which ends the wait.
            let _sender = sender;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without a runtime it is not sent.
            runtime.is_ok_and(|runtime| {
                runtime.block_on(work(engine));
                true
            })
        });
        // An engine that is silent once is not waited for again.
        if !IS_SILENT.load(Ordering::Relaxed)
            && done.recv_timeout(LAST_WAIT_MAX) == Err(RecvTimeoutError::Timeout)
        {
            IS_SILENT.store(true, Ordering::Relaxed);
        }
    }

    /// Returns a function that adds the operation to an engine's error: `.map_err(engine.could_not(|| "start
    /// it".into()))`.
    fn could_not(
        &self,
        what: impl FnOnce() -> String,
    ) -> impl FnOnce(bollard::errors::Error) -> EngineError {
        move |error| EngineError::new(&self.host, what(), error)
    }
}

/// Returns where the engine is that `docker` would use.
async fn endpoint() -> Result<EngineEndpoint> {
    match endpoint::wanted(&|name| env::var(name).ok(), &|path| std::fs::read_to_string(path))? {
        Wanted::Named(endpoint) => Ok(endpoint),
        Wanted::Anywhere(sockets) => first_that_listens(&sockets).await,
    }
}

fn open(endpoint: &EngineEndpoint) -> Result<Docker, bollard::errors::Error> {
    match endpoint {
        EngineEndpoint::Unix(path) => {
            let path = path.to_string_lossy();
            Docker::connect_with_unix(&path, ANSWER_WAIT_SECONDS_MAX, API_DEFAULT_VERSION)
        }
        EngineEndpoint::Tcp { address, tls: None } => {
            Docker::connect_with_http(address, ANSWER_WAIT_SECONDS_MAX, API_DEFAULT_VERSION)
        }
        EngineEndpoint::Tcp { address, tls: Some(Tls { folder }) } => Docker::connect_with_ssl(
            address,
            &folder.join("key.pem"),
            &folder.join("cert.pem"),
            &folder.join("ca.pem"),
            ANSWER_WAIT_SECONDS_MAX,
            API_DEFAULT_VERSION,
        ),
        EngineEndpoint::Ssh(login) => Docker::connect_with_ssh(
            &format!("ssh://{login}"),
            ANSWER_WAIT_SECONDS_MAX,
            API_DEFAULT_VERSION,
            None,
        ),
    }
}

/// Connects to the socket and closes it again, for the system's error, which the library does not pass on.
async fn knock(socket: &Path) -> io::Result<()> {
    UnixStream::connect(socket).await.map(drop)
}

/// Returns the first socket that accepts a connection. If none does, the error is about the first that exists.
async fn first_that_listens(sockets: &[PathBuf]) -> Result<EngineEndpoint> {
    let mut refused = None;
    for socket in sockets {
        match knock(socket).await {
            Ok(()) => return Ok(EngineEndpoint::Unix(socket.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _first = refused.get_or_insert_with(|| errors::no_socket(socket, &error));
            }
        }
    }
    Err(refused.unwrap_or_else(|| errors::nowhere(sockets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let api = |text| Api::parse(text).unwrap();
        assert!(api("1.9") < API_MIN && api("1.41") == API_MIN && api("1.100") > API_MIN);
        assert_eq!(Api::parse("new"), None);
    }
}
