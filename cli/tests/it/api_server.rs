//! A real API server that all tests of this process share, with its controllers and a simulated node. It needs no
//! engine.

mod guard;
mod kubelet;
mod logs;
mod node;
mod pods;
mod streams;

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    process::Child,
    sync::OnceLock,
    time::{Duration, Instant},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

pub(crate) use node::Node;
pub(crate) use pods::Pods;

/// The variable with the folder that `.ci/api-server` prints.
const PROGRAMS: &str = "CHEFCITO_TEST_API_SERVER";

/// The context of a user with all permissions.
pub(crate) const OWNER: &str = "owner";

/// The context of a user with no permissions.
pub(crate) const GUEST: &str = "guest";

/// How long the start may take: it compiles nothing, but shares the machine with all other tests.
const START_MAX: Duration = Duration::from_secs(120);

/// etcd, kube-apiserver and kube-controller-manager. They end when this process does, however it ends.
pub(crate) struct ApiServer {
    kubeconfig: String,
    runtime: Runtime,
    node: Node,
    /// The guard that ends the three when this process ends: a pipe stays open as long as it lives.
    _guard: Child,
}

impl ApiServer {
    /// Returns the shared server; `None`, with a printed line, if it is not built here.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<ApiServer, String>> = OnceLock::new();
        let Some(programs) = env::var_os(PROGRAMS) else {
            test_support::lacking(&format!(
                "a Kubernetes API server; set {PROGRAMS} to what `.ci/api-server` prints"
            ));
            return None;
        };
        // In a thread of its own, because a test may run in a runtime already.
        let start = || std::thread::spawn(move || Self::start(Path::new(&programs))).join();
        let started = SHARED.get_or_init(|| start().unwrap_or_else(|_| Err("it panicked".into())));
        Some(started.as_ref().unwrap_or_else(|why| panic!("the API server did not start: {why}")))
    }

    /// Returns the node that runs all pods.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Runs a future with a client of the owner. For tests that are not async.
    pub(crate) fn ask<T>(&self, question: impl AsyncFnOnce(Client) -> T) -> T {
        self.runtime
            .block_on(async { question(client(&self.kubeconfig, OWNER).await.unwrap()).await })
    }

    /// Returns a kubeconfig with a context for each user; the owner's is the current one.
    pub(crate) fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    fn start(programs: &Path) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("chefcito-api-server-").to_owned();
        // etcd syncs every write, and no data has to survive the machine.
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { folder.tempdir_in(memory) } else { folder.tempdir() };
        let folder = made.map_err(|error| format!("no folder can be made: {error}"))?.keep();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let port = free_port();
        let mut guard = guard::start(programs, &folder, port)
            .map_err(|error| format!("its guard did not start: {error}"))?;
        let kubeconfig = kubeconfig(&folder, port);
        let since = Instant::now();
        let client = loop {
            match runtime.block_on(ready(&kubeconfig)) {
                Ok(client) => break client,
                Err(why) if since.elapsed() > START_MAX => {
                    let log = fs::read_to_string(folder.join("kube-apiserver.log"));
                    return Err(format!("{why}\n{}", log.unwrap_or_default()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        guard::go_on(&mut guard).map_err(|error| format!("its guard is gone: {error}"))?;
        let node = runtime.block_on(Node::start(client, &folder.join("certificates")))?;
        Ok(Self { kubeconfig, runtime, node, _guard: guard })
    }
}

/// Returns a client once the server is ready.
async fn ready(kubeconfig: &str) -> Result<Client, Box<dyn std::error::Error>> {
    let client = client(kubeconfig, OWNER).await?;
    client.request_text(http::Request::get("/readyz").body(Vec::new())?).await?;
    Ok(client)
}

/// Returns a client for a context of a kubeconfig.
pub(crate) async fn client(
    kubeconfig: &str,
    context: &str,
) -> Result<Client, Box<dyn std::error::Error>> {
    let options = KubeConfigOptions { context: Some(context.into()), ..Default::default() };
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    Ok(Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &options).await?)?)
}

/// The server creates its certificate at the start, so only the process that starts it can trust it.
fn kubeconfig(folder: &Path, port: u16) -> String {
    let certificate = folder.join("certificates/apiserver.crt");
    let user = |name| format!("- {{name: {name}, user: {{token: {name}}}}}\n");
    let context = |name| format!("- {{name: {name}, context: {{cluster: test, user: {name}}}}}\n");
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: '{}'}}
users:
{}{}contexts:
{}{}current-context: {OWNER}
",
        certificate.display(),
        user(OWNER),
        user(GUEST),
        context(OWNER),
        context(GUEST),
    )
}

/// Returns a free port, of a range from which no other program takes any.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 19_000;
    const COUNT: u16 = 1_000;
    let drawn = Uuid::new_v4().as_u128();
    (0..COUNT)
        .map(|tried| {
            FIRST + u16::try_from((drawn + u128::from(tried)) % u128::from(COUNT)).unwrap()
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}
