//! Errors of connecting to a cluster: its address is not known, it does not answer, or credentials or certificates are
//! refused.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Error as ApiError,
    config::{KubeconfigError, LoadDataError},
    core::response::reason,
};

use super::{Named, auth, innermost, words};
use crate::{
    MINOR_MIN,
    errors::{Error, Source},
};

/// How long a server that starts may refuse what it allows later.
const FORBIDDEN_WAIT_MAX: Duration = Duration::from_secs(5);

fn no_cluster(what: impl Into<String>, hint: impl Into<String>, source: Option<Source>) -> Error {
    Error::NoCluster { what: what.into(), hint: hint.into(), source, is_lost: false }
}

/// Returns the same error for a cluster that may be gone for good.
fn lost_cluster(what: impl Into<String>, hint: impl Into<String>, source: Option<Source>) -> Error {
    Error::NoCluster { what: what.into(), hint: hint.into(), source, is_lost: true }
}

pub(crate) fn no_kubeconfig(looked: &[PathBuf]) -> Error {
    let looked: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    let what = match looked.as_slice() {
        [] => "there is no kubeconfig: neither KUBECONFIG nor HOME is set".into(),
        files => format!("there is no kubeconfig at {}", files.join(", ")),
    };
    lost_cluster(
        what,
        "name one with `--kubeconfig` or KUBECONFIG; without both and `--context`, `chefcito up --runtime kubernetes` creates a kind cluster",
        None,
    )
}

pub(crate) fn no_context(wanted: Option<&str>, known: &[&str], files: &[PathBuf]) -> Error {
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

pub(crate) fn bad_context(context: &str, kubectl: &str, error: KubeconfigError) -> Error {
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
    lost_cluster(what, format!("fix the kubeconfig; `{kubectl} version` must work"), source)
}

pub(crate) fn no_credentials(context: &str, path: &Path) -> Error {
    lost_cluster(
        format!(
            "the credentials of the context `{context}` are missing: `{}` can't be read",
            path.display()
        ),
        "log in to the cluster again, or fix the kubeconfig",
        None,
    )
}

pub(crate) fn bad_authority(context: &str, why: &str) -> Error {
    lost_cluster(
        format!("the certificate authority of the context `{context}` can't be read: {why}"),
        "get the kubeconfig again, or fix it",
        None,
    )
}

pub(crate) fn bad_proxy(context: &str, url: &str) -> Error {
    // It may have a password.
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.rsplit('@').next().unwrap_or_default();
    no_cluster(
        format!("the proxy for the cluster `{context}` can't be used: `{scheme}://{host}`"),
        "set HTTPS_PROXY, or `proxy-url` in the kubeconfig, to a URL of the scheme http, https or socks5; NO_PROXY \
         excepts servers",
        None,
    )
}

/// Returns how long an error may last while an API server starts; zero if it is none of a start.
pub(crate) fn starting_for(error: &ApiError) -> Duration {
    match error {
        ApiError::Api(status) if status.code == 429 || status.code >= 500 => Duration::MAX,
        // It answers before it knows all roles.
        ApiError::Api(status) if status.code == 403 => FORBIDDEN_WAIT_MAX,
        error if is_cut(&innermost(error)) => Duration::MAX,
        _ => Duration::ZERO,
    }
}

/// Returns whether the other side has closed the connection instead of answering: a proxy in front of a server that does
/// not listen yet does it, such as the one of a container's port.
fn is_cut(text: &str) -> bool {
    ["handshake eof", "reset by peer", "closed before message completed", "unexpected end of file"]
        .iter()
        .any(|word| text.contains(word))
}

pub(crate) fn silent(named: &Named, waited: Duration) -> Error {
    let Named { context, server, .. } = named;
    lost_cluster(
        format!(
            "the cluster `{context}` at {server} did not answer within {}",
            humantime::format_duration(waited)
        ),
        "check that it runs and has started, and that no VPN, firewall or proxy blocks the connection",
        None,
    )
}

pub(crate) fn no_hello(named: &Named, error: &ApiError) -> Error {
    let Named { context, server, kubectl, .. } = named;
    let because = innermost(error);
    let try_kubectl = format!("`{kubectl} version` must work");
    match error {
        ApiError::Auth(error) => {
            let (why, hint) = auth(error, named);
            no_cluster(
                format!("cannot log in to the cluster `{context}`"),
                hint.unwrap_or(try_kubectl),
                Some(why.into()),
            )
        }
        ApiError::Api(status) if status.reason == reason::UNAUTHORIZED || status.code == 401 => {
            no_cluster(
                format!(
                    "the cluster `{context}` refuses the credentials of the kubeconfig: they are wrong or have expired"
                ),
                format!("log in to it again; {try_kubectl}"),
                None,
            )
        }
        ApiError::Api(status) if status.code == 429 || status.code >= 500 => no_cluster(
            format!("the cluster `{context}` at {server} answers {}", status.code),
            "it, or a proxy before it, is busy or just starting: try again in a moment",
            None,
        ),
        ApiError::Api(status) if status.reason == reason::FORBIDDEN => no_cluster(
            format!("the cluster `{context}` does not report its version: {}", words(status)),
            "get a role with that permission, such as `system:public-info-viewer`",
            None,
        ),
        ApiError::Api(_) | ApiError::SerdeError(_) | ApiError::FromUtf8(_) => {
            no_cluster_there(named)
        }
        _ if is_cut(&because) => no_cluster(
            format!("the cluster `{context}` at {server} closes each connection without an answer"),
            "it, or a proxy before it, is just starting, or a firewall cuts the connection: try again in a moment",
            Some(because.into()),
        ),
        _ if is_expired(&because) => no_cluster(
            format!("a certificate of the cluster `{context}` has expired"),
            "renew it (`kubeadm certs renew all`; a kind cluster is created again with `kind delete cluster`, then `chefcito up`), \
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

pub(crate) fn no_cluster_there(named: &Named) -> Error {
    let Named { context, server, .. } = named;
    lost_cluster(
        format!("{server} is not a Kubernetes API server"),
        format!("check the server of the context `{context}` in the kubeconfig"),
        None,
    )
}

pub(crate) fn too_old(context: &str, version: &str) -> Error {
    no_cluster(
        format!(
            "the cluster `{context}` is too old: it has {version}, and v1.{MINOR_MIN} is the oldest that works"
        ),
        "update it, or create a kind cluster of the newest version by `chefcito up --runtime kubernetes` without `--context`",
        None,
    )
}
