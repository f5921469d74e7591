//! The target of Kubernetes commands: which kubeconfig, and which context in it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use kube::config::{AuthInfo, Kubeconfig, KubeconfigError};
use serde::{Deserialize, Serialize};

use super::errors;
use crate::error::{CliError, Result};

/// The variable that names kubeconfig files, as `kubectl` reads it.
const KUBECONFIG: &str = "KUBECONFIG";

/// A kubeconfig and a context: what identifies a cluster to `kubectl` and to us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KubeTarget {
    /// The context; the current one of the kubeconfig without it.
    pub(crate) context: Option<String>,
    /// Kubeconfig files, as `KUBECONFIG` lists them; the user's own without it.
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl KubeTarget {
    /// Returns a context of the kubeconfig in KUBECONFIG, or else of the user's own.
    pub(crate) fn of_user(context: Option<String>) -> Self {
        let named = env::var_os(KUBECONFIG).filter(|files| !files.is_empty());
        Self { context, kubeconfig: named.map(PathBuf::from) }
    }

    /// Returns the arguments of `kubectl` for the same cluster.
    pub(crate) fn kubectl_flags(&self) -> String {
        let kubeconfig = self.kubeconfig.as_deref().filter(|path| *path != own_choice());
        let kubeconfig = kubeconfig.map(|path| format!(" --kubeconfig {}", path.display()));
        let context = self.context.as_ref().map(|context| format!(" --context {context}"));
        kubeconfig.unwrap_or_default() + &context.unwrap_or_default()
    }
}

fn own_choice() -> PathBuf {
    env::var_os(KUBECONFIG).map(PathBuf::from).unwrap_or_default()
}

/// The content of kubeconfig files.
#[derive(Debug)]
pub(super) struct Kubeconfigs {
    files: Vec<PathBuf>,
    /// All files merged.
    pub(super) merged: Kubeconfig,
}

impl Kubeconfigs {
    /// Reads the kubeconfig files of a target, as `kubectl` does: missing files are skipped unless all are missing.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if there is none, [`CliError::BadFile`] if one is invalid.
    pub(super) fn read(target: &KubeTarget) -> Result<Self> {
        let files = match &target.kubeconfig {
            Some(listed) => env::split_paths(&OsString::from(listed))
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            None => own_file().into_iter().collect::<Vec<_>>(),
        };
        let there: Vec<&PathBuf> = files.iter().filter(|path| path.exists()).collect();
        if there.is_empty() {
            return Err(errors::no_kubeconfig(&files, target.kubeconfig.is_some()));
        }
        let mut merged = Kubeconfig::default();
        for path in there {
            merged = Kubeconfig::read_from(path)
                .and_then(|next| merged.merge(next))
                .map_err(|error| unreadable(path, error))?;
        }
        Ok(Self { files, merged })
    }

    /// Returns the user of a context.
    fn user(&self, context: &str) -> Option<&AuthInfo> {
        let named = self.merged.contexts.iter().find(|one| one.name == context)?;
        let user = named.context.as_ref()?.user.as_ref()?;
        self.merged.auth_infos.iter().find(|one| one.name == *user)?.auth_info.as_ref()
    }

    /// Returns the name of the wanted context, or of the current one.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if it does not exist, or a file of its credentials is missing.
    pub(super) fn context(&self, wanted: Option<&str>) -> Result<String> {
        let known: Vec<&str> =
            self.merged.contexts.iter().map(|context| context.name.as_str()).collect();
        match wanted.or(self.merged.current_context.as_deref()).filter(|name| !name.is_empty()) {
            Some(name) if known.contains(&name) => match self.user(name).and_then(missing) {
                Some(path) => Err(errors::no_credentials(name, &path)),
                None => Ok(name.to_owned()),
            },
            Some(name) => Err(errors::no_context(Some(name), &known, &self.files)),
            None => Err(errors::no_context(None, &known, &self.files)),
        }
    }
}

/// Returns the first missing file of a user: the library's error would not name it.
fn missing(user: &AuthInfo) -> Option<PathBuf> {
    let named = [&user.client_certificate, &user.client_key, &user.token_file];
    named.into_iter().flatten().map(PathBuf::from).find(|path| !path.exists())
}

/// Returns whether the kubeconfig of a target has a context.
pub(crate) fn has_context(target: &KubeTarget, context: &str) -> bool {
    let known = |read: Kubeconfigs| read.merged.contexts.iter().any(|one| one.name == context);
    Kubeconfigs::read(target).is_ok_and(known)
}

fn own_file() -> Option<PathBuf> {
    env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"))
}

fn unreadable(path: &Path, error: KubeconfigError) -> CliError {
    match error {
        KubeconfigError::ReadConfig(source, _) => {
            CliError::Io { what: format!("read the kubeconfig {}", path.display()), source }
        }
        error => CliError::BadFile {
            path: path.to_owned(),
            detail: format!("it is not a kubeconfig: {}", errors::innermost(&error)),
        },
    }
}
