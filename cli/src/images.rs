//! The images of the services: one static binary each, without a base image. Compiled together, packed in parallel, and
//! skipped if nothing has changed.
//!
//! ```text
//! checkout       the workspace, and the CONTAINERFILEs of the services
//! sources        the sources of each service and their key; inputs hashes files, memory saves the results
//! build          runs a build
//! plan           decides the step for each image, from the keys and the images of the engine
//! ability        finds out whether images can be built here
//! compiler       chooses where cargo runs: host is this machine, container is one of the engine
//! registry       pushes images, and saves their digests
//! archive        packs a binary into an image as the CONTAINERFILE says; auditable and sbom list its packages
//! ```

mod ability;
mod archive;
mod auditable;
mod build;
mod cargo;
mod checkout;
mod compiler;
mod container;
mod containerfile;
mod deliver;
mod graph;
mod host;
mod inputs;
mod lock;
mod memory;
mod order;
mod pack;
mod plan;
mod registry;
mod sbom;
mod sources;
mod toolchain;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use engine::Engine;

pub(crate) use self::{
    ability::{Ability, ability},
    archive::{ContentTag, DEV_TAG, repository},
    build::build,
    registry::Registry,
};
use self::{checkout::Checkout, memory::Memory, plan::OnEngine, registry::Pushed};
use crate::{error::Result, output::Output};

/// What to build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The services; empty for all.
    pub(crate) services: Vec<String>,
    /// Whether to compile in a container even if this machine can.
    pub(crate) in_container: bool,
}

/// An image that an engine has under both tags.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// The service.
    pub(crate) service: String,
    /// The tag of its content.
    pub(crate) content: ContentTag,
    /// The engine's id for it.
    pub(crate) id: String,
    /// Its size.
    pub(crate) size_bytes: u64,
    /// How long packing took; 0 if the engine had it.
    pub(crate) took: Duration,
    /// Whether the engine had it already.
    pub(crate) cached: bool,
    /// The bill of materials.
    pub(crate) sbom: PathBuf,
}

/// Builds the images of services: all of them if `always`, else those that the engine lacks.
///
/// # Errors
/// As [`build()`], if there is anything to build.
pub(crate) async fn build_missing_or_all(
    engine: &Engine,
    services: &[String],
    always: bool,
    output: &Output,
) -> Result<()> {
    let wanted = if always { services.to_vec() } else { missing(engine, services).await? };
    if wanted.is_empty() {
        return Ok(());
    }
    if !always {
        output.status(format_args!("The engine has no image of {}", wanted.join(", ")));
    }
    build(engine, &Options { services: wanted, ..Options::default() }, output).await.map(drop)
}

/// Returns the services without a `dev` image on the engine.
///
/// # Errors
/// The engine's refusal.
pub(crate) async fn missing(engine: &Engine, services: &[String]) -> Result<Vec<String>> {
    let on_engine = on_engine(engine).await?;
    let is_missing = |service: &&String| on_engine.image(service, DEV_TAG).is_none();
    Ok(services.iter().filter(is_missing).cloned().collect())
}

/// Fails early if there is nothing to build here.
///
/// # Errors
/// [`crate::error::CliError::Lacking`] outside of a checkout.
pub(crate) fn require_checkout() -> Result<()> {
    Checkout::find().map(drop)
}

/// The content of each service's image, and its name in registries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    newest: BTreeMap<String, ContentTag>,
    pushed: Pushed,
}

impl Contents {
    /// Returns the content tag of a service, if it is known.
    pub(crate) fn tag(&self, service: &str) -> Option<&ContentTag> {
        self.newest.get(service)
    }

    /// Sets the content tag of a service.
    pub(crate) fn set(&mut self, service: String, content: ContentTag) {
        let _older = self.newest.insert(service, content);
    }

    /// Returns the digest of a service's content in a registry, if it was pushed there.
    pub(crate) fn digest(&self, registry: &str, service: &str) -> Option<&String> {
        self.pushed.digest(registry, service, self.tag(service)?)
    }

    /// Returns the name of a service's content in a registry, if it was pushed there.
    pub(crate) fn name_in(&self, registry: &str, service: &str) -> Option<String> {
        let digest = self.digest(registry, service)?;
        Some(format!("{}/{}@{digest}", registry.trim_end_matches('/'), repository(service)))
    }
}

/// Returns the contents of the last builds in the checkout around the current folder; empty outside of one.
pub(crate) fn newest_contents() -> Contents {
    let memory = Checkout::find().map(|checkout| Memory::read(&checkout.memory()));
    Contents {
        newest: memory.map(|memory| memory.newest().clone()).unwrap_or_default(),
        pushed: registry::file().map(|file| Pushed::read(&file)).unwrap_or_default(),
    }
}

async fn on_engine(engine: &Engine) -> Result<OnEngine> {
    Ok(OnEngine::new(&engine.images(&repository("*")).await?))
}
