//! The program `kind`, which creates clusters of containers. It only creates, finds and removes clusters; all else goes
//! through the API server, and images directly to the nodes.

use std::{path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::{
    error::{CliError, Result},
    output::Output,
    progress::Waiting,
};

/// The oldest supported version: its nodes accept images by their registry's name and digest.
const VERSION_MIN: (u32, u32) = (0, 27);
/// The prefix of kind's contexts.
const CONTEXT: &str = "kind-";
/// kind's label of a node's container, with the name of the cluster.
pub(crate) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// The most lines of its output that an error quotes.
const LAST_LINES_MAX: usize = 12;

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    version: String,
}

/// The parameters of a new cluster.
#[derive(Clone, Debug)]
pub(crate) struct Making<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// kind's configuration of it.
    pub(crate) config: &'a str,
    /// The image of its nodes; `None` for kind's default.
    pub(crate) node_image: Option<&'a str>,
    /// The path to write its kubeconfig to.
    pub(crate) kubeconfig: &'a Path,
}

impl Kind {
    /// Finds the program, and asks for its version.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if it does not exist or is too old.
    pub(crate) async fn find() -> Result<Self> {
        let said = Command::new("kind").arg("version").stdin(Stdio::null()).output().await;
        let lacking = |what: String| {
            CliError::Lacking {
            what,
            hint: "install kind (https://kind.sigs.k8s.io/docs/user/quick-start/#installation), or name a cluster that is there \
                   with `--context`"
                .into(),
        }
        };
        let said = said.map_err(|_| {
            lacking("this machine has no program `kind` to create a cluster with".into())
        })?;
        // `kind v0.27.0 go1.23.6 linux/amd64`
        let text = String::from_utf8_lossy(&said.stdout);
        let version = text.split_whitespace().nth(1).unwrap_or_default();
        match parse(version) {
            Some(found) if found >= VERSION_MIN => Ok(Self { version: version.to_owned() }),
            Some(_) => Err(lacking(format!(
                "kind {version} is too old: v{}.{} is the oldest that works",
                VERSION_MIN.0, VERSION_MIN.1
            ))),
            None => Err(lacking("the program `kind` does not report its version".into())),
        }
    }

    /// Returns its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Returns the context of a cluster of that name.
    pub(crate) fn context(name: &str) -> String {
        format!("{CONTEXT}{name}")
    }

    /// Returns the name of the cluster of a context, if kind created it.
    pub(crate) fn cluster_of(context: &str) -> Option<&str> {
        context.strip_prefix(CONTEXT)
    }

    /// Returns whether there is a cluster of that name.
    ///
    /// # Errors
    /// [`CliError::Failed`] with its output.
    pub(crate) async fn has(&self, name: &str) -> Result<bool> {
        let said = ask(&["get", "clusters"]).await?;
        Ok(said.lines().any(|line| line.trim() == name))
    }

    /// Returns the kubeconfig of a cluster.
    ///
    /// # Errors
    /// As [`Kind::has`].
    pub(crate) async fn kubeconfig(&self, name: &str) -> Result<String> {
        ask(&["get", "kubeconfig", "--name", name]).await
    }

    /// Creates a cluster, and shows the progress. Leaves the user's own kubeconfig alone.
    ///
    /// # Errors
    /// [`CliError::Failed`] with its last lines.
    pub(crate) async fn create(&self, making: &Making<'_>, output: &Output) -> Result<()> {
        let mut command = Command::new("kind");
        command
            .args(["create", "cluster", "--config", "-", "--wait", "0s", "--name", making.name])
            .arg("--kubeconfig")
            .arg(making.kubeconfig);
        if let Some(image) = making.node_image {
            command.args(["--image", image]);
        }
        // In a process group of its own: at Ctrl-C this program ends it with all its children, and removes the
        // incomplete cluster.
        command.process_group(0);
        let shown =
            Waiting::new(output, format_args!("Creating the kind cluster `{}`", making.name));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(CliError::io(|| "start kind".into()))?;
        let group = Group::of(&child);
        if let Some(mut stdin) = child.stdin.take() {
            // If it does not read its input, its output has the reason.
            let _unread = stdin.write_all(making.config.as_bytes()).await;
        }
        let mut last = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let line = line.trim().trim_start_matches(['✓', '•', ' ']).to_owned();
                shown.say(format_args!("Creating the kind cluster `{}`: {line}", making.name));
                output.detail(format_args!("kind: {line}"));
                last.push(line);
                if last.len() > LAST_LINES_MAX {
                    let _oldest = last.remove(0);
                }
            }
        }
        let status = child.wait().await.map_err(CliError::io(|| "wait for kind".into()))?;
        group.has_ended();
        match status.success() {
            true => Ok(()),
            false => Err(failed("create a cluster", &last.join("\n"))),
        }
    }

    /// Removes a cluster. A missing one is not an error.
    ///
    /// # Errors
    /// As [`Kind::has`].
    pub(crate) async fn delete(&self, name: &str, kubeconfig: &Path) -> Result<()> {
        let kubeconfig = kubeconfig.to_string_lossy();
        ask(&["delete", "cluster", "--name", name, "--kubeconfig", &kubeconfig]).await.map(drop)
    }
}

/// A process with all its children, which end when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// Forgets the process: it has ended by itself, and its id may belong to another one by now.
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by then.
            let _ended = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn ask(arguments: &[&str]) -> Result<String> {
    let said = Command::new("kind")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(CliError::io(|| "start kind".into()))?;
    match said.status.success() {
        true => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
        false => Err(failed(&arguments.join(" "), &String::from_utf8_lossy(&said.stderr))),
    }
}

fn failed(what: &str, said: &str) -> CliError {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let hint = if has(&["too many open files", "inotify"]) {
        "raise the limits of inotify: `sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512`"
    } else if has(&["port is already allocated", "address already in use"]) {
        "choose another port with `--port`"
    } else if has(&["Cannot connect to the Docker daemon", "docker daemon", "permission denied"]) {
        "kind needs an engine that answers; `chefcito doctor` checks it"
    } else if has(&["pull access denied", "failed to pull", "no such host", "manifest unknown"]) {
        "its node image can't be pulled: choose one that the engine has with `--node-image`"
    } else if has(&["admin.conf", "internal kubeconfig"]) {
        "if its creation was interrupted, `kind delete cluster` with that name removes the incomplete cluster"
    } else {
        "`chefcito doctor` checks this machine"
    };
    CliError::Failed {
        what: format!("kind could not {what}"),
        hint: hint.into(),
        source: Some(said.trim().to_owned().into()),
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("v0.9.0").unwrap() < VERSION_MIN);
        assert!(parse("v0.27.0").unwrap() >= VERSION_MIN);
        assert!(parse("0.100.0-alpha+1").unwrap() > VERSION_MIN);
        assert_eq!(parse("unknown"), None);
    }

    #[test]
    fn a_context_names_its_cluster() {
        assert_eq!(Kind::cluster_of(&Kind::context("chefcito")), Some("chefcito"));
        assert_eq!(Kind::cluster_of("minikube"), None);
    }

    #[test]
    fn the_output_of_kind_decides_the_hint() {
        let hint = |said: &str| failed("create a cluster", said).hint().unwrap();
        assert!(hint("too many open files").contains("inotify"));
        assert!(
            hint("Bind for 127.0.0.1:7373 failed: port is already allocated").contains("--port")
        );
        assert!(hint("failed to pull image \"kindest/node:v9\"").contains("--node-image"));
        let unfinished =
            "failed to get cluster internal kubeconfig: cat: /etc/kubernetes/admin.conf";
        assert!(hint(unfinished).contains("kind delete cluster"));
        assert!(hint("something else").contains("doctor"));
    }
}
