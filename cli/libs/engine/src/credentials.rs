//! Credentials for registries, where the `docker` command keeps them: in `config.json` or in credential helpers.

use std::{
    collections::BTreeMap,
    env, fmt, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::errors::{Error, Result};

/// The variable for the folder of `config.json`.
const FOLDER: &str = "DOCKER_CONFIG";
/// The registry of names without a host, and its key among the credentials.
const HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");
/// The user name that a helper returns if its secret is a token.
const TOKEN: &str = "<token>";
/// The error of a helper without credentials.
const NOT_FOUND: &str = "credentials not found";

/// Credentials; empty for anonymous access. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
    token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The credentials in `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Login>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login {
    /// `user:password` in base64.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// The answer of a helper.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    username: String,
    secret: String,
}

impl Credentials {
    /// Finds the credentials for a registry such as `registry.example:5000/chefcito`, as `docker` would.
    ///
    /// # Errors
    /// [`Error::BadFile`] for an invalid `config.json`; [`Error::Lacking`] if it names a helper that does not
    /// exist, [`Error::Failed`] if the helper fails.
    pub async fn of(registry: &str) -> Result<Self> {
        let Some(path) = config_file() else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::io(|| format!("read {}", path.display()))(error)),
        };
        let bad = |detail: String| Error::BadFile { path: path.clone(), detail };
        let config: Config = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let host = host(registry);
        let key = if host == HUB.0 { HUB.1 } else { host };
        if let Some(program) = config.cred_helpers.get(key).or(config.creds_store.as_ref()) {
            return ask(program, key, &path).await;
        }
        match config.auths.iter().find(|(name, _)| plain(name) == plain(key)) {
            Some((_, login)) => Self::read(login).map_err(bad),
            None => Ok(Self::default()),
        }
    }

    fn read(login: &Login) -> Result<Self, String> {
        let token = Some(login.identitytoken.clone()).filter(|token| !token.is_empty());
        if login.auth.is_empty() {
            let (user, password) = (login.username.clone(), login.password.clone());
            return Ok(Self { user, password, token });
        }
        let decoded = decode(&login.auth).and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, password) = decoded
            .as_deref()
            .and_then(|pair| pair.split_once(':'))
            .ok_or("an `auth` in it is not `user:password` in base64")?;
        let password = password.trim_end_matches('\0');
        Ok(Self { user: user.to_owned(), password: password.to_owned(), token })
    }

    /// Returns them in the library's form.
    ///
    /// # Errors
    /// [`Error::Failed`] if the library would encode them in a way that engines do not accept.
    pub(super) fn for_library(&self) -> Result<Option<DockerCredentials>> {
        let set = |text: &String| (!text.is_empty()).then(|| text.clone());
        let converted = DockerCredentials {
            username: set(&self.user),
            password: set(&self.password).filter(|_| self.token.is_none()),
            identitytoken: self.token.clone(),
            ..DockerCredentials::default()
        };
        let is_set = converted.password.is_some() || converted.identitytoken.is_some();
        let bytes = serde_json::to_vec(&converted).map_err(|error| {
            Error::io(|| "write the login of the registry".into())(error.into())
        })?;
        if is_set && !is_plain_in_base64(&bytes) {
            return Err(Error::Failed {
                what: "the login of the registry can't be passed on to the engine as it is".into(),
                hint: "log in with another password or token: one without `?`, `~`, `>` and letters beyond ASCII".into(),
                source: None,
            });
        }
        Ok(is_set.then_some(converted))
    }
}

/// The library encodes base64 with `+` and `/`, but engines expect `-` and `_`: only text without them works.
fn is_plain_in_base64(bytes: &[u8]) -> bool {
    const PLAIN_MAX: u32 = 61;
    bytes.chunks(3).all(|three| {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or_default());
        let all = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        [18, 12, 6, 0].iter().all(|shift| (all >> shift) & 63 <= PLAIN_MAX)
    })
}

/// Decodes base64 of either alphabet, with or without padding; `None` if it is invalid.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut all, mut bits) = (0_u32, 0_u32);
    for digit in text.trim().trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        all = (all << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((all >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Returns the host of a registry that may have a path; a name without a host is a path of Docker Hub.
pub fn host(registry: &str) -> &str {
    let first = registry.split('/').next().unwrap_or_default();
    if first.contains(['.', ':']) || first == "localhost" { first } else { HUB.0 }
}

/// Credentials are keyed by hosts or by URLs.
fn plain(name: &str) -> &str {
    let name = name.trim_start_matches("https://").trim_start_matches("http://");
    name.split('/').next().unwrap_or_default()
}

fn config_file() -> Option<PathBuf> {
    let named = env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".docker")))?;
    Some(folder.join("config.json"))
}

/// Asks a credential helper.
async fn ask(name: &str, key: &str, config: &Path) -> Result<Credentials> {
    let program = format!("docker-credential-{name}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn();
    let mut child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Lacking {
            what: format!(
                "the program `{program}`, which {} names, does not exist",
                config.display()
            ),
            hint: "install it, or remove it from that file and log in again with `docker login`"
                .into(),
        },
        _ => Error::io(|| format!("start {program}"))(error),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it does not read its input, its output has the reason.
        let _unread = stdin.write_all(key.as_bytes()).await;
    }
    let said = child.wait_with_output().await;
    let said = said.map_err(Error::io(|| format!("wait for {program}")))?;
    let words = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    if !said.status.success() && words.contains(NOT_FOUND) {
        return Ok(Credentials::default());
    }
    let secret = serde_json::from_slice::<Secret>(&said.stdout).ok();
    let Some(Secret { username, secret }) = secret.filter(|_| said.status.success()) else {
        let complaint = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        return Err(Error::Failed {
            what: format!("`{program} get` has no credentials for {key}"),
            hint: "log in again with `docker login`".into(),
            source: Some(if words.is_empty() { complaint } else { words }.into()),
        });
    };
    Ok(match username.as_str() {
        TOKEN => Credentials { token: Some(secret), ..Credentials::default() },
        _ => Credentials { user: username, password: secret, token: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_may_have_a_path() {
        assert_eq!(host("registry.example:5000/chefcito/a"), "registry.example:5000");
        assert_eq!(host("localhost/chefcito"), "localhost");
        assert_eq!(host("chefcito"), "docker.io");
        assert_eq!(plain("https://index.docker.io/v1/"), "index.docker.io");
    }

    #[test]
    fn a_login_is_read_from_base64() {
        let login = |auth: &str| Login { auth: auth.into(), ..Login::default() };
        let read = Credentials::read(&login("Y2hlZjpwYXNzOndvcmQ=")).unwrap();
        assert_eq!((read.user.as_str(), read.password.as_str()), ("chef", "pass:word"));
        assert!(Credentials::read(&login("Y2hlZg==")).is_err(), "it has no colon");
        assert!(Credentials::read(&login("{}")).is_err());
        assert!(!format!("{read:?}").contains("word"), "a password is never shown");
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        let converted = |password: &str| {
            let user = "chef".into();
            Credentials { user, password: password.into(), token: None }.for_library()
        };
        assert!(converted("secret").unwrap().is_some() && converted("").unwrap().is_none());
        let spoiled = ["?ab", "a?b", "ab?"].iter().filter(|password| converted(password).is_err());
        assert_eq!(spoiled.count(), 1, "at one place of three it makes a `/`");
    }
}
