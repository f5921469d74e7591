//! Errors of engines, with causes and hints for the user.

use std::{
    error, fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::errors::Error as ApiError;

use super::Api;

const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;
const NOT_MODIFIED: u16 = 304;

/// The result of what is asked of an engine, or found out about one.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error.
pub type Source = Box<dyn error::Error + Send + Sync>;

/// What ends the work with an engine. `Display` says what failed, `source` says why, and `hint` what to try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed.
    #[error(transparent)]
    Request(#[from] EngineError),
    /// No engine answers, or it can't be used.
    #[error("{what}")]
    NoEngine {
        /// The engine, and the problem.
        what: String,
        /// What to try.
        hint: String,
        /// The cause.
        source: Option<Source>,
    },
    /// A program that is needed does not exist.
    #[error("{what}")]
    Lacking {
        /// What is missing.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// A program failed, or what it returned can't be used.
    #[error("{what}")]
    Failed {
        /// What failed.
        what: String,
        /// What to try.
        hint: String,
        /// The cause.
        source: Option<Source>,
    },
    /// A file or process failed.
    #[error("cannot {what}")]
    Io {
        /// The operation.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// A file of the user is invalid.
    #[error("{}: {detail}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
}

impl Error {
    /// Returns the hint: what to try, a sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Request(error) => error.hint(),
            Self::NoEngine { hint, .. }
            | Self::Lacking { hint, .. }
            | Self::Failed { hint, .. } => Some(hint.clone()),
            Self::Io { .. } | Self::BadFile { .. } => None,
        }
    }

    /// Returns a function that adds the operation to an I/O error.
    pub(crate) fn io(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what(), source }
    }
}

/// A request to an engine failed.
#[derive(Debug, thiserror::Error)]
#[error("the engine at {host} could not {what}")]
pub struct EngineError {
    host: String,
    what: String,
    source: Why,
}

/// The cause.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// The engine refused the request.
    #[error("{}", message.trim())]
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its message.
        message: String,
    },
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Late,
    /// It can't be reached.
    #[error("the connection failed: {0}")]
    Gone(#[source] Source),
    /// Its answer is invalid.
    #[error("its answer can't be read: {0}")]
    Unreadable(#[source] Source),
}

impl EngineError {
    pub(super) fn new(host: &str, what: String, error: ApiError) -> Self {
        let source = match error {
            ApiError::DockerResponseServerError { status_code, message } => {
                Why::Refused { status: status_code, message }
            }
            ApiError::DockerStreamError { error } => Why::Refused { status: 500, message: error },
            ApiError::RequestTimeoutError => Why::Late,
            error @ (ApiError::JsonDataError { .. }
            | ApiError::JsonSerdeError { .. }
            | ApiError::StrParseError { .. }) => Why::Unreadable(error.into()),
            error => Why::Gone(innermost(&error).into()),
        };
        Self { host: host.to_owned(), what, source }
    }

    /// Returns whether the object of the request does not exist.
    pub const fn is_not_found(&self) -> bool {
        matches!(self.source, Why::Refused { status: NOT_FOUND, .. })
    }

    /// Returns whether the name exists already, the object is in use, or it is just being removed.
    pub const fn is_conflict(&self) -> bool {
        matches!(self.source, Why::Refused { status: CONFLICT, .. })
    }

    /// Returns whether the request would have changed nothing.
    pub const fn is_not_modified(&self) -> bool {
        matches!(self.source, Why::Refused { status: NOT_MODIFIED, .. })
    }

    /// Returns whether the engine can't be reached.
    pub const fn is_gone(&self) -> bool {
        matches!(self.source, Why::Gone(_) | Why::Late)
    }

    /// Returns the engine's message, if it refused the request.
    pub fn message(&self) -> Option<&str> {
        match &self.source {
            Why::Refused { message, .. } => Some(message.trim()),
            _ => None,
        }
    }

    /// Returns the hint.
    pub fn hint(&self) -> Option<String> {
        match &self.source {
            Why::Late | Why::Gone(_) => Some(
                "check that the engine runs, then repeat the command: it continues from here"
                    .into(),
            ),
            Why::Unreadable(_) => {
                Some("it may not be a Docker engine, or be much newer than this chefcito".into())
            }
            Why::Refused { message, .. } if message.contains("No space left") => {
                Some("free some space for the engine: `docker system df` shows what uses it".into())
            }
            Why::Refused { .. } => None,
        }
    }
}

/// Returns the last cause: the system's error.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn no_engine(what: impl fmt::Display, hint: impl Into<String>, source: Option<Source>) -> Error {
    Error::NoEngine { what: what.to_string(), hint: hint.into(), source }
}

const START_IT: &str = "start Docker (`sudo systemctl start docker`), or name an engine in DOCKER_HOST; \
                        `--runtime embedded` needs no engine";

pub(super) fn nowhere(sockets: &[PathBuf]) -> Error {
    let looked: Vec<String> = sockets.iter().map(|path| path.display().to_string()).collect();
    no_engine(
        format_args!("this machine has no Docker engine; tried {}", looked.join(", ")),
        "install Docker (https://docs.docker.com/engine/install) or name an engine in DOCKER_HOST; \
         `--runtime embedded` needs no engine",
        None,
    )
}

pub(super) fn no_socket(socket: &Path, error: &io::Error) -> Error {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => no_engine(
            format_args!("permission denied on the Docker engine's socket {socket}"),
            "join its group with `sudo usermod -aG docker $USER` and log in again, or use rootless Docker",
            None,
        ),
        _ => no_engine(
            format_args!("no Docker engine answers at unix://{socket}"),
            START_IT,
            Some(error.to_string().into()),
        ),
    }
}

pub(super) fn silent(host: &str, waited: Duration) -> Error {
    no_engine(
        format_args!(
            "the Docker engine at {host} did not answer within {}",
            humantime::format_duration(waited)
        ),
        "`docker version` shows whether it answers other clients; restarting it may help",
        None,
    )
}

pub(super) fn no_hello(host: &str, error: ApiError) -> Error {
    let because = innermost(&error);
    match &error {
        ApiError::CertPathError { path }
        | ApiError::CertParseError { path }
        | ApiError::CertMultipleKeys { path, .. } => no_engine(
            format_args!(
                "cannot speak TLS with the Docker engine at {host}: {} can't be used",
                path.display()
            ),
            "DOCKER_CERT_PATH should be a folder with ca.pem, cert.pem and key.pem",
            Some(because.into()),
        ),
        _ if host.starts_with("ssh://") => no_engine(
            format_args!("no Docker engine answers at {host}"),
            format!(
                "`ssh {} docker version` must work without asking for a password",
                host.trim_start_matches("ssh://")
            ),
            Some(because.into()),
        ),
        _ if is_about_tls(&because) => no_engine(
            format_args!(
                "the Docker engine at {host} and this program do not trust each other's certificates"
            ),
            "DOCKER_CERT_PATH should be a folder with the engine's ca.pem, and cert.pem and key.pem that it accepts; \
             for an engine without TLS, unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH",
            Some(because.into()),
        ),
        ApiError::DockerResponseServerError { .. }
        | ApiError::JsonDataError { .. }
        | ApiError::JsonSerdeError { .. } => no_engine_there(host),
        _ => no_engine(
            format_args!("no Docker engine answers at {host}"),
            START_IT,
            Some(because.into()),
        ),
    }
}

fn is_about_tls(text: &str) -> bool {
    ["certificate", "tls", "TLS", "InvalidContentType", "corrupt message", "HandshakeFailure"]
        .iter()
        .any(|word| text.contains(word))
}

pub(super) fn no_engine_there(host: &str) -> Error {
    no_engine(
        format_args!("{host} is not a Docker engine"),
        "check DOCKER_HOST and DOCKER_CONTEXT: `docker version` should show a server",
        None,
    )
}

pub(super) fn too_old(host: &str, api: Api, oldest: Api) -> Error {
    no_engine(
        format_args!(
            "the Docker engine at {host} is too old: it has API {api}, and {oldest} is the oldest that works"
        ),
        "update it to Docker 20.10 or newer",
        None,
    )
}
