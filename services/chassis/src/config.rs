//! Settings from the environment. Every variable begins with `CHEFCITO_`; a secret may be in a file instead, named by the
//! same variable with `_FILE` behind it.

use std::{fmt::Display, path::PathBuf, str::FromStr};

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
