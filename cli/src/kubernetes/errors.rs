//! What a cluster's refusals and silences mean, in our words.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Error,
    client::AuthError,
    config::{KubeconfigError, LoadDataError},
    core::{Status, response::reason},
};

use super::MINOR_MIN;
use crate::error::{CliError, Source};

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

fn no_cluster(
    what: impl Into<String>,
    hint: impl Into<String>,
    source: Option<Source>,
) -> CliError {
    CliError::NoCluster { what: what.into(), hint: hint.into(), source, is_lost: false }
}

/// Returns the same for a cluster that may be gone for good.
fn lost_cluster(
    what: impl Into<String>,
    hint: impl Into<String>,
    source: Option<Source>,
) -> CliError {
    CliError::NoCluster { what: what.into(), hint: hint.into(), source, is_lost: true }
}

pub(super) fn no_kubeconfig(looked: &[PathBuf], named: bool) -> CliError {
    let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    let what = match (looked.as_slice(), named) {
        ([], _) => "there is no kubeconfig: neither KUBECONFIG nor HOME is set".into(),
        (files, true) => format!("KUBECONFIG names no file that is there: {}", files.join(", ")),
        (files, false) => format!("there is no kubeconfig at {}", files.join(", ")),
    };
    lost_cluster(
        what,
        "name one in KUBECONFIG; without `--context`, `chefcito up --runtime kubernetes` makes a kind cluster of its own",
        None,
    )
}

pub(super) fn no_context(wanted: Option<&str>, known: &[&str], files: &[PathBuf]) -> CliError {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let what = match wanted {
        Some(name) => format!("there is no context `{name}` in {}", files.join(", ")),
        None => format!("no context is chosen in {}", files.join(", ")),
    };
    let hint = match known {
        [] => "the kubeconfig has no contexts: get one from whoever runs the cluster".into(),
        known => format!("there are {}: choose one with `--context`", known.join(", ")),
    };
    lost_cluster(what, hint, None)
}

pub(super) fn bad_context(context: &str, error: KubeconfigError) -> CliError {
    let lacks = |path: &PathBuf| format!("`{}` can't be read", path.display());
    let what = match &error {
        KubeconfigError::LoadContext(name) => format!("the context `{name}` is empty"),
        KubeconfigError::LoadClusterOfContext(name) => {
            format!(
                "the context `{context}` names the cluster `{name}`, which is not in the kubeconfig"
            )
        }
        KubeconfigError::MissingClusterUrl => {
            format!("the cluster of the context `{context}` has no server")
        }
        KubeconfigError::ParseClusterUrl(_) => {
            format!("the server of the context `{context}` is no URL")
        }
        KubeconfigError::LoadCertificateAuthority(LoadDataError::ReadFile(_, path)) => {
            format!(
                "the certificate authority of the context `{context}` is not there: {}",
                lacks(path)
            )
        }
        _ => format!("the context `{context}` can't be used"),
    };
    let source = error.source().map(|source| innermost(source).into());
    lost_cluster(
        what,
        format!("mend the kubeconfig; `kubectl --context {context} version` must work"),
        source,
    )
}

pub(super) fn no_credentials(context: &str, path: &Path) -> CliError {
    lost_cluster(
        format!(
            "the credentials of the context `{context}` are not there: `{}` can't be read",
            path.display()
        ),
        "log in to the cluster anew, or mend the kubeconfig",
        None,
    )
}

pub(super) fn silent(context: &str, server: &str, waited: Duration) -> CliError {
    lost_cluster(
        format!(
            "the cluster `{context}` at {server} did not answer within {}",
            humantime::format_duration(waited)
        ),
        "see that it runs, is not just starting, and that nothing on the way holds it back: a VPN, a firewall, a proxy",
        None,
    )
}

pub(super) fn no_hello(context: &str, server: &str, error: &Error) -> CliError {
    let because = innermost(error);
    let try_kubectl = format!("`kubectl --context {context} version` must work");
    match error {
        Error::Auth(error) => {
            let (why, hint) = auth(error);
            no_cluster(
                format!("cannot log in to the cluster `{context}`"),
                hint.unwrap_or(try_kubectl),
                Some(why.into()),
            )
        }
        Error::Api(status) if status.reason == reason::UNAUTHORIZED || status.code == 401 => {
            no_cluster(
                format!(
                    "the cluster `{context}` does not know who asks: its credentials are wrong or have expired"
                ),
                format!("log in to it anew; {try_kubectl}"),
                None,
            )
        }
        Error::Api(status) if status.code >= 500 => no_cluster(
            format!("the cluster `{context}` at {server} answers {}", status.code),
            "it is busy or just starting, or somebody before it finds it so: try again in a moment",
            None,
        ),
        Error::Api(status) if status.reason == reason::FORBIDDEN => no_cluster(
            format!("the cluster `{context}` does not say what version it has: {}", words(status)),
            "ask for a role that may see that, as `system:public-info-viewer` does",
            None,
        ),
        Error::Api(_) | Error::SerdeError(_) | Error::FromUtf8(_) => {
            no_cluster_there(context, server)
        }
        _ if is_expired(&because) => no_cluster(
            format!("a certificate of the cluster `{context}` has expired"),
            "renew it (`kubeadm certs renew all`; a kind cluster is made anew with `kind delete cluster`, then `up`), \
             and see that this machine's clock is right",
            Some(because.into()),
        ),
        _ if is_about_tls(&because) => lost_cluster(
            format!("the cluster `{context}` at {server} and this side do not trust each other"),
            "the kubeconfig may be of a cluster that was made anew since: get it again",
            Some(because.into()),
        ),
        _ => lost_cluster(
            format!("no cluster answers at {server} (context `{context}`)"),
            format!("see that it runs and can be reached from here; {try_kubectl}"),
            Some(because.into()),
        ),
    }
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

fn is_expired(text: &str) -> bool {
    ["expired", "Expired", "NotValidYet", "not valid yet"].iter().any(|word| text.contains(word))
}

fn is_about_tls(text: &str) -> bool {
    ["certificate", "tls", "TLS", "InvalidContentType", "corrupt message", "HandshakeFailure"]
        .iter()
        .any(|word| text.contains(word))
}

pub(super) fn no_cluster_there(context: &str, server: &str) -> CliError {
    lost_cluster(
        format!("whoever answers at {server} is no Kubernetes API server"),
        format!("look at the server of the context `{context}` in the kubeconfig"),
        None,
    )
}

pub(super) fn too_old(context: &str, version: &str) -> CliError {
    no_cluster(
        format!(
            "the cluster `{context}` is too old: it has {version}, and v1.{MINOR_MIN} is the oldest that will do"
        ),
        "update it; a kind cluster of the newest version is made by `up` without `--context`",
        None,
    )
}
