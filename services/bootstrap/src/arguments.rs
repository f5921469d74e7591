//! The arguments of the command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// How long PostgreSQL is waited for: the first start of its image takes some seconds, on a slow disk many.
const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Secrets(PathBuf),
    Roles { within: Duration },
    Env,
    Version,
    Help,
}

/// Reads the arguments behind the program's name; the error names the unknown one.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let given: Vec<OsString> = arguments.collect();
    let texts: Vec<&str> = given.iter().map(|one| one.to_str().unwrap_or_default()).collect();
    match (texts.as_slice(), given.as_slice()) {
        (["secrets", _], [_, folder]) if !folder.is_empty() => Ok(Asked::Secrets(folder.into())),
        (["secrets", ..], _) => Err("`secrets` takes one folder".into()),
        (["roles"], _) => Ok(Asked::Roles { within: WITHIN }),
        (["roles", "--within", text], _) => match service::config::parse_duration(text) {
            Some(within) => Ok(Asked::Roles { within }),
            None => Err(format!("--within should be a duration such as 120s, not `{text}`")),
        },
        (["env"], _) => Ok(Asked::Env),
        (["--version" | "-V"], _) => Ok(Asked::Version),
        (["--help" | "-h"], _) => Ok(Asked::Help),
        ([], _) => Err("say what to make".into()),
        _ => {
            let words: Vec<_> = given.iter().map(|one| one.to_string_lossy()).collect();
            Err(format!("unknown arguments `{}`", words.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(arguments: &[&str]) -> Result<Asked, String> {
        read(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_is_asked_for_is_known_and_nothing_else() {
        assert_eq!(read_all(&["secrets", "/secrets"]), Ok(Asked::Secrets("/secrets".into())));
        assert_eq!(read_all(&["roles"]), Ok(Asked::Roles { within: WITHIN }));
        let second = Duration::from_secs(1);
        assert_eq!(read_all(&["roles", "--within", "1s"]), Ok(Asked::Roles { within: second }));
        assert_eq!(read_all(&["env"]), Ok(Asked::Env));
        assert_eq!(read_all(&["--version"]), Ok(Asked::Version));
        for bad in [
            &[][..],
            &["secrets"],
            &["secrets", ""],
            &["secrets", "a", "b"],
            &["env", "local"],
            &["roles", "now"],
            &["roles", "--within", "soon"],
            &["serve"],
        ] {
            assert!(read_all(bad).is_err(), "{bad:?}");
        }
    }
}
