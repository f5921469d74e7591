//! All services in one process: the embedded runtime, and the stage for stories. The only crate that knows them all.
//!
//! Only the gateway and the simulated market listen: the gateway calls the services' routers, the inventory calls the market's gRPC
//! service, and events go from outbox to inbox through memory.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use board::Board;
use contracts::{market::market_server::MarketServer, services};
use events::Bus;
pub use events::Faults;
use gateway::{Backend, Backends, Gateway};
use inventory::{GrpcMarket, Inventory};
use kitchen::Kitchen;
use market::Market;
use market_sim::MarketSim;
use orders::Orders;
use reqwest::Url;
use service::{
    ServiceContext,
    config::{self, ConfigError},
    http::Limits,
    telemetry::{self, Destination, TelemetryError},
    token::ServiceToken,
};
pub use store::Durability;
use store::{Clock, Location};
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
        let context =
            ServiceContext::new(config.location()?, bus, Clock::System).with_retention(retention);
        if let Some(logs) = &logs {
            logs.register(&context.metrics);
        }
        match open_services(&config, &context, door).await {
            Ok((router, market_sim_address)) => {
                Ok(Self { context, address, market_sim_address, router, _logs: logs })
            }
            Err(error) => {
                context.close().await;
                Err(error)
            }
        }
    }

    /// Returns where the gateway listens.
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

async fn listen(address: SocketAddr) -> Result<TcpListener, EmbeddedError> {
    TcpListener::bind(address).await.map_err(|source| EmbeddedError::Listen { address, source })
}

async fn open_services(
    config: &EmbeddedConfig,
    context: &ServiceContext,
    door: TcpListener,
) -> Result<(Router, Option<SocketAddr>), EmbeddedError> {
    let market_sim = match &config.market_url {
        Some(_) => None,
        None => Some(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?),
    };
    let market_sim_address = market_sim.as_ref().and_then(|listener| listener.local_addr().ok());
    let market_sim_token = ServiceToken::random();
    let market_config = market_config(config, market_sim_address, &market_sim_token)?;
    let kitchen_config = kitchen::Config {
        stoves: config.stoves,
        seed: config.seed,
        cooking_time: config.cooking_time,
    };
    let inventory_config = inventory::Config::from_environment()?;

    // All at once: most of the time is the engine making files.
    let (orders, kitchen, board, stalls, buying) = tokio::try_join!(
        async { Ok::<_, EmbeddedError>(Orders::open(context).await?) },
        async { Ok(Kitchen::open(context, kitchen_config).await?) },
        async { Ok(Board::open(context).await?) },
        open_market_sim(config, context, market_sim, market_sim_token),
        async {
            let market = Market::open(context, market_config).await?;
            let way = GrpcMarket::new(MarketServer::new(market.clone()));
            Ok((market, Inventory::open(context, inventory_config, way).await?))
        },
    )?;
    let (market, inventory) = buying;
    let backends = Backends {
        orders: Backend::in_process(orders.router()),
        kitchen: Backend::in_process(kitchen.router()),
        inventory: Backend::in_process(inventory.router()),
        market: Backend::in_process(market.router()),
        board: Backend::in_process(board.router()),
        market_sim: stalls.as_ref().map(|market_sim| Backend::in_process(market_sim.router())),
    };
    let gateway_config = gateway::Config {
        key_pepper: config.key_pepper.clone(),
        admin_key: (!config.admin_key.is_empty()).then(|| config.admin_key.clone()),
        ..gateway::Config::limits_from_environment()?
    };
    let gateway = Gateway::open(context, gateway_config, backends).await?;
    context.serve(door, services::GATEWAY, gateway.router(), gateway::limits());
    Ok((gateway.router(), market_sim_address))
}

async fn open_market_sim(
    config: &EmbeddedConfig,
    context: &ServiceContext,
    listener: Option<TcpListener>,
    token: ServiceToken,
) -> Result<Option<MarketSim>, EmbeddedError> {
    let Some(listener) = listener else { return Ok(None) };
    let mut market_sim_config = market_sim::Config::from_environment()?;
    market_sim_config.preset.seed = market_sim_config.preset.seed.or(Some(config.seed));
    market_sim_config.token = Some(token);
    let market_sim = MarketSim::open(context, market_sim_config).await?;
    // Every process of this machine may buy, within limits; the simulated market's settings are changed at the gateway, with a key.
    context.serve(listener, services::MARKET_SIM, market_sim.stall(), Limits::default());
    Ok(Some(market_sim))
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
