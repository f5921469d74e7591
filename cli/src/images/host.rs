//! Compiles on this machine, for an engine of the same platform.

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
        output::{CargoOutput, Step},
    },
    checkout::Checkout,
    order::{self, Order},
    toolchain::{Toolchain, program},
};
use crate::error::{CliError, Result};

/// The variables that a compilation depends on.
const VARIABLES: [&str; 5] = ["AR", "CARGO_INCREMENTAL", "CC", "CFLAGS", "RUSTC_WRAPPER"];
/// The prefix of variables that change the profile.
const PROFILE_VARIABLES: &str = "CARGO_PROFILE_IMAGE_";
/// The variables that cargo sets for programs that it runs, maybe this one. A cargo below must not inherit them: they
/// would make it run build scripts again.
const OF_AN_OUTER_CARGO: [&str; 5] =
    ["CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];

/// Asks the compiler of this machine for its version, if its files have changed. Returns `None` if the saved version is
/// still valid, or there is no compiler: the results of a former one stay valid.
///
/// # Errors
/// [`CliError::Lacking`] if it can't be run.
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
            what: format!("the Rust compiler can't be run: {words}"),
            hint: "`rustup show` says more".into(),
        });
    }
    Ok(Some(Toolchain { look, version: String::from_utf8_lossy(&version).into_owned() }))
}

/// Returns why this machine can't compile for a target; `None` if it can.
pub(crate) fn obstacle(toolchain: Option<&Toolchain>, target: &str) -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("this machine has no Linux".into());
    }
    if program("cargo").is_none() || program("rustc").is_none() {
        return Some("this machine has no cargo".into());
    }
    match toolchain.and_then(Toolchain::host) {
        Some(host) if host == target => {}
        Some(host) => {
            return Some(format!(
                "cargo compiles for {host} on this machine, and the engine needs {target}"
            ));
        }
        None => return Some("the compiler does not report its target".into()),
    }
    let compiler = c_compiler();
    // A path needs no search.
    let there = Path::new(&compiler).is_absolute() || program(&compiler).is_some();
    (!there).then(|| format!("this machine has no C compiler (`{compiler}`)"))
}

/// Returns whether the static C library exists, which is linked into static binaries.
///
/// # Errors
/// [`CliError::Io`] if the C compiler can't be run.
pub(crate) async fn has_static_libc() -> Result<bool> {
    let mut command = Command::new(c_compiler());
    // A name that it does not find is printed unchanged.
    let (succeeded, path, _) = cargo::ask(command.arg("-print-file-name=libc.a")).await?;
    let path = String::from_utf8_lossy(&path);
    Ok(succeeded && Path::new(path.trim()).is_absolute())
}

fn c_compiler() -> String {
    env::var("CC").unwrap_or_else(|_| "cc".into())
}

/// Returns the variables that a compilation depends on, with their values.
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

/// Returns the metadata of the workspace for a target.
///
/// # Errors
/// [`CliError::Failed`] with cargo's output, if the workspace is invalid.
pub(crate) async fn metadata(checkout: &Checkout, target: &str) -> Result<Metadata> {
    let mut command = in_checkout("cargo", checkout);
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]);
    let (succeeded, json, words) = cargo::ask(&mut command).await?;
    if !succeeded {
        return Err(order::refused("cargo can't read the workspace", &words, None));
    }
    serde_json::from_slice(&json).map_err(|error| CliError::Other(error.into()))
}

/// Compiles an order. Returns whether it compiled, with cargo's output.
///
/// # Errors
/// [`CliError::Io`] if cargo can't be run.
pub(crate) async fn compile(
    checkout: &Checkout,
    commit: &str,
    order: &Order<'_>,
    tell: impl Fn(Step),
) -> Result<(bool, CargoOutput)> {
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

/// Returns the paths of this machine that compilers write into binaries, each with a replacement, so that the same
/// sources give the same binary on any machine, and it does not reveal the user.
fn homes(checkout: &Checkout, sysroot: &Path, commit: &str) -> Vec<(PathBuf, String)> {
    let cargo_home = env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo").into_os_string()))
        .unwrap_or_else(|| OsString::from("/.cargo"));
    let cargo_home = PathBuf::from(cargo_home);
    // One folder for each registry, named after its host; mirrors have other names.
    let mut registries: Vec<PathBuf> = fs::read_dir(cargo_home.join("registry/src"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    registries.sort();
    // The last match counts.
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
