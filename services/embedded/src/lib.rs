//! All services in one process: the embedded runtime, and the stage for stories. The only crate that knows them all.
//!
//! Guarantees: the services are those of `contracts::services` and run the same code as in processes of their own; an
//! environment that can't be opened leaves nothing running. Only the gateway and the simulated market listen: the gateway
//! calls the services' routers, the inventory calls the market's gRPC service, and events go from outbox to inbox through
//! memory.
//!
//! Does not know: what a service does; containers, clusters, and the CLI that starts it.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use backends::{Backend, Backends};
use board::Board;
use contracts::{market::market_server::MarketServer, services};
use events::Bus;
pub use events::Faults;
use gateway::Gateway;
use inventory::{GrpcMarket, Inventory};
use kitchen::Kitchen;
use market::Market;
use market_sim::MarketSim;
use orders::Orders;
use reqwest::Url;
use service::{
    ServiceContext,
    config::{self, ConfigError},
    http::{self, Limits},
    telemetry::{self, Destination, TelemetryError},
    token::ServiceToken,
};
pub use store::Durability;
#[cfg(feature = "testing")]
pub use store::Steps;
use store::{Clock, Execution, Location};
use tokio::net::TcpListener;

/// What an environment is told to be.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// The folder of the SQLite files.
    pub data: PathBuf,
    /// The folder of the logs; without one, nothing is logged.
    pub logs: Option<PathBuf>,
    /// What is logged: `info`, or `info,kitchen=debug`.
    pub log_filter: String,
    /// A PostgreSQL to use instead of SQLite files.
    pub database_url: Option<String>,
    /// What the schemas of this environment begin with in that PostgreSQL, so that several share a database.
    pub schema_prefix: String,
    /// Where the gateway listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The first admin key, `cfk_<id>_<secret>`.
    pub admin_key: String,
    /// What the hashes of keys are made with.
    pub key_pepper: String,
    /// What a commit survives.
    pub durability: Durability,
    /// How long every dish is on the stove; if it is not said, what its recipe says.
    pub cooking_time: Option<Duration>,
    /// How many stoves there are.
    pub stoves: u32,
    /// What the dishes of guests who name none, and the simulated market's sales, are drawn from.
    pub seed: u64,
    /// Another farmers' market than the simulated market.
    pub market_url: Option<String>,
    /// How long events are kept; if it is not said, what `CHEFCITO_RETENTION` says, or a week.
    pub retention: Option<Duration>,
    /// How the bus may misbehave, for stories.
    pub faults: Faults,
    /// Another bus than one within the process, for stories.
    pub bus: Option<Arc<dyn Bus>>,
}

impl fmt::Debug for EmbeddedConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EmbeddedConfig").field("data", &self.data).finish_non_exhaustive()
    }
}

impl EmbeddedConfig {
    /// Returns the defaults, with data in this folder: a free port of this machine, eight stoves.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            logs: None,
            log_filter: "info".into(),
            database_url: None,
            schema_prefix: String::new(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            admin_key: String::new(),
            key_pepper: String::new(),
            durability: Durability::default(),
            cooking_time: None,
            stoves: 8,
            seed: 0,
            market_url: None,
            retention: None,
            faults: Faults::default(),
            bus: None,
        }
    }

    fn location(&self) -> Result<Location, ConfigError> {
        Ok(match &self.database_url {
            Some(url) => Location::Postgres {
                url: url.clone(),
                trust: config::trust()?,
                schema_prefix: self.schema_prefix.clone(),
            },
            None => Location::Folder { folder: self.data.clone(), durability: self.durability },
        })
    }
}

/// An environment that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// It can't listen where it was told to.
    #[error("can't listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not; `AddrInUse` if another process does.
        source: io::Error,
    },
    /// A setting is not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The market's URL is none.
    #[error("the market's URL should be like https://market.example, but it is `{url}`")]
    MarketUrl {
        /// What it is.
        url: String,
    },
    /// The logs can't be started.
    #[error(transparent)]
    Logs(#[from] TelemetryError),
    /// A service can't be opened.
    #[error(transparent)]
    Service(#[from] store::OpenError),
    /// The simulated market can't be opened.
    #[error(transparent)]
    MarketSim(#[from] market_sim::OpenError),
    /// The market can't be opened.
    #[error(transparent)]
    Market(#[from] market::OpenError),
    /// The gateway can't be opened.
    #[error(transparent)]
    Gateway(#[from] gateway::OpenError),
}

/// An open environment.
#[derive(Debug)]
pub struct Embedded {
    context: ServiceContext,
    address: SocketAddr,
    market_sim_address: Option<SocketAddr>,
    router: Router,
    _logs: Option<telemetry::Guard>,
}

impl Embedded {
    /// Opens all services and lets them work.
    ///
    /// # Errors
    /// [`EmbeddedError`] if it can't listen, or a service can't be opened; nothing runs then.
    pub async fn open(config: EmbeddedConfig) -> Result<Self, EmbeddedError> {
        // The door first: a port that is taken is found before anything is made.
        let door = listen(config.address).await?;
        let address = door
            .local_addr()
            .map_err(|source| EmbeddedError::Listen { address: config.address, source })?;
        Self::open_on(config, Surroundings::Machine { door, address }).await
    }

    /// Opens all services as tasks of the current runtime, without a thread and without a socket: requests come through
    /// [`Embedded::router`], and the market's requests go through what `simulation` makes of the simulated market.
    ///
    /// # Errors
    /// [`EmbeddedError`] if a service can't be opened; nothing runs then.
    #[cfg(feature = "testing")]
    pub async fn open_simulated(
        config: EmbeddedConfig,
        simulation: Simulation,
    ) -> Result<Self, EmbeddedError> {
        Self::open_on(config, Surroundings::Simulation(simulation)).await
    }

    async fn open_on(
        config: EmbeddedConfig,
        surroundings: Surroundings,
    ) -> Result<Self, EmbeddedError> {
        let logs = match &config.logs {
            Some(folder) => {
                Some(telemetry::start(&config.log_filter, Destination::Folder(folder.clone()))?)
            }
            None => None,
        };
        let retention = match config.retention {
            Some(retention) => retention,
            None => config::retention()?,
        };
        let within = || events::in_process_with(config.faults);
        let bus = config.bus.clone().unwrap_or_else(within);
        let context = ServiceContext::new(config.location()?, bus, Clock::System)
            .with_retention(retention)
            .with_execution(surroundings.execution());
        if let Some(logs) = &logs {
            logs.register(&context.metrics);
        }
        let address = surroundings.address(&config);
        match open_services(&config, &context, surroundings).await {
            Ok((router, market_sim_address)) => {
                Ok(Self { context, address, market_sim_address, router, _logs: logs })
            }
            Err(error) => {
                context.close().await;
                Err(error)
            }
        }
    }

    /// Returns where the gateway listens; in a simulation, where it was told to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where the simulated market listens; nothing if another market is used.
    #[must_use]
    pub const fn market_sim_address(&self) -> Option<SocketAddr> {
        self.market_sim_address
    }

    /// Returns the gateway's routes, for stories that need no socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Lets what is under way end, and closes the environment. What is not finished goes on when it is opened again.
    pub async fn close(self) {
        self.context.close().await;
    }
}

/// What a simulation puts in the place of threads and sockets.
#[cfg(feature = "testing")]
#[derive(Clone)]
pub struct Simulation {
    /// Decides what happens between the steps of all databases.
    pub steps: Arc<dyn Steps>,
    /// Makes the way to the market of the simulated market's stall.
    pub transport: Arc<dyn Fn(Router) -> Arc<dyn market::Transport> + Send + Sync>,
}

#[cfg(feature = "testing")]
impl fmt::Debug for Simulation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Simulation").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// What an environment stands in.
enum Surroundings {
    /// A machine with threads and sockets.
    Machine { door: TcpListener, address: SocketAddr },
    #[cfg(feature = "testing")]
    Simulation(Simulation),
}

impl Surroundings {
    fn execution(&self) -> Execution {
        match self {
            Self::Machine { .. } => Execution::default(),
            #[cfg(feature = "testing")]
            Self::Simulation(simulation) => Execution::Tasks(Arc::clone(&simulation.steps)),
        }
    }

    const fn address(&self, _config: &EmbeddedConfig) -> SocketAddr {
        match self {
            Self::Machine { address, .. } => *address,
            #[cfg(feature = "testing")]
            Self::Simulation(_) => _config.address,
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, EmbeddedError> {
    http::listen(address).map_err(|source| EmbeddedError::Listen { address, source })
}

async fn open_services(
    config: &EmbeddedConfig,
    context: &ServiceContext,
    surroundings: Surroundings,
) -> Result<(Router, Option<SocketAddr>), EmbeddedError> {
    let kitchen_config = kitchen::Config {
        stoves: config.stoves,
        seed: config.seed,
        cooking_time: config.cooking_time,
    };
    let inventory_config = inventory::Config::from_environment()?;
    let market_sim_token = ServiceToken::random();
    if config.market_url.is_some() {
        // A URL that can't be used is found before anything is made.
        market_config(config, None, &market_sim_token)?;
    }

    // All at once: most of the time is the engine making files.
    let (orders, kitchen, board, buying) = tokio::try_join!(
        async { Ok::<_, EmbeddedError>(Orders::open(context).await?) },
        async { Ok(Kitchen::open(context, kitchen_config).await?) },
        async { Ok(Board::open(context).await?) },
        async {
            let (market, market_sim, market_sim_address) =
                open_market(config, context, &surroundings, market_sim_token).await?;
            let way = GrpcMarket::new(MarketServer::new(market.clone()));
            let inventory = Inventory::open(context, inventory_config, way).await?;
            Ok((market, market_sim, market_sim_address, inventory))
        },
    )?;
    let (market, market_sim, market_sim_address, inventory) = buying;
    let routers = [
        (services::ORDERS, orders.router()),
        (services::KITCHEN, kitchen.router()),
        (services::INVENTORY, inventory.router()),
        (services::MARKET, market.router()),
        (services::BOARD, board.router()),
    ];
    let market_sim = market_sim.map(|market_sim| (services::MARKET_SIM, market_sim.router()));
    // The gateway refuses to open without one that the table of services has.
    let backends: Backends = routers
        .into_iter()
        .chain(market_sim)
        .map(|(name, router)| (name, Backend::in_process(router)))
        .collect();
    let limits = gateway::Config::limits_from_environment()?;
    let gateway_config = gateway::Config {
        key_pepper: config.key_pepper.clone(),
        admin_key: (!config.admin_key.is_empty()).then(|| config.admin_key.clone()),
        // Another port leads to it if something passes its requests on.
        public_port: limits.public_port.or(Some(surroundings.address(config).port())),
        ..limits
    };
    let gateway = Gateway::open(context, gateway_config, backends).await?;
    match surroundings {
        Surroundings::Machine { door, .. } => {
            context.serve(door, services::GATEWAY, gateway.router(), gateway::limits());
        }
        #[cfg(feature = "testing")]
        Surroundings::Simulation(_) => {}
    }
    Ok((gateway.router(), market_sim_address))
}

/// Opens the market service, and the simulated market unless another market is used.
async fn open_market(
    config: &EmbeddedConfig,
    context: &ServiceContext,
    surroundings: &Surroundings,
    token: ServiceToken,
) -> Result<(Market, Option<MarketSim>, Option<SocketAddr>), EmbeddedError> {
    let listener = match surroundings {
        Surroundings::Machine { .. } if config.market_url.is_some() => {
            let market = Market::open(context, market_config(config, None, &token)?).await?;
            return Ok((market, None, None));
        }
        Surroundings::Machine { .. } => listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?,
        #[cfg(feature = "testing")]
        Surroundings::Simulation(simulation) => {
            // Nobody listens there: `transport` is the way. A market that is named can't be asked again by key.
            let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let market_sim_address = config.market_url.is_none().then_some(nowhere);
            let market_config = market_config(config, market_sim_address, &token)?;
            let market_sim = open_market_sim(config, context, token).await?;
            let transport = (simulation.transport)(market_sim.stall());
            let market = Market::open_over(context, market_config, transport).await?;
            return Ok((market, Some(market_sim), None));
        }
    };
    let market_sim_address = listener.local_addr().ok();
    let market_config = market_config(config, market_sim_address, &token)?;
    let (market_sim, market) = tokio::try_join!(open_market_sim(config, context, token), async {
        Ok(Market::open(context, market_config).await?)
    })?;
    // Every process of this machine may buy, within limits; the simulated market's settings are changed at the gateway, with a key.
    context.serve(listener, services::MARKET_SIM, market_sim.stall(), Limits::default());
    Ok((market, Some(market_sim), market_sim_address))
}

async fn open_market_sim(
    config: &EmbeddedConfig,
    context: &ServiceContext,
    token: ServiceToken,
) -> Result<MarketSim, EmbeddedError> {
    let mut market_sim_config = market_sim::Config::from_environment()?;
    market_sim_config.preset.seed = market_sim_config.preset.seed.or(Some(config.seed));
    market_sim_config.token = Some(token);
    Ok(MarketSim::open(context, market_sim_config).await?)
}

/// Returns how the farmers are reached: by the URL given, or else at the simulated market.
fn market_config(
    config: &EmbeddedConfig,
    market_sim_address: Option<SocketAddr>,
    market_sim_token: &ServiceToken,
) -> Result<market::Config, EmbeddedError> {
    let market_sim = market_sim_address.map(|address| format!("http://{address}"));
    let url = config.market_url.clone().or(market_sim).unwrap_or_default();
    let parsed: Url = url.parse().map_err(|_| EmbeddedError::MarketUrl { url })?;
    let mut market = if market_sim_address.is_some() {
        market::Config::of_market_sim(parsed, Some(market_sim_token.clone()))
    } else {
        market::Config::new(parsed)
    };
    if let Some(asks_again) = config::read("CHEFCITO_MARKET_ASKS_AGAIN", "true or false")? {
        market.asks_again = asks_again;
    }
    Ok(market)
}
