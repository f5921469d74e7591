//! The keys of files: every argument of a command that has a variable is one.

use std::{any::TypeId, collections::BTreeMap, num::NonZeroU32};

use clap::{
    Arg, ArgAction, Command,
    builder::Resettable,
    error::{ContextKind, ContextValue},
};

use crate::suggest::one_of;

/// What the names of variables begin with.
const PREFIX: &str = "CHEFCITO_";
/// What chooses among values of files is in none.
const OF_NO_FILE: &str = "profile";

/// The type of a value in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
}

impl Kind {
    fn of(arg: &Arg) -> Self {
        let numbers = [
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<NonZeroU32>(),
        ];
        let parsed = arg.get_value_parser().type_id();
        match arg.get_action() {
            ArgAction::SetTrue => Self::Switch,
            _ if numbers.iter().any(|number| parsed == *number) => Self::Number,
            _ => Self::Text,
        }
    }

    /// Returns what a value should be.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number without quotes",
            Self::Switch => "true or false",
        }
    }
}

/// Returns the key for an argument; `None` if no file can state it.
pub(crate) fn key_of(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?.to_str()?.strip_prefix(PREFIX)?;
    let name = name.to_ascii_lowercase().replace('_', "-");
    // A required one is stated for each command on purpose.
    (name != OF_NO_FILE && !arg.is_required_set()).then_some(name)
}

/// All keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys(BTreeMap<String, Arg>);

impl Keys {
    /// Returns the keys for the arguments of a command and its subcommands.
    pub(crate) fn of(tree: &Command) -> Self {
        let of_commands = tree.get_subcommands().flat_map(Command::get_arguments);
        let all = tree.get_arguments().chain(of_commands);
        Self(all.filter_map(|arg| Some((key_of(arg)?, arg.clone()))).collect())
    }

    /// Returns their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the type of a key's values; `None` if there is no such key.
    pub(super) fn kind(&self, key: &str) -> Option<Kind> {
        self.0.get(key).map(Kind::of)
    }

    /// Checks a value as the command line does. The error says what was found, and what would be valid.
    pub(super) fn check(&self, key: &str, text: &str) -> Result<(), (String, String)> {
        let Some(arg) = self.0.get(key).filter(|arg| Kind::of(arg) != Kind::Switch) else {
            return Ok(());
        };
        let arg = arg.clone().env(Resettable::Reset).required(false).long("value");
        let command = Command::new("check").no_binary_name(true).arg(arg);
        let Err(error) = command.try_get_matches_from([format!("--value={text}")]) else {
            return Ok(());
        };
        // A URL may have a password.
        let what = match key.ends_with("-url") {
            true => format!("`{key}` is not valid"),
            false => format!("`{key}` is `{text}`"),
        };
        Err((what, hint(&error)))
    }
}

/// Returns what would be valid.
fn hint(error: &clap::Error) -> String {
    match (error.get(ContextKind::SuggestedValue), error.get(ContextKind::ValidValue)) {
        (Some(ContextValue::String(similar)), _) => format!("did you mean `{similar}`?"),
        (_, Some(ContextValue::Strings(valid))) if !valid.is_empty() => {
            let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
            format!("it should be one of {}", one_of(&valid))
        }
        _ => std::error::Error::source(error).map(ToString::to_string).unwrap_or_default(),
    }
}
