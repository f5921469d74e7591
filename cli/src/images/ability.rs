//! Finds out whether images can be built here, and by which compiler: for `doctor`, which builds nothing.

use engine::Engine;

use super::{checkout::Checkout, compiler::CompileLocation, host, order, toolchain::Toolchain};
use crate::error::Result;

/// The place of the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    /// This machine.
    Here {
        /// Its compiler, with its version.
        compiler: String,
        /// Whether it has the static C library; without it, binaries can't be static.
        has_static_libc: bool,
    },
    /// A container.
    InContainer {
        /// Its image.
        image: String,
        /// Whether the engine has the image.
        is_there: bool,
        /// The reason why this machine can't.
        why: String,
    },
}

/// Checks what building images for an engine needs.
///
/// # Errors
/// [`crate::error::CliError::Lacking`] outside of a checkout, or if the compiler can't be run; the engine's refusal.
pub(crate) async fn ability(engine: &Engine) -> Result<Ability> {
    let checkout = Checkout::find()?;
    let files = checkout.services()?;
    let target = order::target(&engine.platform().await?.architecture);
    let toolchain = host::toolchain(&checkout, None).await?;
    let image = files.values().next().map(|file| file.compile_image.as_str()).unwrap_or_default();
    Ok(match CompileLocation::choose(false, toolchain.as_ref(), &target, image) {
        CompileLocation::Here { .. } => Ability::Here {
            compiler: toolchain.as_ref().map(Toolchain::name).unwrap_or_default().to_owned(),
            has_static_libc: host::has_static_libc().await?,
        },
        CompileLocation::Container { image, why, .. } => {
            let is_there = !engine.images(&image).await?.is_empty();
            Ability::InContainer { image, is_there, why }
        }
    })
}
