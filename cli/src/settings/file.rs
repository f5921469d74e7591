//! Settings in files: `.chefcito.toml` of the folder or of one around it, and `chefcito/config.toml` of the user.
//!
//! A file is a table of keys, and of profiles with the same keys. A key is the name of a variable without `CHEFCITO_`:
//! `cooking-time` for `CHEFCITO_COOKING_TIME`. Everything in a file is checked, whether a command uses it or not.

use std::{
    cell::LazyCell,
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use ::files::open_regular;
use manifests::quantities::size;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::keys::{Keys, Kind};
use crate::{
    error::{CliError, Result},
    suggest::{did_you_mean, one_of},
};

/// The name of the file in a checkout, or in any folder.
pub(crate) const FILE: &str = ".chefcito.toml";
/// The path of the user's file in the configuration folder.
const USER_FILE: &str = "chefcito/config.toml";
/// The largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024;
/// The most flaws of a file that are listed.
const FLAWS_MAX: usize = 20;
/// The table of profiles.
const PROFILE: &str = "profile";

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line, from 1.
    pub(crate) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.path.display(), self.line)
    }
}

impl Place {
    fn flaw(&self, what: String, hint: String) -> Flaw {
        Flaw { place: self.clone(), what, hint }
    }
}

/// Something invalid in a file.
struct Flaw {
    place: Place,
    what: String,
    hint: String,
}

impl Flaw {
    /// Returns the error for a file: its only flaw with the hint, or several by their lines.
    fn error(path: &Path, mut all: Vec<Self>) -> CliError {
        if let [Self { place, what, hint }] = &all[..] {
            let (place, what, hint) = (place.to_string(), what.clone(), hint.clone());
            return CliError::BadSettings { place, what, hint };
        }
        all.sort_by_key(|flaw| flaw.place.line);
        let lines = all
            .iter()
            .take(FLAWS_MAX)
            .map(|Self { place, what, hint }| format!("\n    line {}: {what}: {hint}", place.line));
        let what = format!("{} settings are not valid:{}", all.len(), lines.collect::<String>());
        CliError::BadSettings { place: path.display().to_string(), what, hint: String::new() }
    }
}

/// A value that a file states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// The value, as the command line takes it.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) place: Place,
    /// The profile that it belongs to.
    pub(crate) profile: Option<String>,
}

type Values = BTreeMap<String, Value>;

/// One file.
#[derive(Clone, Debug, Default)]
struct SettingsFile {
    values: Values,
    profiles: BTreeMap<String, Values>,
}

/// The files that count for a command, and the chosen profile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// The one of the folder before that of the user.
    files: Vec<SettingsFile>,
    profile: Option<String>,
    /// What should be said about them.
    pub(crate) warnings: Vec<String>,
}

impl Files {
    /// Reads the nearest file of the folder and those around it, and the user's.
    ///
    /// # Errors
    /// [`CliError::BadSettings`] if one can't be read, has something invalid, or none has the profile.
    pub(crate) fn read(
        folder: &Path,
        profile: Option<String>,
        keys: impl FnOnce() -> Keys,
    ) -> Result<Self> {
        let keys = LazyCell::new(keys);
        let mut files = Self { profile, ..Self::default() };
        let around = folder.ancestors().map(|folder| (folder.join(FILE), true)).collect();
        let of_user = user_file().into_iter().map(|path| (path, false)).collect();
        let groups: [Vec<(PathBuf, bool)>; 2] = [around, of_user];
        for group in groups {
            for (path, is_shared) in group {
                if let Some(text) = files.text(&path)? {
                    let file = parsed(&text, &path, &keys)?;
                    files.warn_of_passwords(&file, is_shared);
                    files.files.push(file);
                    break;
                }
            }
        }
        files.check_profile()?;
        Ok(files)
    }

    /// Returns whether they state nothing.
    pub(crate) fn are_empty(&self) -> bool {
        let states = |file: &SettingsFile| !file.values.is_empty() || !file.profiles.is_empty();
        !self.files.iter().any(states)
    }

    /// Returns the value of a key: that of the profile, else that of a file; the folder's goes before the user's.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        let of_profile = self.profile.as_ref().and_then(|profile| {
            self.files.iter().find_map(|file| file.profiles.get(profile)?.get(key))
        });
        of_profile.or_else(|| self.files.iter().find_map(|file| file.values.get(key)))
    }

    /// Returns the text of a file; `None` if it does not exist.
    fn text(&mut self, path: &Path) -> Result<Option<String>> {
        let bad = |what: String, hint: &str| {
            let place = path.display().to_string();
            CliError::BadSettings { place, what, hint: hint.into() }
        };
        let unreadable = |error: io::Error| {
            bad(format!("it can't be read: {error}"), "make it readable, or remove it")
        };
        let file = match open_regular(path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let found = file.metadata().map_err(unreadable)?;
        match Safety::of(&found) {
            Safety::Safe => {}
            Safety::Writable => self
                .warnings
                .push(format!("every user can write to {}: `chmod o-w` it", path.display())),
            Safety::OfAnother(owner) => {
                let what =
                    format!("it belongs to another user ({owner}), who could choose your settings");
                return Err(bad(what, "remove it, or own it; nothing was done"));
            }
        }
        let text = read_bounded(file).map_err(unreadable)?;
        text.map(Some).ok_or_else(|| {
            bad(
                format!("it has more than {}, or is not UTF-8", size(BYTES_MAX)),
                "it should be a file of settings",
            )
        })
    }

    fn check_profile(&self) -> Result<()> {
        let Some(profile) = &self.profile else { return Ok(()) };
        let known: Vec<&str> =
            self.files.iter().flat_map(|file| file.profiles.keys().map(String::as_str)).collect();
        if known.contains(&profile.as_str()) {
            return Ok(());
        }
        let hint = match did_you_mean(profile, known.iter().copied()) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None if known.is_empty() => {
                format!("a table `[{PROFILE}.{profile}]` in {FILE} makes one")
            }
            None => format!("the profiles are {}", one_of(&known)),
        };
        Err(CliError::BadSettings {
            place: "--profile or CHEFCITO_PROFILE".into(),
            what: format!("there is no profile `{profile}`"),
            hint,
        })
    }

    /// Warns of passwords in a file that others may read, too: one of a checkout is shared.
    fn warn_of_passwords(&mut self, file: &SettingsFile, is_shared: bool) {
        let all = file.values.iter().chain(file.profiles.values().flatten());
        let secret = all.filter(|(key, value)| is_shared && has_password(key, &value.text));
        self.warnings.extend(secret.map(|(key, value)| {
            format!(
                "{}: the password in `{key}` is for all who read this file; CHEFCITO_DATABASE_URL_FILE and your own \
                 ~/.config/{USER_FILE} are not",
                value.place
            )
        }));
    }
}

/// Returns the user's file: `$XDG_CONFIG_HOME/chefcito/config.toml` or `~/.config/chefcito/config.toml`.
fn user_file() -> Option<PathBuf> {
    let absolute =
        |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    folder.map(|folder| folder.join(USER_FILE))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_bounded(file: File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= BYTES_MAX))
}

fn has_password(key: &str, text: &str) -> bool {
    let login = text.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    let in_query = text.contains("password=");
    key.ends_with("-url") && (in_query || login.is_some_and(|(login, _)| login.contains(':')))
}

/// Who else may have written a file.
enum Safety {
    Safe,
    /// Every user can write to it.
    Writable,
    /// It belongs to this other user.
    OfAnother(u32),
}

impl Safety {
    /// The superuser reads the files of those for whom it works, such as a checkout in a container.
    fn of(found: &Metadata) -> Self {
        const OTHERS_WRITE: u32 = 0o002;
        let own = rustix::process::geteuid().as_raw();
        let is_writable = found.mode() & OTHERS_WRITE != 0;
        match found.uid() {
            owner if owner != own && owner != 0 && (own != 0 || is_writable) => {
                Self::OfAnother(owner)
            }
            _ if is_writable => Self::Writable,
            _ => Self::Safe,
        }
    }
}

fn parsed(text: &str, path: &Path, keys: &Keys) -> Result<SettingsFile> {
    let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
    let reading = Reading { line_ends, path, keys };
    let document = DeTable::parse(text).map_err(|error| {
        let place = reading.place(error.span().unwrap_or_default().start);
        let hint = "the format is TOML: https://toml.io".into();
        Flaw::error(path, vec![place.flaw(error.message().to_owned(), hint)])
    })?;
    let mut flaws = Vec::new();
    let mut table = document.into_inner();
    let profiles = table.remove(PROFILE);
    let values = reading.values(&table, None, &mut flaws);
    let profiles = profiles.map(|value| reading.profiles(&value, &mut flaws)).unwrap_or_default();
    match flaws.is_empty() {
        true => Ok(SettingsFile { values, profiles }),
        false => Err(Flaw::error(path, flaws)),
    }
}

struct Reading<'a> {
    line_ends: Vec<usize>,
    path: &'a Path,
    keys: &'a Keys,
}

impl Reading<'_> {
    fn place(&self, at: usize) -> Place {
        let line = 1 + self.line_ends.partition_point(|end| *end < at);
        Place { path: self.path.to_owned(), line }
    }

    fn profiles(
        &self,
        value: &Spanned<DeValue<'_>>,
        flaws: &mut Vec<Flaw>,
    ) -> BTreeMap<String, Values> {
        let not_a_table = |value: &Spanned<DeValue<'_>>, name: &str| {
            let what = format!("`{name}` is {}", found(value.get_ref()));
            self.place(value.span().start)
                .flaw(what, format!("write settings below `[{PROFILE}.NAME]`"))
        };
        let mut profiles = BTreeMap::new();
        let Some(table) = value.get_ref().as_table() else {
            flaws.push(not_a_table(value, PROFILE));
            return profiles;
        };
        for (name, value) in table {
            let name = name.get_ref();
            match value.get_ref().as_table() {
                Some(table) => {
                    profiles.insert(name.to_string(), self.values(table, Some(name), flaws));
                }
                None => flaws.push(not_a_table(value, &format!("{PROFILE}.{name}"))),
            }
        }
        profiles
    }

    /// Returns the valid values of a table, and adds what is not valid to the flaws.
    fn values(&self, table: &DeTable<'_>, profile: Option<&str>, flaws: &mut Vec<Flaw>) -> Values {
        let read = table
            .iter()
            .map(|(key, value)| self.value(key.get_ref(), key.span().start, value, profile));
        read.filter_map(|read| read.map_err(|flaw| flaws.push(flaw)).ok()).collect()
    }

    fn value(
        &self,
        key: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
        profile: Option<&str>,
    ) -> Result<(String, Value), Flaw> {
        let place = self.place(at);
        let Some(kind) = self.keys.kind(key) else {
            let hint = match did_you_mean(key, self.keys.names()) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => {
                    format!("the settings are {}", one_of(&self.keys.names().collect::<Vec<_>>()))
                }
            };
            return Err(place.flaw(format!("there is no setting `{key}`"), hint));
        };
        let text = match (kind, value.get_ref()) {
            (Kind::Text, DeValue::String(text)) => Some(text.to_string()),
            (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => {
                Some(number.as_str().replace('_', ""))
            }
            (Kind::Switch, DeValue::Boolean(is_on)) => Some(is_on.to_string()),
            _ => None,
        };
        let Some(text) = text else {
            let what = format!("`{key}` is {}", found(value.get_ref()));
            return Err(place.flaw(what, format!("it should be {}", kind.expected())));
        };
        self.keys.check(key, &text).map_err(|(what, hint)| place.flaw(what, hint))?;
        let profile = profile.map(Into::into);
        Ok((key.to_owned(), Value { text, place, profile }))
    }
}

/// Returns a value of the wrong type for people.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a text".into(),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(is_on) => is_on.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        let switch = Arg::new("no_seed").env("CHEFCITO_NO_SEED").action(ArgAction::SetTrue);
        let number = Arg::new("seed").env("CHEFCITO_SEED").value_parser(clap::value_parser!(u64));
        let required = Arg::new("context").env("CHEFCITO_DEPLOY_CONTEXT").required(true);
        Keys::of(&clap::Command::new("test").args([switch, number, required]))
    }

    fn read(text: &str) -> SettingsFile {
        parsed(text, Path::new("file"), &keys()).unwrap()
    }

    #[test]
    fn the_keys_are_those_of_the_arguments_with_variables() {
        let file = read("no-seed = true\nseed = 1_000\n");
        assert_eq!((&*file.values["no-seed"].text, &*file.values["seed"].text), ("true", "1000"));
        assert_eq!(file.values["seed"].place.to_string(), "file:2");
        for text in ["deploy-context = 'here'", "seed = 0x10", "seed = 1.5", "seed = -1", "a.b = 1"]
        {
            assert!(parsed(text, Path::new("file"), &keys()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_that_of_the_highest_place(
            places: [Option<u64>; 4], chosen in any::<bool>(),
        ) {
            let [in_profile, in_users_profile, outside, of_user] = places;
            let line = |value: Option<u64>| value.map(|value| format!("seed = {value}\n"));
            let file = |outside, in_profile| {
                let texts = [line(outside), Some("[profile.ci]\n".into()), line(in_profile)];
                read(&texts.into_iter().flatten().collect::<String>())
            };
            let files = vec![file(outside, in_profile), file(of_user, in_users_profile)];
            let profile = chosen.then(|| "ci".to_owned());
            let files = Files { files, profile, warnings: Vec::new() };
            let of_profile = in_profile.or(in_users_profile).filter(|_| chosen);
            let expected = of_profile.or(outside).or(of_user).map(|value| value.to_string());
            prop_assert_eq!(files.value("seed").map(|value| value.text.clone()), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(seed|profile|no-seed|x|=|[ \\[\\].\"'1\n]){0,12}") {
            if let Err(error) = parsed(&text, Path::new("file"), &keys()) {
                prop_assert_eq!(error.exit_code(), 2);
            }
        }
    }
}
