//! The market as a buyer sees it. The farmers' market is outside the environment, so it is a trait that tests implement, too.

use std::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use contracts::{
    Ingredient, PurchaseId,
    market::{BuyRequest, QUANTITY_SOLD_MAX, buy_response::Outcome, market_client::MarketClient},
};
use http_body_util::Limited;
use service::{
    ServiceContext,
    token::{SERVICE_TOKEN, ServiceToken},
};
use tonic::{
    Request,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError, http},
    transport::Channel,
};

mod channel;

pub use channel::InvalidAddress;

/// The largest answer, in bytes: an outcome and a quantity are 8, and the rest is for what a newer version adds. With a larger one
/// the call has failed before more is kept, and the purchase is asked for again.
pub const ANSWER_BYTES_MAX: usize = 1024;
/// How many bytes gRPC puts before a message.
const PREFIX_BYTES: usize = 5;

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
    client: MarketClient<Bounded<T>>,
    token: Option<ServiceToken>,
}

impl<T> GrpcMarket<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::Future: Send + 'static,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// Makes a market of what answers its calls.
    pub fn new(service: T) -> Self {
        let client = MarketClient::new(Bounded(service));
        Self { client: client.max_decoding_message_size(ANSWER_BYTES_MAX), token: None }
    }
}

impl<T> GrpcMarket<T> {
    /// Shows this token with each call.
    #[must_use]
    pub fn showing(self, token: Option<ServiceToken>) -> Self {
        Self { token, ..self }
    }
}

/// A service whose answers end with an error where they have more bytes than one message of [`ANSWER_BYTES_MAX`]. tonic bounds a
/// message, but neither how many of them follow, nor one whose status comes before it.
#[derive(Clone, Debug)]
struct Bounded<T>(T);

impl<T> Service<http::Request<Body>> for Bounded<T>
where
    T: GrpcService<Body>,
    T::Future: Send + 'static,
{
    type Response = http::Response<Limited<T::ResponseBody>>;
    type Error = T::Error;
    type Future = BoxFuture<Self::Response, T::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answered = self.0.call(request);
        Box::pin(async move {
            let limited = |body| Limited::new(body, PREFIX_BYTES + ANSWER_BYTES_MAX);
            Ok(answered.await?.map(limited))
        })
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
    T::Future: Send + 'static,
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
        let quantity = i64::from(response.quantity_sold);
        match response.outcome() {
            Outcome::Sold if quantity > QUANTITY_SOLD_MAX => Err(MarketError::Failed {
                why: format!(
                    "it says that it sold {quantity}, and {QUANTITY_SOLD_MAX} is the most"
                ),
            }),
            Outcome::Sold => Ok(Answer::Sold(quantity)),
            Outcome::Unknown => Ok(Answer::Unknown),
            Outcome::Unspecified => Err(MarketError::Failed {
                why: "its answer is none that this program knows".into(),
            }),
        }
    }
}
