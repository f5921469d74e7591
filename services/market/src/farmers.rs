//! The farmers' market outside, over HTTP. Nothing that it says is trusted.

use std::time::Duration;

use ::store::tls::Trust;
use contracts::{Ingredient, PurchaseId};
use http::header::{ACCEPT, HeaderName, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use service::token::{SERVICE_TOKEN, ServiceToken};

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

/// A client of the farmers' market.
#[derive(Debug)]
pub(crate) struct Farmers {
    client: Client,
    market_sim_token: Option<ServiceToken>,
    // By ingredient, in the order of `Ingredient::ALL`.
    doors: [Url; Ingredient::ALL.len()],
}

impl Farmers {
    /// Makes a client. Nothing is called.
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
        Ok(Self {
            client,
            market_sim_token: config.market_sim_token.clone(),
            doors: Ingredient::ALL.map(|ingredient| door(url, ingredient)),
        })
    }

    /// Asks the farmers to sell, once.
    pub(crate) async fn call(
        &self,
        purchase: PurchaseId,
        ingredient: Ingredient,
        call_max: Duration,
    ) -> Called {
        let Ok(key) = HeaderValue::from_str(&purchase.to_string()) else {
            return Called::NothingSold(Trouble::Unreachable);
        };
        let mut request = self
            .client
            .get(self.doors[ingredient as usize].clone())
            .header(IDEMPOTENCY_KEY, key)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .timeout(call_max);
        if let Some(token) = &self.market_sim_token {
            request = request.header(SERVICE_TOKEN, token.value().clone());
        }
        let response = match request.send().await {
            Ok(response) => response,
            // No connection: nothing was sent.
            Err(error) if error.is_connect() => {
                return Called::NothingSold(Trouble::Unreachable);
            }
            Err(error) => return Called::Unclear(trouble_of(&error)),
        };
        match judge_status(response.status().as_u16()) {
            Some(called) => called,
            None => match read_body(response).await {
                Ok(body) => judge_body(&body),
                Err(trouble) => Called::Unclear(trouble),
            },
        }
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

async fn read_body(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| trouble_of(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::TooLarge(ANSWER_BYTES_MAX));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn trouble_of(error: &reqwest::Error) -> Trouble {
    if error.is_timeout() { Trouble::Late } else { Trouble::Broken }
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
