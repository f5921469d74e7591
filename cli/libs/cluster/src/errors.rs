//! Errors of clusters, with causes and hints for the user.

mod connecting;

use std::sync::Arc;

use std::{error, io, path::PathBuf};

use engine::errors::EngineError;
use kube::{
    Error as ApiError,
    client::AuthError,
    core::{Status, response::reason},
};

pub(super) use self::connecting::{
    bad_authority, bad_context, bad_proxy, no_cluster_there, no_context, no_credentials, no_hello,
    no_kubeconfig, silent, starting_for, too_old,
};
/// The result of what is asked of a cluster, or found out about one.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error.
pub type Source = Box<dyn error::Error + Send + Sync>;

/// What ends the work with a cluster. `Display` says what failed, `source` says why, and `hint` what to try.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the cluster failed.
    #[error(transparent)]
    Request(#[from] ClusterError),
    /// The engine on which its nodes run failed.
    #[error(transparent)]
    Engine(#[from] engine::errors::Error),
    /// No cluster answers, or it can't be used.
    #[error("{what}")]
    NoCluster {
        /// The cluster, and the problem.
        what: String,
        /// What to try.
        hint: String,
        /// The cause.
        source: Option<Source>,
        /// Whether the cluster may be gone for good: nothing listens at its address, or it does not accept our
        /// credentials.
        is_lost: bool,
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

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(error.into())
    }
}

impl Error {
    /// Returns the hint: what to try, a sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Request(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::NoCluster { hint, .. }
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

/// The cause of a refused server-side apply that names another manager of a field.
const FIELD_CONFLICT: &str = "FieldManagerConflict";
/// The cause of a refused creation in a namespace that is being removed.
const TERMINATING: &str = "NamespaceTerminating";

/// The most characters of a cluster's message that are shown: a few lines.
const WORDS_CHARS_MAX: usize = 600;

/// A cluster as errors name it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// The context.
    pub(super) context: String,
    /// `kubectl` for it, to be pasted into a shell.
    pub(super) kubectl: String,
    /// The address of its API server, and the proxy on the way there.
    pub(super) server: String,
    /// The program that the kubeconfig logs in with, if it names one.
    pub(super) login: Option<Login>,
}

/// A program that logs in.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// Its name or path.
    pub(super) program: String,
    /// How to get it, in the words of the kubeconfig.
    pub(super) install_hint: Option<String>,
}

/// A request to a cluster failed.
#[derive(Debug, thiserror::Error)]
#[error("the cluster `{}` could not {what}", named.context)]
pub struct ClusterError {
    named: Arc<Named>,
    what: String,
    source: Why,
}

/// The cause.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// The cluster refused the request.
    #[error("{}", words(status))]
    Refused {
        /// Its answer.
        status: Box<Status>,
    },
    /// It can't be reached.
    #[error("the connection failed: {0}")]
    Gone(#[source] Source),
    /// The credentials could not be obtained.
    #[error("{0}")]
    Unknown(#[source] Source),
    /// Its answer is invalid.
    #[error("its answer can't be read: {0}")]
    Unreadable(#[source] Source),
}

impl ClusterError {
    pub(super) fn new(named: &Arc<Named>, what: String, error: ApiError) -> Self {
        let source = match error {
            ApiError::Api(status) => Why::Refused { status },
            ApiError::Auth(error) => Why::Unknown(auth(&error, named).0.into()),
            error @ (ApiError::SerdeError(_)
            | ApiError::FromUtf8(_)
            | ApiError::BuildRequest(_)) => Why::Unreadable(innermost(&error).into()),
            error => Why::Gone(innermost(&error).into()),
        };
        Self { named: Arc::clone(named), what, source }
    }

    /// Returns the error for a broken connection.
    pub(super) fn gone(named: &Arc<Named>, what: String, why: &'static str) -> Self {
        Self { named: Arc::clone(named), what, source: Why::Gone(why.into()) }
    }

    fn status(&self) -> Option<&Status> {
        match &self.source {
            Why::Refused { status } => Some(status),
            _ => None,
        }
    }

    fn is(&self, reason: &str) -> bool {
        self.status().is_some_and(|status| status.reason == reason)
    }

    fn has_cause(&self, reason: &str) -> bool {
        let details = self.status().and_then(|status| status.details.as_ref());
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    }

    /// Returns whether the object of the request does not exist.
    pub fn is_not_found(&self) -> bool {
        self.is(reason::NOT_FOUND)
    }

    /// Returns whether the cluster does not know the kind of the object.
    pub fn is_unknown_kind(&self) -> bool {
        let message = self.status().map(|status| status.message.as_str()).unwrap_or_default();
        self.is_not_found()
            && (message.contains("could not find the requested resource")
                || message.contains("page not found"))
    }

    /// Returns whether the namespace is being removed.
    pub fn is_terminating(&self) -> bool {
        self.has_cause(TERMINATING)
    }

    /// Returns whether our user lacks the permission.
    pub fn is_forbidden(&self) -> bool {
        self.is(reason::FORBIDDEN)
    }

    /// Returns whether the object has changed in between.
    pub fn is_conflict(&self) -> bool {
        self.is(reason::CONFLICT)
    }

    /// Returns whether an immutable field was to be changed.
    pub fn is_immutable(&self) -> bool {
        self.is(reason::INVALID)
            && self.status().is_some_and(|status| {
                status.message.contains("field is immutable")
                    || status.message.contains("updates to statefulset spec")
                    || status.message.contains("may not change once set")
            })
    }

    /// Returns the other managers of fields that were to be set, each with those fields; empty if that is not the
    /// cause.
    pub fn other_managers(&self) -> Vec<(String, Vec<String>)> {
        let details = self.status().and_then(|status| status.details.as_ref());
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        let mut managers: Vec<(String, Vec<String>)> = Vec::new();
        for cause in causes.iter().filter(|cause| cause.reason == FIELD_CONFLICT) {
            // `conflict with "kubectl-edit" using apps/v1`
            let manager = cause.message.split('"').nth(1).unwrap_or(&cause.message).to_owned();
            match managers.iter_mut().find(|(known, _)| *known == manager) {
                Some((_, fields)) => fields.push(cause.field.clone()),
                None => managers.push((manager, vec![cause.field.clone()])),
            }
        }
        managers
    }

    /// Returns whether the cluster can't be reached.
    pub const fn is_gone(&self) -> bool {
        matches!(self.source, Why::Gone(_))
    }

    /// Returns the hint.
    pub fn hint(&self) -> Option<String> {
        let kubectl = &self.named.kubectl;
        let Some(status) = self.status() else {
            return Some(match &self.source {
                Why::Unreadable(_) => {
                    "it may not be Kubernetes, or be much newer than this chefcito".into()
                }
                Why::Unknown(_) => {
                    format!("log in to it again; `{kubectl} version` must work")
                }
                _ => "check that the cluster runs, then repeat the command: it continues from here"
                    .into(),
            });
        };
        let message = status.message.as_str();
        let hint = match status.reason.as_str() {
            reason::UNAUTHORIZED => {
                format!("log in to it again; `{kubectl} get namespaces` must work")
            }
            reason::FORBIDDEN if self.is_terminating() => {
                format!(
                    "the namespace is just being removed: wait until `{kubectl} get namespaces` no longer shows it; \
                     if it stays, `{kubectl} describe namespace` shows the cause"
                )
            }
            reason::FORBIDDEN if message.contains("exceeded quota") => {
                format!(
                    "ask for a larger quota, or scale down: `{kubectl} describe resourcequota --all-namespaces` shows \
                     what is used"
                )
            }
            reason::FORBIDDEN if message.contains("violates PodSecurity") => {
                "the namespace's Pod Security is stricter than the manifests; fix what it names"
                    .into()
            }
            reason::FORBIDDEN => {
                format!(
                    "get a role with this permission: `{kubectl} auth can-i --list` shows those of yours"
                )
            }
            reason::NOT_FOUND if self.is_unknown_kind() => {
                "the cluster is too old for such objects, or lacks an extension that brings them"
                    .into()
            }
            reason::TOO_MANY_REQUESTS | reason::SERVICE_UNAVAILABLE | reason::SERVER_TIMEOUT => {
                "the cluster is busy or just starting: try again in a moment".into()
            }
            reason::CONFLICT if !self.other_managers().is_empty() => {
                "undo the other program's change, or take the field over with `--force-conflicts`"
                    .into()
            }
            _ if message.contains("admission webhook") => {
                "a policy of the cluster refuses it; its administrators know why".into()
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// Returns the cluster's message, cut if it is long: it repeats invalid objects as a whole.
fn words(status: &Status) -> String {
    let message = status.message.trim();
    if message.is_empty() {
        return format!("it answered {} {}", status.code, status.reason);
    }
    shortened(message)
}

fn shortened(words: &str) -> String {
    match words.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// Returns the last cause: the system's error.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Returns why logging in failed, and the hint.
fn auth(error: &AuthError, named: &Named) -> (String, Option<String>) {
    let login = named.login.as_ref();
    let program = login.map_or("the login program", |login| login.program.as_str());
    match error {
        AuthError::AuthExecStart(source) => {
            let install = login.and_then(|login| login.install_hint.clone());
            let otherwise = || {
                format!(
                    "install `{program}`, or fix its path, which the kubeconfig has under `exec`"
                )
            };
            (
                format!(
                    "`{program}`, which the kubeconfig logs in with, can't be started: {source}"
                ),
                Some(install.unwrap_or_else(otherwise)),
            )
        }
        // The library's text has the program's variables, which may be secret.
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = shortened(said.trim());
            let because = if said.is_empty() { String::new() } else { format!(": {said}") };
            (
                format!(
                    "`{program}`, which the kubeconfig logs in with, failed with {}{because}",
                    out.status
                ),
                None,
            )
        }
        error => (innermost(error), None),
    }
}
