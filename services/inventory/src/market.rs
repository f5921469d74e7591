//! The market as a buyer sees it. The farmers' market is outside the environment, so it is a trait that tests implement, too.

use std::{future::Future, time::Duration};

use contracts::{
    Ingredient, PurchaseId,
    market::{BuyRequest, buy_response::Outcome, market_client::MarketClient},
};
use service::{
    ServiceContext,
    token::{SERVICE_TOKEN, ServiceToken},
};
use tonic::{
    Request,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError},
    transport::Channel,
};

mod channel;

pub use channel::InvalidAddress;

/// What the market answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It sold this much; 0 means none now.
    Sold(i64),
    /// Whether anything was sold can't be found out.
    Unknown,
}

/// A market that did not answer. Whether it sold anything is open: the same purchase has to be asked again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MarketError {
    /// It failed, or could not be reached.
    #[error("the market failed: {why}")]
    Failed {
        /// What it said, or what kept it from saying anything.
        why: String,
    },
    /// It took too long.
    #[error("the market did not answer within {after:?}")]
    TimedOut {
        /// How long it had.
        after: Duration,
    },
}

/// A farmers' market.
pub trait Market: Send + Sync + 'static {
    /// Buys what is sold of one ingredient now. The same purchase again is the same purchase: it never buys twice.
    ///
    /// # Errors
    /// [`MarketError`] if there was no answer; ask again with the same purchase.
    fn buy(
        &self,
        purchase: PurchaseId,
        ingredient: Ingredient,
    ) -> impl Future<Output = Result<Answer, MarketError>> + Send;
}

/// The market service, called over gRPC: through a channel, or in process through the service itself.
#[derive(Clone, Debug)]
pub struct GrpcMarket<T> {
    client: MarketClient<T>,
    token: Option<ServiceToken>,
}

impl<T> GrpcMarket<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// Makes a market of what answers its calls.
    pub fn new(service: T) -> Self {
        Self { client: MarketClient::new(service), token: None }
    }
}

impl<T> GrpcMarket<T> {
    /// Shows this token with each call.
    #[must_use]
    pub fn showing(self, token: Option<ServiceToken>) -> Self {
        Self { token, ..self }
    }
}

impl GrpcMarket<Channel> {
    /// Makes a market of the service at these addresses, such as `http://market:8081`, several behind commas; all that
    /// their names mean are replicas. They are connected to when they are first called, and again whenever a connection
    /// was lost, until the context is closed.
    ///
    /// # Errors
    /// [`InvalidAddress`] if one is none.
    pub fn at(context: &ServiceContext, addresses: &str) -> Result<Self, InvalidAddress> {
        channel::to(context, addresses).map(Self::new)
    }
}

impl<T> Market for GrpcMarket<T>
where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Error: Into<StdError>,
    T::Future: Send,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    async fn buy(
        &self,
        purchase: PurchaseId,
        ingredient: Ingredient,
    ) -> Result<Answer, MarketError> {
        let mut client = self.client.clone();
        let request =
            BuyRequest { purchase: purchase.to_string(), ingredient: ingredient.name().to_owned() };
        let mut request = Request::new(request);
        if let Some(token) = &self.token {
            request.metadata_mut().as_mut().insert(SERVICE_TOKEN, token.value().clone());
        }
        let response = client.buy(request).await.map_err(|status| MarketError::Failed {
            why: format!("{}: {}", status.code(), status.message()),
        })?;
        let response = response.into_inner();
        match response.outcome() {
            Outcome::Sold => Ok(Answer::Sold(response.quantity_sold.into())),
            Outcome::Unknown => Ok(Answer::Unknown),
            Outcome::Unspecified => Err(MarketError::Failed {
                why: "its answer is none that this program knows".into(),
            }),
        }
    }
}
