//! The images of the services: one binary each, on nothing. Compiled together, packed side by side, and not at all where
//! nothing has changed.
//!
//! ```text
//! checkout       where the workspace is, and which services have a CONTAINERFILE
//! sources        what each service is compiled from, by its key; inputs reads files, memory remembers
//! build          walks through all of it
//! plan           decides what is to be done, from the keys and what the engine has
//! place          chooses where to compile: host is this machine, container is one of the engine
//! archive        packs a binary into an image as the CONTAINERFILE says; auditable and sbom say what it is made of
//! ```

mod archive;
mod auditable;
mod build;
mod cargo;
mod checkout;
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
mod place;
mod plan;
mod sbom;
mod sources;
mod toolchain;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub(crate) use self::{
    archive::{ContentTag, DEV_TAG, repository},
    build::build,
};
use self::{checkout::Checkout, plan::OnEngine};
use crate::{
    docker::Engine,
    error::{CliError, Result},
    output::Output,
};

/// What to build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The services; none are all.
    pub(crate) services: Vec<String>,
    /// Whether to compile in a container, even if this machine could.
    pub(crate) in_container: bool,
}

/// An image that an engine now has under both tags.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// The service.
    pub(crate) service: String,
    /// The tag of its content.
    pub(crate) content: ContentTag,
    /// The engine's own name for it.
    pub(crate) id: String,
    /// How much room it takes.
    pub(crate) size_bytes: u64,
    /// How long it took to pack; nothing if the engine had it.
    pub(crate) took: Duration,
    /// Whether the engine had it already.
    pub(crate) cached: bool,
    /// The bill of materials.
    pub(crate) sbom: PathBuf,
}

/// Returns, for each service, the content that its `dev` tag stands for on the engine; `None` if it has no such image. An
/// image that was built by other means gets the tag of its content here.
///
/// # Errors
/// [`CliError::Engine`] if the engine can't be asked.
pub(crate) async fn built(
    engine: &Engine,
    services: &[String],
) -> Result<BTreeMap<String, Option<ContentTag>>> {
    let on_engine = on_engine(engine).await?;
    let mut built = BTreeMap::new();
    for service in services {
        let content = match (on_engine.dev(service), on_engine.image(service, DEV_TAG)) {
            (Some(content), _) => Some(content),
            (None, Some((id, _))) => adopt(engine, service, id).await?,
            (None, None) => None,
        };
        let _none = built.insert(service.clone(), content);
    }
    Ok(built)
}

/// Gives an image that somebody else built the tag of its content. An image's id is the hash of what is in it.
async fn adopt(engine: &Engine, service: &str, id: &str) -> Result<Option<ContentTag>> {
    let hash = id.rsplit(':').next().unwrap_or(id);
    let Some(content) = ContentTag::of_hash(hash) else { return Ok(None) };
    engine.tag_image(id, &repository(service), content.as_str()).await?;
    Ok(Some(content))
}

/// Returns the content that each service is to run: builds all of them first if `always`, or if one lacks and there is a
/// checkout to build it in.
///
/// # Errors
/// [`CliError::Lacking`] if an image lacks and can't be built; or as [`build`].
pub(crate) async fn build_missing_or_all(
    engine: &Engine,
    services: &[String],
    always: bool,
    output: &Output,
) -> Result<BTreeMap<String, ContentTag>> {
    let lacking = |built: &BTreeMap<String, Option<ContentTag>>| -> Vec<String> {
        built
            .iter()
            .filter(|(_, content)| content.is_none())
            .map(|(service, _)| service.clone())
            .collect()
    };
    let before = if always { BTreeMap::new() } else { built(engine, services).await? };
    let missing = if always { services.to_vec() } else { lacking(&before) };
    if missing.is_empty() {
        return Ok(present(before));
    }
    if !always {
        output.status(format_args!("No image yet of {}", missing.join(", ")));
    }
    let _built =
        build(engine, &Options { services: missing, ..Options::default() }, output).await?;
    let after = built(engine, services).await?;
    match lacking(&after).as_slice() {
        [] => Ok(present(after)),
        lacking => Err(CliError::Lacking {
            what: format!("the engine has no image of {}", lacking.join(", ")),
            hint: "another command may have removed it: try again".into(),
        }),
    }
}

fn present(built: BTreeMap<String, Option<ContentTag>>) -> BTreeMap<String, ContentTag> {
    built.into_iter().filter_map(|(service, content)| Some((service, content?))).collect()
}

/// Says early that there is nothing to build here.
///
/// # Errors
/// [`CliError::Lacking`] outside of a checkout.
pub(crate) fn require_checkout() -> Result<()> {
    Checkout::find().map(drop)
}

async fn on_engine(engine: &Engine) -> Result<OnEngine> {
    Ok(OnEngine::new(&engine.images(&repository("*")).await?))
}
