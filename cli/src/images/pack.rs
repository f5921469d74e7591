//! Packs binaries into images.

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

/// A packed image, and how long packing took.
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
    /// Packs the binary of an earlier build, if the engine lacks its image and the file is unchanged.
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

    /// Makes a new binary auditable, packs it, and writes its bill of materials.
    ///
    /// # Errors
    /// [`CliError::Io`] if that can't be written.
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

/// Returns the creation time of an image: now, or `SOURCE_DATE_EPOCH`.
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
