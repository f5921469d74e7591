//! Pulls images.

use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

use super::{Engine, errors::EngineError};

impl Engine {
    /// Pulls an image. Calls `tell` with the bytes so far and in total, as far as they are known.
    ///
    /// # Errors
    /// [`EngineError`] with the error of the registry or the network.
    pub async fn pull(
        &self,
        image: &str,
        mut tell: impl FnMut(u64, u64),
    ) -> Result<(), EngineError> {
        let options =
            CreateImageOptions { from_image: Some(image.into()), ..CreateImageOptions::default() };
        let mut layers = std::collections::HashMap::new();
        let mut reported = Box::pin(self.docker.create_image(Some(options), None, None));
        while let Some(info) = reported.next().await {
            let info = info.map_err(self.could_not(|| format!("pull the image {image}")))?;
            if let (Some(layer), Some(progress)) = (info.id, info.progress_detail) {
                let size = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok());
                if let (Some(current), Some(total)) = (size(progress.current), size(progress.total))
                {
                    layers.insert(layer, (current, total));
                    let sum =
                        layers.values().fold((0, 0), |(done, all), (d, a)| (done + d, all + a));
                    tell(sum.0, sum.1);
                }
            }
        }
        Ok(())
    }
}
