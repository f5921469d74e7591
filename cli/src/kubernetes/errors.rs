//! Errors of clusters, with causes and hints for the user.

mod connecting;

use kube::{
    Error,
    client::AuthError,
    core::{Status, response::reason},
};

pub(super) use self::connecting::{
    bad_context, no_cluster_there, no_context, no_credentials, no_hello, no_kubeconfig, silent,
    too_old,
};
use crate::error::Source;

/// The cause of a refused server-side apply that names another manager of a field.
const FIELD_CONFLICT: &str = "FieldManagerConflict";
/// The cause of a refused creation in a namespace that is being removed.
const TERMINATING: &str = "NamespaceTerminating";

/// The most characters of a cluster's message that are shown: a few lines.
const WORDS_CHARS_MAX: usize = 600;

/// A request to a cluster failed.
#[derive(Debug, thiserror::Error)]
#[error("the cluster `{context}` could not {what}")]
pub(crate) struct ClusterError {
    context: String,
    what: String,
    source: Why,
}

/// The cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
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
    pub(super) fn new(context: &str, what: String, error: Error) -> Self {
        let source = match error {
            Error::Api(status) => Why::Refused { status },
            Error::Auth(error) => Why::Unknown(auth(&error).0.into()),
            error @ (Error::SerdeError(_) | Error::FromUtf8(_) | Error::BuildRequest(_)) => {
                Why::Unreadable(innermost(&error).into())
            }
            error => Why::Gone(innermost(&error).into()),
        };
        Self { context: context.to_owned(), what, source }
    }

    /// Returns the error for a broken connection.
    pub(super) fn gone(context: &str, what: String, why: &'static str) -> Self {
        Self { context: context.to_owned(), what, source: Why::Gone(why.into()) }
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
    pub(crate) fn is_not_found(&self) -> bool {
        self.is(reason::NOT_FOUND)
    }

    /// Returns whether the cluster does not know the kind of the object.
    pub(crate) fn is_unknown_kind(&self) -> bool {
        let message = self.status().map(|status| status.message.as_str()).unwrap_or_default();
        self.is_not_found()
            && (message.contains("could not find the requested resource")
                || message.contains("page not found"))
    }

    /// Returns whether the namespace is being removed.
    pub(crate) fn is_terminating(&self) -> bool {
        self.has_cause(TERMINATING)
    }

    /// Returns whether our user lacks the permission.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.is(reason::FORBIDDEN)
    }

    /// Returns whether the object has changed in between.
    pub(crate) fn is_conflict(&self) -> bool {
        self.is(reason::CONFLICT)
    }

    /// Returns whether an immutable field was to be changed.
    pub(crate) fn is_immutable(&self) -> bool {
        self.is(reason::INVALID)
            && self.status().is_some_and(|status| {
                status.message.contains("field is immutable")
                    || status.message.contains("updates to statefulset spec")
                    || status.message.contains("may not change once set")
            })
    }

    /// Returns the other managers of fields that were to be set, each with those fields; empty if that is not the
    /// cause.
    pub(crate) fn other_managers(&self) -> Vec<(String, Vec<String>)> {
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
    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.source, Why::Gone(_))
    }

    /// Returns the hint.
    pub(crate) fn hint(&self) -> Option<String> {
        let context = &self.context;
        let Some(status) = self.status() else {
            return Some(match &self.source {
                Why::Unreadable(_) => {
                    "it may not be Kubernetes, or be much newer than this chefcito".into()
                }
                Why::Unknown(_) => {
                    format!("log in to it again; `kubectl --context {context} version` must work")
                }
                _ => "check that the cluster runs, then repeat the command: it continues from here"
                    .into(),
            });
        };
        let message = status.message.as_str();
        let hint = match status.reason.as_str() {
            reason::UNAUTHORIZED => {
                format!("log in to it again; `kubectl --context {context} get namespaces` must work")
            }
            reason::FORBIDDEN if self.is_terminating() => {
                "the namespace is just being removed: wait until `kubectl get namespaces` no longer shows it; \
                 if it stays, `kubectl describe namespace` shows the cause"
                    .into()
            }
            reason::FORBIDDEN if message.contains("exceeded quota") => {
                "ask for a larger quota, or scale down: `kubectl describe resourcequota` shows what is used".into()
            }
            reason::FORBIDDEN if message.contains("violates PodSecurity") => {
                "the namespace's Pod Security is stricter than the manifests; fix what it names".into()
            }
            reason::FORBIDDEN => {
                "get a role with this permission: `kubectl auth can-i --list` shows those of yours".into()
            }
            reason::NOT_FOUND if self.is_unknown_kind() => {
                "the cluster is too old for such objects, or lacks an extension that brings them".into()
            }
            reason::TOO_MANY_REQUESTS | reason::SERVICE_UNAVAILABLE | reason::SERVER_TIMEOUT => {
                "the cluster is busy or just starting: try again in a moment".into()
            }
            reason::CONFLICT if !self.other_managers().is_empty() => {
                "undo the other program's change, or take the field over with `--force-conflicts`".into()
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
    match message.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
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
fn auth(error: &AuthError) -> (String, Option<String>) {
    match error {
        AuthError::AuthExecStart(source) => (
            format!("the program that the kubeconfig logs in with can't be started: {source}"),
            Some("install it; the kubeconfig names it under `exec`".into()),
        ),
        AuthError::AuthExecRun { cmd, out } => {
            let said = String::from_utf8_lossy(&out.stderr);
            (format!("`{cmd}` failed with {}: {}", out.status, said.trim()), None)
        }
        error => (innermost(error), None),
    }
}
