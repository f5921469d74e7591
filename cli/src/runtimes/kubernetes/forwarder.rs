//! The way to the gateway where the cluster itself publishes no port of this machine: a process in the background that listens
//! on loopback, and opens a stream through the API server for each connection that comes in. It finds the next ready pod by
//! itself, so that it outlives every one of them.

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

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{GATEWAY, HTTP_PORT};
use crate::{
    background::{self, FirstWord},
    error::{CliError, Result},
    kubernetes::{Cluster, forward::Pods, pods},
    process,
    state::{ClusterRecord, Environment},
};

/// What it is called in its own log.
const FORWARD: &str = "forward";
/// How long a connection waits for a pod that is ready; a gateway is replaced within that.
const POD_WAIT_MAX: Duration = Duration::from_secs(20);
/// How often it is looked for one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to end.
const END_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended.
const LOOK_WHETHER_ENDED_EVERY: Duration = Duration::from_millis(5);

/// Listens, and carries everything to the gateway, until it is ended.
///
/// # Errors
/// [`CliError::PortTaken`], or whatever keeps it from beginning.
pub(crate) async fn forward(environment: &Environment) -> Result<()> {
    let record = environment.cluster()?;
    let record = record.ok_or_else(|| CliError::NotRunning { name: environment.name().clone() })?;
    // Never closed by hand: only the end of the process lets go of it.
    std::mem::forget(lock(environment, &record)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, record.port)).await;
    let listener = listener.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => CliError::PortTaken { port: record.port, holder: None },
        _ => CliError::Io { what: format!("listen on port {}", record.port), source: error },
    })?;
    let cluster = Cluster::connect(&record.target).await?;
    let way = Arc::new(Way::new(cluster, &record));
    background::note(FORWARD, &format!("Forwarding port {} to {}", record.port, record.server));
    // Whoever started it may be gone.
    let _unheard = background::say(&FirstWord::Listening);
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

/// The way to the pods of a gateway.
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

    /// Carries one connection. Nothing of it is lost by trying another pod: no byte has gone to the one before.
    async fn carry(&self, mut guest: TcpStream) -> Result<()> {
        // Questions and answers are small, and each is waited for.
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
                    // How it ends is for the two to say: a connection that breaks is tried again by who asked.
                    let _ended = copy_bidirectional(&mut guest, &mut stream).await;
                    return Ok(());
                }
                Err(error) if since.elapsed() >= POD_WAIT_MAX => return Err(error.into()),
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// Sees that the way to an environment on a cluster is there, if it leads through a process of ours: that may have ended with
/// the terminal session in which it was started.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn find_way(environment: &Environment) -> Result<()> {
    match environment.cluster()? {
        Some(record) if record.is_forwarded => ensure(environment, &record),
        _ => Ok(()),
    }
}

/// Starts the process in the background unless it runs, and returns when it listens. One that leads from another port, or to
/// another cluster, is ended first.
///
/// # Errors
/// [`CliError::PortTaken`], or why it did not start.
pub(super) fn ensure(environment: &Environment, record: &ClusterRecord) -> Result<()> {
    let port = record.port;
    let since = Instant::now();
    while let Some(holder) = holder(environment)? {
        match holder.leads {
            Some(leads) if leads == leads_as(record) => return Ok(()),
            Some(_) => ask_to_end(holder.pid, since)?,
            None => give_up_after(since)?,
        }
        std::thread::sleep(LOOK_WHETHER_ENDED_EVERY);
    }
    let path = environment.logs().join("forward.log");
    let log = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(CliError::io(|| format!("write {}", path.display())))?;
    let mut child = std::process::Command::new(background::program_file())
        .args([FORWARD, "--name"])
        .arg(environment.name().to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(CliError::io(|| "start the process that forwards to the gateway".into()))?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        // It says one word and then nothing more.
        stdout.read_to_end(&mut said).map_err(CliError::io(|| "listen to it".into()))?;
    }
    let word = serde_json::from_slice(&said).ok();
    if !matches!(word, Some(FirstWord::Listening)) {
        // It holds the lock until it has ended, and is not to be taken for another.
        let _ended = child.wait().map_err(CliError::io(|| "wait for its end".into()))?;
    }
    match word {
        Some(FirstWord::Listening) => Ok(()),
        Some(FirstWord::PortTaken { .. }) => {
            let holder = process::port_holder(port).map(|holder| holder.to_string());
            Err(CliError::PortTaken { port, holder })
        }
        // Another command was quicker.
        _ if holder(environment)?.is_some() => Ok(()),
        Some(FirstWord::Failed { reason }) => {
            Err(CliError::NotStarted { reason, last_lines: Vec::new() })
        }
        None => Err(CliError::NotStarted {
            reason: "the process that forwards to the gateway ended at once".into(),
            last_lines: Vec::new(),
        }),
    }
}

/// Ends the process, if it runs.
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

/// Asks the process to end, and insists if it was asked long ago.
fn ask_to_end(pid: Option<u32>, since: Instant) -> Result<()> {
    let end = if since.elapsed() < END_WAIT_MAX { process::terminate } else { process::kill };
    if let Some(pid) = pid {
        end(pid).map_err(CliError::io(|| format!("end the process {pid}")))?;
    }
    give_up_after(since)
}

fn give_up_after(since: Instant) -> Result<()> {
    if since.elapsed() > END_WAIT_MAX * 2 {
        return Err(CliError::failed("the process that forwards to the gateway does not end"));
    }
    Ok(())
}

/// The process, as its lock file tells of it.
struct Holder {
    pid: Option<u32>,
    /// From where to where it leads; nothing for one that has just come, and has not written it yet.
    leads: Option<String>,
}

/// Returns from where to where the process is to lead.
fn leads_as(record: &ClusterRecord) -> String {
    let context = record.target.context.as_deref().unwrap_or_default();
    format!("{} to {} {context}", record.port, record.server)
}

/// Returns whether the process runs, and which it is: the lock tells, not what is written in it.
fn holder(environment: &Environment) -> Result<Option<Holder>> {
    let path = environment.forward_lock();
    let mut file = match File::open(&path) {
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
            // One of an older version says only who it is.
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
            return Err(CliError::failed("another process forwards to this gateway already"));
        }
        Err(TryLockError::Error(source)) => return Err(broken(source)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        // At once, so that nobody reads a part of it.
        file.write_all(format!("{}\n{}\n", std::process::id(), leads_as(record)).as_bytes())
    };
    write(&mut file).map_err(broken)?;
    Ok(file)
}
