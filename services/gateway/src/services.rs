//! The services behind the gateway, and itself among them: asked alike.

use std::{future::Future, time::Duration};

use axum::http::StatusCode;
use contracts::services::{BOARD, GATEWAY, INVENTORY, KITCHEN, MARKET, MARKET_SIM, ORDERS};
use futures_util::future::join_all;
use service::{
    config::{self, ConfigError},
    token::ServiceToken,
};

use crate::backend::{Backend, BackendError, Unanswered};

/// How long a service may take to say how it is.
pub(crate) const STATUS_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a service may take for a story or a list.
pub(crate) const LIST_WAIT_MAX: Duration = Duration::from_secs(5);

/// The services behind the gateway.
#[derive(Clone, Debug)]
pub struct Backends {
    /// Takes orders and knows where each one is.
    pub orders: Backend,
    /// Picks the recipe, asks for ingredients, cooks.
    pub kitchen: Backend,
    /// Stock, reservations, purchases.
    pub inventory: Backend,
    /// The adapter in front of the farmers' market.
    pub market: Backend,
    /// The live view.
    pub board: Backend,
    /// The stand-in for the farmers' market, in development.
    pub market_sim: Option<Backend>,
}

/// Services that can't be found by the environment.
#[derive(Debug, thiserror::Error)]
pub enum BackendsError {
    /// A setting is missing or not what it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting names no service.
    #[error("{variable} names no service")]
    Backend {
        /// The variable.
        variable: &'static str,
        /// Why not.
        source: BackendError,
    },
}

impl Backends {
    /// Reads where the services listen: `CHEFCITO_ORDERS_URL`, `…_KITCHEN_URL`, `…_INVENTORY_URL`, `…_MARKET_SERVICE_URL`,
    /// `…_BOARD_URL`, and `…_MARKET_SIM_URL` if there is a simulated market; and `CHEFCITO_SERVICE_TOKEN`.
    ///
    /// # Errors
    /// [`BackendsError`] if one is missing or can't be used.
    pub fn from_environment() -> Result<Self, BackendsError> {
        let token = ServiceToken::from_environment()?;
        let found = |service, variable: &'static str| -> Result<Option<Backend>, BackendsError> {
            let url: Option<String> = config::read(variable, "like http://orders:8080")?;
            url.map(|url| Backend::remote(service, &url, Some(token.clone())))
                .transpose()
                .map_err(|source| BackendsError::Backend { variable, source })
        };
        let needed = |service, variable: &'static str| -> Result<Backend, BackendsError> {
            found(service, variable)?
                .ok_or_else(|| config::missing(variable, "like http://orders:8080").into())
        };
        Ok(Self {
            orders: needed(ORDERS, "CHEFCITO_ORDERS_URL")?,
            kitchen: needed(KITCHEN, "CHEFCITO_KITCHEN_URL")?,
            inventory: needed(INVENTORY, "CHEFCITO_INVENTORY_URL")?,
            // `CHEFCITO_MARKET_URL` is the farmers' market itself, which only the adapter reaches.
            market: needed(MARKET, "CHEFCITO_MARKET_SERVICE_URL")?,
            board: needed(BOARD, "CHEFCITO_BOARD_URL")?,
            market_sim: found(MARKET_SIM, "CHEFCITO_MARKET_SIM_URL")?,
        })
    }
}

/// Every service, in the order in which an order meets them.
#[derive(Clone, Debug)]
pub(crate) struct Services(Vec<(&'static str, Backend)>);

impl Services {
    pub(crate) fn new(own: Backend, backends: Backends) -> Self {
        let Backends { orders, kitchen, inventory, market, board, market_sim } = backends;
        let mut services = vec![
            (GATEWAY, own),
            (ORDERS, orders),
            (KITCHEN, kitchen),
            (INVENTORY, inventory),
            (MARKET, market),
        ];
        services.extend(market_sim.map(|market_sim| (MARKET_SIM, market_sim)));
        services.push((BOARD, board));
        Self(services)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Backend)> {
        self.0.iter().map(|(name, backend)| (*name, backend))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Backend> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, backend)| backend)
    }

    /// Asks every service at once; returns what each answered, in their order.
    pub(crate) async fn ask_all<'a, F, T>(
        &'a self,
        ask: impl Fn(&'static str, &'a Backend) -> F,
    ) -> Vec<(&'static str, T)>
    where
        F: Future<Output = T>,
    {
        join_all(self.iter().map(|(name, backend)| {
            let answer = ask(name, backend);
            async move { (name, answer.await) }
        }))
        .await
    }
}

/// Returns whether a service has no such thing, rather than no answer.
pub(crate) const fn is_not_found(error: &Unanswered) -> bool {
    matches!(error, Unanswered::Refused { status } if status.as_u16() == StatusCode::NOT_FOUND.as_u16())
}
