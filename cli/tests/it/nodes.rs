//! Nodes of a simulated kind cluster: containers with a real containerd, and kind's labels.

use std::process::Command;

use crate::{
    checkout::docker,
    chefcito::{Home, wait_until},
};

/// Made by `.ci/base-images node`.
const IMAGE: &str = "chefcito-stand-in:node";
/// It runs on without its containerd, as a real node does.
const START: &str = "containerd >/var/log/containerd.log 2>&1 & echo $! >/run/containerd.pid; wait; exec sleep infinity";

/// A node; removed with the test.
pub(crate) struct PlayedNode {
    pub(crate) name: String,
}

impl PlayedNode {
    /// Starts the first node of a cluster; `None`, with a printed line, if the engine lacks its image.
    pub(crate) fn start(home: &mut Home, cluster: &str) -> Option<Self> {
        if !home.find_engine() {
            return None;
        }
        for (image, from) in
            [(IMAGE, ".ci/base-images node"), ("chefcito-kitchen:dev", "chefcito build")]
        {
            let asked = Command::new("docker").args(["image", "inspect", image]).output();
            if !asked.is_ok_and(|asked| asked.status.success()) {
                test_support::lacking(&format!("the image {image} (`{from}`)"));
                return None;
            }
        }
        Some(Self::of(cluster, "control-plane", &["--volume", "/var/lib/containerd"]))
    }

    /// Starts a node of a cluster.
    pub(crate) fn of(cluster: &str, role: &str, options: &[&str]) -> Self {
        let name = format!("{cluster}-{role}");
        let labels = [
            format!("--label=io.x-k8s.kind.cluster={cluster}"),
            format!("--label=io.x-k8s.kind.role={role}"),
        ];
        let mut args =
            vec!["run", "--detach", "--cap-add=SYS_ADMIN", "--network=none", "--name", &name];
        // A container may not do the mounts of its containerd without this.
        args.extend(["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]);
        args.extend(labels.iter().map(String::as_str));
        args.extend(options);
        docker(&[&args[..], &[IMAGE, "bash", "-c", START]].concat());
        let node = Self { name };
        wait_until("containerd", || node.try_ctr(&["version"]));
        node
    }

    /// Runs a command of its containerd.
    pub(crate) fn ctr(&self, args: &[&str]) -> String {
        docker(&[&["exec", &self.name, "ctr", "--namespace=k8s.io"], args].concat())
    }

    fn try_ctr(&self, args: &[&str]) -> bool {
        let mut command = Command::new("docker");
        command.args(["exec", &self.name, "ctr", "--connect-timeout=1s"]).args(args);
        command.output().is_ok_and(|said| said.status.success())
    }

    /// Returns its images, without those that its containerd adds.
    pub(crate) fn images(&self) -> Vec<String> {
        let said = self.ctr(&["images", "ls", "--quiet"]);
        let names = said.lines().filter_map(|name| name.strip_prefix("docker.io/library/"));
        names.map(str::to_owned).collect()
    }

    /// Ends its containerd, and nothing else.
    pub(crate) fn end_containerd(&self) {
        docker(&["exec", &self.name, "bash", "-c", "kill $(cat /run/containerd.pid)"]);
        wait_until("containerd is gone", || {
            let asked = ["exec", &self.name, "bash", "-c", "! kill -0 $(cat /run/containerd.pid)"];
            Command::new("docker").args(asked).output().is_ok_and(|said| said.status.success())
        });
    }
}

impl Drop for PlayedNode {
    fn drop(&mut self) {
        let _gone =
            Command::new("docker").args(["rm", "--force", "--volumes", &self.name]).output();
    }
}
