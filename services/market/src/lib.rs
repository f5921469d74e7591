//! The gRPC adapter in front of the farmers' market outside; the only service that reaches it.
//!
//! Guarantees: what is going to be bought is saved before the farmers are called, and what they sold before the buyer is
//! told, so that nothing that was sold is lost, and where the farmers know purchases by their keys, nothing is sold twice.
//!
//! Does not know: orders, stock, why something is bought. No events come in or go out: the inventory asks, by
//! `contracts::market`, in process or over HTTP/2.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use ::store::Migrations;
use contracts::{market::market_server::MarketServer, services};
use reqwest::Url;
use service::{
    ServiceContext,
    config::{self, ConfigError},
    http::{self, Bodies},
    token::ServiceToken,
};
use tonic::service::interceptor::InterceptedService;
use tracing::{info, warn};

mod api;
mod buyer;
mod commands;
mod domain;
mod farmers;
mod grpc;
mod queries;
mod store;

use buyer::Buyer;
pub use contracts::market::QUANTITY_SOLD_MAX;
use farmers::Farmers;
pub use farmers::{ANSWER_BYTES_MAX, NoResponse, SaleRequest, SaleResponse, Transport};
use grpc::Bounded;
pub use grpc::{GRPC_CONNECTIONS_MAX, GRPC_REQUESTS_BYTES_MAX};
pub use store::{MANY, STATEMENTS};

/// Its tables, for the tests of its statements.
#[doc(hidden)]
pub const MIGRATIONS: Migrations = Migrations {
    owner: services::MARKET,
    steps: &[(1, "purchases", include_str!("../migrations/V1__purchases.sql"))],
};

/// Which market is reached, and how patiently.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the market is: `http://127.0.0.1:7373`, or with the path of its door, if that is not
    /// `/api/farmers-market/buy`.
    pub market_url: Url,
    /// Whether the market answers the same `Idempotency-Key` alike, as the simulated market does, so that it can be asked again.
    pub asks_again: bool,
    /// The token that the simulated market is shown, so that it can tell this environment's purchases from those of anonymous
    /// buyers. No other market is shown it.
    pub market_sim_token: Option<ServiceToken>,
    /// How many calls are under way at once; more purchases wait.
    pub calls_max: usize,
    /// How long a connection may take to be made.
    pub connect_max: Duration,
    /// How long one call may take in all.
    pub call_max: Duration,
    /// How long a purchase may take in all: waiting for its turn, calling, and calling again.
    pub purchase_max: Duration,
}

impl Config {
    /// Returns how to reach a market that may sell again when it is asked again.
    #[must_use]
    pub const fn new(market_url: Url) -> Self {
        Self {
            market_url,
            asks_again: false,
            market_sim_token: None,
            calls_max: 64,
            connect_max: Duration::from_secs(5),
            call_max: Duration::from_secs(10),
            purchase_max: Duration::from_secs(20),
        }
    }

    /// Returns how to reach the simulated market, which can be asked again, and is shown this token.
    #[must_use]
    pub fn of_market_sim(market_sim_url: Url, market_sim_token: Option<ServiceToken>) -> Self {
        Self { asks_again: true, market_sim_token, ..Self::new(market_sim_url) }
    }

    /// Reads `CHEFCITO_MARKET_URL`, or else `CHEFCITO_MARKET_SIM_URL`, where the simulated market is shown this token; and
    /// `CHEFCITO_MARKET_ASKS_AGAIN`, which is true for a simulated market and false for another market, if it is not set.
    ///
    /// # Errors
    /// [`ConfigError`] if neither is set, or one is not what it should be.
    pub fn from_environment(market_sim_token: Option<ServiceToken>) -> Result<Self, ConfigError> {
        let market_url = config::read(
            "CHEFCITO_MARKET_URL",
            "the URL of a farmers' market such as https://market.example",
        )?;
        let mut config = match market_url {
            Some(market_url) => Self::new(market_url),
            None => {
                let expected = "the simulated market's URL such as http://market-sim:7373, unless CHEFCITO_MARKET_URL is set";
                let market_sim_url = config::read("CHEFCITO_MARKET_SIM_URL", expected)?
                    .ok_or_else(|| config::missing("CHEFCITO_MARKET_SIM_URL", expected))?;
                Self::of_market_sim(market_sim_url, market_sim_token)
            }
        };
        if let Some(asks_again) = config::read("CHEFCITO_MARKET_ASKS_AGAIN", "true or false")? {
            config.asks_again = asks_again;
        }
        Ok(config)
    }
}

/// Reads `CHEFCITO_GRPC_LISTEN`, where the market listens when it runs alone; a free port of this machine if it is not set.
///
/// # Errors
/// [`ConfigError`] if it is not an address and a port.
pub fn grpc_address_from_environment() -> Result<SocketAddr, ConfigError> {
    let expected = "an address and a port such as 127.0.0.1:7374";
    config::read_or("CHEFCITO_GRPC_LISTEN", expected, SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A market that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its database can't be opened.
    #[error("can't open the market")]
    Database(#[from] ::store::OpenError),
    /// The market's URL is none that it can be reached by.
    #[error("the market's URL should begin with http:// or https:// and a host, but it is `{url}`")]
    Url {
        /// What it is.
        url: Url,
    },
    /// No client of it could be made.
    #[error("can't make a client of the market")]
    Client(#[from] reqwest::Error),
}

/// The market. Clones are the same.
#[derive(Clone, Debug)]
pub struct Market {
    buyer: Arc<Buyer>,
    grpc_bodies: Bodies,
}

impl Market {
    /// Opens the market on a context. Nothing is called: what is open is resolved when the buyer asks again.
    ///
    /// # Errors
    /// [`OpenError`] if its data can't be opened, or the market can't be reached by such a URL.
    pub async fn open(context: &ServiceContext, config: Config) -> Result<Self, OpenError> {
        let farmers = Farmers::new(&config)?;
        Self::open_with(context, config, farmers).await
    }

    /// Opens the market as [`Market::open`] does, and sends its requests through `transport` instead of over HTTP.
    ///
    /// # Errors
    /// As [`Market::open`].
    pub async fn open_over(
        context: &ServiceContext,
        config: Config,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, OpenError> {
        let farmers = Farmers::over(transport, &config)?;
        Self::open_with(context, config, farmers).await
    }

    async fn open_with(
        context: &ServiceContext,
        config: Config,
        farmers: Farmers,
    ) -> Result<Self, OpenError> {
        let buyer = Buyer::open(context, config, farmers).await?;
        let grpc_bodies = context.metrics.grpc_bodies(services::MARKET, GRPC_REQUESTS_BYTES_MAX);
        Ok(Self { buyer, grpc_bodies })
    }

    /// Serves gRPC at an address until the context is closed, to those who show the token, if there is one; returns where.
    ///
    /// # Errors
    /// An I/O error if it can't listen there.
    pub async fn serve_grpc(
        &self,
        address: SocketAddr,
        token: Option<ServiceToken>,
    ) -> io::Result<SocketAddr> {
        let listener = http::listen(address)?;
        let address = listener.local_addr()?;
        info!("Listens for gRPC at {address}");
        let server =
            MarketServer::new(self.clone()).max_decoding_message_size(grpc::REQUEST_BYTES_MAX);
        let server = Bounded::new(server, self.grpc_bodies.clone());
        let server =
            InterceptedService::new(server, move |request| api::let_in(token.as_ref(), request));
        let context = self.buyer.context();
        let stop = context.stop().clone().cancelled_owned();
        context.spawn(async move {
            let served = grpc::server()
                .add_service(server)
                .serve_with_incoming_shutdown(grpc::connections(listener), stop)
                .await;
            if let Err(error) = served {
                warn!("Serves gRPC no longer: {}", ::store::chain(&error));
            }
        });
        Ok(address)
    }

    /// Returns its routes over HTTP: health, and what the gateway asks.
    pub fn router(&self) -> axum::Router {
        api::router(self)
    }
}
