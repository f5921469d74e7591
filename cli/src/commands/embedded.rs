use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    thread::sleep,
    time::{Duration, Instant},
};

use ::embedded::{Embedded, EmbeddedConfig};
use clap::Args;
use contracts::Timestamp;
use files::open_regular;

use crate::{
    background::{self, StartMessage},
    config::{Durability, PORT_DEFAULT, Settings},
    error::{CliError, Result},
    runtimes::{Program, embedded},
    signals::Signals,
    state::{Environment, EnvironmentRecord, write_record},
};

/// How long the start waits for the lock, which another command may hold for a look, or the last process until its end.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
/// How many ports from the default one on are tried.
const PORTS_TRIED_MAX: u16 = 100;

/// Run all services in this process, in the background, with the settings in the state folder
#[derive(Debug, Args)]
pub(crate) struct EmbeddedArgs {
    /// End when the starting command ends
    #[arg(long)]
    attached: bool,
}

/// Returns how many threads answer requests: half of the cores, since the writers of the databases have as much to do. On two cores
/// one thread instead of two saves 7 % of the CPU of an order at 50 orders a second: it wakes half as often.
fn request_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

pub(crate) fn run(args: &EmbeddedArgs, environment: &Environment) -> Result<()> {
    leave_the_terminal(args);
    service::http::raise_open_files_max();
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(request_threads())
        .enable_all()
        .build()
        .map_err(CliError::io(|| "start the runtime".into()))
        .and_then(|runtime| {
            let result = runtime.block_on(run_environment(environment));
            // All services are closed; blocking calls must not delay the exit.
            runtime.shutdown_background();
            result
        });
    match result {
        // A signal is the normal end.
        Err(error) if error.is_signal() => Ok(()),
        Err(error) => {
            // The starting command may be gone, or has read its message already; then the log has the error.
            let _unheard = background::send(&StartMessage::of_error(&error));
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

/// Leaves the terminal's session, so that neither Ctrl-C nor a hang-up there ends this process.
fn leave_the_terminal(args: &EmbeddedArgs) {
    background::leave_the_terminal();
    #[cfg(target_os = "linux")]
    if args.attached {
        // Without it, a killed `up --foreground` would leave an orphan.
        let _unsupported =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    #[cfg(not(target_os = "linux"))]
    let _not_here = args.attached;
}

async fn run_environment(environment: &Environment) -> Result<()> {
    let mut signals = Signals::take_over()?;
    // Never dropped: the lock must be free only once the process has ended, since others wait for it.
    std::mem::forget(lock(environment)?);
    let settings = environment
        .last_settings()?
        .ok_or_else(|| CliError::failed("the state folder has no settings"))?;
    let services = signals.or(open(environment, &settings)).await?;
    let program = Program::this();
    let record = EnvironmentRecord {
        address: services.address(),
        market_sim_address: services.market_sim_address(),
        pid: std::process::id(),
        version: program.version,
        build: program.build,
        settings,
        started_at: Timestamp::now(),
    };
    write_record(&environment.record_file(), &record)?;
    background::note("embedded", &format!("Started the environment at http://{}", record.address));
    // The starting command may have closed the pipe; it reads the record then.
    let _unheard = background::send(&StartMessage::Listening);
    let signal = signals.next().await;
    background::note("embedded", &format!("Stopping the environment: {signal}"));
    services.close().await;
    embedded::forget_record(environment)?;
    background::note("embedded", "Stopped the environment");
    Err(signal)
}

/// Takes the lock, and writes the process id into the file.
fn lock(environment: &Environment) -> Result<File> {
    let path = environment.lock_file();
    let broken = |source| CliError::Io { what: format!("lock {}", path.display()), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(broken)?;
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if since.elapsed() < LOCK_WAIT_MAX => {
                sleep(Duration::from_millis(1))
            }
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::failed("another process runs the environment already"));
            }
            Err(TryLockError::Error(source)) => return Err(broken(source)),
        }
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(broken)?;
    Ok(file)
}

/// Starts the services at the port of the settings, or at the first free one from the default on.
async fn open(environment: &Environment, settings: &Settings) -> Result<Embedded> {
    if let Some(port) = settings.port {
        return open_at(port, environment, settings).await;
    }
    for port in (PORT_DEFAULT..PORT_DEFAULT + PORTS_TRIED_MAX).filter(|port| is_free(*port)) {
        match open_at(port, environment, settings).await {
            // Another process has taken the port meanwhile.
            Err(CliError::PortTaken { .. }) => {}
            answer => return answer,
        }
    }
    Err(CliError::PortTaken { port: PORT_DEFAULT, holder: None })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

async fn open_at(port: u16, environment: &Environment, settings: &Settings) -> Result<Embedded> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Embedded::open(embedded_config(address, environment, settings)?).await.map_err(|error| {
        match is_address_in_use(&error) {
            true => CliError::PortTaken { port, holder: None },
            false => CliError::Other(error.into()),
        }
    })
}

fn is_address_in_use(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::AddrInUse)
}

fn embedded_config(
    address: SocketAddr,
    environment: &Environment,
    settings: &Settings,
) -> Result<EmbeddedConfig> {
    let pepper = environment.key_pepper_file();
    let mut config = EmbeddedConfig::new(environment.data());
    config.logs = Some(environment.logs());
    config.address = address;
    config.admin_key = environment.admin_key()?;
    config.key_pepper = open_regular(&pepper)
        .and_then(io::read_to_string)
        .map_err(CliError::io(|| format!("read {}", pepper.display())))?
        .trim()
        .to_owned();
    config.durability = match settings.durability {
        Durability::Process => store::Durability::Process,
        Durability::Power => store::Durability::Power,
    };
    config.cooking_time = settings.cooking_time;
    config.stoves = settings.stoves.get();
    config.seed = settings.seed;
    config.schema_prefix = environment.name().schema_prefix();
    config.database_url = settings.database_url.as_ref().map(|url| url.reveal().to_owned());
    config.market_url = settings.market_url.clone();
    if let Some(filter) = &settings.log_filter {
        config.log_filter.clone_from(filter);
    }
    Ok(config)
}
