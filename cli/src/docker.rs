//! The Docker engine and its API. Only this module and those below use the client library.
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
pub(crate) mod containers;
pub(crate) mod credentials;
mod endpoint;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod machine;
pub(crate) mod making;
pub(crate) mod networks;
mod pulls;
mod registry;
pub(crate) mod stats;
pub(crate) mod workshops;

use std::{
    env, io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};

use self::{
    endpoint::{EngineEndpoint, Tls, Wanted},
    errors::EngineError,
};
use crate::error::{CliError, Result};

/// The oldest supported API: that of Docker 20.10.
pub(crate) const API_MIN: Api = Api { major: 1, minor: 41 };
/// How long an engine may take to report its API version.
const HELLO_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take to begin, in seconds. Stopping a container takes as long as its grace period.
const ANSWER_WAIT_SECONDS_MAX: u64 = 120;

/// A version of the engine's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Api {
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
pub(crate) struct Engine {
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
    /// [`CliError::NoEngine`], exit code 7, with a hint: nothing answers, permission is denied, the engine is too old,
    /// or TLS failed.
    pub(crate) async fn connect() -> Result<Self> {
        let wanted =
            endpoint::wanted(&|name| env::var(name).ok(), &|path| std::fs::read_to_string(path))?;
        let endpoint = match wanted {
            Wanted::Named(endpoint) => endpoint,
            Wanted::Anywhere(sockets) => first_that_listens(&sockets)?,
        };
        Self::at(&endpoint).await
    }

    async fn at(endpoint: &EngineEndpoint) -> Result<Self> {
        let host = endpoint.to_string();
        if let EngineEndpoint::Unix(path) = endpoint {
            knock(path).map_err(|error| errors::no_socket(path, &error))?;
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
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Returns its API version.
    pub(crate) const fn api(&self) -> Api {
        self.api
    }

    /// Returns its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Returns whether it is on this machine, so that its published ports are ports of this machine.
    pub(crate) const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Runs a last request where code can't await: in `drop`, maybe after Ctrl-C.
    pub(crate) fn at_last<F: Future>(&self, work: impl FnOnce(Self) -> F + Send + 'static) {
        let engine = self.clone();
        let worker = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without a runtime it is not sent; the next command finds what is left.
            runtime.is_ok_and(|runtime| {
                runtime.block_on(work(engine));
                true
            })
        });
        let _ended = worker.join();
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
fn knock(socket: &Path) -> io::Result<()> {
    UnixStream::connect(socket).map(drop)
}

/// Returns the first socket that accepts a connection. If none does, the error is about the first that exists.
fn first_that_listens(sockets: &[PathBuf]) -> Result<EngineEndpoint> {
    let mut refused = None;
    for socket in sockets {
        match knock(socket) {
            Ok(()) => return Ok(EngineEndpoint::Unix(socket.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _first = refused.get_or_insert_with(|| errors::no_socket(socket, &error));
            }
        }
    }
    Err(refused.unwrap_or_else(|| errors::nowhere(sockets)))
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
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
