//! Programs that create clusters and can load images into the nodes.

use std::{collections::BTreeSet, fmt, io, process::Stdio};

use tokio::process::Command;

use super::nodes::plain;
use crate::errors::{Error, Result};

/// A program, and the cluster that it created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loader {
    /// k3d; this is the cluster's name.
    K3d(String),
    /// minikube; this is its profile.
    Minikube(String),
}

impl Loader {
    /// Returns the images that the cluster has, by their names in manifests.
    ///
    /// # Errors
    /// [`Error::Lacking`] without the program, [`Error::Failed`] with its output; k3d can't list them.
    pub async fn images(&self) -> Result<BTreeSet<String>> {
        let said = match self {
            Self::K3d(_) => String::new(),
            Self::Minikube(profile) => self.ask(&["-p", profile, "image", "ls"], &[]).await?,
        };
        Ok(said.lines().map(|name| plain(name.trim()).to_owned()).collect())
    }

    /// Loads images of the engine into the nodes.
    ///
    /// # Errors
    /// As [`Loader::images`].
    pub async fn load(&self, names: &[String]) -> Result<()> {
        match self {
            Self::K3d(name) => self.ask(&["image", "import", "-c", name], names).await,
            Self::Minikube(profile) => self.ask(&["-p", profile, "image", "load"], names).await,
        }
        .map(drop)
    }

    const fn program(&self) -> &'static str {
        match self {
            Self::K3d(_) => "k3d",
            Self::Minikube(_) => "minikube",
        }
    }

    const fn home_page(&self) -> &'static str {
        match self {
            Self::K3d(_) => "https://k3d.io",
            Self::Minikube(_) => "https://minikube.sigs.k8s.io",
        }
    }

    async fn ask(&self, arguments: &[&str], names: &[String]) -> Result<String> {
        let program = self.program();
        let mut command = Command::new(program);
        command.args(arguments).args(names).stdin(Stdio::null()).kill_on_drop(true);
        let said = command.output().await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Lacking {
                what: format!(
                    "loading images into the cluster of {self} needs `{program}`, which this machine lacks"
                ),
                hint: format!(
                    "install it ({}), or let the cluster pull: `--push REGISTRY`",
                    self.home_page()
                ),
            },
            _ => Error::io(|| format!("start {program}"))(error),
        })?;
        match said.status.success() {
            true => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
            false => Err(Error::Failed {
                what: format!("{program} could not `{program} {}`", arguments.join(" ")),
                hint: "check that the cluster runs and its disk has room, or use `--push REGISTRY`"
                    .into(),
                source: Some(String::from_utf8_lossy(&said.stderr).trim().to_owned().into()),
            }),
        }
    }
}

impl fmt::Display for Loader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::K3d(name) | Self::Minikube(name)) = self;
        write!(formatter, "{} `{name}`", self.program())
    }
}
