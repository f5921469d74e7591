//! Puts a service together: its database, relay, consumer, workers, and the routes that every service has.

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, response::Response};
use contracts::{
    Timestamp,
    api::service::{ServiceStatus, Waiting},
    events::{Envelope, catalogue::Catalogue},
};
use events::{
    Bus, Consumer, ConsumerMetrics, Gathering, Reaction, Relay, consumer, dead_letters, deferred,
    outbox::{self, position},
    retention::{self, RETENTION},
};
use futures_util::FutureExt as _;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use store::{
    Clock, Database, DatabaseMetrics, Execution, Location, Migrations, OpenError, StoreError, Tx,
    jittered, service_span,
};
use tokio::{net::TcpListener, sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, warn};

use crate::{
    backlog::Backlog,
    file_size,
    http::{self, Limits},
    idempotency,
    metrics::Metrics,
    migrations::MIGRATIONS,
    starts,
    startup_retry::StartupRetry,
};

/// How long the database may take when the service says how it is: whoever asks waits a second.
const STATUS_WAIT_MAX: Duration = Duration::from_millis(800);
/// How long the status waits for the writer to save what is published; else it says what the table says.
const SAVE_WAIT_MAX: Duration = Duration::from_millis(200);
/// How often a service looks whether its storage is still there: so long a full disk keeps it from being ready after there is
/// room again.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// The longest pause of a worker whose work fails.
const WORKER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the services of one process share.
#[derive(Clone, Debug)]
pub struct ServiceContext {
    /// Where their data is.
    pub location: Location,
    /// What carries events between them.
    pub bus: Arc<dyn Bus>,
    /// What tells them the time.
    pub clock: Clock,
    /// The metrics of the process.
    pub metrics: Metrics,
    /// How long events are kept.
    pub retention: Duration,
    /// The events that this version knows.
    pub catalogue: Catalogue,
    execution: Execution,
    startup_retry: StartupRetry,
    stop: CancellationToken,
    tasks: TaskTracker,
    databases: Arc<Mutex<Vec<Database>>>,
    consumer_metrics: ConsumerMetrics,
    backlog: Backlog,
    worker_failures: Family<WorkerLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabels {
    service: &'static str,
    worker: &'static str,
}

impl ServiceContext {
    /// Makes the context of a process.
    #[must_use]
    pub fn new(location: Location, bus: Arc<dyn Bus>, clock: Clock) -> Self {
        let metrics = Metrics::default();
        metrics.register(|registry| bus.register(registry));
        let databases: Arc<Mutex<Vec<Database>>> = Arc::default();
        let of_databases = DatabaseMetrics(Arc::clone(&databases));
        let consumer_metrics = ConsumerMetrics::new(clock.clone());
        let (backlog, worker_failures) = (Backlog::default(), Family::default());
        metrics.register(|registry| {
            registry.register_collector(Box::new(of_databases));
            consumer_metrics.register(registry);
            backlog.register(registry);
            let help = "Times that a worker failed and tries again";
            registry.register("worker_failures", help, Family::clone(&worker_failures));
        });
        Self {
            location,
            bus,
            clock,
            metrics,
            retention: RETENTION,
            catalogue: Catalogue::default(),
            execution: Execution::default(),
            startup_retry: StartupRetry::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            databases,
            consumer_metrics,
            backlog,
            worker_failures,
        }
    }

    /// Says how long events are kept; a week if it is not said.
    #[must_use]
    pub const fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Says which events are known, for tests of replicas of several versions.
    #[must_use]
    pub const fn with_catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = catalogue;
        self
    }

    /// Sets where the work of the databases runs; on threads if it is not set.
    #[must_use]
    pub fn with_execution(mut self, execution: Execution) -> Self {
        self.execution = execution;
        self
    }

    /// Says whether a database that is away at the start is waited for.
    pub(crate) fn with_startup_retry(mut self, startup_retry: StartupRetry) -> Self {
        self.startup_retry = startup_retry;
        self
    }

    /// Opens the database of a service, and starts its relay and what removes its old events.
    ///
    /// # Errors
    /// [`OpenError`] if the database can't be opened.
    pub async fn open(
        &self,
        name: &'static str,
        migrations: Migrations,
    ) -> Result<Service, OpenError> {
        file_size::outlast_limit();
        let relay = Relay::new(name, Arc::clone(&self.bus));
        let sets = [events::MIGRATIONS, MIGRATIONS, migrations];
        let database = self
            .startup_retry
            .wait_for(async || {
                let (clock, hook) = (self.clock.clone(), Arc::clone(&relay) as _);
                let execution = self.execution.clone();
                Database::open(name, &self.location, &sets, clock, hook, execution).await
            })
            .await?;
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).push(database.clone());
        let is_broker = self.bus.is_broker();
        let ready = self.startup_retry.wait_for(async || {
            database
                .write(move |tx| match is_broker {
                    true => position::expect(tx).map(|()| None),
                    false => position::begin_in_process(tx).map(Some),
                })
                .await
        });
        let ready = ready.await.map_err(|source| OpenError::Store { service: name, source })?;
        if let Some(position) = ready {
            relay.begin(position);
        }
        Arc::clone(&self.bus).join(&relay, &database, &self.tasks, &self.stop);
        let relayed = Arc::clone(&relay).run(database.clone(), self.stop.clone());
        self.tasks.spawn(relayed.instrument(service_span(name)));
        let service = Service {
            name,
            database,
            relay,
            context: self.clone(),
            react: None,
            open: None,
            waiting: None,
            places: None,
            degraded: Arc::default(),
        };
        let keeper = service.clone();
        service.work("retention", Arc::default(), retention::LOOK_EVERY, move || {
            let keeper = keeper.clone();
            async move { keeper.remove_old_events().await }
        });
        let (probed, checked) = (service.database.clone(), Arc::new(AtomicBool::new(false)));
        let (started_at, is_noted) = (self.clock.now(), Arc::new(AtomicBool::new(false)));
        service.work("storage", Arc::default(), PROBE_EVERY, move || {
            let (probed, checked) = (probed.clone(), Arc::clone(&checked));
            let is_noted = Arc::clone(&is_noted);
            async move {
                if !checked.load(Ordering::Relaxed) {
                    probed.check_at_start().await?;
                    checked.store(true, Ordering::Relaxed);
                }
                probed.probe().await?;
                if !is_noted.load(Ordering::Relaxed) {
                    probed.write(move |tx| starts::note(tx, started_at)).await?;
                    is_noted.store(true, Ordering::Relaxed);
                }
                Ok(Pace::Idle)
            }
        });
        Ok(service)
    }

    /// Serves routes at a listener until the context is closed.
    pub fn serve(
        &self,
        listener: TcpListener,
        service: &'static str,
        router: Router,
        limits: Limits,
    ) {
        let served =
            http::serve(listener, service, router, limits, self.metrics.clone(), self.stop.clone());
        self.tasks.spawn(served.instrument(service_span(service)));
    }

    /// Answers `GET /metrics`. How many events wait is asked of each database before, for up to half a second: what one does
    /// not answer in time is told as it was last known.
    pub async fn scrape(&self) -> Response {
        let databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.backlog.ask(&databases, &*self.bus).await;
        self.metrics.response()
    }

    /// Returns what is cancelled when the context is closed.
    #[must_use]
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task that ends by itself when [`ServiceContext::stop`] is cancelled; closing waits for it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Stops everything: no new requests and events, what is under way ends, and the databases are closed.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let databases =
            std::mem::take(&mut *self.databases.lock().unwrap_or_else(PoisonError::into_inner));
        for database in databases {
            database.close().await;
        }
    }
}

/// How a worker goes on after it looked for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// There is more: look again at once.
    Again,
    /// There is none until a signal, or the idle time is over.
    Idle,
    /// There is none before this moment, unless a signal comes.
    Until(Timestamp),
}

/// Counts the work of a service that is not done yet.
pub type CountOpen = fn(&mut Tx<'_>) -> Result<i64, StoreError>;
/// Returns what waits in a service, besides events.
pub type ListWaiting = fn(&mut Tx<'_>) -> Result<Vec<Waiting>, StoreError>;

/// One service of the process.
#[derive(Clone)]
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) database: Database,
    relay: Arc<Relay>,
    pub(crate) context: ServiceContext,
    pub(crate) react: Option<Arc<Reaction>>,
    open: Option<CountOpen>,
    waiting: Option<ListWaiting>,
    places: Option<i64>,
    degraded: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Service {
    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns its database.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the context that it stands on.
    #[must_use]
    pub const fn context(&self) -> &ServiceContext {
        &self.context
    }

    /// Does what must be done on the database before the service opens. Where a database that is away at the start is
    /// waited for, it is tried until it works, so doing it twice must be the same as doing it once.
    ///
    /// # Errors
    /// [`StoreError`] if it was refused, or the database failed and is not waited for.
    pub async fn prepare<T>(
        &self,
        step: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.context.startup_retry.wait_for(step).await
    }

    /// Says how to count the work of the service that is not done yet, for its status.
    pub fn count_open(&mut self, count: CountOpen) {
        self.open = Some(count);
    }

    /// Says how to find what waits in the service and for what, for its status. It is asked at each probe, so it must be cheap.
    pub fn list_waiting(&mut self, list: ListWaiting) {
        self.waiting = Some(list);
    }

    /// Says how much the service works on at once, for its status.
    pub fn set_places(&mut self, places: i64) {
        self.places = Some(places);
    }

    /// Says in the status that something outside makes the work slower; `None` when that is over.
    pub fn set_degraded(&self, why: Option<String>) {
        *self.degraded.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Starts to act on the events that the catalogue says this service reads.
    ///
    /// `react` is given batches of events of one name that were never acted on before, in order for each subject, in the
    /// transaction in which that is noted.
    pub fn consume(
        &mut self,
        react: impl Fn(&mut Tx<'_>, &str, &[Arc<Envelope>]) -> Result<(), StoreError>
        + Send
        + Sync
        + 'static,
    ) {
        self.consume_batches(Gathering::NONE, consumer::by_name(react));
    }

    /// Starts to act on events, and lets some of them gather. `react` is given whole batches: events that were never acted on
    /// before, in order for each subject. [`consumer::by_name`] makes it of one that [`Service::consume`] takes.
    pub fn consume_batches(
        &mut self,
        gathering: Gathering,
        react: impl Fn(&mut Tx<'_>, &[Arc<Envelope>]) -> Result<(), StoreError> + Send + Sync + 'static,
    ) {
        let react: Arc<Reaction> = Arc::new(react);
        self.react = Some(Arc::clone(&react));
        let catalogue = self.context.catalogue;
        let consumer = Consumer::new(
            self.database.clone(),
            catalogue,
            Arc::clone(&react),
            &self.context.consumer_metrics,
        )
        .with_gathering(gathering);
        let bus = Arc::clone(&self.context.bus);
        let consumed = bus.consume(consumer, self.context.stop.clone());
        self.context.tasks.spawn(consumed.instrument(service_span(self.name)));
        let database = self.database.clone();
        self.work("deferred", Arc::default(), deferred::LOOK_EVERY, move || {
            let (database, react) = (database.clone(), Arc::clone(&react));
            async move {
                let more = deferred::look(&database, catalogue, &react).await?;
                Ok(if more { Pace::Again } else { Pace::Idle })
            }
        });
    }

    /// Starts a worker: `run_once` is called in a loop, woken by the signal *and* by the idle time, and finds its work in
    /// the database. When it fails or panics, it is called again after a growing pause.
    pub fn work<F>(
        &self,
        worker: &'static str,
        signal: Arc<Notify>,
        idle: Duration,
        mut run_once: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = Result<Pace, StoreError>> + Send,
    {
        let (name, clock, stop) =
            (self.name, self.context.clock.clone(), self.context.stop.clone());
        let failures = &self.context.worker_failures;
        let failures = failures.get_or_create_owned(&WorkerLabels { service: name, worker });
        let run = async move {
            let mut pause = Duration::from_millis(20);
            while !stop.is_cancelled() {
                let looked = AssertUnwindSafe(async { run_once().await }).catch_unwind().await;
                let wait = match looked.unwrap_or_else(|_| Err(StoreError::rejected("it panicked")))
                {
                    Ok(pace) => {
                        pause = Duration::from_millis(20);
                        match pace {
                            Pace::Again => continue,
                            Pace::Idle => idle,
                            Pace::Until(moment) => moment.since(clock.now()).min(idle),
                        }
                    }
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        failures.inc();
                        warn!(worker, "The worker {worker} failed and tries again: {error}");
                        pause = (pause * 2).min(WORKER_PAUSE_MAX);
                        jittered(pause)
                    }
                };
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = signal.notified() => {}
                    () = tokio::time::sleep_until(Instant::now() + wait) => {}
                }
            }
        };
        self.context.tasks.spawn(run.instrument(service_span(name)));
    }

    /// Removes a batch of the events, and of the responses for repeated requests, that the service need not keep any more.
    /// It does so by itself once a minute.
    ///
    /// # Errors
    /// [`StoreError`] if the database failed; nothing is removed then.
    pub async fn remove_old_events(&self) -> Result<Pace, StoreError> {
        let ServiceContext { bus, retention, .. } = &self.context;
        let more = retention::look(&self.database, &**bus, *retention).await?;
        let retention = *retention;
        let remove = move |tx: &mut Tx<'_>| {
            let before = tx.now().minus(retention);
            idempotency::remove_before(tx, before)
        };
        let removed = self.database.write(remove).await?;
        let more = more || removed == idempotency::REMOVED_AT_ONCE_MAX;
        Ok(if more { Pace::Again } else { Pace::Idle })
    }

    pub(crate) async fn read_status(&self) -> ServiceStatus {
        let (open, waiting) = (self.open, self.waiting);
        let saved = self.relay.save_position(&self.database);
        // Whatever keeps it from saving, it says how it is.
        let _unsaved = tokio::time::timeout(SAVE_WAIT_MAX, saved).await;
        let figures = self.database.read_status(move |tx| {
            let open = open.map_or(Ok(0), |count| count(tx))?;
            let announced = outbox::last(tx)?;
            let deferred = deferred::count(tx)?;
            let unpublished = outbox::count_unpublished(tx)?;
            let dead_letters = dead_letters::count(tx)?;
            let mut waiting = waiting.map_or(Ok(Vec::new()), |list| list(tx))?;
            if unpublished > 0 {
                let since = outbox::oldest_unpublished(tx)?;
                waiting.extend(Waiting::some("events", unpublished, since, "readers"));
            }
            if deferred > 0 {
                let since = deferred::oldest(tx)?;
                waiting.extend(Waiting::some("events", deferred, since, "a newer version"));
            }
            if dead_letters > 0 {
                let since = dead_letters::oldest(tx)?;
                let awaits = "someone who replays or drops them";
                waiting.extend(Waiting::some("dead letters", dead_letters, since, awaits));
            }
            let starts = starts::read(tx)?;
            Ok((announced, unpublished, deferred, dead_letters, open, waiting, starts))
        });
        let figures = tokio::time::timeout(STATUS_WAIT_MAX, figures).await.unwrap_or_else(|_| {
            Err(StoreError::engine(format!("no answer within {} ms", STATUS_WAIT_MAX.as_millis())))
        });
        let degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut status = ServiceStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: self.database.engine().to_owned(),
            queued: i64::try_from(self.database.waiting()).unwrap_or(i64::MAX),
            unhandled: self.context.bus.waiting(self.name).await,
            places: self.places,
            ..ServiceStatus::default()
        };
        match figures {
            Ok((announced, unpublished, deferred, dead_letters, open, waiting, starts)) => {
                if let Some((starts, started_at)) = starts {
                    (status.starts, status.started_at) = (starts, Some(started_at));
                }
                status.waiting = waiting;
                let arrived = Waiting::some("events", status.unhandled, None, "this reader");
                status.waiting.extend(arrived);
                status.unhandled += deferred;
                status.ready = true;
                status.announced = announced;
                status.reason = degraded.or_else(|| self.context.bus.degraded());
                status.unpublished = unpublished;
                status.dead_letters = dead_letters;
                status.open = open;
            }
            Err(error) => status.reason = Some(error.to_string()),
        }
        if let Some(trouble) = self.database.trouble() {
            status.ready = false;
            status.reason = Some(trouble.to_string());
        }
        status
    }
}
