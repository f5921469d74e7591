//! An environment on the shared cluster. Its pods are simulated; behind its gateway's port is an embedded environment
//! on this machine, so that requests through the cluster get real answers.

use std::{fs, net::SocketAddr, path::PathBuf, process::Child};

use contracts::services::GATEWAY;

use crate::{
    chefcito::{Ran, kill, wait_until},
    cluster::Cluster,
};

/// The name of the embedded environment behind the gateway's port.
const BEHIND: &str = "behind";

/// An environment that can be brought up.
pub(crate) struct Restaurant {
    pub(crate) cluster: Cluster,
    address: SocketAddr,
    secrets: String,
}

impl Restaurant {
    /// Prepares one for a test; `None`, with a printed line, if there is no API server.
    pub(crate) fn prepare(story: &str) -> Option<Self> {
        let cluster = Cluster::open(story)?;
        let secrets = bootstrap::new_env().unwrap();
        let key = secrets.lines().find_map(|line| line.strip_prefix("admin-key=")).unwrap();
        let behind = cluster.home.state().join(BEHIND);
        fs::create_dir_all(&behind).unwrap();
        fs::write(behind.join("admin.key"), format!("{key}\n")).unwrap();
        let up = ["up", "--name", BEHIND, "--port", "0", "--no-seed", "--cooking-time", "0s"];
        let mut command = cluster.home.command(&up);
        // Clients reach it by the port of the way through the cluster.
        command.env("CHEFCITO_PUBLIC_PORT", "0");
        let environment = cluster.home.finish(&up, command.spawn().unwrap());
        assert_eq!(environment.code, Some(0), "{environment}");
        let address = environment.stdout.trim().trim_start_matches("http://");
        let restaurant = Self { address: address.parse().unwrap(), secrets, cluster };
        restaurant.stands_behind(&restaurant.cluster.name);
        Some(restaurant)
    }

    /// Puts an embedded environment of the same home behind the gateway's port.
    pub(crate) fn stands_behind(&self, name: &str) {
        let secrets = self.cluster.home.state().join(name).join("secrets");
        fs::create_dir_all(&secrets).unwrap();
        fs::write(secrets.join("secrets.env"), &self.secrets).unwrap();
        self.cluster.put_behind(name, GATEWAY, self.address);
    }

    /// Prepares one, and brings it up.
    pub(crate) fn open(story: &str) -> Option<Self> {
        let restaurant = Self::prepare(story)?;
        restaurant.must(&[&UP[..], &["--port", "0"]].concat());
        Some(restaurant)
    }

    /// The folder with its state.
    pub(crate) fn folder(&self) -> PathBuf {
        self.cluster.home.state().join(&self.cluster.name)
    }

    /// Kills its forwarder, so that the next command starts another one.
    pub(crate) fn loses_its_forwarder(&self) {
        let path = self.folder().join("forward.lock");
        let text = fs::read_to_string(&path).unwrap();
        kill("-KILL", text.lines().next().unwrap().parse().unwrap());
        // The last of its threads releases the lock.
        let lock = fs::File::open(path).unwrap();
        wait_until("it is gone", || lock.try_lock().is_ok());
    }

    /// Runs a command for it.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let ran = self.cluster.home.run(&self.named(args));
        let plain = |text: String| text.replace(&self.cluster.name, "NAME");
        Ran { stdout: plain(ran.stdout), stderr: plain(ran.stderr), ..ran }
    }

    /// Runs a command for it that must succeed.
    pub(crate) fn must(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    /// Starts a command for it.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.cluster.home.start(&self.named(args))
    }

    fn named<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let at = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
        let (before, after) = args.split_at(at);
        [before, &["--name", self.cluster.name.as_str()], after].concat()
    }
}

/// What brings it up.
pub(crate) const UP: [&str; 5] = ["up", "--runtime", "kubernetes", "--context", "owner"];
