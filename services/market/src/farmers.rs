//! The farmers' market outside, over HTTP. Nothing that it says is trusted.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use ::store::tls::Trust;
use contracts::{Ingredient, PurchaseId};
use http::header::{ACCEPT, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use service::token::{SERVICE_TOKEN, ServiceToken};
use tokio::time::timeout;

use crate::{
    Config, OpenError,
    domain::{Called, Trouble, judge_body, judge_status},
};

/// The largest answer that is read, in bytes: a sale is some twenty.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024;
/// How long a connection is kept for the next call. Shorter than servers keep theirs, Node's five seconds among them: a
/// call on a connection that is just being closed leaves open whether it arrived.
const IDLE_MAX: Duration = Duration::from_secs(4);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The request for one sale, whose body is empty.
pub type SaleRequest = http::Request<()>;
/// What the market answers to a [`SaleRequest`], or why it did not.
pub type SaleResponse = Result<http::Response<Vec<u8>>, NoResponse>;

/// Why a [`SaleRequest`] has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// No connection could be made: the request was not sent.
    NotSent,
    /// The connection broke after the request may have been sent.
    Broken,
    /// The response is larger than [`ANSWER_BYTES_MAX`].
    TooLarge,
}

/// Sends requests to the farmers' market: over HTTP, or in memory where a simulation plays the market.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends one request. Dropping the future gives up waiting; the market may have sold by then.
    fn send(&self, request: SaleRequest)
    -> Pin<Box<dyn Future<Output = SaleResponse> + Send + '_>>;
}

/// A client of the farmers' market.
#[derive(Debug)]
pub(crate) struct Farmers {
    transport: Arc<dyn Transport>,
    market_sim_token: Option<ServiceToken>,
    // By ingredient, in the order of `Ingredient::ALL`.
    doors: [http::Uri; Ingredient::ALL.len()],
}

impl Farmers {
    /// Makes a client over HTTP. Nothing is called.
    pub(crate) fn new(config: &Config) -> Result<Self, OpenError> {
        let url = &config.market_url;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(OpenError::Url { url: url.clone() });
        }
        let client = Client::builder()
            .user_agent(concat!("chefcito-market/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(Trust::default().client())
            .redirect(redirect::Policy::none())
            .connect_timeout(config.connect_max)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(config.calls_max)
            // A proxy of the environment is not for what may be on this very machine.
            .no_proxy()
            .build()?;
        Self::over(Arc::new(Http(client)), config)
    }

    /// Makes a client over this transport.
    pub(crate) fn over(transport: Arc<dyn Transport>, config: &Config) -> Result<Self, OpenError> {
        let url = &config.market_url;
        let mut doors = Vec::with_capacity(Ingredient::ALL.len());
        for ingredient in Ingredient::ALL {
            let door = door(url, ingredient).as_str().parse();
            doors.push(door.map_err(|_| OpenError::Url { url: url.clone() })?);
        }
        let doors = doors.try_into().map_err(|_| OpenError::Url { url: url.clone() })?;
        Ok(Self { transport, market_sim_token: config.market_sim_token.clone(), doors })
    }

    /// Asks the farmers to sell, once.
    pub(crate) async fn call(
        &self,
        purchase: PurchaseId,
        ingredient: Ingredient,
        call_max: Duration,
    ) -> Called {
        let mut request = http::Request::get(self.doors[ingredient as usize].clone())
            .header(IDEMPOTENCY_KEY, purchase.to_string())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.market_sim_token {
            request = request.header(SERVICE_TOKEN, token.value().clone());
        }
        let Ok(request) = request.body(()) else {
            return Called::NothingSold(Trouble::Unreachable);
        };
        let response = match timeout(call_max, self.transport.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(NoResponse::NotSent)) => return Called::NothingSold(Trouble::Unreachable),
            Ok(Err(NoResponse::Broken)) => return Called::Unclear(Trouble::Broken),
            Ok(Err(NoResponse::TooLarge)) => {
                return Called::Unclear(Trouble::TooLarge(ANSWER_BYTES_MAX));
            }
            Err(_) => return Called::Unclear(Trouble::Late),
        };
        judge_status(response.status().as_u16()).unwrap_or_else(|| judge_body(response.body()))
    }
}

/// The farmers' market over HTTP.
#[derive(Debug)]
struct Http(Client);

impl Transport for Http {
    fn send(
        &self,
        request: SaleRequest,
    ) -> Pin<Box<dyn Future<Output = SaleResponse> + Send + '_>> {
        Box::pin(async move {
            let (parts, ()) = request.into_parts();
            // The door was made of a URL.
            let url: Url = parts.uri.to_string().parse().map_err(|_| NoResponse::NotSent)?;
            let request = self.0.request(parts.method, url).headers(parts.headers);
            let mut response = request.send().await.map_err(|error| match error.is_connect() {
                true => NoResponse::NotSent,
                false => NoResponse::Broken,
            })?;
            let status = response.status();
            let mut body = Vec::new();
            // Only a sale has a body that says more than the status.
            while status == 200
                && let Some(chunk) = response.chunk().await.map_err(|_| NoResponse::Broken)?
            {
                if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                    return Err(NoResponse::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            let mut answer = http::Response::new(body);
            *answer.status_mut() = status;
            Ok(answer)
        })
    }
}

/// Returns where an ingredient is bought.
fn door(market: &Url, ingredient: Ingredient) -> Url {
    let mut url = market.clone();
    if url.path() == "/" {
        url.set_path("/api/farmers-market/buy");
    }
    url.query_pairs_mut().append_pair("ingredient", ingredient.name());
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_is_the_usual_one_unless_the_url_names_another() {
        for (market, lemons) in [
            (
                "http://market-sim:7373",
                "http://market-sim:7373/api/farmers-market/buy?ingredient=lemon",
            ),
            ("https://m.example/", "https://m.example/api/farmers-market/buy?ingredient=lemon"),
            ("https://m.example/buy", "https://m.example/buy?ingredient=lemon"),
            ("https://m.example/buy?day=1", "https://m.example/buy?day=1&ingredient=lemon"),
        ] {
            assert_eq!(door(&market.parse().unwrap(), Ingredient::Lemon).as_str(), lemons);
        }
    }

    #[test]
    fn every_ingredient_has_its_own_door() {
        let doors = Ingredient::ALL.map(|one| door(&"http://market-sim".parse().unwrap(), one));
        for ingredient in Ingredient::ALL {
            let query = format!("ingredient={ingredient}");
            assert_eq!(doors[ingredient as usize].query(), Some(query.as_str()));
        }
    }
}
