//! Images into a node: as `up` loads them, and by the steps of `kind load docker-image`, alternately.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::loading::into_kind;
use uuid::Uuid;

use crate::figures::{Figures, Goal};

/// How often each.
const RUNS: usize = 5;
/// The image of the node.
const IMAGE: &str = "chefcito-stand-in:node";
/// The service whose image is missing on the node if one is.
const CHANGED: &str = "chefcito-kitchen:";

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let images = images()?;
    let changed: Vec<String> =
        images.iter().filter(|name| name.starts_with(CHANGED)).cloned().collect();
    let node = Node::start()?;
    let cases = [
        ("none changed", Vec::new(), Goal::at_least(1.0, 10.0)),
        ("one changed", changed, Goal::at_least(1.0, 3.0)),
        ("all", images.clone(), Goal::at_least(1.0, 1.0)),
    ];
    into_kind(&node.name, &images).await?;
    for _ in 0..RUNS {
        for (what, lacked, goal) in &cases {
            node.lose(lacked)?;
            let since = Instant::now();
            let moved = into_kind(&node.name, &images).await?;
            let ours = since.elapsed();
            ensure!((moved == 0) == lacked.is_empty(), "{what}: {moved} bytes were moved");
            node.lose(lacked)?;
            let theirs = node.load_as_kind(&images)?;
            ensure!(into_kind(&node.name, &images).await? == 0, "{what}: the node lacks something");
            #[expect(clippy::cast_precision_loss, reason = "a size for people's eyes")]
            figures.note(format!("{what}: moved"), "MB", moved as f64 / 1e6);
            figures.note(format!("{what}: ours"), "ms", millis(ours));
            figures.note(format!("{what}: the steps of kind load"), "ms", millis(theirs));
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            figures.judge(format!("… as often as ours: {what}"), "×", ratio, *goal);
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns the newest image of each service, by its content.
fn images() -> Result<Vec<String>> {
    let newest = docker(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "chefcito-*"])?;
    let rows: Vec<(&str, &str)> = newest.lines().filter_map(|line| line.split_once(' ')).collect();
    let of_dev = |id: &str| rows.iter().any(|(name, one)| *one == id && name.ends_with(":dev"));
    let mut images: Vec<String> = rows
        .iter()
        .filter(|(name, id)| name.contains(":c-") && of_dev(id))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    images.sort();
    ensure!(images.iter().any(|name| name.starts_with(CHANGED)), "`chefcito build` comes first");
    Ok(images)
}

/// A container with a containerd and the labels of a kind node; removed at the end.
struct Node {
    name: String,
}

impl Node {
    fn start() -> Result<Self> {
        let node = Self { name: format!("chefcito-bench-{}", Uuid::new_v4().simple()) };
        let label = format!("--label=io.x-k8s.kind.cluster={}", node.name);
        docker(&[
            "run",
            "--detach",
            "--name",
            &node.name,
            &label,
            "--label=io.x-k8s.kind.role=control-plane",
            "--cap-add=SYS_ADMIN",
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            "--network=none",
            "--volume=/var/lib/containerd",
            IMAGE,
            "containerd",
        ])?;
        let since = Instant::now();
        while node.ctr(&["version"]).is_err() {
            ensure!(since.elapsed() < Duration::from_secs(30), "containerd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(node)
    }

    fn ctr(&self, args: &[&str]) -> Result<String> {
        docker(&[&["exec", &self.name, "ctr", "--namespace=k8s.io"], args].concat())
    }

    /// Removes images from the node, with all data that only they use.
    fn lose(&self, images: &[String]) -> Result<()> {
        let listed = self.ctr(&["images", "ls"])?;
        let rows: Vec<(&str, &str)> = listed
            .lines()
            .skip(1)
            .filter_map(|row| {
                let mut words = row.split_whitespace();
                Some((words.next()?, words.nth(1)?))
            })
            .collect();
        let mut names = Vec::new();
        for image in images {
            let whole = format!("docker.io/library/{image}");
            let digest = rows.iter().find(|(name, _)| *name == whole).context("it is not there")?.1;
            names.extend(rows.iter().filter(|(_, of)| *of == digest).map(|(name, _)| *name));
        }
        if !names.is_empty() {
            self.ctr(&[&["images", "rm", "--sync"], &names[..]].concat())?;
        }
        Ok(())
    }

    /// Runs the steps of `kind load docker-image`: checks each image twice, one after another, and if one is missing
    /// writes all to a file and loads that. It checks with `ctr` instead of `crictl`, which the node lacks.
    fn load_as_kind(&self, images: &[String]) -> Result<Duration> {
        let since = Instant::now();
        let mut lacks = false;
        for image in images {
            docker(&["image", "inspect", "--format", "{{.Id}}", image])?;
            let filter = format!("name==docker.io/library/{image}");
            for _ in 0..2 {
                lacks |= self.ctr(&["images", "ls", "--quiet", &filter])?.is_empty();
            }
        }
        if lacks {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("images.tar");
            let path = file.to_string_lossy();
            let names: Vec<&str> = images.iter().map(String::as_str).collect();
            docker(&[&["save", "--output", &path], &names[..]].concat())?;
            docker(&["exec", &self.name, "containerd", "config", "dump"])?;
            let mut import = Command::new("docker");
            import.args(["exec", "--interactive", &self.name, "ctr", "--namespace=k8s.io"]);
            import.args(["images", "import", "--all-platforms", "--digests"]);
            import.args(["--snapshotter=overlayfs", "-"]);
            let ran = import.stdin(std::fs::File::open(&file)?).output()?;
            ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        Ok(since.elapsed())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = docker(&["rm", "--force", "--volumes", &self.name]);
    }
}

fn docker(args: &[&str]) -> Result<String> {
    let ran = Command::new("docker").args(args).stdin(Stdio::null()).output()?;
    let words = || String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    ensure!(ran.status.success(), "docker {}: {}", args.join(" "), words());
    Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
}
