//! A gateway in front of stand-ins, and guests before it.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use backends::{Backend, Backends};
use contracts::{
    api::{
        Problem,
        gateway::{AddKey, AddedKey, Role},
    },
    services::{ALL, GATEWAY},
};
use gateway::{Config, Gateway};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service::{ServiceContext, http::Peer};
use store::{Clock, Durability, Location};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::ServiceExt;

/// A gateway with a database of its own.
pub(crate) struct Stage {
    pub(crate) admin: String,
    pub(crate) folder: Arc<TempDir>,
    context: ServiceContext,
    router: Router,
}

/// What a guest got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// Returns the problem, which is well formed and has the status of the answer.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16());
        problem
    }
}

/// Returns a stand-in for a service that answers what it was asked.
pub(crate) fn echo(service: &'static str) -> Router {
    Router::new().fallback(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        let headers: std::collections::BTreeMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()))
            .collect();
        axum::Json(json!({
            "service": service,
            "method": parts.method.as_str(),
            "path": parts.uri.path_and_query().map(|path| path.as_str().to_owned()),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
        }))
    })
}

/// Returns stand-ins that answer what they were asked.
pub(crate) fn echoes() -> Backends {
    all(|service| Backend::in_process(echo(service)))
}

/// Returns all services, each as it is told.
pub(crate) fn all(of: impl Fn(&'static str) -> Backend) -> Backends {
    let behind = ALL.into_iter().filter(|service| *service != GATEWAY);
    behind.map(|service| (service, of(service))).collect()
}

pub(crate) fn config(admin: &str) -> Config {
    Config {
        key_pepper: "a pepper for tests".into(),
        admin_key: Some(admin.to_owned()),
        ..Config::default()
    }
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::with(echoes()).await
    }

    /// Opens one whose clock stands still until it is moved.
    pub(crate) async fn open_at(clock: &Clock) -> Self {
        let admin = gateway::new_key().unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let location =
            Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
        let context = ServiceContext::new(location, events::in_process(), clock.clone());
        let gateway = Gateway::open(&context, config(&admin), echoes()).await.unwrap();
        Self { admin, folder, context, router: gateway.router() }
    }

    pub(crate) async fn with(backends: Backends) -> Self {
        let admin = gateway::new_key().unwrap();
        Self::with_config(backends, config(&admin), admin).await
    }

    pub(crate) async fn with_config(backends: Backends, config: Config, admin: String) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::in_folder(folder, backends, config, admin).await
    }

    pub(crate) async fn in_folder(
        folder: Arc<TempDir>,
        backends: Backends,
        config: Config,
        admin: String,
    ) -> Self {
        let location =
            Location::Folder { folder: folder.path().to_owned(), durability: Durability::Process };
        Self { folder, ..Self::at(location, backends, config, admin).await }
    }

    pub(crate) async fn at(
        location: Location,
        backends: Backends,
        config: Config,
        admin: String,
    ) -> Self {
        let context = ServiceContext::new(location, events::in_process(), Clock::System);
        let gateway = Gateway::open(&context, config, backends).await.unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self { admin, folder, context, router: gateway.router() }
    }

    pub(crate) async fn close(self) {
        self.context.close().await;
    }

    /// Listens at a port of its own until the stage is closed.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (router, metrics) = (self.router.clone(), self.context.metrics.clone());
        let (limits, stop) = (gateway::limits(), self.context.stop().clone());
        tokio::spawn(async move {
            service::http::serve(listener, GATEWAY, router, limits, metrics, stop).await;
        });
        address
    }

    /// Asks as the admin.
    pub(crate) async fn get(&self, path: &str) -> Got {
        self.ask(Method::GET, path, Some(&self.admin), Value::Null).await
    }

    /// Asks with a key, or none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Value,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request) -> Got {
        Got::of(self.answer(request).await).await
    }

    /// Returns the answer before its body was read.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Asks without a key, from an address.
    pub(crate) async fn ask_from(&self, address: &str, path: &str) -> Got {
        let address: SocketAddr = address.parse().unwrap();
        let request =
            Request::builder().uri(path).extension(Peer(address)).body(Body::empty()).unwrap();
        self.send(request).await
    }

    /// Makes a key, and returns it whole.
    pub(crate) async fn add_key(&self, name: &str, role: Role) -> AddedKey {
        let asked = serde_json::to_value(AddKey { name: name.into(), role }).unwrap();
        let got = self.ask(Method::POST, "/v1/keys", Some(&self.admin), asked).await;
        assert_eq!(got.status, StatusCode::CREATED, "{}", got.text());
        got.json()
    }
}
