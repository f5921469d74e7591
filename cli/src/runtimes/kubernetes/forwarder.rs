//! The forwarder to the gateway, for clusters that publish no port on this machine: a background process that listens
//! on loopback, and opens a stream through the API server for each connection. It chooses a ready pod for each, so it
//! outlives any pod.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cluster::{Cluster, START_WAIT_MAX, forward::Pods, pods};
use files::open_regular;
use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    time::sleep,
};

use super::{GATEWAY, HTTP_PORT, session::followed};
use crate::{
    background::{self, StartMessage},
    error::{CliError, Result},
    process,
    state::{ClusterRecord, Environment},
};

/// Its name in its own log.
const FORWARD: &str = "forward";
/// How long a connection waits for a ready pod; replacing a gateway takes less.
const POD_WAIT_MAX: Duration = Duration::from_secs(20);
/// How often it looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the process may take to end.
const END_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often its end is checked.
const LOOK_WHETHER_ENDED_EVERY: Duration = Duration::from_millis(5);

/// Listens, and forwards every connection to the gateway, until a signal.
///
/// # Errors
/// [`CliError::PortTaken`], or the reason why it can't start.
pub(crate) async fn forward(environment: &Environment) -> Result<()> {
    let record = environment.cluster()?;
    let record = record.ok_or_else(|| CliError::NotRunning { name: environment.name().clone() })?;
    // Never dropped: the lock is released only by the end of the process.
    std::mem::forget(lock(environment, &record)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, record.port)).await;
    let listener = listener.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => CliError::PortTaken { port: record.port, holder: None },
        _ => CliError::Io { what: format!("listen on port {}", record.port), source: error },
    })?;
    let cluster = Cluster::connect(&record.target, START_WAIT_MAX, |_| ()).await?;
    let way = Arc::new(Way::new(cluster, &record));
    background::note(FORWARD, &format!("Forwarding port {} to {}", record.port, record.server));
    // The starting command may be gone.
    let _unheard = background::send(&StartMessage::Listening);
    loop {
        match listener.accept().await {
            Ok((guest, _)) => {
                let way = Arc::clone(&way);
                tokio::spawn(async move {
                    if let Err(error) = way.carry(guest).await {
                        background::note(FORWARD, &background::chain(&error));
                    }
                });
            }
            // Too many files are open: some will be closed.
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// The gateway's pods, and the cluster through which they are reached.
#[derive(Debug)]
struct Way {
    cluster: Cluster,
    namespace: String,
    pods: Pods,
    turn: AtomicUsize,
}

impl Way {
    fn new(cluster: Cluster, record: &ClusterRecord) -> Self {
        let selector = format!("{}={GATEWAY}", pods::SERVICE);
        let pods = Pods::watch(&cluster, &record.namespace, &selector);
        Self { cluster, namespace: record.namespace.clone(), pods, turn: AtomicUsize::new(0) }
    }

    /// Forwards one connection. Trying another pod loses nothing: the first one has received no byte.
    async fn carry(&self, mut guest: TcpStream) -> Result<()> {
        // Requests and answers are small, and each waits for the other.
        let _slower = guest.set_nodelay(true);
        let since = Instant::now();
        loop {
            let ready = self.pods.ready();
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let Some(pod) = ready.get(turn % ready.len().max(1)) else {
                if since.elapsed() >= POD_WAIT_MAX {
                    return Err(CliError::failed("no pod of the gateway is ready"));
                }
                sleep(LOOK_EVERY).await;
                continue;
            };
            match self.cluster.connect_to(&self.namespace, pod, HTTP_PORT).await {
                Ok(mut stream) => {
                    // A broken connection is the client's to retry.
                    let _ended = copy_bidirectional(&mut guest, &mut stream).await;
                    return Ok(());
                }
                Err(error) if since.elapsed() >= POD_WAIT_MAX => return Err(error.into()),
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// Starts the forwarder of an environment if it needs one and none runs: it may have ended with the terminal session in
/// which it was started.
///
/// # Errors
/// As [`ensure`].
pub(crate) async fn find_way(environment: &Environment) -> Result<()> {
    match environment.cluster()? {
        Some(record) if record.is_forwarded => {
            ensure(environment, &followed(record, environment)?).await
        }
        _ => Ok(()),
    }
}

/// Returns whether the forwarder runs and leads to the gateway of a record.
///
/// # Errors
/// [`CliError::Io`] if the state folder can't be read.
pub(super) fn leads_to(environment: &Environment, record: &ClusterRecord) -> Result<bool> {
    let holder = holder(environment)?;
    Ok(holder.is_some_and(|holder| holder.leads == Some(leads_as(record))))
}

/// Starts the forwarder in the background unless it runs, and returns when it listens. One with another port or another
/// cluster is ended first.
///
/// # Errors
/// [`CliError::PortTaken`], or the reason why it did not start.
pub(super) async fn ensure(environment: &Environment, record: &ClusterRecord) -> Result<()> {
    let port = record.port;
    let since = Instant::now();
    while let Some(holder) = holder(environment)? {
        match holder.leads {
            Some(leads) if leads == leads_as(record) => return Ok(()),
            Some(_) => ask_to_end(holder.pid, since)?,
            None => give_up_after(since)?,
        }
        sleep(LOOK_WHETHER_ENDED_EVERY).await;
    }
    let path = environment.logs().join("forward.log");
    let log = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(CliError::io(|| format!("write {}", path.display())))?;
    let mut child = Command::new(background::program_file())
        .args([FORWARD, "--name"])
        .arg(environment.name().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(CliError::io(|| "start the forwarder".into()))?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        // It writes one message and closes the pipe.
        let read = stdout.read_to_end(&mut said).await;
        let _length = read.map_err(CliError::io(|| "read from the forwarder".into()))?;
    }
    let message = serde_json::from_slice(&said).ok();
    if !matches!(message, Some(StartMessage::Listening)) {
        // It holds the lock until it has ended.
        let ended = child.wait().await;
        let _status = ended.map_err(CliError::io(|| "wait for the forwarder".into()))?;
    }
    match message {
        Some(StartMessage::Listening) => Ok(()),
        Some(StartMessage::PortTaken { .. }) => {
            let holder = process::port_holder(port).map(|holder| holder.to_string());
            Err(CliError::PortTaken { port, holder })
        }
        // Another command has started one meanwhile.
        _ if holder(environment)?.is_some() => Ok(()),
        Some(StartMessage::Failed { reason }) => {
            Err(CliError::NotStarted { reason, last_lines: Vec::new() })
        }
        None => Err(CliError::NotStarted {
            reason: "the forwarder ended at once".into(),
            last_lines: Vec::new(),
        }),
    }
}

/// Ends the forwarder, if it runs.
///
/// # Errors
/// [`CliError::Failed`] if it does not end.
pub(crate) async fn end(environment: &Environment) -> Result<()> {
    let since = Instant::now();
    while let Some(holder) = holder(environment)? {
        ask_to_end(holder.pid, since)?;
        sleep(LOOK_WHETHER_ENDED_EVERY).await;
    }
    Ok(())
}

/// Sends SIGTERM to the process, and SIGKILL later.
fn ask_to_end(pid: Option<u32>, since: Instant) -> Result<()> {
    let end = if since.elapsed() < END_WAIT_MAX { process::terminate } else { process::kill };
    if let Some(pid) = pid {
        end(pid).map_err(CliError::io(|| format!("end the process {pid}")))?;
    }
    give_up_after(since)
}

fn give_up_after(since: Instant) -> Result<()> {
    if since.elapsed() > END_WAIT_MAX * 2 {
        return Err(CliError::failed("the forwarder does not end"));
    }
    Ok(())
}

/// The running forwarder, by its lock file.
struct Holder {
    pid: Option<u32>,
    /// The port and the cluster that it forwards between; `None` for one that has just started.
    leads: Option<String>,
}

/// Returns the port and the cluster between which a forwarder is wanted.
fn leads_as(record: &ClusterRecord) -> String {
    let context = record.target.context.as_deref().unwrap_or_default();
    format!("{} to {} {context}", record.port, record.server)
}

/// Returns the running forwarder. The lock decides whether it runs, not the content of the file.
fn holder(environment: &Environment) -> Result<Option<Holder>> {
    let path = environment.forward_lock();
    let mut file = match open_regular(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CliError::Io { what: format!("open {}", path.display()), source });
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _unreadable = file.read_to_string(&mut text);
            let mut lines = text.lines();
            let pid = lines.next().and_then(|pid| pid.trim().parse().ok());
            // One of an older version writes only its process id.
            let leads = pid.map(|_| lines.next().unwrap_or_default().to_owned());
            Ok(Some(Holder { pid, leads }))
        }
        Err(TryLockError::Error(source)) => {
            Err(CliError::Io { what: format!("lock {}", path.display()), source })
        }
    }
}

fn lock(environment: &Environment, record: &ClusterRecord) -> Result<File> {
    let path = environment.forward_lock();
    let broken = |source| CliError::Io { what: format!("lock {}", path.display()), source };
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(broken)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(CliError::failed("another forwarder to this gateway runs already"));
        }
        Err(TryLockError::Error(source)) => return Err(broken(source)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        // In one write, so that no reader sees a part of it.
        file.write_all(format!("{}\n{}\n", std::process::id(), leads_as(record)).as_bytes())
    };
    write(&mut file).map_err(broken)?;
    Ok(file)
}
