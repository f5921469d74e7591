//! The embedded runtime: one background process with all services. Starts, observes and stops it.

mod down;
mod plan;
pub(super) mod probe;
mod restart;
mod start;
mod up;

use std::{
    cell::RefCell,
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::{fs::OpenOptionsExt, process::ExitStatusExt},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use logs::files;
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::{sleep, timeout},
};
use uuid::Uuid;

pub(crate) use self::{
    down::{down, stop_command},
    probe::is_gateway_ready,
    restart::restart,
    start::start_command as start_again,
    up::{dry_run, up},
};
use self::{
    plan::Observed,
    probe::{NotReady, probe},
};
use super::{ChangeLock, Held};
use crate::{
    background::{self, StartMessage},
    config::Settings,
    error::{CliError, Result},
    output::Output,
    postgres, process, runtimes,
    state::{
        EmbeddedState, Environment, EnvironmentRecord, LAST_LINES_MAX, write_private, write_record,
    },
};

/// How long the process may take to end after SIGTERM, before SIGKILL; it completes what it has accepted.
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the process may take to end after SIGKILL.
const KILL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a process that holds the lock may take to write its record, if this command did not start it.
const RECORD_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the files of a killed process may stay locked: the system closes its sockets before its files.
const UNLOCK_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often the state is read while waiting for a change. A read takes some ten microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The size at which the log of the process is rotated; one former log is kept.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// Restores the settings that were overwritten.
///
/// # Errors
/// [`CliError::Io`] if it can't be written.
pub(super) fn restore_settings(
    written_over: Option<Option<Settings>>,
    environment: &Environment,
) -> Result<()> {
    match written_over {
        Some(Some(settings)) => write_record(&environment.settings_file(), &settings),
        Some(None) => remove(environment.settings_file()),
        None => Ok(()),
    }
}

/// Ends a child: SIGTERM, a wait, then SIGKILL.
async fn end(child: &mut Child) -> io::Result<()> {
    let Some(pid) = child.id() else { return Ok(()) };
    process::terminate(pid)?;
    match timeout(STOP_WAIT_MAX, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// Observes what runs.
///
/// # Errors
/// [`CliError::Io`] if the state folder can't be read.
pub(crate) async fn observe(environment: &Environment) -> Result<Observed> {
    let since = Instant::now();
    loop {
        let record = match settled(environment).await? {
            EmbeddedState::Stopped => {
                let state = environment.admin_key_file().exists();
                return Ok(Observed::Nothing { state, crashed: false });
            }
            EmbeddedState::Crashed => return Ok(Observed::Nothing { state: true, crashed: true }),
            EmbeddedState::Starting { pid } => return Ok(Observed::NoRecord { pid }),
            EmbeddedState::Running(record) => record,
        };
        let key = environment.admin_key().unwrap_or_default();
        match probe(record.address, &key).await {
            // It listened before: it is about to end and to release its lock.
            Err(NotReady::Gone(_)) if since.elapsed() < UNLOCK_WAIT_MAX => {
                sleep(LOOK_EVERY).await;
            }
            answer => {
                let ready = answer.is_ok();
                let (empty, locked) = match ready {
                    true => match runtimes::is_empty(environment).await {
                        Ok(empty) => (empty, false),
                        Err(error) => (false, is_about_the_key(&error)),
                    },
                    false => (false, false),
                };
                return Ok(Observed::Running { record, ready, empty, locked });
            }
        }
    }
}

/// Waits for a process that is just starting to write its record.
async fn settled(environment: &Environment) -> Result<EmbeddedState> {
    let since = Instant::now();
    loop {
        match environment.embedded()? {
            EmbeddedState::Starting { .. } if since.elapsed() < RECORD_WAIT_MAX => {
                sleep(LOOK_EVERY).await
            }
            state => return Ok(state),
        }
    }
}

/// Returns whether the admin key is the cause: the environment refuses it, or it is missing or invalid.
fn is_about_the_key(error: &CliError) -> bool {
    const UNAUTHORIZED: u16 = 401;
    matches!(
        error,
        CliError::Problem { status: UNAUTHORIZED, .. }
            | CliError::Unproven(_)
            | CliError::Lacking { .. }
            | CliError::Io { .. }
            | CliError::Other(_)
    )
}

/// Returns whether a text can be the admin key of an environment, `cfk_<id>_<secret>`.
fn is_a_key(text: &str) -> bool {
    const SECRET_BYTES_MIN: usize = 32;
    let parts = text.trim().strip_prefix("cfk_").and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(id, secret)| {
        !id.is_empty()
            && secret.len() >= SECRET_BYTES_MIN
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    })
}

/// Creates the state folder, and each key that is missing or damaged.
///
/// # Errors
/// [`CliError::Lacking`] or [`CliError::Io`] if it can't be written to.
pub(crate) fn create_state(environment: &Environment) -> Result<()> {
    environment.create()?;
    let secret = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    if !environment.admin_key().is_ok_and(|key| is_a_key(&key)) {
        write_private(
            &environment.admin_key_file(),
            format!("cfk_local_{}\n", secret()).as_bytes(),
        )?;
    }
    if !environment.key_pepper_file().exists() {
        write_private(&environment.key_pepper_file(), format!("{}\n", secret()).as_bytes())?;
    }
    Ok(())
}

/// What the start of an environment has made so far, from the first moment on, so that it can be undone.
#[derive(Debug, Default)]
pub(crate) struct Started {
    /// The process.
    process: RefCell<Option<Child>>,
    /// The settings that it overwrote, until the environment listens with the new ones.
    written_over: RefCell<Option<Option<Settings>>>,
}

impl Started {
    /// Ends the process, and restores the settings.
    ///
    /// # Errors
    /// [`CliError::Io`] if something can't be undone.
    async fn undo(&self, environment: &Environment, output: &Output) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            output.status(format_args!("Stopping the environment that this command started"));
            end(&mut process).await.map_err(CliError::io(|| "end the environment".into()))?;
            if matches!(environment.embedded()?, EmbeddedState::Crashed) {
                forget_record(environment)?;
            }
        }
        restore_settings(self.written_over.take(), environment)
    }
}

/// Starts an environment in the background and returns its record once it listens. `started` has its process from the first
/// moment on, so that a caller that gives up can end it.
///
/// # Errors
/// [`CliError::PortTaken`], or [`CliError::NotStarted`] with the last lines of its log; as [`postgres::claim`].
pub(crate) async fn start(
    environment: &Environment,
    settings: &Settings,
    attached: bool,
    wait_max: Duration,
    started: &Started,
) -> Result<EnvironmentRecord> {
    if let Some(url) = &settings.database_url {
        postgres::claim(url, environment).await?;
    }
    *started.written_over.borrow_mut() = Some(environment.last_settings()?);
    write_record(&environment.settings_file(), settings)?;
    forget_record(environment)?;
    let log = open_log(environment)?;
    let mut command = Command::new(background::program_file());
    command.arg("embedded").arg("--name").arg(environment.name().to_string());
    if attached {
        command.arg("--attached");
    }
    // The current folder may be removed; all paths of the environment are absolute.
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().map_err(CliError::io(|| "start the environment".into()))?;
    let stdout = child.stdout.take();
    *started.process.borrow_mut() = Some(child);
    let mut said = Vec::new();
    if let Some(mut stdout) = stdout {
        let listening = timeout(wait_max, stdout.read_to_end(&mut said)).await;
        listening
            .map_err(|_| CliError::NotReady {
                waited: wait_max,
                reason: "it does not listen yet".into(),
            })?
            .map_err(CliError::io(|| "listen to the environment".into()))?;
    }
    let message = serde_json::from_slice(&said).ok();
    if let Some(StartMessage::Listening) = message {
        *started.written_over.borrow_mut() = None;
        return environment.running();
    }
    // It is about to end: there will be no process to end.
    let child = started.process.take();
    let status = match child {
        Some(mut child) => child.wait().await,
        None => Ok(ExitStatus::default()),
    };
    let status = status.map_err(CliError::io(|| "wait for the environment".into()))?;
    restore_settings(started.written_over.take(), environment)?;
    Err(match message {
        Some(StartMessage::PortTaken { port }) => {
            let holder = process::port_holder(port).map(|holder| holder.to_string());
            CliError::PortTaken { port, holder }
        }
        // Databases report a full disk in many ways, few of which are clear.
        Some(StartMessage::Failed { reason }) if environment.disk_is_full() => {
            CliError::NotStarted {
                reason: format!("the disk of {} is full: {reason}", environment.folder().display()),
                last_lines: Vec::new(),
            }
        }
        Some(StartMessage::Failed { reason }) => {
            CliError::NotStarted { reason, last_lines: Vec::new() }
        }
        Some(StartMessage::Listening) | None => CliError::NotStarted {
            reason: end_of(status),
            last_lines: files::last_lines(&environment.logs(), LAST_LINES_MAX).1,
        },
    })
}

fn open_log(environment: &Environment) -> Result<File> {
    let path = environment.logs().join("embedded.log");
    let open = || {
        if fs::metadata(&path).is_ok_and(|file| file.len() > LOG_BYTES_MAX) {
            fs::rename(&path, path.with_extension("log.1"))?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path)
    };
    open().map_err(CliError::io(|| format!("write {}", path.display())))
}

fn end_of(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".into(),
    }
}

/// Waits until the environment answers that it is ready, and fails at once if it ends.
///
/// # Errors
/// [`CliError::NotReady`] with its last answer, or [`CliError::Crashed`].
pub(crate) async fn await_ready(
    environment: &Environment,
    address: SocketAddr,
    wait_max: Duration,
) -> Result<()> {
    let (since, key) = (Instant::now(), environment.admin_key().unwrap_or_default());
    loop {
        let Err(reason) = probe(address, &key).await else { return Ok(()) };
        match environment.embedded()? {
            EmbeddedState::Running(_) | EmbeddedState::Starting { .. } => {}
            EmbeddedState::Stopped | EmbeddedState::Crashed => return Err(environment.crashed()),
        }
        if since.elapsed() >= wait_max {
            return Err(CliError::NotReady { waited: wait_max, reason: reason.to_string() });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The result of stopping a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing was running.
    NothingRan,
    /// Nothing was running; the last process had crashed.
    HadCrashed,
    /// The process ended after SIGTERM.
    Stopped,
    /// The process was killed.
    Killed,
}

/// Stops the environment, and returns when its process has ended.
///
/// # Errors
/// [`CliError::Io`] if it can't be signalled, [`CliError::Failed`] if it does not end after SIGKILL.
pub(crate) async fn stop(environment: &Environment) -> Result<End> {
    let since = Instant::now();
    let mut asked = None;
    let mut killed = false;
    loop {
        let pid = match environment.embedded()? {
            EmbeddedState::Running(record) => Some(record.pid),
            EmbeddedState::Starting { pid } => pid,
            EmbeddedState::Stopped | EmbeddedState::Crashed if killed => {
                forget_record(environment)?;
                return Ok(End::Killed);
            }
            EmbeddedState::Stopped if asked.is_some() => return Ok(End::Stopped),
            EmbeddedState::Stopped => return Ok(End::NothingRan),
            EmbeddedState::Crashed => {
                forget_record(environment)?;
                return Ok(if asked.is_some() { End::Stopped } else { End::HadCrashed });
            }
        };
        if let Some(pid) = pid {
            let signalled = |source| CliError::Io { what: format!("end process {pid}"), source };
            if asked != Some(pid) {
                process::terminate(pid).map_err(signalled)?;
                asked = Some(pid);
            } else if !killed && since.elapsed() > STOP_WAIT_MAX {
                process::kill(pid).map_err(signalled)?;
                killed = true;
            }
        }
        if since.elapsed() > STOP_WAIT_MAX + KILL_WAIT_MAX {
            return Err(CliError::failed("the environment does not end, not even when killed"));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Removes the record of the last process.
///
/// # Errors
/// [`CliError::Io`] if it can't be removed.
pub(crate) fn forget_record(environment: &Environment) -> Result<()> {
    remove(environment.record_file())
}

/// Moves the settings of the last start away: `start` no longer finds any, `down --volumes` still does.
///
/// # Errors
/// [`CliError::Io`] if they can't be moved.
pub(crate) fn forget_settings(environment: &Environment) -> Result<()> {
    let path = environment.settings_file();
    match fs::rename(&path, environment.former_settings_file()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CliError::Io { what: format!("remove {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

fn remove(path: PathBuf) -> Result<()> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CliError::Io { what: format!("remove {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

/// Refuses to remove a state folder of which symbolic links are a part: other files may be where they lead to.
///
/// # Errors
/// [`CliError::Failed`].
pub(crate) fn refuse_links(environment: &Environment) -> Result<()> {
    let folders = [environment.data(), environment.logs(), environment.ledgers()];
    for path in [environment.folder()].into_iter().chain(folders.iter().map(PathBuf::as_path)) {
        if let Ok(target) = fs::read_link(path) {
            let (link, target) = (path.display(), target.display());
            return Err(CliError::Failed {
                what: format!("no files were removed: {link} is a symbolic link to {target}"),
                hint: "remove what is there, then the link, and repeat this command".into(),
                source: None,
            });
        }
    }
    Ok(())
}

/// Removes the state folder with all data.
///
/// # Errors
/// [`CliError::Failed`] as in [`refuse_links`], [`CliError::Io`] if it can't be removed.
pub(crate) fn forget_all(environment: &Environment) -> Result<()> {
    refuse_links(environment)?;
    let folder = environment.folder();
    // No name of an environment begins with a dot.
    let doomed = folder.with_file_name(format!(".{}.{}", environment.name(), std::process::id()));
    // Renamed first, so that a command that waits for the lock does not start in a folder that is being emptied. A command
    // that was about to create a folder in it may do so under the new name, once.
    let mut removed = fs::rename(folder, &doomed).and_then(|()| fs::remove_dir_all(&doomed));
    if removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty) {
        removed = fs::remove_dir_all(&doomed);
    }
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CliError::Io { what: format!("remove {}", folder.display()), source: error })
        }
        _ => Ok(()),
    }
}
