//! The kubelet's answers to the API server: logs, programs in containers, and ports of pods.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path as At, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};
use tokio_util::sync::CancellationToken;

use super::{
    logs::{self, Asked},
    node::Played,
    pods::Pods,
    streams::{self, Attached, Channels},
};

type Parameters = Query<Vec<(String, String)>>;

/// Serves for ever, and returns the port.
pub(super) async fn start(played: Arc<Played>, certificates: &Path) -> Result<u16, String> {
    let listener = Tls::listen(certificates).await.map_err(|error| error.to_string())?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let router = Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(tell_log))
        .route("/exec/{namespace}/{pod}/{container}", get(run_program))
        .route("/portForward/{namespace}/{pod}", get(forward_port))
        .with_state(played);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}

/// The API server checks no certificate of a node by default, so a new one will do.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Tls {
    async fn listen(certificates: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let chain = CertificateDer::pem_file_iter(certificates.join("apiserver.crt"))?;
        let key = PrivateKeyDer::from_pem_file(certificates.join("apiserver.key"))?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn tell_log(
    State(played): State<Arc<Played>>,
    At((namespace, pod, container)): At<(String, String, String)>,
    Query(query): Parameters,
) -> Response {
    let Some(life) = played.life(&namespace, &pod) else { return no_such_pod(&pod) };
    if let Some(why) = life.pods.why_not_started() {
        let why = format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {why}");
        return (StatusCode::BAD_REQUEST, why).into_response();
    }
    let mut asked = Asked::read(&query);
    // While the container waits to be restarted, the last one is the previous one, too.
    asked.previous &= !matches!(life.pods, Pods::Crashing { .. });
    logs::answer(life.log.subscribe(), asked, &container, &pod)
}

async fn run_program(
    State(played): State<Arc<Played>>,
    At((namespace, pod, container)): At<(String, String, String)>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    let Some(life) = played.life(&namespace, &pod) else { return no_such_pod(&pod) };
    if life.pods.why_not_started().is_some() {
        let why = format!("container not found (\"{container}\")");
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    let all = |wanted: &'static str| {
        query.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let is = |name| all(name).any(|value| value == "1");
    let attached = Attached { input: is("input"), output: is("output"), error: is("error") };
    let command: Vec<String> = all("command").collect();
    upgrade(request, &["v5.channel.k8s.io", "v4.channel.k8s.io"], life.ended, move |channels| {
        streams::run(channels, command, attached)
    })
}

async fn forward_port(
    State(played): State<Arc<Played>>,
    At((namespace, pod)): At<(String, String)>,
    Query(query): Parameters,
    request: Request,
) -> Response {
    let Some(life) = played.life(&namespace, &pod) else { return no_such_pod(&pod) };
    let port =
        query.iter().find(|(name, _)| name == "port").and_then(|(_, port)| port.parse().ok());
    let Some(port) = port else { return StatusCode::BAD_REQUEST.into_response() };
    let to = life
        .pods
        .why_not_started()
        .is_none()
        .then(|| played.behind(&namespace, &life.service))
        .flatten();
    upgrade(request, &["v4.channel.k8s.io"], life.ended, move |channels| async move {
        streams::forward(channels, &pod, port, to).await;
    })
}

fn no_such_pod(pod: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found")).into_response()
}

/// Accepts the first protocol that both support, and serves until the end or that of the pod, which cuts the
/// connection.
fn upgrade<F: Future<Output = ()> + Send>(
    request: Request,
    known: &[&'static str],
    ended: CancellationToken,
    play: impl FnOnce(Channels) -> F + Send + 'static,
) -> Response {
    let Some((key, protocol)) = offered(request.headers(), known) else {
        return (StatusCode::BAD_REQUEST, "not a websocket of a protocol that is known")
            .into_response();
    };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let channels =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! { () = play(channels) => {}, () = ended.cancelled() => {} }
    });
    let answer = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .header(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    answer.body(Body::empty()).unwrap()
}

/// Returns the key of a websocket request, and its protocol.
fn offered(headers: &HeaderMap, known: &[&'static str]) -> Option<(HeaderValue, &'static str)> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.clone();
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let protocol =
        offered.split(',').find_map(|one| known.iter().find(|known| **known == one.trim()))?;
    Some((key, protocol))
}
