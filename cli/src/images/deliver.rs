//! Loads images into the engine.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, future, stream};

use super::{
    Built,
    archive::{Archive, ContentTag, DEV_TAG, repository},
    build::{AT_A_TIME_MAX, BuildJob},
    memory::Memory,
    on_engine,
    pack::Packed,
    plan::{OnEngine, Step},
};
use crate::{
    error::{CliError, Result},
    progress::Waiting,
};

impl BuildJob<'_> {
    /// Loads what the engine lacks, then tags everything as `dev` at the same time.
    ///
    /// # Errors
    /// [`CliError::Engine`] if the engine refuses.
    pub(super) async fn deliver(
        &self,
        steps: BTreeMap<String, Step>,
        packed: Vec<Packed>,
        on_engine: &OnEngine,
    ) -> Result<Vec<Built>> {
        let mut contents: BTreeMap<String, ContentTag> = steps
            .into_iter()
            .filter_map(|(service, step)| match step {
                Step::Keep(content) | Step::Tag(content) => Some((service, content)),
                Step::Pack(_) | Step::Compile => None,
            })
            .collect();
        let mut took = BTreeMap::new();
        let load = async |packed: Packed| {
            let since = Instant::now();
            let Archive { content, tar } = packed.archive;
            let lacks = on_engine.image(&packed.service, content.as_str()).is_none();
            if lacks {
                let name = format!("{}:{content}", repository(&packed.service));
                let _shown = Waiting::new(self.output, format_args!("Loading {name}"));
                self.engine.load_image(&name, tar).await?;
            }
            let took = lacks.then(|| packed.took + since.elapsed());
            Ok::<_, CliError>((packed.service, content, took))
        };
        let mut loading = stream::iter(packed).map(load).buffer_unordered(AT_A_TIME_MAX);
        while let Some((service, content, loaded)) = loading.try_next().await? {
            took.extend(loaded.map(|loaded| (service.clone(), loaded)));
            let _none = contents.insert(service, content);
        }
        self.put_dev_on(&contents, on_engine).await?;
        self.built(contents, &took, on_engine).await
    }

    async fn put_dev_on(
        &self,
        contents: &BTreeMap<String, ContentTag>,
        on_engine: &OnEngine,
    ) -> Result<()> {
        let elsewhere = contents
            .iter()
            .filter(|(service, content)| on_engine.dev(service).as_ref() != Some(content));
        let tag = async |(service, content): (&String, &ContentTag)| {
            let repository = repository(service);
            let image = format!("{repository}:{content}");
            self.engine.tag_image(&image, &repository, DEV_TAG).await
        };
        future::try_join_all(elsewhere.map(tag)).await?;
        Ok(())
    }

    /// Returns the images of the engine. Asks again only if some were loaded.
    async fn built(
        &self,
        contents: BTreeMap<String, ContentTag>,
        took: &BTreeMap<String, Duration>,
        before: &OnEngine,
    ) -> Result<Vec<Built>> {
        let now = if took.is_empty() { None } else { Some(on_engine(self.engine).await?) };
        let now = now.as_ref().unwrap_or(before);
        let built = |(service, content): (String, ContentTag)| {
            let (id, size_bytes) = now.image(&service, content.as_str()).ok_or_else(|| {
                let image = format!("{}:{content}", repository(&service));
                CliError::failed(format!("the engine lost the image {image}"))
            })?;
            Ok(Built {
                id: id.to_owned(),
                size_bytes,
                took: took.get(&service).copied().unwrap_or_default(),
                cached: !took.contains_key(&service),
                sbom: self.checkout.sbom(&service),
                content,
                service,
            })
        };
        contents.into_iter().map(built).collect()
    }

    /// Removes the images of old contents, except those that a container uses.
    pub(super) async fn remove_old(&self, service: &str, memory: &mut Memory) {
        for content in memory.forget_old(service) {
            let name = format!("{}:{content}", repository(service));
            match self.engine.remove_image(&name).await {
                Ok(()) => self.output.detail(format_args!("{name}: removed, there are newer ones")),
                Err(error) => self.output.detail(format_args!("{name}: kept: {error}")),
            }
        }
    }
}
