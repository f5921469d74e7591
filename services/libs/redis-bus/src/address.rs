//! Where Redis is, and a connection to it: plain, or in TLS, which the library could speak too, but then trusts either the public
//! authorities or the given ones.

use std::{error::Error, io, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisResult, aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::AddressError;
use store::tls::{self, Trust};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The address of a Redis.
pub(super) enum Address {
    Plain {
        client: Client,
        /// The same Redis, on connections on which it speaks unasked.
        pushing: Client,
    },
    Tls(Tls),
}

/// The address of a Redis that speaks TLS.
pub(super) struct Tls {
    host: String,
    port: u16,
    name: ServerName<'static>,
    connector: TlsConnector,
    account: RedisConnectionInfo,
    pushing: RedisConnectionInfo,
}

impl Address {
    /// Reads `redis://user:password@host:port`, or `rediss://…` for TLS.
    pub(super) fn read(url: &str, trust: &Trust) -> Result<Self, AddressError> {
        let unusable = |source| AddressError { source };
        let (plain, has_tls) = match url.strip_prefix("rediss://") {
            Some(rest) => (format!("redis://{rest}"), true),
            None => (url.to_owned(), false),
        };
        let info = plain.into_connection_info().map_err(unusable)?;
        let account = info.redis_settings().clone();
        let pushing = account.clone().set_protocol(ProtocolVersion::RESP3);
        if has_tls {
            return Tls::new(&info, account, pushing, trust).map(Self::Tls).map_err(unusable);
        }
        let client = Client::open(info.clone()).map_err(unusable)?;
        let pushing = Client::open(info.set_redis_settings(pushing)).map_err(unusable)?;
        Ok(Self::Plain { client, pushing })
    }

    /// Makes a connection.
    pub(super) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Plain { client, .. } => plain(client, config).await,
            Self::Tls(tls) => tls.connect(&tls.account, config).await,
        }
    }

    /// Makes a connection on which Redis speaks unasked.
    pub(super) async fn connect_pushing(
        &self,
        config: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Plain { pushing, .. } => plain(pushing, config).await,
            Self::Tls(tls) => tls.connect(&tls.pushing, config).await,
        }
    }
}

async fn plain(
    client: &Client,
    config: AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let config = config.set_connection_timeout(Some(CONNECT_MAX));
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl Tls {
    fn new(
        info: &ConnectionInfo,
        account: RedisConnectionInfo,
        pushing: RedisConnectionInfo,
        trust: &Trust,
    ) -> RedisResult<Self> {
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(io::Error::other("it has no host").into());
        };
        let (host, port) = (host.clone(), *port);
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        Ok(Self { host, port, name, connector: trust.connector(), account, pushing })
    }

    async fn connect(
        &self,
        account: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let deadline = Instant::now() + CONNECT_MAX;
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let dialled = TcpStream::connect((self.host.as_str(), self.port));
        let stream = timeout_at(deadline, dialled).await.map_err(late)??;
        // A record of TLS is a whole: nothing is won by waiting for more.
        stream.set_nodelay(true)?;
        let greeted = self.connector.connect(self.name.clone(), stream);
        // A Redis that has no TLS waits for the end of what it takes for a command.
        let mute = |_| self.failed("does not answer in TLS; does it have it at that port?");
        let stream = timeout_at(deadline, greeted).await.map_err(mute)?;
        let stream = stream.map_err(|error| self.understood(error))?;
        let made = MultiplexedConnection::new_with_config(account, stream, config);
        let (connection, driver) = timeout_at(deadline, made).await.map_err(late)??;
        // It ends with the last of the connection's clones.
        tokio::spawn(driver);
        Ok(connection)
    }

    fn understood(&self, error: io::Error) -> io::Error {
        match tls::distrust(&error as &(dyn Error + 'static)) {
            Some(why) => self.failed(&format!("is not trusted: {why}")),
            None => error,
        }
    }

    fn failed(&self, how: &str) -> io::Error {
        io::Error::other(format!("Redis at {}:{} {how}", self.host, self.port))
    }
}
