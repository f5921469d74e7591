//! The engine's endpoint: chosen by variables and files alone, as the `docker` command chooses it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::errors::{Error, Result};

/// The default ports: without TLS, and with it.
const PORT_PLAIN: u16 = 2375;
const PORT_TLS: u16 = 2376;

/// The address of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EngineEndpoint {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A TCP port, of this machine or another.
    Tcp {
        /// `host:port`.
        address: String,
        /// The certificates of both sides; without them, no TLS.
        tls: Option<Tls>,
    },
    /// `user@host`, through the program `ssh`.
    Ssh(String),
}

/// A folder with `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    /// The folder.
    pub(super) folder: PathBuf,
}

impl EngineEndpoint {
    /// Returns whether its ports are those of this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Ssh(_) => false,
            Self::Tcp { address, .. } => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                matches!(host, "localhost" | "127.0.0.1" | "[::1]")
            }
        }
    }
}

impl fmt::Display for EngineEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { address, .. } => write!(formatter, "tcp://{address}"),
            Self::Ssh(login) => write!(formatter, "ssh://{login}"),
        }
    }
}

/// The endpoint that the variables and files ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Exactly this endpoint.
    Named(EngineEndpoint),
    /// The first of these sockets that accepts a connection.
    Anywhere(Vec<PathBuf>),
}

/// Reads a variable.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;
/// Reads a file.
pub(super) type File<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// Returns the endpoint that the variables and files ask for.
///
/// # Errors
/// [`Error::NoEngine`] for a host that can't be parsed, or a context that does not exist.
pub(super) fn wanted(variable: Variable<'_>, file: File<'_>) -> Result<Wanted> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let home = set("HOME").map(PathBuf::from);
    let config = set("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".docker")));
    if let Some(host) = set("DOCKER_HOST") {
        let secured = set("DOCKER_TLS_VERIFY").is_some() || set("DOCKER_CERT_PATH").is_some();
        let folder = set("DOCKER_CERT_PATH").map(PathBuf::from).or(config);
        let tls = secured.then_some(folder).flatten().map(|folder| Tls { folder });
        return parse(&host, tls, "DOCKER_HOST").map(Wanted::Named);
    }
    let context = set("DOCKER_CONTEXT")
        .or_else(|| current_context(config.as_deref()?, file))
        .filter(|name| name != "default");
    if let Some(name) = context {
        return of_context(&name, config.as_deref(), file).map(Wanted::Named);
    }
    let runtime = set("XDG_RUNTIME_DIR").map(PathBuf::from);
    let below = |folder: &Option<PathBuf>, path| folder.as_ref().map(|folder| folder.join(path));
    let sockets = [
        Some("/var/run/docker.sock".into()),
        below(&runtime, "docker.sock"),
        below(&home, ".docker/run/docker.sock"),
        below(&runtime, "podman/podman.sock"),
        Some("/run/podman/podman.sock".into()),
    ];
    Ok(Wanted::Anywhere(sockets.into_iter().flatten().collect()))
}

/// Returns the endpoint of an address that an earlier command has recorded.
///
/// # Errors
/// [`Error::NoEngine`] if it can't be parsed.
pub(super) fn named(host: &str, variable: Variable<'_>) -> Result<EngineEndpoint> {
    let folder = variable("DOCKER_CERT_PATH").filter(|folder| !folder.is_empty());
    parse(host, folder.map(|folder| Tls { folder: folder.into() }), "the recorded engine")
}

/// Parses `unix:///path`, `tcp://host:port`, `http://…`, `https://…` or `ssh://user@host`. `named_by` is the source of the
/// text, for the error.
fn parse(host: &str, tls: Option<Tls>, named_by: &str) -> Result<EngineEndpoint> {
    let misread = || {
        Error::NoEngine {
        what: format!("{named_by} is `{host}`, which is not an address of an engine"),
        hint: "it should be like unix:///var/run/docker.sock, tcp://host:2376 (https needs DOCKER_CERT_PATH) or \
               ssh://user@host"
            .into(),
        source: None,
    }
    };
    let (scheme, rest) = host.trim().split_once("://").ok_or_else(misread)?;
    let rest = rest.trim_end_matches('/');
    let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match scheme {
        _ if rest.is_empty() => Err(misread()),
        "unix" if rest.starts_with('/') => Ok(EngineEndpoint::Unix(rest.into())),
        "ssh" => match port {
            Some(port) => Err(port_of_ssh(rest, port, named_by)),
            None => Ok(EngineEndpoint::Ssh(rest.to_owned())),
        },
        "tcp" | "http" | "https" if scheme != "https" || tls.is_some() => {
            let usual = if tls.is_some() { PORT_TLS } else { PORT_PLAIN };
            let address = if port.is_some() { rest.to_owned() } else { format!("{rest}:{usual}") };
            Ok(EngineEndpoint::Tcp { address, tls })
        }
        _ => Err(misread()),
    }
}

/// The library passes the port to `ssh` as a part of the host name, and `ssh` would fail to resolve that.
fn port_of_ssh(login: &str, port: u16, named_by: &str) -> Error {
    let login = login.rsplit_once(':').map_or(login, |(login, _)| login);
    let host = login.rsplit_once('@').map_or(login, |(_, host)| host);
    Error::NoEngine {
        what: format!("{named_by} is `ssh://{login}:{port}`, but a port is not supported there"),
        hint: format!(
            "write the port into ~/.ssh/config, `Host {host}` with `Port {port}` below it, and name ssh://{login}"
        ),
        source: None,
    }
}

/// The fields of `docker`'s `config.json` that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    current_context: Option<String>,
}

fn current_context(config: &Path, file: File<'_>) -> Option<String> {
    let text = file(&config.join("config.json")).ok()?;
    serde_json::from_str::<Config>(&text).ok()?.current_context.filter(|name| !name.is_empty())
}

/// A context, as `docker context create` writes it down.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: Option<String>,
}

fn of_context(name: &str, config: Option<&Path>, file: File<'_>) -> Result<EngineEndpoint> {
    let unknown = || {
        Error::NoEngine {
        what: format!("there is no Docker context `{name}`"),
        hint: "`docker context ls` lists them; `DOCKER_CONTEXT=default` takes the engine of this machine".into(),
        source: None,
    }
    };
    let contexts = config.ok_or_else(unknown)?.join("contexts");
    // Docker names the folder by the SHA-256 of the name.
    let id = sha256_hex(name.as_bytes());
    let text = file(&contexts.join("meta").join(&id).join("meta.json")).map_err(|_| unknown())?;
    let meta: Meta = serde_json::from_str(&text).map_err(|_| unknown())?;
    let host = meta.endpoints.docker.and_then(|endpoint| endpoint.host).ok_or_else(unknown)?;
    let folder = contexts.join("tls").join(&id).join("docker");
    let tls = file(&folder.join("ca.pem")).is_ok().then_some(Tls { folder });
    parse(&host, tls, &format!("the host of the context `{name}`"))
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
