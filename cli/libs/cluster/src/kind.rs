//! The program `kind`, which creates clusters of containers. It only creates, finds and removes clusters; all else goes
//! through the API server, and images directly to the nodes.

use std::{path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::errors::{Error, Result};

/// The oldest supported version: its nodes accept images by their registry's name and digest.
const VERSION_MIN: (u32, u32) = (0, 27);
/// The prefix of kind's contexts.
const CONTEXT: &str = "kind-";
/// kind's label of a node's container, with the name of the cluster.
pub const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// What it says if it reaches no container engine.
const NO_ENGINE: [&str; 5] = [
    "Cannot connect to the Docker daemon",
    "connect to the docker API",
    "docker daemon",
    "permission denied",
    "executable file not found",
];
/// The most lines of its output that an error quotes.
const LAST_LINES_MAX: usize = 12;

/// The program.
#[derive(Clone, Debug)]
pub struct Kind {
    version: String,
}

/// The parameters of a new cluster.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// Its name.
    pub name: &'a str,
    /// kind's configuration of it.
    pub config: &'a str,
    /// The image of its nodes; `None` for kind's default.
    pub node_image: Option<&'a str>,
    /// The path to write its kubeconfig to.
    pub kubeconfig: &'a Path,
}

impl Kind {
    /// Finds the program, and asks for its version.
    ///
    /// # Errors
    /// [`Error::Lacking`] if it does not exist or is too old.
    pub async fn find() -> Result<Self> {
        let said = Command::new("kind").arg("version").stdin(Stdio::null()).output().await;
        let lacking = |what: String| {
            Error::Lacking {
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
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the context of a cluster of that name.
    pub fn context(name: &str) -> String {
        format!("{CONTEXT}{name}")
    }

    /// Returns the name of the cluster of a context, if kind created it.
    pub fn cluster_of(context: &str) -> Option<&str> {
        context.strip_prefix(CONTEXT)
    }

    /// Returns whether there is a cluster of that name.
    ///
    /// # Errors
    /// [`Error::Failed`] with its output.
    pub async fn has(&self, name: &str) -> Result<bool> {
        let said = ask(&["get", "clusters"], name).await?;
        Ok(said.lines().any(|line| line.trim() == name))
    }

    /// Returns the kubeconfig of a cluster.
    ///
    /// # Errors
    /// As [`Kind::has`].
    pub async fn kubeconfig(&self, name: &str) -> Result<String> {
        ask(&["get", "kubeconfig", "--name", name], name).await
    }

    /// Creates a cluster, and passes the steps that kind prints to `tell`. Leaves the user's own kubeconfig alone. `held` is a file that the
    /// program keeps open to its end.
    ///
    /// # Errors
    /// [`Error::Failed`] with its last lines.
    pub async fn create(
        &self,
        making: &Making<'_>,
        held: Stdio,
        mut tell: impl FnMut(&str),
    ) -> Result<()> {
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
        let mut child = command
            .stdin(Stdio::piped())
            // It prints nothing there.
            .stdout(held)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(|| "start kind".into()))?;
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
                tell(&line);
                last.push(line);
                if last.len() > LAST_LINES_MAX {
                    let _oldest = last.remove(0);
                }
            }
        }
        let status = child.wait().await.map_err(Error::io(|| "wait for kind".into()))?;
        group.has_ended();
        match status.success() {
            true => Ok(()),
            false => Err(failed("create a cluster", making.name, &last.join("\n"))),
        }
    }

    /// Removes a cluster. A missing one is not an error.
    ///
    /// # Errors
    /// As [`Kind::has`].
    pub async fn delete(&self, name: &str, kubeconfig: &Path) -> Result<()> {
        let kubeconfig = kubeconfig.to_string_lossy();
        ask(&["delete", "cluster", "--name", name, "--kubeconfig", &kubeconfig], name)
            .await
            .map(drop)
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

async fn ask(arguments: &[&str], name: &str) -> Result<String> {
    let said = Command::new("kind")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::io(|| "start kind".into()))?;
    match said.status.success() {
        true => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
        false => Err(failed(&arguments.join(" "), name, &String::from_utf8_lossy(&said.stderr))),
    }
}

fn failed(what: &str, name: &str, said: &str) -> Error {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let source = Some(said.trim().to_owned().into());
    if has(&NO_ENGINE) {
        return engine::errors::Error::NoEngine {
            what: format!("kind could not {what}: it reaches no container engine"),
            hint: "kind needs an engine that answers: start it; `chefcito doctor` checks it".into(),
            source,
        }
        .into();
    }
    let hint = if has(&["too many open files", "inotify"]) {
        "raise the limits of inotify: `sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512`".into()
    } else if has(&["port is already allocated", "address already in use"]) {
        "choose another port with `--port`".into()
    } else if has(&["is not running", "running containers"]) {
        format!(
            "its node is stopped: start it with `docker start {name}-control-plane`, then repeat the command"
        )
    } else if has(&["pull access denied", "failed to pull", "no such host", "manifest unknown"]) {
        "its node image can't be pulled: choose one that the engine has with `--node-image`".into()
    } else if has(&["admin.conf", "internal kubeconfig"]) {
        format!(
            "if its creation was interrupted, `kind delete cluster --name {name}` removes the incomplete cluster"
        )
    } else {
        "`chefcito doctor` checks this machine".into()
    };
    Error::Failed { what: format!("kind could not {what}"), hint, source }
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
        let hint = |said: &str| failed("create a cluster", "pan", said).hint().unwrap();
        assert!(hint("too many open files").contains("inotify"));
        assert!(
            hint("Bind for 127.0.0.1:7373 failed: port is already allocated").contains("--port")
        );
        assert!(hint("failed to pull image \"kindest/node:v9\"").contains("--node-image"));
        let unfinished =
            "failed to get cluster internal kubeconfig: cat: /etc/kubernetes/admin.conf";
        assert!(hint(unfinished).contains("`kind delete cluster --name pan`"));
        let stopped = "failed to get cluster internal kubeconfig: command \"docker exec --privileged pan-control-plane \
                       cat /etc/kubernetes/admin.conf\" failed: container 7c1 is not running";
        assert!(hint(stopped).contains("`docker start pan-control-plane`"));
        assert!(!hint(stopped).contains("delete"), "its data would be gone");
        for no_engine in NO_ENGINE {
            let error = failed("get clusters", "pan", no_engine);
            assert!(matches!(error, Error::Engine(engine::errors::Error::NoEngine { .. })));
        }
        assert!(hint("something else").contains("doctor"));
    }
}
