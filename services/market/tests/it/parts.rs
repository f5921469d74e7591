//! The parts that the tests stand on: a market of one test's own, and those that it buys at.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use contracts::{
    Ingredient, PurchaseId,
    api::{
        audit::{Facts, PurchaseFact},
        market_sim::{ChangeMarketSim, MarketSim as MarketSimAnswer},
        service::ServiceStatus,
    },
    market::{
        BuyRequest, BuyResponse, buy_response::Outcome, market_client::MarketClient,
        market_server::MarketServer,
    },
    services::MARKET_SIM,
};
use http_body_util::BodyExt as _;
use market::{Config, Market};
use market_sim::MarketSim;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service::{ServiceContext, http::Limits};
use store::{Clock, Durability, Location};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tonic::{Code, Status};
use tower::ServiceExt as _;

/// How long a test waits for a state.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) fn context_in(folder: &Path) -> ServiceContext {
    let location = Location::Folder { folder: folder.to_owned(), durability: Durability::Process };
    ServiceContext::new(location, events::in_process(), Clock::System)
}

pub(crate) fn url_of(address: SocketAddr) -> reqwest::Url {
    format!("http://{address}").parse().unwrap()
}

/// What the buyer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Sold(u32),
    Unknown,
}

/// A market of one test's own.
pub(crate) struct Embedded {
    pub(crate) context: ServiceContext,
    pub(crate) market: Market,
    folder: TempDir,
}

impl Embedded {
    pub(crate) async fn open(config: Config) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), config).await
    }

    async fn open_in(folder: TempDir, config: Config) -> Self {
        let context = context_in(folder.path());
        let market = Market::open(&context, config).await.unwrap();
        Self { context, market, folder }
    }

    /// Closes it, and opens it again with the same data.
    pub(crate) async fn reopen(self, config: Config) -> Self {
        self.context.close().await;
        Self::open_in(self.folder, config).await
    }

    /// Opens another process' market with the data as it lies on the disk now, as after `kill -9` of this one.
    pub(crate) async fn reopen_after_crash(&self, config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self::open_in(folder, config).await
    }

    /// Buys in process, as the inventory does in the environment.
    pub(crate) async fn buy(&self, id: PurchaseId, what: Ingredient) -> Result<Told, Status> {
        self.ask(&id.to_string(), what.name()).await
    }

    pub(crate) async fn ask(&self, purchase: &str, ingredient: &str) -> Result<Told, Status> {
        let mut client = MarketClient::new(MarketServer::new(self.market.clone()));
        let request = BuyRequest { purchase: purchase.into(), ingredient: ingredient.into() };
        client.buy(request).await.map(|response| told(response.into_inner()))
    }

    /// Buys again and again, under the same id, until there is an answer.
    pub(crate) async fn buy_at_last(&self, id: PurchaseId, what: Ingredient) -> Told {
        let asked = async {
            loop {
                match self.buy(id, what).await {
                    Ok(told) => return told,
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
                }
            }
        };
        timeout(WAIT_MAX, asked).await.unwrap()
    }

    pub(crate) async fn receipts(&self) -> Vec<PurchaseFact> {
        let facts: Facts<PurchaseFact> = self.get("/internal/facts/receipts").await;
        facts.facts
    }

    /// Returns the one purchase's status and quantity.
    pub(crate) async fn receipt(&self) -> (String, i64) {
        let receipts = self.receipts().await;
        assert_eq!(receipts.len(), 1, "{receipts:?}");
        (receipts[0].status.clone(), receipts[0].quantity)
    }

    pub(crate) async fn status(&self) -> ServiceStatus {
        self.get("/internal/status").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let response = self.market.router().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}

pub(crate) fn told(response: BuyResponse) -> Told {
    match response.outcome() {
        Outcome::Sold => Told::Sold(response.quantity_sold),
        Outcome::Unknown => Told::Unknown,
        Outcome::Unspecified => panic!("no outcome"),
    }
}

/// A real simulated market that listens, told to answer at once.
pub(crate) struct Farmers {
    context: ServiceContext,
    router: axum::Router,
    address: SocketAddr,
    _folder: TempDir,
}

impl Farmers {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = context_in(folder.path());
        let market_sim = MarketSim::open(&context, market_sim::Config::default()).await.unwrap();
        let router = market_sim.router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        context.serve(listener, MARKET_SIM, router.clone(), Limits::default());
        let farmers = Self { context, router, address, _folder: folder };
        farmers.tell(json!({"delay_ms": 0})).await;
        farmers
    }

    /// Returns how to reach it, as a simulated market.
    pub(crate) fn config(&self) -> Config {
        Config::of_market_sim(url_of(self.address), None)
    }

    /// Tells it what to be.
    pub(crate) async fn tell(&self, change: Value) {
        let _: ChangeMarketSim = serde_json::from_value(change.clone()).unwrap();
        let request = http::Request::put("/v1/market").body(Body::from(change.to_string()));
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        assert!(response.status().is_success());
    }

    /// Returns how many sales it made, and how much of all it sold.
    pub(crate) async fn sold(&self) -> (i64, i64) {
        let request = http::Request::get("/v1/market").body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let market_sim: MarketSimAnswer = serde_json::from_slice(&body).unwrap();
        (market_sim.sales, market_sim.sold.values().sum())
    }

    pub(crate) async fn close(&self) {
        self.context.close().await;
    }
}

/// A market that speaks whatever bytes a test wants, one connection a call.
pub(crate) struct Stranger {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    keys: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Stranger {
    /// Answers each call by `answer`, which is told how many calls there were before.
    pub(crate) async fn open<F>(answer: impl Fn(usize, TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let keys: Arc<Mutex<Vec<String>>> = Arc::default();
        let (counted, noted) = (Arc::clone(&calls), Arc::clone(&keys));
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(key) = read_key(&mut stream).await else { continue };
                noted.lock().unwrap().push(key);
                // The client may hang up at any time.
                tokio::spawn(answer(counted.fetch_add(1, Ordering::SeqCst), stream));
            }
        });
        Self { address, calls, keys, serving }
    }

    /// Always answers these bytes, and closes the connection.
    pub(crate) async fn saying(bytes: Vec<u8>) -> Self {
        let bytes = Arc::new(bytes);
        Self::open(move |_, mut stream| {
            let bytes = Arc::clone(&bytes);
            async move {
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            }
        })
        .await
    }

    /// Returns how to reach it as a market that sells again when it is asked again, without much patience.
    pub(crate) fn config(&self) -> Config {
        Config { call_max: Duration::from_millis(400), ..Config::new(url_of(self.address)) }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Returns the `Idempotency-Key` of each call.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }

    /// Waits until it was called that often.
    pub(crate) async fn called(&self, times: usize) {
        let called = async {
            while self.calls() < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(WAIT_MAX, called).await.unwrap();
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Reads the head of a request; returns its key.
async fn read_key(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let key = head.lines().find_map(|line| line.strip_prefix("idempotency-key: "))?;
    Some(key.to_owned())
}

/// Returns an answer with this status line and body.
pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let kind = "content-type: application/json";
    format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// Writes an answer of that much sold.
pub(crate) async fn sell(mut stream: TcpStream, quantity: i64) -> io::Result<()> {
    stream.write_all(&answer("200 OK", &format!(r#"{{"quantitySold":{quantity}}}"#))).await?;
    stream.shutdown().await
}
