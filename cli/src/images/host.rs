//! Compiling on this machine, for an engine that runs the same.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::Metadata;
use tokio::process::Command;

use super::{
    cargo::{
        self,
        said::{Said, Step},
    },
    checkout::Checkout,
    order::{self, Order},
    toolchain::{Toolchain, program},
};
use crate::error::{CliError, Result};

/// What compiling depends on beside the sources and the compiler.
const VARIABLES: [&str; 5] = ["AR", "CARGO_INCREMENTAL", "CC", "CFLAGS", "RUSTC_WRAPPER"];
/// What changes the profile, if anybody does.
const PROFILE_VARIABLES: &str = "CARGO_PROFILE_IMAGE_";
/// What cargo tells programs that it runs, this one perhaps. A cargo below it must not hear of it: build scripts that look at
/// these would be run again.
const OF_AN_OUTER_CARGO: [&str; 5] =
    ["CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];

/// Asks the compiler of this machine who it is, if it looks changed. Returns nothing if what is remembered still holds, or if
/// there is none: what one made that is gone is still what these sources become.
///
/// # Errors
/// [`CliError::Lacking`] if it does not run.
pub(crate) async fn toolchain(
    checkout: &Checkout,
    remembered: Option<&Toolchain>,
) -> Result<Option<Toolchain>> {
    let Some(look) = super::toolchain::look(checkout.root()) else { return Ok(None) };
    if remembered.is_some_and(|toolchain| toolchain.look == look) {
        return Ok(None);
    }
    let (succeeded, version, words) = cargo::ask(in_checkout("rustc", checkout).arg("-vV")).await?;
    if !succeeded {
        return Err(CliError::Lacking {
            what: format!("the Rust compiler does not run: {words}"),
            hint: "`rustup show` says more".into(),
        });
    }
    Ok(Some(Toolchain { look, version: String::from_utf8_lossy(&version).into_owned() }))
}

/// Returns why this machine can't compile for a target; `None` if it can.
pub(crate) fn obstacle(toolchain: Option<&Toolchain>, target: &str) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("this machine does not run Linux".into());
    }
    if program("cargo").is_none() || program("rustc").is_none() {
        return Some("there is no cargo here".into());
    }
    match toolchain.and_then(Toolchain::host) {
        Some(host) if host == target => {}
        Some(host) => {
            return Some(format!("cargo compiles for {host} here, and the engine needs {target}"));
        }
        None => return Some("the compiler does not say what it compiles for".into()),
    }
    let compiler = c_compiler();
    // As a path it needs no search.
    let there = Path::new(&compiler).is_absolute() || program(&compiler).is_some();
    (!there).then(|| format!("there is no C compiler here (`{compiler}`)"))
}

/// Returns whether the C library is here as an archive, which goes into a static binary.
///
/// # Errors
/// [`CliError::Io`] if the C compiler can't be run.
pub(crate) async fn has_static_libc() -> Result<bool> {
    let mut command = Command::new(c_compiler());
    // What it does not find it gives back as it was asked for.
    let (succeeded, path, _) = cargo::ask(command.arg("-print-file-name=libc.a")).await?;
    let path = String::from_utf8_lossy(&path);
    Ok(succeeded && Path::new(path.trim()).is_absolute())
}

fn c_compiler() -> String {
    env::var("CC").unwrap_or_else(|_| "cc".into())
}

/// Returns the variables that compiling depends on, with their values.
pub(crate) fn variables() -> Vec<(String, String)> {
    let mut found: Vec<_> = env::vars_os()
        .filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        })
        .filter(|(name, _)| {
            VARIABLES.contains(&name.as_str()) || name.starts_with(PROFILE_VARIABLES)
        })
        .collect();
    found.sort();
    found
}

/// Returns the workspace with everything that its packages depend on for a target.
///
/// # Errors
/// [`CliError::Failed`] with cargo's words, if the workspace can't be read.
pub(crate) async fn metadata(checkout: &Checkout, target: &str) -> Result<Metadata> {
    let mut command = in_checkout("cargo", checkout);
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]);
    let (succeeded, json, words) = cargo::ask(&mut command).await?;
    if !succeeded {
        return Err(order::refused("cargo can't read the workspace", &words, None));
    }
    serde_json::from_slice(&json).map_err(|error| CliError::Other(error.into()))
}

/// Compiles what was ordered. Returns whether it compiled, and what cargo said.
///
/// # Errors
/// [`CliError::Io`] if cargo can't be run.
pub(crate) async fn compile(
    checkout: &Checkout,
    commit: &str,
    order: &Order<'_>,
    tell: impl Fn(Step),
) -> Result<(bool, Said)> {
    let (_, sysroot, _) =
        cargo::ask(in_checkout("rustc", checkout).args(["--print", "sysroot"])).await?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
    let mut command = in_checkout("cargo", checkout);
    command.args(order.arguments()).envs(order.variables(&homes(checkout, &sysroot, commit)));
    cargo::compile(&mut command, tell).await
}

fn in_checkout(program: &str, checkout: &Checkout) -> Command {
    let mut command = Command::new(program);
    command.current_dir(checkout.root()).env("CARGO_TARGET_DIR", checkout.target());
    for (name, _) in env::vars_os() {
        let is = |start: &str| name.as_encoded_bytes().starts_with(start.as_bytes());
        if name == "CARGO" || OF_AN_OUTER_CARGO.into_iter().any(is) {
            command.env_remove(name);
        }
    }
    command
}

/// Returns the folders of this machine that compilers write into binaries, each with what is written instead, so that the same
/// sources give the same binary anywhere, and that it tells nothing about who compiled it.
fn homes(checkout: &Checkout, sysroot: &Path, commit: &str) -> Vec<(PathBuf, String)> {
    let cargo_home = env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo").into_os_string()))
        .unwrap_or_else(|| OsString::from("/.cargo"));
    let cargo_home = PathBuf::from(cargo_home);
    // One folder a registry, named after its host; mirrors have other names.
    let mut registries: Vec<PathBuf> = fs::read_dir(cargo_home.join("registry/src"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    registries.sort();
    // The last one that fits counts.
    let mut homes = vec![
        (checkout.root().to_owned(), "/chefcito".to_owned()),
        (checkout.target().to_owned(), "/target".to_owned()),
    ];
    homes.extend(registries.into_iter().map(|registry| (registry, "/registry".to_owned())));
    let git = cargo_home.join("git/checkouts");
    if git.is_dir() {
        homes.push((git, "/git".to_owned()));
    }
    homes.push((sysroot.join("lib/rustlib/src/rust"), format!("/rustc/{commit}")));
    homes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_target_than_this_machines_is_an_obstacle() {
        let toolchain =
            |host: &str| Toolchain { look: String::new(), version: format!("host: {host}\n") };
        let here = toolchain("x86_64-unknown-linux-gnu");
        assert_eq!(obstacle(Some(&here), "x86_64-unknown-linux-gnu"), None);
        assert!(
            obstacle(Some(&here), "aarch64-unknown-linux-gnu")
                .unwrap()
                .contains("engine needs aarch64")
        );
        assert!(
            obstacle(Some(&toolchain("x86_64-unknown-linux-musl")), "x86_64-unknown-linux-gnu")
                .is_some()
        );
    }
}
