//! Where the values of a command's arguments come from.

use std::{collections::BTreeMap, fmt};

use clap::{ArgMatches, Command, parser::ValueSource};

use super::{
    file::{Files, Place},
    keys::key_of,
};

/// Where the value of a setting comes from, the highest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// A flag.
    Flag,
    /// The variable of this name.
    Variable(String),
    /// A profile in a file.
    Profile {
        /// Its name.
        name: String,
        /// Where the value stands.
        place: Place,
    },
    /// A file, outside of profiles.
    File(Place),
    /// The last `up` or `scale` of the environment.
    LastTime,
    /// The default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => formatter.write_str("flag"),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::Profile { name, place } => write!(formatter, "profile {name} in {place}"),
            Self::File(place) => place.fmt(formatter),
            Self::LastTime => formatter.write_str("last time"),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// The origins of the stated arguments of a command, by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Returns the origins of the arguments of `command`, one of the subcommands of `tree`.
    pub(crate) fn of(
        matches: &ArgMatches,
        tree: &Command,
        command: &Command,
        files: &Files,
    ) -> Self {
        let origin = |arg: &clap::Arg| {
            let id = arg.get_id().as_str();
            let origin = match matches.value_source(id)? {
                ValueSource::CommandLine => Origin::Flag,
                ValueSource::EnvVariable => {
                    Origin::Variable(arg.get_env()?.to_string_lossy().into_owned())
                }
                _ => {
                    let value = files.value(&key_of(arg)?)?;
                    let place = value.place.clone();
                    match &value.profile {
                        Some(name) => Origin::Profile { name: name.clone(), place },
                        None => Origin::File(place),
                    }
                }
            };
            Some((id.to_owned(), origin))
        };
        Self(command.get_arguments().chain(tree.get_arguments()).filter_map(origin).collect())
    }

    /// Returns the origin of an argument; `None` if it is not stated.
    pub(crate) fn get(&self, id: &str) -> Option<&Origin> {
        self.0.get(id)
    }

    /// Returns whether a flag states an argument.
    pub(crate) fn is_flag(&self, id: &str) -> bool {
        self.get(id) == Some(&Origin::Flag)
    }
}
