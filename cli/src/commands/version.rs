use std::{
    collections::BTreeMap,
    env::consts::{ARCH, OS},
};

use clap::Args;
use contracts::events::catalogue::CATALOGUE;
use serde::Serialize;

use crate::{error::Result, output::Output, runtimes::Program};

/// Print the version, how this program was built, and which formats it writes
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    version: String,
    /// The commit, if the variable CHEFCITO_COMMIT named it when the program was built.
    commit: Option<&'static str>,
    /// Distinguishes builds of one version.
    build: String,
    target: String,
    profile: &'static str,
    formats: Formats,
}

/// The versions of what other programs read.
#[derive(Debug, Serialize)]
struct Formats {
    api: &'static str,
    history: u16,
    events: BTreeMap<&'static str, u16>,
}

pub(crate) fn run(args: &VersionArgs, output: &Output) -> Result<()> {
    let Program { version, build } = Program::this();
    let report = Report {
        schema_version: 1,
        version,
        commit: option_env!("CHEFCITO_COMMIT").filter(|commit| !commit.is_empty()),
        build,
        target: target(),
        profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        formats: Formats {
            api: "v1",
            history: history::VERSION,
            events: CATALOGUE.map(|event| (event.name, event.version)).into(),
        },
    };
    if args.json {
        return output.json(&report);
    }
    output.data(format_args!("chefcito {}", report.version))?;
    output.data(format_args!("commit: {}", report.commit.unwrap_or("unknown")))?;
    output.data(format_args!("build: {}", report.build))?;
    output.data(format_args!("target: {} ({})", report.target, report.profile))
}

/// Returns the target that the program was compiled for, as `rustc` names it.
fn target() -> String {
    let vendor = if cfg!(target_vendor = "apple") { "apple" } else { "unknown" };
    let system = if OS == "macos" { "darwin" } else { OS };
    let library = if cfg!(target_env = "gnu") {
        "-gnu"
    } else if cfg!(target_env = "musl") {
        "-musl"
    } else {
        ""
    };
    format!("{ARCH}-{vendor}-{system}{library}")
}
