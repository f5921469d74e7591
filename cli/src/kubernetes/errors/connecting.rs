//! Errors of connecting to a cluster: its address is not known, it does not answer, or credentials or certificates are
//! refused.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Error,
    config::{KubeconfigError, LoadDataError},
    core::response::reason,
};

use super::{auth, innermost, words};
use crate::{
    error::{CliError, Source},
    kubernetes::MINOR_MIN,
};

fn no_cluster(
    what: impl Into<String>,
    hint: impl Into<String>,
    source: Option<Source>,
) -> CliError {
    CliError::NoCluster { what: what.into(), hint: hint.into(), source, is_lost: false }
}

/// Returns the same error for a cluster that may be gone for good.
fn lost_cluster(
    what: impl Into<String>,
    hint: impl Into<String>,
    source: Option<Source>,
) -> CliError {
    CliError::NoCluster { what: what.into(), hint: hint.into(), source, is_lost: true }
}

pub(in crate::kubernetes) fn no_kubeconfig(looked: &[PathBuf], named: bool) -> CliError {
    let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    let what = match (looked.as_slice(), named) {
        ([], _) => "there is no kubeconfig: neither KUBECONFIG nor HOME is set".into(),
        (files, true) => format!("KUBECONFIG names no file that exists: {}", files.join(", ")),
        (files, false) => format!("there is no kubeconfig at {}", files.join(", ")),
    };
    lost_cluster(
        what,
        "name one in KUBECONFIG; without `--context`, `chefcito up --runtime kubernetes` creates a kind cluster",
        None,
    )
}

pub(in crate::kubernetes) fn no_context(
    wanted: Option<&str>,
    known: &[&str],
    files: &[PathBuf],
) -> CliError {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let what = match wanted {
        Some(name) => format!("there is no context `{name}` in {}", files.join(", ")),
        None => format!("no context is chosen in {}", files.join(", ")),
    };
    let hint = match known {
        [] => "the kubeconfig has no contexts: get one from the cluster's administrators".into(),
        known => format!("there are {}: choose one with `--context`", known.join(", ")),
    };
    lost_cluster(what, hint, None)
}

pub(in crate::kubernetes) fn bad_context(context: &str, error: KubeconfigError) -> CliError {
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
                "the certificate authority of the context `{context}` is missing: {}",
                lacks(path)
            )
        }
        _ => format!("the context `{context}` can't be used"),
    };
    let source = error.source().map(|source| innermost(source).into());
    lost_cluster(
        what,
        format!("fix the kubeconfig; `kubectl --context {context} version` must work"),
        source,
    )
}

pub(in crate::kubernetes) fn no_credentials(context: &str, path: &Path) -> CliError {
    lost_cluster(
        format!(
            "the credentials of the context `{context}` are missing: `{}` can't be read",
            path.display()
        ),
        "log in to the cluster again, or fix the kubeconfig",
        None,
    )
}

pub(in crate::kubernetes) fn silent(context: &str, server: &str, waited: Duration) -> CliError {
    lost_cluster(
        format!(
            "the cluster `{context}` at {server} did not answer within {}",
            humantime::format_duration(waited)
        ),
        "check that it runs and has started, and that no VPN, firewall or proxy blocks the connection",
        None,
    )
}

pub(in crate::kubernetes) fn no_hello(context: &str, server: &str, error: &Error) -> CliError {
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
                    "the cluster `{context}` refuses the credentials of the kubeconfig: they are wrong or have expired"
                ),
                format!("log in to it again; {try_kubectl}"),
                None,
            )
        }
        Error::Api(status) if status.code >= 500 => no_cluster(
            format!("the cluster `{context}` at {server} answers {}", status.code),
            "it, or a proxy before it, is busy or just starting: try again in a moment",
            None,
        ),
        Error::Api(status) if status.reason == reason::FORBIDDEN => no_cluster(
            format!("the cluster `{context}` does not report its version: {}", words(status)),
            "get a role with that permission, such as `system:public-info-viewer`",
            None,
        ),
        Error::Api(_) | Error::SerdeError(_) | Error::FromUtf8(_) => {
            no_cluster_there(context, server)
        }
        _ if is_expired(&because) => no_cluster(
            format!("a certificate of the cluster `{context}` has expired"),
            "renew it (`kubeadm certs renew all`; a kind cluster is created again with `kind delete cluster`, then `up`), \
             and check this machine's clock",
            Some(because.into()),
        ),
        _ if is_about_tls(&because) => lost_cluster(
            format!(
                "the cluster `{context}` at {server} and this program do not trust each other's certificates"
            ),
            "the kubeconfig may be of a cluster that was created again since: get it again",
            Some(because.into()),
        ),
        _ => lost_cluster(
            format!("no cluster answers at {server} (context `{context}`)"),
            format!("check that it runs and can be reached from here; {try_kubectl}"),
            Some(because.into()),
        ),
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

pub(in crate::kubernetes) fn no_cluster_there(context: &str, server: &str) -> CliError {
    lost_cluster(
        format!("{server} is not a Kubernetes API server"),
        format!("check the server of the context `{context}` in the kubeconfig"),
        None,
    )
}

pub(in crate::kubernetes) fn too_old(context: &str, version: &str) -> CliError {
    no_cluster(
        format!(
            "the cluster `{context}` is too old: it has {version}, and v1.{MINOR_MIN} is the oldest that works"
        ),
        "update it, or create a kind cluster of the newest version by `up` without `--context`",
        None,
    )
}
