//! All services in one process: the embedded runtime, and the stage for stories. The only crate that knows them all.
//!
//! Only the gateway and the plaza listen: the gateway calls the services' routers, the inventory calls the market's gRPC
//! service, and events go from outbox to inbox through memory.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use axum::Router;
use board::Board;
use chassis::{
    Clock,
    bus::Bus,
    config::{self, ConfigError},
    database::Location,
    http::Limits,
    retention,
    service::Floor,
    telemetry::{self, Destination, TelemetryError},
    tls::Trust,
};
pub use chassis::{bus::Faults, database::Durability};
use contracts::{market::market_server::MarketServer, services};
use gateway::{Backend, Backends, Gateway};
use inventory::{GrpcMarket, Inventory};
use kitchen::Kitchen;
use market::Market;
use orders::Orders;
use plaza::Plaza;
use reqwest::Url;
use tokio::net::TcpListener;

/// What a house is told to be.
#[derive(Clone)]
pub struct HouseConfig {
    /// The folder of the SQLite files.
    pub data: PathBuf,
    /// The folder of the logs; without one, nothing is logged.
    pub logs: Option<PathBuf>,
    /// What is logged: `info`, or `info,kitchen=debug`.
    pub log_filter: String,
    /// A PostgreSQL to use instead of SQLite files.
    pub database_url: Option<String>,
    /// What the schemas of this house begin with in that PostgreSQL, so that several share a database.
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
    /// What the dishes of guests who name none, and the plaza's sales, are drawn from.
    pub seed: u64,
    /// Another farmers' market than the plaza.
    pub market_url: Option<String>,
    /// How long events are kept; if it is not said, what `CHEFCITO_RETENTION` says, or a week.
    pub retention: Option<Duration>,
    /// How the bus may misbehave, for stories.
    pub faults: Faults,
    /// Another bus than one within the process, for stories.
    pub bus: Option<Bus>,
}

impl fmt::Debug for HouseConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HouseConfig").field("data", &self.data).finish_non_exhaustive()
    }
}

impl HouseConfig {
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
                trust: Trust::from_environment()?,
                schema_prefix: self.schema_prefix.clone(),
            },
            None => Location::Folder { folder: self.data.clone(), durability: self.durability },
        })
    }
}

/// A house that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
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
    Service(#[from] chassis::database::OpenError),
    /// The plaza can't be opened.
    #[error(transparent)]
    Plaza(#[from] plaza::OpenError),
    /// The market can't be opened.
    #[error(transparent)]
    Market(#[from] market::OpenError),
    /// The gateway can't be opened.
    #[error(transparent)]
    Gateway(#[from] gateway::OpenError),
}

/// An open house.
#[derive(Debug)]
pub struct House {
    floor: Floor,
    address: SocketAddr,
    plaza_address: Option<SocketAddr>,
    router: Router,
    _logs: Option<telemetry::Guard>,
}

impl House {
    /// Opens all services and lets them work.
    ///
    /// # Errors
    /// [`HouseError`] if it can't listen, or a service can't be opened; nothing runs then.
    pub async fn open(config: HouseConfig) -> Result<Self, HouseError> {
        // The door first: a port that is taken is found before anything is made.
        let door = listen(config.address).await?;
        let address = door
            .local_addr()
            .map_err(|source| HouseError::Listen { address: config.address, source })?;
        let logs = match &config.logs {
            Some(folder) => {
                Some(telemetry::start(&config.log_filter, Destination::Folder(folder.clone()))?)
            }
            None => None,
        };
        let retention = match config.retention {
            Some(retention) => retention,
            None => retention::from_environment()?,
        };
        let within = || Bus::in_process_with(config.faults);
        let bus = config.bus.clone().unwrap_or_else(within);
        let floor = Floor::new(config.location()?, bus, Clock::System).with_retention(retention);
        match open_services(&config, &floor, door).await {
            Ok((router, plaza_address)) => {
                Ok(Self { floor, address, plaza_address, router, _logs: logs })
            }
            Err(error) => {
                floor.close().await;
                Err(error)
            }
        }
    }

    /// Returns where the gateway listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where the plaza listens; nothing if another market is used.
    #[must_use]
    pub const fn plaza_address(&self) -> Option<SocketAddr> {
        self.plaza_address
    }

    /// Returns the gateway's routes, for stories that need no socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Lets what is under way end, and closes the house. What is not finished goes on when it is opened again.
    pub async fn close(self) {
        self.floor.close().await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, HouseError> {
    TcpListener::bind(address).await.map_err(|source| HouseError::Listen { address, source })
}

async fn open_services(
    config: &HouseConfig,
    floor: &Floor,
    door: TcpListener,
) -> Result<(Router, Option<SocketAddr>), HouseError> {
    let plaza = match &config.market_url {
        Some(_) => None,
        None => Some(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?),
    };
    let plaza_address = plaza.as_ref().and_then(|listener| listener.local_addr().ok());
    let market_config = market_config(config, plaza_address)?;
    let kitchen_config = kitchen::Config {
        stoves: config.stoves,
        seed: config.seed,
        cooking_time: config.cooking_time,
    };
    let inventory_config = inventory::Config::from_environment()?;

    // All at once: most of the time is the engine making files.
    let (orders, kitchen, board, stalls, buying) = tokio::try_join!(
        async { Ok::<_, HouseError>(Orders::open(floor).await?) },
        async { Ok(Kitchen::open(floor, kitchen_config).await?) },
        async { Ok(Board::open(floor).await?) },
        open_plaza(config, floor, plaza),
        async {
            let market = Market::open(floor, market_config).await?;
            let way = GrpcMarket::new(MarketServer::new(market.clone()));
            Ok((market, Inventory::open(floor, inventory_config, way).await?))
        },
    )?;
    let (market, inventory) = buying;
    let backends = Backends {
        orders: Backend::in_process(orders.router()),
        kitchen: Backend::in_process(kitchen.router()),
        inventory: Backend::in_process(inventory.router()),
        market: Backend::in_process(market.router()),
        board: Backend::in_process(board.router()),
        plaza: stalls.as_ref().map(|plaza| Backend::in_process(plaza.router())),
    };
    let gateway_config = gateway::Config {
        key_pepper: config.key_pepper.clone(),
        admin_key: (!config.admin_key.is_empty()).then(|| config.admin_key.clone()),
        rate: config::read("CHEFCITO_RATE_LIMIT", "requests a second and at once: 2000/4000")?
            .unwrap_or(gateway::Config::default().rate),
        ..gateway::Config::default()
    };
    let gateway = Gateway::open(floor, gateway_config, backends).await?;
    floor.serve(door, services::GATEWAY, gateway.router(), gateway::limits());
    Ok((gateway.router(), plaza_address))
}

async fn open_plaza(
    config: &HouseConfig,
    floor: &Floor,
    listener: Option<TcpListener>,
) -> Result<Option<Plaza>, HouseError> {
    let Some(listener) = listener else { return Ok(None) };
    let mut plaza_config = plaza::Config::from_environment()?;
    plaza_config.preset.seed = plaza_config.preset.seed.or(Some(config.seed));
    let plaza = Plaza::open(floor, plaza_config).await?;
    // Whoever is on this machine may buy; what the plaza is to be is told through the gateway, with a key.
    floor.serve(listener, services::PLAZA, plaza.stall(), Limits::default());
    Ok(Some(plaza))
}

/// Returns how the farmers are reached: by the URL given, or else at the plaza.
fn market_config(
    config: &HouseConfig,
    plaza_address: Option<SocketAddr>,
) -> Result<market::Config, HouseError> {
    let plaza = plaza_address.map(|address| format!("http://{address}"));
    let url = config.market_url.clone().or(plaza).unwrap_or_default();
    let parsed: Url = url.parse().map_err(|_| HouseError::MarketUrl { url })?;
    let mut market = if plaza_address.is_some() {
        market::Config::of_plaza(parsed)
    } else {
        market::Config::new(parsed)
    };
    if let Some(asks_again) = config::read("CHEFCITO_MARKET_ASKS_AGAIN", "true or false")? {
        market.asks_again = asks_again;
    }
    Ok(market)
}
