//! The HTTP stack of the environment without services: every order gets the same answer.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, ExitCode, Stdio},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::RawQuery,
    http::{StatusCode, header},
    routing::{get, post},
};
use contracts::{
    OrderId, Timestamp,
    api::{
        orders::{Order, OrderStatus, PlacedOrders},
        proof::{self, ProofKey},
    },
};
use load::Target;
use service::{http::Limits, metrics::Metrics};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::process::Process;

/// The secret of the key that the load is sent with.
const SECRET: &str = "hello";

/// A process of its own with that server, so that its processor time can be measured.
pub(crate) struct Hello {
    child: Child,
    address: SocketAddr,
}

impl Hello {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--hello")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("it has no stdout")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        // Created before anything can fail, so that the process ends with it.
        let mut hello = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        read?;
        hello.address = line.trim().parse().context("it does not say where it listens")?;
        Ok(hello)
    }

    /// Returns its address.
    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, key: format!("cfk_hello_{SECRET}") }
    }

    /// Returns its process.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _buried = self.child.wait();
    }
}

/// Serves until the parent's end of stdin closes, even by a crash.
pub(crate) fn be_the_server() -> Result<ExitCode> {
    let order = Order {
        id: OrderId::new(),
        number: 123_456,
        status: OrderStatus::Placed,
        dish: None,
        placed_at: Timestamp::now(),
        ended_at: None,
        reason: None,
    };
    let answer = serde_json::to_string(&PlacedOrders { orders: vec![order] })?;
    let json = || [(header::CONTENT_TYPE, "application/json")];
    let hello = async move || (json(), answer);
    // Asked before the first order.
    let prove = async move |RawQuery(asked): RawQuery| {
        let asked = asked.unwrap_or_default();
        let nonce = asked.split('&').find_map(|part| part.strip_prefix("nonce="));
        let proof = ProofKey::of(SECRET).prove(nonce.unwrap_or_default(), None);
        let proof = proof.ok_or(StatusCode::BAD_REQUEST)?;
        let proof = serde_json::to_string(&proof).map_err(|_| StatusCode::BAD_REQUEST)?;
        Ok::<_, StatusCode>((json(), proof))
    };
    let router = Router::new().route("/v1/orders", post(hello)).route(proof::PATH, get(prove));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
        let stop = CancellationToken::new();
        let server = service::http::serve(
            listener,
            "hello",
            router,
            Limits::default(),
            Metrics::default(),
            stop.clone(),
        );
        let closed = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
        tokio::select! {
            () = server => {}
            _ = closed => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
