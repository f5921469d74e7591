use std::{collections::BTreeMap, iter};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    config::{Settings, UP_TIMEOUT_DEFAULT},
    error::Result,
    output::{Output, Table},
    settings::{Origin, Origins, Reset, Resolved, Setting, SettingArgs, Stated},
    state::Environment,
};

/// Print the settings that `up` would use, and where each comes from
#[derive(Debug, Args)]
#[command(after_help = "\
The origins, the highest first: flag, variable, profile, file, last time, default. A file is
.chefcito.toml of this folder or the nearest one around it, then chefcito/config.toml in
$XDG_CONFIG_HOME or ~/.config. Passwords are not printed.

Examples:
  chefcito config                  What a plain `up` would use
  chefcito config --profile ci     … with the settings below `[profile.ci]`
  chefcito config --stoves 64      … with this flag")]
pub(crate) struct ConfigArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    settings: BTreeMap<String, Entry>,
}

/// A setting with its value.
#[derive(Debug, Serialize)]
struct Entry {
    /// The value for people, without passwords; `None` if it is unset.
    value: Option<String>,
    origin: OriginEntry,
    /// Whether the runtime uses it.
    used: bool,
}

#[derive(Debug, Default, Serialize)]
struct OriginEntry {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

impl From<&Origin> for OriginEntry {
    fn from(origin: &Origin) -> Self {
        let of = |kind| Self { kind, ..Self::default() };
        match origin {
            Origin::Flag => of("flag"),
            Origin::Variable(name) => Self { variable: Some(name.clone()), ..of("variable") },
            Origin::Profile { name, place } => Self {
                profile: Some(name.clone()),
                file: Some(place.path.display().to_string()),
                line: Some(place.line),
                ..of("profile")
            },
            Origin::File(place) => Self {
                file: Some(place.path.display().to_string()),
                line: Some(place.line),
                ..of("file")
            },
            Origin::LastTime => of("last time"),
            Origin::Default => of("default"),
        }
    }
}

/// A setting, its value and its origin.
type Row = (String, Option<String>, Origin);

/// Returns what is not kept: it holds for one command.
fn of_one_command(args: &SettingArgs, origins: &Origins, environment: &Environment) -> Vec<Row> {
    let timeout =
        humantime::format_duration(args.timeout.unwrap_or(UP_TIMEOUT_DEFAULT)).to_string();
    let row = |key: &str, id: &str, value: String| {
        (key.to_owned(), Some(value), origins.get(id).cloned().unwrap_or(Origin::Default))
    };
    vec![
        row("name", "name", environment.name().to_string()),
        row("no-seed", "no_seed", args.no_seed.to_string()),
        row("orders", "orders", args.orders.to_string()),
        row("up-timeout", "timeout", timeout),
        row("foreground", "foreground", args.foreground.to_string()),
    ]
}

/// Returns the settings that the environment keeps.
fn kept(resolved: &Resolved) -> impl Iterator<Item = Row> {
    let row = |setting: &Setting| {
        let origin = resolved.origins.get(setting).cloned().unwrap_or(Origin::Default);
        (setting.name(), resolved.settings.shown(*setting), origin)
    };
    Setting::value_variants()
        .iter()
        .filter(|setting| !resolved.unused.contains_key(setting))
        .map(row)
}

pub(crate) fn run(
    args: ConfigArgs,
    origins: Origins,
    environment: &Environment,
    output: &Output,
) -> Result<()> {
    let last: Option<Settings> = environment.former_settings()?;
    let of_one_command = of_one_command(&args.settings, &origins, environment);
    let resolved =
        Stated::new(args.settings, origins, Reset::Nothing, false).over(last.as_ref())?;
    let used = of_one_command.into_iter().chain(kept(&resolved)).zip(iter::repeat(true));
    let unused = resolved.unused.iter().map(|(setting, origin)| {
        ((setting.name(), resolved.settings.shown(*setting), origin.clone()), false)
    });
    let rows = used.chain(unused);
    if args.json {
        let entry = |((name, value, origin), used): (Row, bool)| {
            (name, Entry { value, origin: (&origin).into(), used })
        };
        return output.json(&Document { schema_version: 1, settings: rows.map(entry).collect() });
    }
    let mut table = Table::new(["setting", "value", "from"]);
    for ((name, value, origin), used) in rows {
        let origin = match used {
            true => origin.to_string(),
            false => format!("{origin}, not used when {}", resolved.settings.runtime),
        };
        table.row([name, value.unwrap_or_else(|| "-".into()), origin]);
    }
    output.data(table)
}
