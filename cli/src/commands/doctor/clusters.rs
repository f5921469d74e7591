//! Checks for the Kubernetes runtime: a cluster, or kind to make one of containers.

use std::{fs, path::Path, time::Duration};

use cluster::{Cluster, KubeTarget, kind::Kind};
use engine::Engine;

use super::{Check, Verdict, check, program};
use crate::config::Runtime;

/// The folder of the inotify limits. Each node has its own containerd and kubelet, which watch files.
const INOTIFY: &str = "/proc/sys/fs/inotify";
/// The limits that kind asks for.
const INOTIFY_GOOD: [(&str, u64); 2] = [("max_user_watches", 524_288), ("max_user_instances", 512)];

/// Checks kind and what it needs, and the cluster of the current context. One of the two is enough.
pub(super) async fn checks() -> Vec<Check> {
    let target = KubeTarget::of_user(None);
    let (kind, engine, cluster) = tokio::join!(
        Kind::find(),
        Engine::connect(),
        Cluster::connect(&target, Duration::ZERO, |_| ())
    );
    let has_cluster = cluster.is_ok();
    let could_make_one = kind.is_ok() && engine.is_ok();
    let lack = |other: bool| if other { Verdict::Poor } else { Verdict::Lacking };
    let kind = match kind {
        Ok(kind) => of("kind", Verdict::Good, kind.version(), ""),
        Err(error) => {
            of("kind", lack(has_cluster), error.to_string(), &error.hint().unwrap_or_default())
        }
    };
    let engine = match engine {
        Ok(engine) => of("engine for kind", Verdict::Good, engine.host(), ""),
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            of("engine for kind", lack(has_cluster), error.to_string(), &hint)
        }
    };
    let cluster = match cluster {
        Ok(cluster) => of(
            "current context",
            Verdict::Good,
            format!("{}: {} at {}", cluster.context(), cluster.version().text, cluster.server()),
            "",
        ),
        Err(error) => of(
            "current context",
            lack(could_make_one),
            error.to_string(),
            "`chefcito up --runtime kubernetes` makes a kind cluster of its own, `--context` names another one",
        ),
    };
    let mut checks = vec![kind, engine];
    checks.extend(inotify(Path::new(INOTIFY)));
    checks.push(cluster);
    checks.push(kubectl());
    checks
}

fn of(what: &'static str, verdict: Verdict, found: impl Into<String>, hint: &str) -> Check {
    check(Runtime::Kubernetes, what, verdict, found, hint)
}

/// Returns `None` without inotify: then the engine runs on another machine.
fn inotify(folder: &Path) -> Option<Check> {
    let limit = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let limits: Option<Vec<(&str, u64, u64)>> =
        INOTIFY_GOOD.iter().map(|(name, good)| Some((*name, limit(name)?, *good))).collect();
    let limits = limits?;
    let found: Vec<String> = limits.iter().map(|(name, is, _)| format!("{name} {is}")).collect();
    let low = limits.iter().filter(|(_, is, good)| is < good);
    let raise: Vec<String> =
        low.map(|(name, _, good)| format!("fs.inotify.{name}={good}")).collect();
    let verdict = if raise.is_empty() { Verdict::Good } else { Verdict::Poor };
    let hint = format!("raise them: `sudo sysctl {}`", raise.join(" "));
    Some(of("inotify", verdict, found.join(", "), &hint))
}

/// Chefcito never calls it; it is for people who inspect the cluster.
fn kubectl() -> Check {
    let found = match program("kubectl") {
        Some(path) => path.display().to_string(),
        None => "not in PATH; useful, but chefcito does not need it".into(),
    };
    of("kubectl", Verdict::Good, found, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_limits_of_inotify_are_reported_with_a_command() {
        let folder = tempfile::tempdir().unwrap();
        assert!(inotify(folder.path()).is_none(), "another machine's");
        fs::write(folder.path().join("max_user_watches"), "8192\n").unwrap();
        fs::write(folder.path().join("max_user_instances"), "512\n").unwrap();
        let low = inotify(folder.path()).unwrap();
        assert_eq!(low.verdict, Verdict::Poor);
        assert_eq!(low.found, "max_user_watches 8192, max_user_instances 512");
        assert!(low.hint.unwrap().contains("`sudo sysctl fs.inotify.max_user_watches=524288`"));
        fs::write(folder.path().join("max_user_watches"), "524288\n").unwrap();
        assert_eq!(inotify(folder.path()).unwrap().verdict, Verdict::Good);
    }
}
