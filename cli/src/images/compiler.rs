//! Where cargo compiles: on this machine if it can, else in a container.

use std::{fs, path::Path};

use cargo_metadata::Metadata;
use engine::Engine;

use super::{
    cargo::output::{CargoOutput, Step},
    checkout::Checkout,
    container::Builder,
    host,
    order::Order,
    toolchain::Toolchain,
};
use crate::{
    error::{CliError, Result},
    output::Output,
};

/// Where cargo compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CompileLocation {
    /// On this machine, with a compiler of this commit.
    Here {
        /// The commit; empty if it is not known.
        commit: String,
    },
    /// In a container.
    Container {
        /// Its image.
        image: String,
        /// The reason why this machine can't.
        why: String,
        /// Whether `--in-container` was given.
        asked: bool,
    },
}

impl CompileLocation {
    /// Chooses. Checks what this machine has, without trying to compile.
    pub(super) fn choose(
        in_container: bool,
        toolchain: Option<&Toolchain>,
        target: &str,
        image: &str,
    ) -> Self {
        let why = if in_container {
            Some("--in-container was given".into())
        } else {
            host::obstacle(toolchain, target)
        };
        match why {
            Some(why) => Self::Container { image: image.into(), why, asked: in_container },
            None => {
                let commit = toolchain.and_then(Toolchain::commit).unwrap_or_default().into();
                Self::Here { commit }
            }
        }
    }

    /// Prepares the compiler.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub(super) async fn open(
        &self,
        engine: &Engine,
        checkout: &Checkout,
        output: &Output,
    ) -> Result<Compiler> {
        match self {
            Self::Here { commit } => {
                Ok(Compiler::Here { checkout: checkout.clone(), commit: commit.clone() })
            }
            Self::Container { image, why, .. } => {
                output.progress(format_args!("Compiling in a container of {image}: {why}"));
                Ok(Compiler::Container(Builder::open(engine, checkout, image, why, output).await?))
            }
        }
    }
}

/// A prepared compiler.
#[derive(Debug)]
pub(super) enum Compiler {
    /// Cargo of this machine.
    Here {
        /// The checkout to compile.
        checkout: Checkout,
        /// The commit of the compiler.
        commit: String,
    },
    /// Cargo in a container.
    Container(Builder),
}

impl Compiler {
    /// Returns the metadata of the workspace for a target.
    ///
    /// # Errors
    /// [`CliError::Failed`] with cargo's output, if the workspace is invalid.
    pub(super) async fn metadata(&self, target: &str) -> Result<Metadata> {
        match self {
            Self::Here { checkout, .. } => host::metadata(checkout, target).await,
            Self::Container(builder) => builder.metadata(target).await,
        }
    }

    /// Compiles an order. Returns whether it compiled, with cargo's output.
    ///
    /// # Errors
    /// [`CliError::Io`] or [`CliError::Engine`] if cargo can't be run.
    pub(super) async fn compile(
        &self,
        order: &Order<'_>,
        tell: impl Fn(Step),
    ) -> Result<(bool, CargoOutput)> {
        match self {
            Self::Here { checkout, commit } => host::compile(checkout, commit, order, tell).await,
            Self::Container(builder) => builder.compile(order, tell).await,
        }
    }

    /// Returns the content of a file that cargo made.
    ///
    /// # Errors
    /// [`CliError::Io`] or [`CliError::Engine`] if it can't be read.
    pub(super) async fn read(&self, path: &Path) -> Result<Vec<u8>> {
        match self {
            Self::Here { .. } => {
                fs::read(path).map_err(CliError::io(|| format!("read {}", path.display())))
            }
            Self::Container(builder) => builder.read(path).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_taken_if_asked_for_or_needed() {
        let (target, image) = ("x86_64-unknown-linux-gnu", "rust:1");
        let version = format!("commit-hash: 5980\nhost: {target}\n");
        let toolchain = Toolchain { look: String::new(), version };
        let why = |location| match location {
            CompileLocation::Here { .. } => String::new(),
            CompileLocation::Container { why, .. } => why,
        };
        let here = CompileLocation::choose(false, Some(&toolchain), target, image);
        assert_eq!(here, CompileLocation::Here { commit: "5980".into() });
        assert_eq!(
            why(CompileLocation::choose(true, Some(&toolchain), target, image)),
            "--in-container was given"
        );
        let other =
            CompileLocation::choose(false, Some(&toolchain), "aarch64-unknown-linux-gnu", image);
        assert!(why(other).contains("the engine needs aarch64"));
    }
}
