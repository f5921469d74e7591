//! What a buyer and a developer see of the simulated market.

#![expect(clippy::unwrap_used, reason = "tests may")]

mod anonymous;
mod buying;
mod facts;
mod pairs;
mod settings;
mod standalone;
mod statements;
mod trouble;

use std::path::Path;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use contracts::api::market_sim::ChangeMarketSim;
use http_body_util::BodyExt as _;
use market_sim::{Config, MarketSim};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service::ServiceContext;
use store::{Clock, Durability, Location};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// A simulated market of one test's own, which answers at once.
struct Stand {
    context: ServiceContext,
    router: Router,
    folder: TempDir,
}

impl Stand {
    async fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), preset(json!({"delay_ms": 0}))).await
    }

    async fn open_in(folder: TempDir, config: Config) -> Self {
        let context = context_in(folder.path());
        let router = MarketSim::open(&context, config).await.unwrap().router();
        Self { context, router, folder }
    }

    /// Closes it and opens it again.
    async fn reopen(self, config: Config) -> Self {
        self.context.close().await;
        Self::open_in(self.folder, config).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn set(&self, settings: Value) -> (StatusCode, Value) {
        self.send(Request::put("/v1/market").body(Body::from(settings.to_string())).unwrap()).await
    }

    async fn reset(&self) -> (StatusCode, Value) {
        self.send(Request::delete("/v1/market").body(Body::empty()).unwrap()).await
    }

    async fn buy_with(&self, key: &str, ingredient: &str) -> (StatusCode, Value) {
        let path = format!("/api/farmers-market/buy?ingredient={ingredient}");
        let request = Request::get(path).header("Idempotency-Key", key);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Buys without a key; returns how much was sold.
    async fn buy(&self, ingredient: &str) -> i64 {
        let (status, sale) =
            self.get(&format!("/api/farmers-market/buy?ingredient={ingredient}")).await;
        assert_eq!(status, StatusCode::OK, "{sale}");
        sale["quantitySold"].as_i64().unwrap()
    }

    async fn sales(&self) -> i64 {
        self.get("/v1/market").await.1["sales"].as_i64().unwrap()
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

fn context_in(folder: &Path) -> ServiceContext {
    let location = Location::Folder { folder: folder.to_owned(), durability: Durability::Process };
    ServiceContext::new(location, events::in_process(), Clock::System)
}

fn preset(settings: Value) -> Config {
    Config { preset: read::<ChangeMarketSim>(settings), token: None }
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}
