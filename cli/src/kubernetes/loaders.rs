//! The programs that made clusters of others, where they bring images to the nodes by themselves.

use std::{collections::BTreeSet, fmt, io, process::Stdio};

use tokio::process::Command;

use super::nodes::plain;
use crate::error::{CliError, Result};

/// A program, and the cluster that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loader {
    /// k3d; this is the cluster's name.
    K3d(String),
    /// minikube; this is its profile.
    Minikube(String),
}

impl Loader {
    /// Returns the names of the images that the cluster has, as manifests say them.
    ///
    /// # Errors
    /// [`CliError::Lacking`] without the program, [`CliError::Failed`] with its own words; k3d does not tell.
    pub(crate) async fn images(&self) -> Result<BTreeSet<String>> {
        let said = match self {
            Self::K3d(_) => String::new(),
            Self::Minikube(profile) => self.ask(&["-p", profile, "image", "ls"], &[]).await?,
        };
        Ok(said.lines().map(|name| plain(name.trim()).to_owned()).collect())
    }

    /// Has it bring images of the engine to the nodes.
    ///
    /// # Errors
    /// As [`Loader::images`].
    pub(crate) async fn load(&self, names: &[String]) -> Result<()> {
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
            io::ErrorKind::NotFound => CliError::Lacking {
                what: format!(
                    "images come into the cluster of {self} by `{program}`, which is not on this machine"
                ),
                hint: format!(
                    "install it ({}), or let the cluster pull: `--push REGISTRY`",
                    self.home_page()
                ),
            },
            _ => CliError::io(|| format!("start {program}"))(error),
        })?;
        match said.status.success() {
            true => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
            false => Err(CliError::Failed {
                what: format!("{program} could not `{program} {}`", arguments.join(" ")),
                hint: "see that the cluster runs, and that its disk has room; `--push REGISTRY` is another way".into(),
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
