//! The arguments and variables of cargo, wherever it runs.

use std::path::PathBuf;

use crate::error::CliError;

/// The profile of the binaries in images.
const PROFILE: &str = "image";
/// Link everything statically, libc too.
const STATIC: &str = "-Ctarget-feature=+crt-static";
/// The separator of flags in the variable that overrides all other flags of the compiler.
const FLAG_SEPARATOR: &str = "\x1f";

/// What to compile.
#[derive(Clone, Debug)]
pub(crate) struct Order<'a> {
    /// The target: `x86_64-unknown-linux-gnu`.
    pub(crate) target: &'a str,
    /// The packages of all services. All of them, so that the features of a crate do not depend on the wanted services.
    pub(crate) packages: &'a [String],
    /// The wanted binaries of them.
    pub(crate) binaries: &'a [String],
    /// Whether diagnostics are coloured.
    pub(crate) colors: bool,
}

impl Order<'_> {
    /// Returns cargo's arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let fixed = ["build", "--locked", "--message-format", "json-render-diagnostics"];
        let how = ["--profile", PROFILE, "--target", self.target];
        let named = |flag: &'static str, names: &[String]| -> Vec<String> {
            names.iter().flat_map(|name| [flag.to_owned(), name.clone()]).collect()
        };
        let mut arguments: Vec<String> = fixed.into_iter().chain(how).map(str::to_owned).collect();
        arguments.extend(named("--package", self.packages));
        arguments.extend(named("--bin", self.binaries));
        arguments
    }

    /// Returns cargo's variables. `homes` are paths that compilers write into binaries, each with a replacement, so
    /// that the same sources give the same binary on any machine, and it does not reveal the user.
    pub(crate) fn variables(&self, homes: &[(PathBuf, String)]) -> [(&'static str, String); 4] {
        let mapped = homes
            .iter()
            .map(|(home, name)| format!("--remap-path-prefix={}={name}", home.display()));
        let flags: Vec<String> = [STATIC.to_owned()].into_iter().chain(mapped).collect();
        [
            ("CARGO_ENCODED_RUSTFLAGS", flags.join(FLAG_SEPARATOR)),
            ("CARGO_TERM_COLOR", if self.colors { "always" } else { "never" }.into()),
            ("CARGO_TERM_PROGRESS_WHEN", "always".into()),
            ("CARGO_TERM_PROGRESS_WIDTH", "80".into()),
        ]
    }
}

/// Returns cargo's arguments for the metadata of a target.
pub(crate) const fn metadata_arguments(target: &str) -> [&str; 6] {
    ["metadata", "--locked", "--format-version", "1", "--filter-platform", target]
}

/// Returns the target for an engine's architecture: `x86_64-unknown-linux-gnu` for `amd64`.
pub(crate) fn target(architecture: &str) -> String {
    let processor = match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    format!("{processor}-unknown-linux-gnu")
}

/// Returns the error for cargo's failure, with its output.
pub(crate) fn refused(what: &str, words: &str, free_bytes: Option<u64>) -> CliError {
    /// With less, linkers crash without an error about the disk.
    const FREE_BYTES_MIN: u64 = 64 * 1024 * 1024;
    let hint = if words.contains("--locked") {
        "run `cargo check` once, so that Cargo.lock matches the manifests".into()
    } else if free_bytes.is_some_and(|free| free < FREE_BYTES_MIN) {
        "the disk with the target folder is full, or nearly so: free some space".into()
    } else {
        String::new()
    };
    CliError::Failed { what: format!("{what}:\n{}", words.trim_end()), hint, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_gets_all_packages_and_the_wanted_binaries() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (packages, binaries) = (names(&["pot", "tea"]), names(&["tea"]));
        let order = Order { target: "x", packages: &packages, binaries: &binaries, colors: false };
        assert_eq!(
            order.arguments().join(" "),
            "build --locked --message-format json-render-diagnostics --profile image --target x \
             --package pot --package tea --bin tea"
        );
        let [flags, ..] = order.variables(&[("/home/a b".into(), "/chefcito".into())]);
        assert_eq!(
            flags.1.split(FLAG_SEPARATOR).collect::<Vec<_>>(),
            [STATIC, "--remap-path-prefix=/home/a b=/chefcito"]
        );
    }

    #[test]
    fn a_refusal_says_what_to_try_if_that_is_known() {
        let hint = |words, free| refused("it does not compile", words, free).hint();
        assert_eq!(hint("error[E0308]", Some(u64::MAX)), None);
        assert!(hint("because --locked was passed", None).unwrap().contains("cargo check"));
        assert!(hint("ld terminated with signal 7", Some(1000)).unwrap().contains("disk"));
    }

    #[test]
    fn every_processor_has_its_target() {
        assert_eq!(target("amd64"), "x86_64-unknown-linux-gnu");
        assert_eq!(target("arm64"), "aarch64-unknown-linux-gnu");
    }
}
