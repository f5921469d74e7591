//! Whether images could be built from here, and what would compile them: for `doctor`, which builds nothing.

use super::{checkout::Checkout, compiler::CompileLocation, host, order, toolchain::Toolchain};
use crate::{docker::Engine, error::Result};

/// What would compile the services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    /// This machine.
    Here {
        /// Its compiler, with its version.
        compiler: String,
        /// Whether it has the C library to link in; without it, binaries can't be static.
        has_static_libc: bool,
    },
    /// A container.
    InContainer {
        /// What it is made of.
        image: String,
        /// Whether the engine has that.
        is_there: bool,
        /// Why not this machine.
        why: String,
    },
}

/// Looks for what it takes to build images for an engine.
///
/// # Errors
/// [`crate::error::CliError::Lacking`] outside of a checkout, or if the compiler does not run; what the engine refuses.
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
