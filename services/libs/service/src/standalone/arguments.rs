//! What a service is told on its command line: nothing, as a rule.

use std::ffi::OsString;

/// What a service is asked to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Serve until it is told to stop.
    Serve,
    /// Say which version it is.
    Version,
    /// Ask the service that runs here how it is.
    Health,
    /// Tell the service that is this container's first process to stop.
    Stop,
    /// Say what can be asked.
    Help,
}

/// Reads the arguments behind the program's name; the first unknown one is the error.
pub(super) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let mut asked = Asked::Serve;
    for argument in arguments {
        let next = match argument.to_str() {
            Some("--version" | "-V") => Asked::Version,
            Some("--health") => Asked::Health,
            Some("--stop") => Asked::Stop,
            Some("--help" | "-h") => Asked::Help,
            _ => return Err(argument.to_string_lossy().into_owned()),
        };
        if asked != Asked::Serve {
            return Err(argument.to_string_lossy().into_owned());
        }
        asked = next;
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(arguments: &[&str]) -> Result<Asked, String> {
        read(arguments.iter().map(OsString::from))
    }

    #[test]
    fn a_service_serves_unless_it_is_asked_something() {
        assert_eq!(read_all(&[]), Ok(Asked::Serve));
        assert_eq!(read_all(&["--version"]), Ok(Asked::Version));
        assert_eq!(read_all(&["--health"]), Ok(Asked::Health));
        assert_eq!(read_all(&["--stop"]), Ok(Asked::Stop));
        assert_eq!(read_all(&["-h"]), Ok(Asked::Help));
    }

    #[test]
    fn what_nobody_knows_is_named() {
        assert_eq!(read_all(&["serve"]), Err("serve".into()));
        assert_eq!(read_all(&["--version", "--health"]), Err("--health".into()));
        assert_eq!(read_all(&[""]), Err(String::new()));
    }
}
