//! The images of an engine.

use std::collections::HashMap;

use bollard::{
    body_full,
    query_parameters::{
        ImportImageOptions, ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};

use super::{Engine, errors::EngineError, events::FOR_EVER};

/// The prefixes that Podman adds to names without a host: the first when an image is loaded, the second when it is
/// tagged.
const PODMAN_PREFIXES: [&str; 2] = ["localhost/", "docker.io/library/"];

/// An image of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The engine's id for it.
    pub id: String,
    /// Its names, such as `chefcito-orders:dev`.
    pub names: Vec<String>,
    /// Its size.
    pub size_bytes: u64,
}

/// The platform of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The architecture: `amd64`, `arm64`.
    pub architecture: String,
    /// The system: `linux`.
    pub os: String,
}

impl Engine {
    /// Returns the platform of the engine.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails.
    pub async fn platform(&self) -> Result<Platform, EngineError> {
        let version =
            self.docker.version().await.map_err(self.could_not(|| "report its platform".into()))?;
        Ok(Platform {
            architecture: version.arch.unwrap_or_else(|| "amd64".into()),
            os: version.os.unwrap_or_else(|| "linux".into()),
        })
    }

    /// Returns the images whose names match a pattern such as `chefcito-*`, in one request.
    ///
    /// # Errors
    /// [`EngineError`] if they can't be listed.
    pub async fn images(&self, pattern: &str) -> Result<Vec<Image>, EngineError> {
        self.list_images(HashMap::from([("reference", vec![pattern.to_owned()])])).await
    }

    /// Returns all images, in one request.
    ///
    /// # Errors
    /// [`EngineError`] if they can't be listed.
    pub async fn all_images(&self) -> Result<Vec<Image>, EngineError> {
        self.list_images(HashMap::new()).await
    }

    async fn list_images(
        &self,
        filters: HashMap<&str, Vec<String>>,
    ) -> Result<Vec<Image>, EngineError> {
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self
            .docker
            .list_images(Some(options))
            .await
            .map_err(self.could_not(|| "list its images".into()))?;
        let plain = |name: String| {
            let mut plain =
                PODMAN_PREFIXES.into_iter().filter_map(|prefix| name.strip_prefix(prefix));
            plain.next().map_or(name.clone(), str::to_owned)
        };
        Ok(images
            .into_iter()
            .map(|image| Image {
                id: image.id,
                names: image.repo_tags.into_iter().map(plain).collect(),
                size_bytes: u64::try_from(image.size).unwrap_or_default(),
            })
            .collect())
    }

    /// Loads an image, with the names in its archive.
    ///
    /// # Errors
    /// [`EngineError`] if the engine refuses it.
    pub async fn load_image(&self, name: &str, archive: Vec<u8>) -> Result<(), EngineError> {
        let options = ImportImageOptions { quiet: true, ..ImportImageOptions::default() };
        self.docker
            .import_image(options, body_full(archive.into()), None)
            .try_for_each(async |_said| Ok(()))
            .await
            .map_err(self.could_not(|| format!("load the image {name}")))
    }

    /// Returns an archive of images, piece by piece, so that it is never in memory as a whole.
    ///
    /// # Errors
    /// A piece may be an [`EngineError`]: there is no such image, or the connection failed.
    pub fn export_images(
        &self,
        names: &[&str],
    ) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + use<> {
        let (engine, reported) = (self.clone(), names.join(", "));
        let pieces = self.docker.clone().with_timeout(FOR_EVER).export_images(names);
        pieces.map_err(move |error| engine.could_not(|| format!("export {reported}"))(error))
    }

    /// Adds a tag to an image; another image with that tag loses it.
    ///
    /// # Errors
    /// [`EngineError`] if there is no such image.
    pub async fn tag_image(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<(), EngineError> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.docker
            .tag_image(image, Some(options))
            .await
            .map_err(self.could_not(|| format!("tag {image} as {repository}:{tag}")))
    }

    /// Removes a name of an image, and the image with its last name, unless a container uses it.
    ///
    /// # Errors
    /// [`EngineError`] if it is in use, or can't be removed.
    pub async fn remove_image(&self, name: &str) -> Result<(), EngineError> {
        self.docker
            .remove_image(name, None::<RemoveImageOptions>, None)
            .await
            .map(drop)
            .map_err(self.could_not(|| format!("remove the image {name}")))
    }
}
