//! Settings from the environment. Every variable begins with `CHEFCITO_`; a secret may be in a file instead, named by the
//! same variable with `_FILE` behind it.

use std::{fmt::Display, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use events::{Bus, retention::RETENTION};
use redis_bus::{AddressError, Settings};
use store::tls::Trust;
use tracing::info;

const TRUSTED_CERTIFICATES: &str = "CHEFCITO_TRUSTED_CERTIFICATES";

/// A setting that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not what it should be.
    #[error("{variable} should be {expected}, but it is `{value}`")]
    Invalid {
        /// The variable's name.
        variable: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        value: String,
    },
    /// It is needed and not there.
    #[error("{variable} is not set: it should be {expected}")]
    Missing {
        /// The variable's name.
        variable: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The file with a secret can't be read.
    #[error("{variable} names the file `{}`, which can't be read", path.display())]
    File {
        /// The variable's name.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There are certificates in it that can't be read.
    #[error(
        "{variable} should have certificates in PEM, but {why}; take the bundle as its authority publishes it"
    )]
    Certificates {
        /// The variable's name.
        variable: String,
        /// What is wrong with them.
        why: String,
    },
    /// The address of Redis is none.
    #[error(transparent)]
    Redis(#[from] AddressError),
}

/// Reads a variable; `None` if it is not set or empty. `expected` says what it should be, for the error.
///
/// # Errors
/// [`ConfigError::Invalid`] if it is set to something else.
pub fn read<T: FromStr>(variable: &str, expected: &'static str) -> Result<Option<T>, ConfigError> {
    let value = match std::env::var(variable) {
        Ok(value) if !value.is_empty() => value,
        Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(None),
        Err(std::env::VarError::NotUnicode(value)) => {
            let value = value.to_string_lossy().into_owned();
            return Err(ConfigError::Invalid { variable: variable.into(), expected, value });
        }
    };
    match value.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(ConfigError::Invalid { variable: variable.into(), expected, value }),
    }
}

/// Reads a variable, or takes the default.
///
/// # Errors
/// As [`read`].
pub fn read_or<T: FromStr + Display>(
    variable: &str,
    expected: &'static str,
    default: T,
) -> Result<T, ConfigError> {
    Ok(read(variable, expected)?.unwrap_or(default))
}

/// The longest duration that is taken from outside: it can be added to any moment of this century.
pub const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Parses a duration such as `1m 30s`; `None` if it is none, or longer than [`DURATION_MAX`].
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    // Part by part: the parser panics on a sum of parts that is the largest duration.
    let mut parts = Vec::new();
    let (mut start, mut is_unit) = (0, false);
    for (at, letter) in text.char_indices().filter(|(_, letter)| !letter.is_whitespace()) {
        if is_unit && letter.is_ascii_digit() {
            parts.push(&text[start..at]);
            start = at;
        }
        is_unit = letter.is_alphabetic();
    }
    parts.push(&text[start..]);
    let parsed = |sum: Duration, part| sum.checked_add(humantime::parse_duration(part).ok()?);
    parts.into_iter().try_fold(Duration::ZERO, parsed).filter(|sum| *sum <= DURATION_MAX)
}

/// Reads a duration of at most [`DURATION_MAX`]; `None` if it is not set or empty.
///
/// # Errors
/// As [`read`].
pub fn read_duration(
    variable: &str,
    expected: &'static str,
) -> Result<Option<Duration>, ConfigError> {
    let Some(value) = read::<String>(variable, expected)? else { return Ok(None) };
    match parse_duration(&value) {
        Some(duration) => Ok(Some(duration)),
        None => Err(ConfigError::Invalid { variable: variable.into(), expected, value }),
    }
}

/// Reads a secret from a variable, or from the file that the variable with `_FILE` behind it names. White space around it
/// is dropped. `None` if neither is set.
///
/// # Errors
/// [`ConfigError::File`] if the file can't be read.
pub fn secret(variable: &str) -> Result<Option<String>, ConfigError> {
    if let Some(value) = read::<String>(variable, "a secret")? {
        return Ok(Some(value.trim().to_owned()));
    }
    let variable = format!("{variable}_FILE");
    let Some(path) = read::<PathBuf>(&variable, "the path of a file")? else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(source) => Err(ConfigError::File { variable, path, source }),
    }
}

/// Returns the error for a setting that is needed and not there.
#[must_use]
pub fn missing(variable: &str, expected: &'static str) -> ConfigError {
    ConfigError::Missing { variable: variable.into(), expected }
}

/// Trusts the public authorities and those of `CHEFCITO_TRUSTED_CERTIFICATES`: certificates in PEM, one after the other. A
/// file that `CHEFCITO_TRUSTED_CERTIFICATES_FILE` names and that is not there adds none, so that an environment can name
/// it before it has any.
///
/// # Errors
/// [`ConfigError`] if they can't be read, or are no certificates.
pub fn trust() -> Result<Trust, ConfigError> {
    let text = match secret(TRUSTED_CERTIFICATES) {
        Err(ConfigError::File { path, source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            info!("Trusts the public authorities alone: {} is not there", path.display());
            None
        }
        read => read?,
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Trust::default()) };
    Trust::with(&text)
        .map_err(|why| ConfigError::Certificates { variable: TRUSTED_CERTIFICATES.into(), why })
}

/// Makes the bus that the environment asks for: Redis if `CHEFCITO_REDIS_URL` (or its `_FILE`) is set, with
/// `CHEFCITO_REDIS_PREFIX` before all keys; else one within the process. `trust` says whose certificates are trusted.
///
/// # Errors
/// [`ConfigError`] if a setting is not what it should be.
pub fn bus(trust: &Trust) -> Result<Arc<dyn Bus>, ConfigError> {
    let Some(url) = secret("CHEFCITO_REDIS_URL")? else {
        return Ok(events::in_process());
    };
    let expected = "what the names of Redis keys begin with";
    let prefix = read_or("CHEFCITO_REDIS_PREFIX", expected, redis_bus::PREFIX.to_owned())?;
    let mut settings = Settings { trust: trust.clone(), prefix, ..Settings::new(url) };
    if let Some(instance_id) = instance_id()? {
        settings.instance_id = instance_id;
    }
    Ok(redis_bus::open(settings)?)
}

/// Returns the machine's name and the port; nothing if the port is any.
fn instance_id() -> Result<Option<String>, ConfigError> {
    let address: Option<std::net::SocketAddr> =
        read("CHEFCITO_LISTEN", "an address and a port such as 127.0.0.1:7373")?;
    let port = address.map_or(0, |address| address.port());
    let uname = rustix::system::uname();
    let machine = uname.nodename().to_string_lossy();
    Ok((port != 0).then(|| format!("{machine}:{port}")))
}

/// Reads how long events are kept from `CHEFCITO_RETENTION`, such as `7d` or `12h`; a week if it is not set.
///
/// # Errors
/// [`ConfigError::Invalid`] if it is no duration, or too long.
pub fn retention() -> Result<Duration, ConfigError> {
    let expected = "a duration such as 7d or 12h, 10 years at the most";
    Ok(read_duration("CHEFCITO_RETENTION", expected)?.unwrap_or(RETENTION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_can_be_added_to_now() {
        assert_eq!(parse_duration("1h 30m5s"), Some(Duration::from_secs(5_405)));
        assert_eq!(parse_duration("0.5s 500 ms"), Some(Duration::from_secs(1)));
        let wrong = [
            "",
            "7",
            "-1s",
            "soon",
            "11years",
            "18446744073709551615s",
            "18446744073709551615s 1000000000ns",
            "18446744073709551615s 999999999ns 1ns",
            "99999999999999999999s",
        ];
        for text in wrong {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert!(std::time::Instant::now().checked_add(DURATION_MAX).is_some());
    }
}
