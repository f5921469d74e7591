//! Binaries made into images that no engine has yet.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use super::{
    archive::{self, Archive, ContentTag, repository},
    auditable,
    build::BuildJob,
    graph::Parts,
    plan::OnEngine,
    sbom,
};
use crate::{
    error::{CliError, Result},
    state::write_private,
};

/// An image that is packed, and how long that took.
#[derive(Debug)]
pub(super) struct Packed {
    /// The service.
    pub(super) service: String,
    /// Its image.
    pub(super) archive: Archive,
    /// How long it took.
    pub(super) took: Duration,
}

impl BuildJob<'_> {
    /// Packs the binary of an earlier build, if the engine lacks what these sources became and the binary is still that one.
    pub(super) async fn saved(
        &self,
        service: &str,
        known: Option<&ContentTag>,
        on_engine: &OnEngine,
    ) -> Option<Packed> {
        let known = known?;
        if on_engine.image(service, known.as_str()).is_some() {
            return None;
        }
        let binary = fs::read(self.checkout.binary(service)).ok()?;
        let packed = self.pack(service, binary).await.ok()?;
        (packed.archive.content == *known).then_some(packed)
    }

    /// Makes a fresh binary auditable, packs it, and writes down what is in it.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written beside the image.
    pub(super) async fn finish(
        &self,
        service: &str,
        plain: Vec<u8>,
        parts: Parts,
    ) -> Result<Packed> {
        let (binary, parts) =
            blocking(move || Ok((auditable::with_parts(&plain, &parts)?, parts))).await?;
        write_private(&self.checkout.binary(service), &binary)?;
        let hash = archive::sha256(&binary);
        let packed = self.pack(service, binary).await?;
        let image = format!("{}:{}", repository(service), packed.archive.content);
        let sbom = sbom::sbom(&parts, &image, &hash, &self.target);
        let json = serde_json::to_vec_pretty(&sbom).map_err(anyhow::Error::from)?;
        let path = self.checkout.sbom(service);
        fs::write(&path, json).map_err(CliError::io(|| format!("write {}", path.display())))?;
        Ok(packed)
    }

    async fn pack(&self, service: &str, binary: Vec<u8>) -> Result<Packed> {
        let since = Instant::now();
        let file = self.files.get(service).cloned();
        let file = file
            .ok_or_else(|| CliError::failed(format!("there is no CONTAINERFILE of {service}")))?;
        let (name, platform) = (service.to_owned(), self.platform.clone());
        let pack = move || Ok(archive::pack(&name, &binary, &file, &platform, &created())?);
        let archive = blocking(pack).await?;
        Ok(Packed { service: service.to_owned(), archive, took: since.elapsed() })
    }
}

/// Returns when an image is said to be created: now, or when `SOURCE_DATE_EPOCH` says.
fn created() -> String {
    let fixed = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let fixed = fixed.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    fixed.unwrap_or_else(jiff::Timestamp::now).to_string()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await.map_err(anyhow::Error::from)?;
    Ok(done?)
}
