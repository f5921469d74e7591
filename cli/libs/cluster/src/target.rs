//! The target of Kubernetes commands: which kubeconfig, and which context in it.

use std::{
    borrow::Cow,
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use http::Uri;
use kube::{
    Config,
    config::{AuthInfo, ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use super::{
    errors::{self, Login},
    proxy::proxy,
};
use crate::errors::{Error, Result};

/// The variable that names kubeconfig files, as `kubectl` reads it.
const KUBECONFIG: &str = "KUBECONFIG";

/// A kubeconfig and a context: what identifies a cluster to `kubectl` and to us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeTarget {
    /// The context; the current one of the kubeconfig without it.
    pub context: Option<String>,
    /// Kubeconfig files, as `KUBECONFIG` lists them; the user's own without it.
    #[serde(default, with = "text_or_bytes")]
    pub kubeconfig: Option<PathBuf>,
}

/// A path in a record: as a text, or as a list of its bytes where that can't be written, since it is not UTF-8.
mod text_or_bytes {
    use std::{
        ffi::OsString,
        os::unix::ffi::{OsStrExt, OsStringExt},
        path::PathBuf,
    };

    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            None => serializer.serialize_none(),
            Some(path) => match path.to_str() {
                Some(text) => serializer.serialize_some(text),
                None => serializer.serialize_some(path.as_os_str().as_bytes()),
            },
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let written: Option<Written> = Deserialize::deserialize(deserializer)?;
        Ok(written.map(|written| match written {
            Written::Text(path) => path,
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }))
    }
}

impl KubeTarget {
    /// Returns a context of the kubeconfig in KUBECONFIG, or else of the user's own.
    pub fn of_user(context: Option<String>) -> Self {
        let named = env::var_os(KUBECONFIG).filter(|files| !files.is_empty());
        Self { context, kubeconfig: named.as_deref().map(absolute) }
    }

    /// Returns a context of a kubeconfig file; without one, as [`KubeTarget::of_user`].
    pub fn of_file(file: Option<&str>, context: Option<String>) -> Self {
        match file {
            Some(file) => Self { context, kubeconfig: Some(file.into()) },
            None => Self::of_user(context),
        }
    }

    /// Returns the command `kubectl` for the same cluster, to be pasted into this shell.
    pub fn kubectl(&self) -> String {
        let chosen = Self::of_user(None).kubeconfig;
        let listed = match &self.kubeconfig {
            same if *same == chosen => None,
            None => own_file(),
            listed => listed.clone(),
        };
        let listed = listed.map(|listed| listed.to_string_lossy().into_owned());
        let context =
            self.context.as_ref().map(|context| format!(" --context {}", quoted(context)));
        let context = context.unwrap_or_default();
        match listed {
            // The flag takes one file only.
            Some(listed) if env::split_paths(&listed).count() > 1 => {
                format!("{KUBECONFIG}={} kubectl{context}", quoted(&listed))
            }
            Some(file) => format!("kubectl --kubeconfig {}{context}", quoted(&file)),
            None => format!("kubectl{context}"),
        }
    }
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
    /// [`Error::NoCluster`] if there is none, [`Error::BadFile`] if one is invalid.
    pub(super) fn read(target: &KubeTarget) -> Result<Self> {
        let files = match &target.kubeconfig {
            Some(listed) => env::split_paths(&OsString::from(listed))
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            None => own_file().into_iter().collect::<Vec<_>>(),
        };
        let there: Vec<&PathBuf> = files.iter().filter(|path| path.exists()).collect();
        if there.is_empty() {
            return Err(errors::no_kubeconfig(&files));
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

    /// Returns the program that a context logs in with, if it names one.
    pub(super) fn login(&self, context: &str) -> Option<Login> {
        let exec = self.user(context)?.exec.as_ref()?;
        let program = exec.command.clone()?;
        Some(Login { program, install_hint: exec.install_hint.clone() })
    }

    /// Returns the library's configuration of a context. The library's own reading of one would also read the variables
    /// of proxies, and get them wrong.
    ///
    /// # Errors
    /// [`Error::NoCluster`] if the context is incomplete, or a file that it names is missing.
    pub(super) fn config(&self, name: &str, kubectl: &str) -> Result<Config> {
        let bad = |error| errors::bad_context(name, kubectl, error);
        let contexts = &mut self.merged.contexts.iter();
        let context = contexts.find(|one| one.name == name).and_then(|one| one.context.as_ref());
        let context = context.ok_or_else(|| bad(KubeconfigError::LoadContext(name.to_owned())))?;
        let clusters = &mut self.merged.clusters.iter();
        let cluster = clusters.find(|one| one.name == context.cluster);
        let cluster = cluster
            .and_then(|one| one.cluster.as_ref())
            .ok_or_else(|| bad(KubeconfigError::LoadClusterOfContext(context.cluster.clone())))?;
        let server =
            cluster.server.as_deref().ok_or_else(|| bad(KubeconfigError::MissingClusterUrl))?;
        let server: Uri = server.parse().map_err(KubeconfigError::ParseClusterUrl).map_err(bad)?;
        let proxy = proxy(cluster.proxy_url.as_deref(), &server, |name| env::var(name).ok());
        let told = ExecAuthCluster::try_from(cluster).map_err(bad)?;
        let authority = told.certificate_authority_data.as_deref().map(certificates).transpose();
        let mut config = Config::new(server);
        config.root_cert = authority.map_err(|why| errors::bad_authority(name, &why))?;
        config.proxy_url = proxy.map_err(|url| errors::bad_proxy(name, &url))?;
        config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
        config.tls_server_name.clone_from(&cluster.tls_server_name);
        config.auth_info = self.user(name).cloned().unwrap_or_default();
        if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info)
        {
            exec.cluster = Some(told);
        }
        Ok(config)
    }

    /// Returns the name of the wanted context, or of the current one.
    ///
    /// # Errors
    /// [`Error::NoCluster`] if it does not exist, or a file of its credentials is missing.
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

/// Returns the certificates of PEM text, as the library keeps them.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| error.to_string())?;
    match read.is_empty() {
        true => Err("it has no certificate".into()),
        false => Ok(read.iter().map(|one| one.to_vec()).collect()),
    }
}

/// Returns the first missing file of a user: the library's error would not name it.
fn missing(user: &AuthInfo) -> Option<PathBuf> {
    let named = [&user.client_certificate, &user.client_key, &user.token_file];
    named.into_iter().flatten().map(PathBuf::from).find(|path| !path.exists())
}

/// Returns whether the kubeconfig of a target has a context.
pub fn has_context(target: &KubeTarget, context: &str) -> bool {
    let known = |read: Kubeconfigs| read.merged.contexts.iter().any(|one| one.name == context);
    Kubeconfigs::read(target).is_ok_and(known)
}

/// Returns the address of the API server of a target as [`super::Cluster::server`] does; `None` if its kubeconfig does not
/// have its context.
pub fn server_of(target: &KubeTarget) -> Option<String> {
    let kubeconfigs = Kubeconfigs::read(target).ok()?;
    let config = kubeconfigs.config(target.context.as_deref()?, &target.kubectl()).ok()?;
    Some(address(&config))
}

/// Returns the address of the API server of a configuration.
pub(super) fn address(config: &Config) -> String {
    config.cluster_url.to_string().trim_end_matches('/').to_owned()
}

/// Returns listed files as they are named from any folder.
fn absolute(listed: &OsStr) -> PathBuf {
    let files = env::split_paths(listed).filter(|file| !file.as_os_str().is_empty());
    let files = files.map(|file| std::path::absolute(&file).unwrap_or(file));
    env::join_paths(files).map_or_else(|_| listed.into(), PathBuf::from)
}

/// Returns a word as a shell reads it. Only a zero byte can't be written, which no path and no context has.
fn quoted(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or_default()
}

fn own_file() -> Option<PathBuf> {
    env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"))
}

fn unreadable(path: &Path, error: KubeconfigError) -> Error {
    match error {
        KubeconfigError::ReadConfig(source, _) => {
            Error::Io { what: format!("read the kubeconfig {}", path.display()), source }
        }
        error => Error::BadFile {
            path: path.to_owned(),
            detail: format!("it is not a kubeconfig: {}", errors::innermost(&error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_kubectl_can_be_pasted() {
        let printed = |files: &str, context: &str| {
            let (context, kubeconfig) = (Some(context.to_owned()), Some(files.into()));
            KubeTarget { context, kubeconfig }.kubectl()
        };
        assert_eq!(
            printed("/my clusters/config", "it's far"),
            r#"kubectl --kubeconfig '/my clusters/config' --context "it's far""#
        );
        assert_eq!(printed("/a:/b", "far"), "KUBECONFIG=/a:/b kubectl --context far");
        let chosen = KubeTarget::of_user(Some("far".into()));
        assert_eq!(chosen.kubectl(), "kubectl --context far");
    }

    #[test]
    fn a_record_has_any_path() {
        use std::os::unix::ffi::OsStringExt as _;

        let latin = OsString::from_vec(b"/home/ren\xe9/config".to_vec());
        for path in [None, Some("/home/config".into()), Some(PathBuf::from(latin))] {
            let target = KubeTarget { context: None, kubeconfig: path };
            let record = serde_json::to_string(&target).unwrap();
            assert_eq!(serde_json::from_str::<KubeTarget>(&record).unwrap(), target, "{record}");
        }
        let without = serde_json::from_str::<KubeTarget>(r#"{"context":null}"#).unwrap();
        assert_eq!(without, KubeTarget::default());
    }

    #[test]
    fn files_are_named_from_any_folder() {
        let here = env::current_dir().unwrap();
        let listed = absolute(OsStr::new("config::/etc/config"));
        assert_eq!(listed, PathBuf::from(format!("{}/config:/etc/config", here.display())));
    }
}
