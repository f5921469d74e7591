//! A PostgreSQL server: where it is, whether TLS is spoken to it, and a connection to it.

use std::{error::Error as _, fmt, time::Duration};

use tokio::{net::lookup_host, time::timeout};
use tokio_postgres::{
    CancelToken, Client, Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{StoreError, chain, error};
use crate::tls::{self, Trust};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long the answer may take where a host is. What was asked before the network of a container was there is lost, and the
/// system asks again by itself only after five seconds (resolv.conf(5)).
const RESOLVE_MAX: Duration = Duration::from_secs(1);

/// How long an address may take to take a connection, unless its URL says otherwise. Less than the second after which a system
/// asks again by itself (RFC 6298), for the same reason.
const DIAL_MAX: Duration = Duration::from_millis(500);

/// How long a server may be silent before it is asked for a sign of life, and how long it may leave one unanswered: a
/// machine that vanished does not say that it does.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What tokio-postgres says of a server that declines TLS.
const NO_TLS: &str = "server does not support TLS";

/// A server, and as whom one of its databases is used.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: MakeRustlsConnect,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server did not answer in time.
    #[error(
        "PostgreSQL did not answer within {CONNECT_MAX:?}; see whether it runs and its URL is right"
    )]
    Silent,
    /// The name of the server was not resolved in time.
    #[error(
        "no name server said within {RESOLVE_MAX:?} where `{host}` is; see whether it is the host of PostgreSQL"
    )]
    Unresolved {
        /// The host.
        host: String,
    },
    /// The server is not trusted to be who it should be, or can't be spoken to in TLS.
    #[error("PostgreSQL at {address} is not trusted: {why}")]
    Distrusted {
        /// Its host and port.
        address: String,
        /// Why not, and what to do about it.
        why: String,
    },
    /// It could not be reached, or refused.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        // Whatever it is: it is not the fault of a piece of work.
        Self::engine(match &error {
            ConnectError::Postgres(error) => error::told(error),
            other => chain(other),
        })
    }
}

impl Server {
    /// Reads a connection string; the server shows `application` as the name of the client.
    ///
    /// TLS is spoken if it says `sslmode=require`, and then the certificate is verified, and that it is for the host in the
    /// string: what libpq calls `verify-full`. Without, or with `prefer`, TLS is not tried: whoever is in between could
    /// decline it, and a server of a development machine has a certificate that nobody can verify.
    ///
    /// # Errors
    /// What is wrong with the string.
    pub fn read(
        url: &str,
        application: impl Into<String>,
        trust: &Trust,
    ) -> Result<Self, tokio_postgres::Error> {
        let mut config: Config = url.parse()?;
        config.application_name(application);
        // So that a connection notices that the server's machine is not there yet, or gone.
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(DIAL_MAX);
        }
        config.keepalives_idle(SILENCE_MAX).keepalives_interval(SILENCE_MAX / 5);
        config.keepalives_retries(5).tcp_user_timeout(SILENCE_MAX);
        // Said to the library, rather than a connection without TLS: its code would be there twice.
        if config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
        }
        Ok(Self { config, tls: trust.to_postgres() })
    }

    /// Returns the same server, with another of its databases.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other
    }

    /// Returns the `options` of the connection string.
    pub(super) fn options(&self) -> Option<&str> {
        self.config.get_options()
    }

    /// Makes a connection, which ends with its client.
    ///
    /// # Errors
    /// [`ConnectError`] if none could be made.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        self.await_resolver().await?;
        let made = timeout(CONNECT_MAX, self.config.connect(self.tls.clone())).await;
        let (client, connection) =
            made.map_err(|_| ConnectError::Silent)?.map_err(|error| self.understood(error))?;
        tokio::spawn(async move {
            // The client's next call reports what ended the connection.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Asks the server to end what a connection is doing. A request that does not arrive changes nothing: the statement's own
    /// time limit ends it.
    pub(super) async fn cancel(&self, token: CancelToken) {
        let _unheard = timeout(CONNECT_MAX, token.cancel_query(self.tls.clone())).await;
    }

    /// Returns when it can be told where the host is; what the answer is sees the library, which asks again.
    async fn await_resolver(&self) -> Result<(), ConnectError> {
        let Some(Host::Tcp(host)) = self.config.get_hosts().first() else { return Ok(()) };
        match timeout(RESOLVE_MAX, lookup_host((host.as_str(), 0))).await {
            Ok(_) => Ok(()),
            Err(_) => Err(ConnectError::Unresolved { host: host.clone() }),
        }
    }

    fn understood(&self, error: tokio_postgres::Error) -> ConnectError {
        let has_none = error.source().is_some_and(|source| source.to_string() == NO_TLS);
        let why = match has_none {
            true => {
                Some("it has no TLS; turn it on there, or take sslmode=require from its URL".into())
            }
            false => tls::distrust(&error),
        };
        match why {
            Some(why) => ConnectError::Distrusted { address: self.address(), why },
            None => error.into(),
        }
    }

    fn address(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "nowhere".into(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{host}:{port}")
    }
}
