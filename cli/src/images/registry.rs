//! Images in a registry: checks which it has, and pushes the others. Digests are saved by content, so that rendered
//! manifests can use them without asking the registry.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use engine::{
    Engine,
    credentials::{Credentials, host},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{ContentTag, Contents, build::AT_A_TIME_MAX, checkout::Checkout, repository};
use crate::{
    error::{CliError, Result},
    output::Output,
    progress::Waiting,
    state::write_json,
};

/// Digests by registry, and then by `service:content`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pushed(BTreeMap<String, BTreeMap<String, String>>);

impl Pushed {
    /// Reads the saved digests; empty if the file is missing or damaged.
    pub(super) fn read(path: &Path) -> Self {
        let read = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.unwrap_or_default()
    }

    /// Returns the digest of a service's content in a registry.
    pub(super) fn digest(
        &self,
        registry: &str,
        service: &str,
        content: &ContentTag,
    ) -> Option<&String> {
        self.0.get(plain(registry))?.get(&format!("{service}:{content}"))
    }

    fn remember(&mut self, registry: &str, service: &str, content: &ContentTag, digest: String) {
        let of_registry = self.0.entry(plain(registry).to_owned()).or_default();
        // Only the newest: the registry knows the others.
        of_registry.retain(|known, _| known.split(':').next() != Some(service));
        let _before = of_registry.insert(format!("{service}:{content}"), digest);
    }

    fn forget(&mut self, registry: &str, service: &str, content: &ContentTag) {
        if let Some(of_registry) = self.0.get_mut(plain(registry)) {
            let _gone = of_registry.remove(&format!("{service}:{content}"));
        }
    }
}

fn plain(registry: &str) -> &str {
    registry.trim_end_matches('/')
}

/// A registry with credentials.
#[derive(Debug)]
pub(crate) struct Registry<'a> {
    engine: &'a Engine,
    name: &'a str,
    credentials: Credentials,
}

impl<'a> Registry<'a> {
    /// Finds the credentials.
    ///
    /// # Errors
    /// As [`Credentials::of`].
    pub(crate) async fn open(engine: &'a Engine, name: &'a str) -> Result<Self> {
        Ok(Self { engine, name: plain(name), credentials: Credentials::of(name).await? })
    }

    /// Asks the registry for the contents of these services, and saves the digests; returns the services that it lacks.
    ///
    /// # Errors
    /// [`CliError::Engine`] if the engine can't be reached.
    pub(crate) async fn lacking(
        &self,
        services: &[String],
        contents: &mut Contents,
    ) -> Result<Vec<String>> {
        let known: Vec<(&String, ContentTag)> = services
            .iter()
            .filter_map(|service| Some((service, contents.tag(service)?.clone())))
            .collect();
        let look = async |(service, content): (&String, ContentTag)| {
            let name = format!("{}:{content}", self.repository(service));
            let digest = self.engine.digest_in_registry(&name, &self.credentials).await?;
            Ok::<_, CliError>((service.clone(), content, digest))
        };
        let looked: Vec<_> =
            stream::iter(known).map(look).buffered(AT_A_TIME_MAX).try_collect().await?;
        let mut lacking = Vec::new();
        for (service, content, digest) in looked {
            match digest {
                Some(digest) => contents.pushed.remember(self.name, &service, &content, digest),
                None => {
                    contents.pushed.forget(self.name, &service, &content);
                    lacking.push(service);
                }
            }
        }
        Ok(lacking)
    }

    /// Pushes missing images of these services in parallel, and saves all digests, also for manifests that are rendered
    /// later.
    ///
    /// # Errors
    /// [`CliError::Failed`] with the registry's error, and a hint.
    pub(crate) async fn push(
        &self,
        services: &[String],
        contents: &mut Contents,
        output: &Output,
    ) -> Result<()> {
        let since = Instant::now();
        let lacking = self.lacking(services, contents).await?;
        let shown = Waiting::new(output, format_args!("Pushing to {}", self.name));
        let push = async |service: &String| {
            let Some(content) = contents.tag(service) else { return Ok(None) };
            let digest = self.push_one(service, content).await?;
            Ok::<_, CliError>(Some((service.clone(), content.clone(), digest)))
        };
        let pushed: Vec<_> =
            stream::iter(&lacking).map(push).buffer_unordered(AT_A_TIME_MAX).try_collect().await?;
        drop(shown);
        for (service, content, digest) in pushed.into_iter().flatten() {
            contents.pushed.remember(self.name, &service, &content, digest);
        }
        contents.keep(output);
        let all = services.len();
        match lacking.len() {
            0 => output.detail(format_args!("All {all} images are in {} already", self.name)),
            new => output.status(format_args!(
                "Pushed {new} of {all} images to {} in {:.1} s",
                self.name,
                since.elapsed().as_secs_f64()
            )),
        }
        Ok(())
    }

    async fn push_one(&self, service: &str, content: &ContentTag) -> Result<String> {
        let local = format!("{}:{content}", repository(service));
        let there = self.repository(service);
        let name = format!("{there}:{content}");
        let _lent = Lent { engine: self.engine, name: &name };
        let tagged = self.engine.tag_image(&local, &there, content.as_str()).await;
        tagged.map_err(|error| match error.is_not_found() {
            true => CliError::Failed {
                what: format!("the engine has no image {local} to push"),
                hint: "build it with `chefcito build`".into(),
                source: None,
            },
            false => error.into(),
        })?;
        let pushed = self.engine.push_image(&there, content.as_str(), &self.credentials).await;
        let digest = match pushed.map_err(|error| self.in_words(&local, error))? {
            Some(digest) => Some(digest),
            None => self.engine.digest_in_registry(&name, &self.credentials).await?,
        };
        digest.ok_or_else(|| {
            CliError::failed(format!(
                "{} accepted {local} but did not return its digest",
                self.name
            ))
        })
    }

    fn repository(&self, service: &str) -> String {
        format!("{}/{}", self.name, repository(service))
    }

    fn in_words(&self, image: &str, error: engine::errors::Error) -> CliError {
        let engine::errors::Error::Request(refusal) = &error else { return error.into() };
        let Some(said) = refusal.message() else { return error.into() };
        CliError::Failed {
            what: format!("{image} could not be pushed to {}", self.name),
            hint: hint(said, host(self.name)),
            source: Some(said.to_owned().into()),
        }
    }
}

/// The tag by which an image is pushed, removed when the push ends; the image has tags of its own.
struct Lent<'a> {
    engine: &'a Engine,
    name: &'a str,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let name = self.name.to_owned();
        self.engine.at_last(async move |engine| engine.remove_image(&name).await);
    }
}

/// Returns the hint for a failed push, from its error.
fn hint(said: &str, host: &str) -> String {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["unauthorized", "authentication required", "no basic auth", "denied", "forbidden"]) {
        format!(
            "log in with `docker login {host}` as a user who may push there; credentials are read from `~/.docker/config.json`"
        )
    } else if has(&["no such host", "name resolution", "server misbehaving"]) {
        "check the name of the registry: the engine's machine can't resolve it".into()
    } else if has(&["server gave http response", "x509", "certificate", "tls"]) {
        format!(
            "the engine does not trust the registry: install its certificate (/etc/docker/certs.d/{host}/ca.crt), or list it \
             under `insecure-registries`"
        )
    } else if has(&["no space left", "insufficient storage", "quota"]) {
        "free some space in the registry's storage".into()
    } else if has(&[
        "connection refused",
        "i/o timeout",
        "timeout",
        "no route to host",
        "unreachable",
    ]) {
        "check that the registry runs and can be reached from the engine's machine".into()
    } else if has(&["500", "502", "503", "unknown"]) {
        "the registry has an internal error: look at its log; its disk may be full".into()
    } else {
        format!("`docker push` to {host} may show more")
    }
}

/// Returns the file of the digests; `None` outside of a checkout.
pub(super) fn file() -> Option<std::path::PathBuf> {
    Checkout::find().ok().map(|checkout| checkout.images().join("pushed.json"))
}

impl Contents {
    /// Sets the digest of a service's content in a registry.
    #[cfg(test)]
    pub(crate) fn set_pushed(&mut self, registry: &str, service: &str, digest: &str) {
        let content = self.tag(service).expect("it is known").clone();
        self.pushed.remember(registry, service, &content, digest.to_owned());
    }

    /// Saves the digests, even if the command fails later.
    fn keep(&self, output: &Output) {
        let Some(file) = file() else { return };
        if self.pushed == Pushed::read(&file) {
            return;
        }
        if let Err(error) = write_json(&file, &self.pushed) {
            output.warn(format_args!("manifests printed later will not know the digests: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_remembered_by_registry_and_content() {
        let content = |digit: &str| ContentTag::of_hash(&digit.repeat(12)).unwrap();
        let mut pushed = Pushed::default();
        pushed.remember("registry.example/a/", "tea", &content("1"), "sha256:1".into());
        let digest = |registry, digit| pushed.digest(registry, "tea", &content(digit));
        assert_eq!(digest("registry.example/a", "1"), Some(&"sha256:1".to_owned()));
        assert_eq!(digest("registry.example/a", "2"), None);
        assert_eq!(digest("registry.example/b", "1"), None);
        let text = serde_json::to_string(&pushed).unwrap();
        assert_eq!(serde_json::from_str::<Pushed>(&text).unwrap(), pushed);
        pushed.forget("registry.example/a", "tea", &content("1"));
        assert_eq!(pushed.digest("registry.example/a", "tea", &content("1")), None);
    }

    #[test]
    fn the_error_of_a_push_decides_the_hint() {
        let hint = |said| hint(said, "registry.example");
        assert!(
            hint("unauthorized: authentication required").contains("docker login registry.example")
        );
        assert!(hint("Get \"https://x/v2/\": dial tcp: lookup x: no such host").contains("name"));
        assert!(hint("http: server gave HTTP response to HTTPS client").contains("insecure"));
        assert!(hint("x509: certificate signed by unknown authority").contains("certs.d"));
        assert!(hint("dial tcp 192.0.2.1:443: connect: connection refused").contains("runs"));
        assert!(
            hint("received unexpected HTTP status: 500 Internal Server Error").contains("disk")
        );
        assert!(hint("something else").contains("`docker push` to registry.example may show more"));
    }
}
