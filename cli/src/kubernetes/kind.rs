//! The program `kind`, which makes clusters of containers. It is used only to make, find and remove a cluster; what happens in
//! one goes through its API server, and images go straight to its nodes.

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

/// The oldest version that is spoken here: its nodes take images by their registry's name and digest.
const VERSION_MIN: (u32, u32) = (0, 27);
/// What a context of kind's begins with.
const CONTEXT: &str = "kind-";
/// kind's label on a node's container, with the name of the cluster.
pub(crate) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// How many of its last lines are told if it fails.
const LAST_LINES_MAX: usize = 12;

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    version: String,
}

/// What a cluster is made with.
#[derive(Clone, Debug)]
pub(crate) struct Making<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// What it is to be like, as kind's own configuration says it.
    pub(crate) config: &'a str,
    /// The image of its nodes; kind's own choice without one.
    pub(crate) node_image: Option<&'a str>,
    /// Where its kubeconfig is written.
    pub(crate) kubeconfig: &'a Path,
}

impl Kind {
    /// Finds the program, and asks it which version it has.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if it is not there, or too old.
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
            lacking("there is no program `kind` on this machine to make a cluster with".into())
        })?;
        // `kind v0.27.0 go1.23.6 linux/amd64`
        let text = String::from_utf8_lossy(&said.stdout);
        let version = text.split_whitespace().nth(1).unwrap_or_default();
        match parse(version) {
            Some(found) if found >= VERSION_MIN => Ok(Self { version: version.to_owned() }),
            Some(_) => Err(lacking(format!(
                "kind {version} is too old: v{}.{} is the oldest that will do",
                VERSION_MIN.0, VERSION_MIN.1
            ))),
            None => Err(lacking("the program `kind` does not say its version".into())),
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

    /// Returns the name of the cluster behind a context, if kind made it.
    pub(crate) fn cluster_of(context: &str) -> Option<&str> {
        context.strip_prefix(CONTEXT)
    }

    /// Returns whether there is a cluster of that name.
    ///
    /// # Errors
    /// [`CliError::Failed`] with its own words.
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

    /// Makes a cluster, and tells how far it is. The user's own kubeconfig is left alone.
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
        // In a group of its own: at Ctrl-C it is ended from here, with all that it has started, and what it made is removed.
        command.process_group(0);
        let shown = Waiting::new(output, format_args!("Making the kind cluster `{}`", making.name));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(CliError::io(|| "start kind".into()))?;
        let group = Group::of(&child);
        if let Some(mut stdin) = child.stdin.take() {
            // If it does not read, it says why.
            let _unread = stdin.write_all(making.config.as_bytes()).await;
        }
        let mut last = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let line = line.trim().trim_start_matches(['✓', '•', ' ']).to_owned();
                shown.say(format_args!("Making the kind cluster `{}`: {line}", making.name));
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
            false => Err(failed("make a cluster", &last.join("\n"))),
        }
    }

    /// Removes a cluster and all that is in it. One that is not there is removed already.
    ///
    /// # Errors
    /// As [`Kind::has`].
    pub(crate) async fn delete(&self, name: &str, kubeconfig: &Path) -> Result<()> {
        let kubeconfig = kubeconfig.to_string_lossy();
        ask(&["delete", "cluster", "--name", name, "--kubeconfig", &kubeconfig]).await.map(drop)
    }
}

/// A process and all that it has started, which end when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// Lets go of it: the process has ended by itself, and its number may be another's by now.
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
        "its node image can't be pulled: name one that the engine has with `--node-image`"
    } else if has(&["admin.conf", "internal kubeconfig"]) {
        "if its making was interrupted, `kind delete cluster` with that name removes what there is of it"
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
    fn a_context_tells_its_cluster() {
        assert_eq!(Kind::cluster_of(&Kind::context("chefcito")), Some("chefcito"));
        assert_eq!(Kind::cluster_of("minikube"), None);
    }

    #[test]
    fn what_kind_says_tells_what_to_try() {
        let hint = |said: &str| failed("make a cluster", said).hint().unwrap();
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
