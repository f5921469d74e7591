//! Reads files of containers, running or not.

use std::io::Read;

use bollard::query_parameters::DownloadFromContainerOptions;
use futures_util::StreamExt;

use super::{Engine, errors::EngineError};

/// The largest file that is read.
const FILE_BYTES_MAX: usize = 1024 * 1024;

impl Engine {
    /// Returns the content of a file of a container; `None` if it does not exist or is not a file.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails.
    pub async fn file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let options = DownloadFromContainerOptions { path: path.into() };
        let mut archive = Vec::new();
        let mut pieces = Box::pin(self.docker.download_from_container(id, Some(options)));
        while let Some(piece) = pieces.next().await {
            match piece.map_err(self.could_not(|| format!("read {path} of the container {id}"))) {
                Ok(piece) if archive.len() + piece.len() <= FILE_BYTES_MAX => {
                    archive.extend_from_slice(&piece);
                }
                Ok(_) => return Ok(None),
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(only_file(&archive))
    }
}

/// Returns the content of the only file of an archive.
fn only_file(archive: &[u8]) -> Option<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries().ok()?.next()?.ok()?;
    let is_file = entry.header().entry_type().is_file();
    let mut content = Vec::new();
    entry.take(FILE_BYTES_MAX as u64).read_to_end(&mut content).ok()?;
    is_file.then_some(content)
}
