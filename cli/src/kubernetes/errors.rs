//! What a cluster's refusals and silences mean, in our words.

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

/// The cause in an answer to a server-side apply that names who else has set a field.
const FIELD_CONFLICT: &str = "FieldManagerConflict";
/// The cause in an answer to whoever makes something in a namespace that is going.
const TERMINATING: &str = "NamespaceTerminating";

/// How much of a cluster's own words is told, in characters: a few lines.
const WORDS_CHARS_MAX: usize = 600;

/// A cluster did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the cluster `{context}` could not {what}")]
pub(crate) struct ClusterError {
    context: String,
    what: String,
    source: Why,
}

/// Why a cluster did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Why {
    /// It refused, and said why.
    #[error("{}", words(status))]
    Refused {
        /// Its answer.
        status: Box<Status>,
    },
    /// It is gone, or was never there.
    #[error("it went away: {0}")]
    Gone(#[source] Source),
    /// Who asks could not show who they are.
    #[error("{0}")]
    Unknown(#[source] Source),
    /// It said something that can't be read.
    #[error("it answered something that can't be read: {0}")]
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

    /// Returns that the cluster went away.
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

    /// Returns whether what was asked about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.is(reason::NOT_FOUND)
    }

    /// Returns whether the cluster does not know such objects at all.
    pub(crate) fn is_unknown_kind(&self) -> bool {
        let message = self.status().map(|status| status.message.as_str()).unwrap_or_default();
        self.is_not_found()
            && (message.contains("could not find the requested resource")
                || message.contains("page not found"))
    }

    /// Returns whether the namespace is going.
    pub(crate) fn is_terminating(&self) -> bool {
        self.has_cause(TERMINATING)
    }

    /// Returns whether who asks may not do that.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.is(reason::FORBIDDEN)
    }

    /// Returns whether what was asked is not what there is.
    pub(crate) fn is_conflict(&self) -> bool {
        self.is(reason::CONFLICT)
    }

    /// Returns whether a field was changed that can't be changed.
    pub(crate) fn is_immutable(&self) -> bool {
        self.is(reason::INVALID)
            && self.status().is_some_and(|status| {
                status.message.contains("field is immutable")
                    || status.message.contains("updates to statefulset spec")
                    || status.message.contains("may not change once set")
            })
    }

    /// Returns who else has set fields that were to be set, and which; nothing if it is not about that.
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

    /// Returns whether the cluster itself is gone.
    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self.source, Why::Gone(_))
    }

    /// Returns what to try.
    pub(crate) fn hint(&self) -> Option<String> {
        let context = &self.context;
        let Some(status) = self.status() else {
            return Some(match &self.source {
                Why::Unreadable(_) => {
                    "it may be no Kubernetes, or much newer than this chefcito".into()
                }
                Why::Unknown(_) => {
                    format!("log in to it anew; `kubectl --context {context} version` must work")
                }
                _ => "see that it runs, then do the same again: what is there already is found and kept".into(),
            });
        };
        let message = status.message.as_str();
        let hint = match status.reason.as_str() {
            reason::UNAUTHORIZED => {
                format!("log in to it anew; `kubectl --context {context} get namespaces` must work")
            }
            reason::FORBIDDEN if self.is_terminating() => {
                "the namespace is just being removed: wait until `kubectl get namespaces` shows it no more; \
                 if it stays, `kubectl describe namespace` tells what holds it"
                    .into()
            }
            reason::FORBIDDEN if message.contains("exceeded quota") => {
                "ask for a larger quota, or scale down: `kubectl describe resourcequota` shows what is used".into()
            }
            reason::FORBIDDEN if message.contains("violates PodSecurity") => {
                "the namespace's Pod Security is stricter than the manifests; mend what it names".into()
            }
            reason::FORBIDDEN => {
                "ask for a role that may do that: `kubectl auth can-i --list` shows what yours may".into()
            }
            reason::NOT_FOUND if self.is_unknown_kind() => {
                "the cluster is too old for such objects, or lacks an extension that brings them".into()
            }
            reason::TOO_MANY_REQUESTS | reason::SERVICE_UNAVAILABLE | reason::SERVER_TIMEOUT => {
                "the cluster is busy or just starting: try again in a moment".into()
            }
            reason::CONFLICT if !self.other_managers().is_empty() => {
                "take the change back, or give it up to chefcito with `--force-conflicts`".into()
            }
            _ if message.contains("admission webhook") => {
                "a policy of the cluster refuses it; its administrators know why".into()
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// Returns the cluster's own words, cut where they go on for pages: of what is invalid they repeat all.
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

/// Returns the last cause: what the system said.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// Returns why logging in failed, and what to try.
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
