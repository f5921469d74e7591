//! The restaurant on a real cluster, if a variable names one: a context of the user's kubeconfig, or the node image of
//! a kind cluster to create.
//!
//! ```text
//! CHEFCITO_TEST_CONTEXT=kind-test                        cargo test -p chefcito --test it real_cluster -- --nocapture
//! CHEFCITO_TEST_KIND_IMAGE=kindest/node:v1.33.1          … needs the program kind, and an engine
//! ```
//!
//! The services' images are built of this checkout first. Those of PostgreSQL and Redis come from the engine where it has them;
//! else the node pulls them. What else `chefcito up` would need there is taken from the environment, as `CHEFCITO_PUSH`. An
//! environment that is there already is left alone.

mod staging;

use std::{
    env,
    ffi::OsStr,
    fs,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use contracts::services::{ALL, GATEWAY, ORDERS};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use crate::{
    chefcito::{Home, Ran},
    compose_answers,
};

/// A context of the user's kubeconfig, of a cluster that may be used for tests.
const CONTEXT: &str = "CHEFCITO_TEST_CONTEXT";
/// The image of the node of a kind cluster.
const KIND_IMAGE: &str = "CHEFCITO_TEST_KIND_IMAGE";
/// The databases.
const DATABASES: [&str; 2] = ["postgres", "redis"];
/// How long a first `up` may take: a node has to start, and images are pulled.
const PATIENT: &str = "600s";

/// A home with the cluster, the engine and the programs of the user who runs the tests.
struct Real {
    home: Home,
    name: String,
    up: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

/// One test at a time uses the cluster: the first one creates it.
static TURN: Mutex<()> = Mutex::new(());

impl Real {
    /// Returns the cluster; `None`, with a printed line, if no variable names one, which is not a failure.
    fn find(name: &str) -> Option<Self> {
        let (flag, value) = match (env::var(CONTEXT), env::var(KIND_IMAGE)) {
            (Ok(context), _) => ("--context", context),
            (_, Ok(image)) => ("--node-image", image),
            _ => {
                test_support::elsewhere(&format!("a real cluster; set {CONTEXT} or {KIND_IMAGE}"));
                return None;
            }
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        build();
        // The gateway of the default environment has a port of kind's node.
        let name = match flag == "--context" || is_taken(name) {
            true => format!("{name}-{}", std::process::id()),
            false => name.into(),
        };
        let up = ["up", "--runtime", "kubernetes", "--timeout", PATIENT, flag, &value];
        let up = up.map(ToOwned::to_owned).to_vec();
        Some(Self { home: Home::new(), name, up, _turn: turn })
    }

    fn command(&self, args: &[&str]) -> Command {
        // Before what is for a program in a pod.
        let (name, rest) = args.split_at(1);
        self.plain_command(&[name, &["--name", &self.name], rest].concat())
    }

    /// A command with the user's variables, but with none of the user's environments.
    fn plain_command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.env_remove("DOCKER_HOST");
        let is_theirs = |name: &OsStr| {
            let is_setting = name.to_string_lossy().starts_with("CHEFCITO_");
            !is_setting || name == "CHEFCITO_PUSH"
        };
        command
            .envs(env::vars_os().filter(|(name, _)| is_theirs(name)))
            .env("XDG_STATE_HOME", self.home.path().join(".local/state"))
            // The images are those of the checkout.
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.finish(args, self.start(args))
    }

    fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    fn finish(&self, args: &[&str], child: Child) -> Ran {
        self.home.finish(args, child)
    }

    fn must(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    fn up(&self, more: &[&str]) -> Ran {
        let args: Vec<&str> =
            self.up.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.must(&args)
    }

    /// Runs a step, and prints how long it took.
    #[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
    fn timed(&self, what: &str, work: impl FnOnce(&Self) -> Ran) -> Ran {
        let since = Instant::now();
        let ran = work(self);
        println!("{what}: {:.2} s", since.elapsed().as_secs_f64());
        ran
    }

    /// The record of the cluster.
    fn record(&self) -> Value {
        let record = self.home.state().join(&self.name).join("cluster.json");
        serde_json::from_slice(&fs::read(record).unwrap()).unwrap()
    }

    /// Returns whether the node's own port leads to the gateway.
    fn is_at_the_node(&self) -> bool {
        self.record()["is_forwarded"] == false
    }

    /// Asks the cluster itself, as `kubectl` does.
    fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> T) -> T {
        let place = self.record()["place"].clone();
        let kubeconfig = match place["kubeconfig"].as_str() {
            Some(own) => Kubeconfig::read_from(own),
            None => Kubeconfig::read(),
        };
        let context = place["context"].as_str().map(ToOwned::to_owned);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let options = KubeConfigOptions { context, ..Default::default() };
            let config = Config::from_custom_kubeconfig(kubeconfig.unwrap(), &options).await;
            question(Client::try_from(config.unwrap()).unwrap()).await
        })
    }

    /// Deletes all pods of a service, as `kubectl delete pod` does.
    fn delete_pods(&self, service: &str) {
        self.ask(async |client| {
            let pods: Api<Pod> = Api::namespaced(client, &self.name);
            let of_service =
                ListParams::default().labels(&format!("app.kubernetes.io/name={service}"));
            assert!(!pods.list(&of_service).await.unwrap().items.is_empty(), "no pod of {service}");
            pods.delete_collection(&DeleteParams::default(), &of_service).await.unwrap();
        });
    }

    /// Orders at a rate for a while; returns the command, its arguments and its ledger.
    fn order(&self, rate: u32, long: Duration) -> (Child, Vec<String>, String) {
        let ledger = self.home.path().join(format!("{rate}.ledger")).display().to_string();
        let count = (u64::from(rate) * long.as_secs()).to_string();
        let rate = rate.to_string();
        let args = [
            "order",
            "--count",
            &count,
            "--rate",
            &rate,
            "--json",
            "--timeout",
            "300s",
            "--ledger",
            &ledger,
        ];
        (self.start(&args), args.map(ToOwned::to_owned).to_vec(), ledger)
    }

    /// Asserts that every order is delivered, and the audit finds nothing; returns the figures.
    fn is_whole(&self, (child, args, ledger): (Child, Vec<String>, String)) -> Value {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let ordered = self.finish(&args, child);
        assert_eq!(ordered.code, Some(0), "{ordered}");
        let figures: Value = serde_json::from_str(&ordered.stdout).unwrap();
        let count: Value = args[2].parse::<u64>().unwrap().into();
        assert_eq!((&figures["accepted"], &figures["delivered"]), (&count, &count), "{ordered}");
        self.must(&["audit", "--timeout", "120s", "--ledger", &ledger]);
        figures
    }
}

/// Builds the services' images, as a user would; costs nothing if they are up to date.
fn build() {
    let mut build = Command::new(env!("CARGO_BIN_EXE_chefcito"));
    let built = build.arg("build").current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(built.is_ok_and(|built| built.success()), "the images can't be built");
}

/// Returns whether the kind cluster has an environment of that name.
fn is_taken(name: &str) -> bool {
    let kind = |args: &[&str]| Command::new("kind").args(args).output();
    let Ok(kubeconfig) = kind(&["get", "kubeconfig", "--name", "chefcito"]) else { return false };
    if !kubeconfig.status.success() {
        return false;
    }
    let kubeconfig = Kubeconfig::from_yaml(&String::from_utf8(kubeconfig.stdout).unwrap()).unwrap();
    let options = KubeConfigOptions::default();
    let name = name.to_owned();
    let asked = async move {
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let namespaces: Api<Namespace> = Api::all(Client::try_from(config).unwrap());
        namespaces.get_opt(&name).await.unwrap().is_some()
    };
    // The caller may run in a runtime already.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    std::thread::spawn(move || runtime.block_on(asked)).join().unwrap()
}

impl Drop for Real {
    #[expect(clippy::print_stderr, reason = "the user who runs the tests has to clean up")]
    fn drop(&mut self) {
        // The home's own cleanup has neither the programs nor the kubeconfig.
        let down = self.run(&["down", "--volumes"]);
        // Without an environment there is nothing to clean up.
        if !matches!(down.code, Some(0 | 3)) {
            eprintln!("`{}` is left on the cluster: {down}", self.name);
        }
    }
}

#[test]
fn a_real_cluster_serves_as_any_other_runtime() {
    let Some(it) = Real::find("chefcito") else { return };
    it.timed("up, the cluster made if it was not there", |it| it.up(&[]));
    it.must(&["down"]);
    it.timed("up with cluster and images there", |it| it.up(&[]));
    let again = it.timed("up again", |it| it.up(&[]));
    assert!(again.stderr.contains("Already up"), "{again}");

    it.must(&["order", "--count", "50"]);
    it.must(&["audit"]);
    let status: Value = serde_json::from_str(&it.must(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["ready"], true, "{status}");
    let logs = it.must(&["logs", "--tail", "all"]);
    for service in ALL {
        assert!(logs.stdout.contains(service), "{service} says nothing: {logs}");
    }
    let version = it.must(&["exec", ORDERS, "--", "/orders", "--version"]);
    assert!(version.stdout.starts_with("orders "), "{version}");
    assert_eq!(it.run(&["exec", ORDERS, "--", "/orders", "--no-such"]).code, Some(2));
    it.must(&["scale", "kitchen=2"]);
    it.must(&["stop"]);
    it.must(&["start"]);

    // Cooking takes no time from here on, so that the stoves do not limit the rate of deliveries.
    let changed = ["--stoves", "9", "--cooking-time", "0s"];
    let one_changed = it.timed("up with one service changed", |it| it.up(&changed));
    assert!(one_changed.stderr.contains("Up in"), "{one_changed}");

    let ordering = it.order(30, Duration::from_secs(90));
    for service in ALL.iter().chain(&DATABASES) {
        it.delete_pods(service);
        std::thread::sleep(Duration::from_secs(8));
    }
    it.is_whole(ordering);

    let ordering = it.order(200, Duration::from_secs(60));
    for service in ALL {
        it.must(&["restart", service]);
    }
    let figures = it.is_whole(ordering);
    assert_eq!((&figures["failed"], &figures["pushed_back"]), (&0.into(), &0.into()), "{figures}");
    // Through a port-forward, a connection ends with its pod; an order is sent again with its key.
    if it.is_at_the_node() {
        assert_eq!(figures["connections_lost"], 0, "while everything is restarted: {figures}");
    }

    it.timed("down", |it| it.must(&["down"]));
}

#[test]
fn orders_come_through_while_the_pod_that_they_come_by_is_deleted() {
    let Some(it) = Real::find("forwarded") else { return };
    it.up(&["--port", "0"]);
    let ordering = it.order(10, Duration::from_secs(5));
    std::thread::sleep(Duration::from_secs(1));
    it.delete_pods(GATEWAY);
    it.is_whole(ordering);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_real_cluster_the_answers_are_those_of_one_process() {
    let Some(it) = Real::find("answers") else { return };
    let near = compose_answers::open(&it.home, "embedded");
    it.up(&["--no-seed", "--cooking-time", "0s", "--port", "0"]);
    let far = compose_answers::guest(&it.home, &it.name, &it.must(&["status", "--json"]));
    compose_answers::answer_alike(&near, &far).await;
}
