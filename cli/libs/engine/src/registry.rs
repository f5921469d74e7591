//! Requests to registries, sent by the engine: its own certificates and network settings apply.

use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::TryStreamExt;

use super::{Engine, credentials::Credentials, events::FOR_EVER};
use crate::errors::Result;

/// The text before the digest in the output of a push.
const DIGEST: &str = "digest: ";

impl Engine {
    /// Returns the digest of a name in its registry; `None` if the registry does not have it, or does not answer.
    ///
    /// # Errors
    /// [`Error::Request`](crate::errors::Error::Request) if the engine can't be reached.
    pub async fn digest_in_registry(
        &self,
        name: &str,
        credentials: &Credentials,
    ) -> Result<Option<String>> {
        let asked = self.docker.inspect_registry_image(name, credentials.for_library()?).await;
        match asked.map_err(self.could_not(|| format!("ask the registry about {name}"))) {
            Ok(found) => Ok(found.descriptor.digest),
            Err(error) if error.is_gone() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Pushes an image under one of its names; returns its digest, if the engine reports it.
    ///
    /// # Errors
    /// [`Error::Request`](crate::errors::Error::Request) with the registry's error.
    pub async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        credentials: &Credentials,
    ) -> Result<Option<String>> {
        let options = PushImageOptionsBuilder::default().tag(tag).build();
        let mut digest = None;
        self.docker
            .clone()
            .with_timeout(FOR_EVER)
            .push_image(repository, Some(options), credentials.for_library()?)
            .try_for_each(|said| {
                let status = said.status.unwrap_or_default();
                let reported =
                    status.split_once(DIGEST).and_then(|(_, rest)| rest.split(' ').next());
                digest = reported.map(str::to_owned).or(digest.take());
                std::future::ready(Ok(()))
            })
            .await
            .map_err(self.could_not(|| format!("push {repository}:{tag}")))?;
        Ok(digest)
    }
}
