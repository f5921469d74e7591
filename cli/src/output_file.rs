//! A file that a command writes for its user.

use std::{
    fs::{self, Permissions},
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
    /// [`CliError::Io`] if it can't be written there, or the path leads to something else than a file.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        Self::prepare_in_place_of(path).map_err(cannot_write(path))
    }

    fn prepare_in_place_of(path: &Path) -> io::Result<Self> {
        // A link stays one, and what was private stays that.
        let (path, mode) = match fs::metadata(path) {
            Ok(is) if is.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(is) if !is.is_file() => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "it is not a regular file",
                ));
            }
            Ok(is) => (path.canonicalize()?, is.permissions().mode()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), 0o666),
            Err(error) => return Err(error),
        };
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        // What a kill leaves behind says whose it is.
        let made = tempfile::Builder::new()
            .prefix(".chefcito-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(parent.unwrap_or(Path::new(".")))
            // The whole error names a file that the user does not know.
            .map_err(|error| io::Error::from(error.kind()))?;
        Ok(Self { path, made })
    }

    /// Writes the content, and gives the file its name; one of that name is replaced.
    ///
    /// # Errors
    /// [`CliError::Io`] if it can't be written.
    pub(crate) fn write(mut self, content: &str) -> Result<()> {
        let written = self.made.as_file_mut().write_all(content.as_bytes());
        let written = written.and_then(|()| Ok(self.made.persist(&self.path).map(drop)?));
        written.map_err(cannot_write(&self.path))
    }
}

/// Says which file could not be written.
pub(crate) fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let what = format!("write {}", path.display());
    CliError::io(|| what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_where_it_is_and_stays_as_private_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        OutputFile::prepare(&link).unwrap().write("after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_file_is_left_as_it_is() {
        for path in ["/dev/null", "/tmp"] {
            let error = OutputFile::prepare(Path::new(path)).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
        assert!(!Path::new("/dev/null").is_file());
    }
}
