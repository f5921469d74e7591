//! The environments of `manifests/kubernetes`, each as a list of objects.

use std::{collections::BTreeMap, env};

use clap::ValueEnum;
use contracts::services::TABLE;
use manifests::kustomize::{self, Adjustments, NewImage, Object, Tree};
use printable::shell_word;

use crate::{
    error::{CliError, Result},
    images::{ContentTag, Contents, DEV_TAG, repository},
    output::Output,
};

/// An environment on Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overlay {
    /// Everything on one machine, with PostgreSQL, Redis and the simulated market
    Local,
    /// A test of production: several replicas, external databases
    Staging,
    /// The environment of the guests
    Production,
}

impl Overlay {
    /// Returns its folder among the manifests.
    const fn folder(self) -> &'static str {
        match self {
            Self::Local => "overlays/local",
            Self::Staging => "overlays/staging",
            Self::Production => "overlays/production",
        }
    }
}

/// The file of the local environment's secrets. Each checkout has its own, so none is built in or committed.
pub(crate) const SECRETS: &str = "overlays/local/secrets.env";

/// Says which manifests count where a folder around this one has some that are not read, because it is no checkout.
pub(crate) fn tell_which(manifests: &str, output: &Output) {
    let here = env::current_dir().unwrap_or_default();
    let mut having = here.ancestors().filter(|folder| folder.join(manifests).exists());
    let Some(nearest) = having.next() else { return };
    let is_checkout = |folder: &std::path::Path| folder.join("cli/Cargo.toml").is_file();
    if is_checkout(nearest) {
        return;
    }
    let counting = match having.find(|folder| is_checkout(folder)) {
        Some(checkout) => format!("the manifests of {}", checkout.display()),
        None => "the built-in manifests".into(),
    };
    output.status(format_args!(
        "Using {counting}, not {}: {} is not a checkout of chefcito",
        nearest.join(manifests).display(),
        nearest.display()
    ));
}

/// Returns the objects of an environment, in the order in which to apply them.
///
/// # Errors
/// [`CliError::BadFile`] if a file is missing, invalid or uses an unsupported feature; [`CliError::Failed`] if an
/// adjustment matches nothing, or the local environment has no secrets.
pub(crate) fn render(
    tree: &Tree,
    overlay: Overlay,
    adjustments: &Adjustments,
) -> Result<Vec<Object>> {
    if overlay == Overlay::Local && !tree.has(SECRETS) {
        let file = tree.path(SECRETS);
        return Err(CliError::Failed {
            what: format!("the local environment has no secrets: there is no {}", file.display()),
            hint: format!(
                "in a checkout, `cargo run --quiet --package bootstrap -- env > {}` creates them",
                shell_word(&file)
            ),
            source: None,
        });
    }
    Ok(kustomize::render(tree, overlay.folder(), adjustments)?)
}

/// Returns the images of all programs: with a registry, by the digests that were pushed; else with this tag, the tag of
/// their content, or `dev`.
pub(crate) fn images(
    registry: Option<&str>,
    tag: Option<&str>,
    contents: &Contents,
) -> BTreeMap<String, NewImage> {
    let image = |service: &str| {
        let own = repository(service);
        let digest = registry.filter(|_| tag.is_none());
        let digest = digest.and_then(|registry| contents.digest(registry, service)).cloned();
        let name = registry.map(|registry| format!("{}/{own}", registry.trim_end_matches('/')));
        let content = contents.tag(service).map_or(DEV_TAG, ContentTag::as_str);
        let tag = digest.is_none().then(|| tag.unwrap_or(content).to_owned());
        (own, NewImage { name, tag, digest })
    };
    TABLE.iter().map(|program| image(program.name)).collect()
}

/// Returns the services whose newest image is not known: `dev` would be another image with each build.
pub(crate) fn unknown(contents: &Contents) -> Vec<&'static str> {
    let names = TABLE.iter().map(|program| program.name);
    names.filter(|name| contents.tag(name).is_none()).collect()
}

#[cfg(test)]
mod tests;
