//! Clusters of a simulated program kind: it "creates" the shared API server.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, api::DeleteParams};

use crate::{
    chefcito::{Ran, kill, lives, wait_until},
    cluster::wait_for_absence,
    restaurant::Restaurant,
};

const UP: [&str; 5] = ["up", "--runtime", "kubernetes", "--port", "0"];

/// An environment on a machine with a kind of its own.
struct WithKind {
    restaurant: Restaurant,
}

impl WithKind {
    /// `create` is the shell code that it runs to create a cluster.
    fn open(story: &str, create: &str) -> Option<Self> {
        let restaurant = Restaurant::prepare(story)?;
        let it = Self { restaurant };
        let home = it.restaurant.cluster.home.path();
        let config = home.join(".kube/config");
        let text = fs::read_to_string(&config).unwrap().replace("owner", "kind-chefcito");
        // kind writes its own context; the user is still the owner.
        let text = text.replace("token: kind-chefcito", "token: owner");
        fs::write(home.join("kind.kubeconfig"), text).unwrap();
        fs::remove_file(config).unwrap();
        fs::create_dir(home.join("bin")).unwrap();
        let script = format!(
            "#!/bin/sh
echo \"$*\" >> {home}/kind.log
case \"$1 $2\" in
    'version ') echo 'kind v0.27.0 go1.23.6 linux/amd64' ;;
    'get clusters')
        test ! -e {home}/no-engine || {{ cat {home}/no-engine >&2; exit 1; }}
        cat {home}/clusters 2>/dev/null || echo 'No kind clusters found.' >&2 ;;
    'get kubeconfig') cat {home}/kind.kubeconfig ;;
    'create cluster')
        cat > {home}/kind.yaml
        {create}
        cp {home}/kind.kubeconfig \"${{10}}\"
        echo chefcito > {home}/clusters ;;
    'delete cluster') rm -f {home}/clusters ;;
esac
",
            home = home.display()
        );
        let program = home.join("bin/kind");
        fs::write(&program, script).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        Some(it)
    }

    fn command(&self, args: &[&str]) -> Command {
        let args = [args, &["--name", &self.restaurant.cluster.name]].concat();
        let home = &self.restaurant.cluster.home;
        let mut command = home.command(&args);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let child = self.command(args).spawn().unwrap();
        self.restaurant.cluster.home.finish(args, child)
    }

    fn must(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    fn path(&self, file: &str) -> PathBuf {
        self.restaurant.cluster.home.path().join(file)
    }

    /// The state after the cluster was deleted: a kubeconfig that leads nowhere.
    fn loses_its_cluster(&self) {
        fs::remove_file(self.path("clusters")).unwrap();
        self.kubeconfig_grows_old();
        let name = self.restaurant.cluster.name.as_str();
        self.restaurant.cluster.ask(async |client| {
            let all = Api::<Namespace>::all(client);
            all.delete(name, &DeleteParams::default()).await.unwrap();
            wait_for_absence(&all, name).await;
        });
    }

    /// Changes the saved kubeconfig to an address where nothing listens.
    fn kubeconfig_grows_old(&self) {
        let path = self.restaurant.folder().join("kubeconfig");
        let text = fs::read_to_string(&path).unwrap();
        let server = text.split_once("server: '").unwrap().1.split_once('\'').unwrap().0;
        let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(path, text.replace(server, &format!("https://{nowhere}"))).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("kind.log")).unwrap_or_default()
    }
}

#[test]
fn a_cluster_is_made_where_there_is_none_and_found_where_there_is() {
    let Some(it) = WithKind::open("made", "echo ' ✓ Preparing nodes' >&2") else { return };
    let plan = it.must(&[&UP[..], &["--dry-run"]].concat());
    assert!(plan.stdout.starts_with("create the kind cluster chefcito\n"), "{plan}");
    assert!(!it.log().contains("create cluster"), "a dry run makes nothing");

    let image = ["--node-image", "kindest/node:v1.33.1"];
    let up = it.must(&[&UP[..], &image, &["--verbose"]].concat());
    assert!(up.stderr.contains("kind: Preparing nodes"), "{up}");
    let made = it.log().lines().find(|line| line.starts_with("create")).unwrap().to_owned();
    assert!(made.contains("--name chefcito"), "{made}");
    assert!(made.contains("--image kindest/node:v1.33.1"), "{made}");
    let config = fs::read_to_string(it.path("kind.yaml")).unwrap();
    assert!(config.contains("\"containerPort\":30073"), "{config}");
    assert!(!it.path(".kube/config").exists(), "the user's own kubeconfig is left alone");
    let marked = it.restaurant.cluster.ask(async |client| {
        let maps: Api<ConfigMap> = Api::namespaced(client, "default");
        maps.get_opt("made-by-chefcito").await.unwrap()
    });
    assert!(marked.is_some());

    it.must(&["order", "--count", "3"]);
    it.must(&["down"]);
    let again = it.must(&UP);
    assert!(again.stderr.contains("of kind-chefcito)"), "{again}");
    assert_eq!(it.log().matches("create cluster").count(), 1);
}

#[test]
fn two_first_ups_at_once_make_one_cluster() {
    let Some(it) = WithKind::open("two", "touch halfway; while [ ! -e go ]; do sleep 0.02; done")
    else {
        return;
    };
    let other = format!("{}-b", it.restaurant.cluster.name);
    it.restaurant.stands_behind(&other);
    let other_up = || {
        let home = &it.restaurant.cluster.home;
        let mut command = home.command(&[&UP[..], &["--name", &other]].concat());
        command.env("PATH", format!("{}:/usr/bin:/bin", it.path("bin").display()));
        command
    };
    let finish = |child| it.restaurant.cluster.home.finish(&UP, child);
    let first = it.command(&UP).spawn().unwrap();
    wait_until("it is being made", || it.path("halfway").exists());

    // A command that waits for it and is interrupted takes nothing from the one that creates it.
    let mut impatient = other_up().spawn().unwrap();
    let mut said = BufReader::new(impatient.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("Waiting for another command that creates"), "{line}");
    kill("-INT", i32::try_from(impatient.id()).unwrap());
    let ran = finish(impatient);
    assert_eq!(ran.code, Some(130), "{ran}");

    let second = other_up().spawn().unwrap();
    fs::write(it.path("go"), "").unwrap();
    for up in [finish(first), finish(second)] {
        assert_eq!(up.code, Some(0), "{up}");
    }
    assert_eq!(it.log().matches("create cluster").count(), 1, "{}", it.log());
    assert!(!it.log().contains("delete cluster"), "{}", it.log());

    // Nor is it removed while another command is about to use it.
    let claim = fs::File::open(it.restaurant.cluster.home.state().join("kind.lock")).unwrap();
    claim.lock_shared().unwrap();
    let home = &it.restaurant.cluster.home;
    let down = ["down", "--volumes"];
    it.must(&down);
    let mut command = home.command(&[&down[..], &["--name", &other]].concat());
    command.env("PATH", format!("{}:/usr/bin:/bin", it.path("bin").display()));
    let ran = home.finish(&down, command.spawn().unwrap());
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(!ran.stderr.contains("Removed the kind cluster"), "{ran}");
    assert!(!it.log().contains("delete cluster"), "{}", it.log());
}

#[test]
fn making_a_cluster_can_be_interrupted_and_hung_up_on() {
    let Some(it) = WithKind::open(
        "halfway",
        "sleep 600 & echo $! > halfway.pid.new; mv halfway.pid.new halfway.pid; wait",
    ) else {
        return;
    };
    for (signals, code) in [(&["-INT"][..], 130), (&["-HUP", "-HUP"], 129)] {
        let child = it.command(&UP).spawn().unwrap();
        wait_until("it is being made", || it.path("halfway.pid").exists());
        // A terminal that is closed sends several.
        for signal in signals {
            kill(signal, i32::try_from(child.id()).unwrap());
        }
        let ran = it.restaurant.cluster.home.finish(&UP, child);
        assert_eq!(ran.code, Some(code), "{ran}");
        assert!(it.log().contains("delete cluster --name chefcito"), "{}", it.log());
        let sleeper = fs::read_to_string(it.path("halfway.pid")).unwrap().trim().parse().unwrap();
        wait_until("what kind has started ends with it", || !lives(sleeper));
        fs::remove_file(it.path("halfway.pid")).unwrap();
        fs::remove_file(it.path("kind.log")).unwrap();
    }
}

#[test]
fn a_cluster_that_a_killed_command_left_incomplete_is_removed() {
    // kind works on when its command is killed, and leaves a cluster without a kubeconfig.
    let Some(it) = WithKind::open(
        "killed",
        "test -e smooth || {
            echo chefcito > clusters; touch halfway
            while [ ! -e go ]; do sleep 0.02; done
            rm go; exit 1
        }",
    ) else {
        return;
    };
    let is_killed = || {
        let mut up = it.command(&UP).spawn().unwrap();
        wait_until("it is being made", || it.path("halfway").exists());
        up.kill().unwrap();
        up.wait().unwrap();
        fs::remove_file(it.path("halfway")).unwrap();
    };
    is_killed();
    let args = ["down", "--volumes"];
    let down = it.command(&args).spawn().unwrap();
    fs::write(it.path("go"), "").unwrap();
    let down = it.restaurant.cluster.home.finish(&args, down);
    assert_eq!(down.code, Some(0), "{down}");
    assert!(down.stderr.contains("Removing the incomplete kind cluster `chefcito`"), "{down}");
    assert!(it.log().contains("delete cluster --name chefcito"), "{}", it.log());
    assert!(!it.path("clusters").exists() && !it.restaurant.folder().exists());

    it.restaurant.stands_behind(&it.restaurant.cluster.name);
    is_killed();
    fs::write(it.path("go"), "").unwrap();
    fs::write(it.path("smooth"), "").unwrap();
    let up = it.must(&UP);
    assert!(up.stderr.contains("Removing the incomplete kind cluster `chefcito`"), "{up}");
    it.must(&["order"]);
    let again = it.must(&UP);
    assert!(again.stderr.contains("Already up"), "{again}");
}

#[test]
fn without_an_engine_kind_can_not_make_a_cluster() {
    let Some(it) = WithKind::open("engineless", "true") else { return };
    let says = "ERROR: failed to list clusters: command \"docker ps\" failed with error: exit status 1\n\
                Command Output: failed to connect to the docker API at unix:///var/run/docker.sock";
    fs::write(it.path("no-engine"), says).unwrap();
    for args in [&UP[..], &[&UP[..], &["--dry-run"]].concat()] {
        let ran = it.run(args);
        assert_eq!(ran.code, Some(7), "{ran}");
        assert!(ran.stderr.contains("it reaches no container engine"), "{ran}");
        assert!(ran.stderr.contains("`chefcito doctor` checks it"), "{ran}");
    }
    fs::remove_file(it.path("no-engine")).unwrap();
}

#[test]
fn the_reason_why_kind_fails_is_reported() {
    let create = "echo 'ERROR: failed to create cluster: too many open files' >&2; exit 1";
    let Some(it) = WithKind::open("failed", create) else { return };
    let ran = it.run(&UP);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("kind could not create a cluster"), "{ran}");
    assert!(ran.stderr.contains("too many open files"), "{ran}");
    assert!(ran.stderr.contains("sysctl fs.inotify.max_user_watches"), "{ran}");
    let namespace = it.restaurant.cluster.ask(async |client| {
        Api::<Namespace>::all(client).get_opt(&it.restaurant.cluster.name).await.unwrap()
    });
    assert!(namespace.is_none());
    let down = it.must(&["down"]);
    assert!(down.stderr.starts_with("Nothing is running as"), "{down}");
}

#[test]
fn a_kind_that_is_too_old_is_named() {
    let Some(it) = WithKind::open("old-kind", "true") else { return };
    let program = it.path("bin/kind");
    let text = fs::read_to_string(&program).unwrap();
    fs::write(&program, text.replace("v0.27.0", "v0.20.0")).unwrap();
    let ran = it.run(&UP);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("kind v0.20.0 is too old: v0.27 is the oldest"), "{ran}");
}

#[test]
fn a_deleted_cluster_is_created_again() {
    let Some(it) = WithKind::open("anew", "true") else { return };
    it.must(&UP);
    it.loses_its_cluster();
    let plan = it.must(&[&UP[..], &["--dry-run"]].concat());
    assert!(plan.stdout.starts_with("create the kind cluster chefcito\n"), "{plan}");
    let gone = it.run(&["logs"]);
    assert_eq!(gone.code, Some(3), "{gone}");
    let up = it.must(&UP);
    assert!(up.stderr.contains("Up in "), "{up}");
    assert_eq!(it.log().matches("create cluster").count(), 2, "{}", it.log());
    it.must(&["order", "--count", "3"]);
    let asked = it.log().lines().count();
    assert!(it.must(&UP).stderr.contains("Already up"));
    assert_eq!(it.log().lines().count(), asked, "kind is asked only where the cluster is silent");
}

#[test]
fn an_environment_of_a_deleted_cluster_can_be_taken_down() {
    let Some(it) = WithKind::open("deleted", "true") else { return };
    let folder = it.restaurant.folder();
    it.must(&UP);
    it.loses_its_cluster();
    let down = it.must(&["down"]);
    assert!(down.stderr.contains("there is no kind cluster `chefcito`"), "{down}");
    let pid = fs::read_to_string(folder.join("forward.lock")).unwrap();
    assert!(!lives(pid.lines().next().unwrap().parse().unwrap()), "the way there has ended");
    it.must(&["down"]);
    let forgotten = it.must(&["down", "--volumes"]);
    assert!(forgotten.stderr.contains("is forgotten"), "{forgotten}");
    assert!(!folder.exists());

    it.restaurant.stands_behind(&it.restaurant.cluster.name);
    it.must(&UP);
    it.loses_its_cluster();
    it.must(&["down", "--volumes"]);
    assert!(!folder.exists());
}

#[test]
fn the_kubeconfig_of_a_cluster_that_was_created_again_is_read_again() {
    let Some(it) = WithKind::open("stale", "true") else { return };
    it.must(&UP);
    it.kubeconfig_grows_old();
    let up = it.must(&UP);
    assert!(up.stderr.contains("Already up"), "{up}");
    assert_eq!(it.log().matches("create cluster").count(), 1, "{}", it.log());
    it.must(&["order"]);
    it.kubeconfig_grows_old();
    it.must(&["down"]);
}

#[test]
fn a_cluster_that_is_there_and_silent_is_not_forgotten() {
    let Some(it) = WithKind::open("silent", "true") else { return };
    it.must(&UP);
    it.kubeconfig_grows_old();
    let stale = it.restaurant.folder().join("kubeconfig");
    let good = it.path("kind.kubeconfig");
    fs::rename(&good, it.path("kept")).unwrap();
    fs::copy(stale, &good).unwrap();
    for command in [&UP[..], &["down"], &["down", "--volumes"]] {
        let ran = it.run(command);
        assert_eq!(ran.code, Some(7), "{ran}");
        let first = ran.stderr.split_once("hint: ").unwrap().1.split_once(';').unwrap().0;
        assert!(first.contains("`docker start chefcito-control-plane`"), "{ran}");
    }

    let no_engine = "Cannot connect to the Docker daemon";
    fs::write(it.path("no-engine"), no_engine).unwrap();
    let ran = it.run(&["down", "--volumes"]);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("no cluster answers at"), "{ran}");
    assert!(ran.stderr.contains("kind needs an engine that answers"), "{ran}");
    fs::remove_file(it.path("no-engine")).unwrap();
    let ran = it.run(&["order"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("the environment did not start: no cluster answers at"), "{ran}");
    fs::rename(it.path("kept"), good).unwrap();
    assert!(it.must(&UP).stderr.contains("Already up"));
    it.must(&["order"]);
}
