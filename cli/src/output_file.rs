//! A file that a command writes for its user.

use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::error::{CliError, Result};

/// A file that is made before the work begins: a path that can't be written ends the command before it does anything. It gets its name
/// with its whole content, so that none is half-written.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    made: NamedTempFile,
}

impl OutputFile {
    /// Makes the file, without a name.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written there.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let made = match path.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => tempfile::Builder::new()
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(parent.unwrap_or(Path::new("."))),
        };
        Ok(Self { path: path.to_owned(), made: made.map_err(cannot_write(path))? })
    }

    /// Writes the content, and gives the file its name; one of that name is replaced.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn write(mut self, content: &str) -> Result<()> {
        let written = self.made.write_all(content.as_bytes());
        let written = written.and_then(|()| Ok(self.made.persist(&self.path).map(drop)?));
        written.map_err(cannot_write(&self.path))
    }
}

/// Says which file could not be written.
pub(crate) fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let what = format!("write {}", path.display());
    CliError::io(|| what)
}
