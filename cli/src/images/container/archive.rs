//! Packs the sources of a checkout, and sends them while they are packed, so that they are never in memory as a whole.

use std::{
    fs,
    io::{self, Read as _, Write},
    path::Path,
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use engine::Engine;
use futures_util::stream::unfold;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::ignore::Ignore;
use crate::{
    error::{CliError, Result},
    images::checkout::Checkout,
};

/// How many bytes are sent at once.
const PIECE_BYTES: usize = 256 * 1024;
/// How many pieces wait for the engine.
const PIECES_MAX: usize = 4;

/// Copies the sources of a checkout to the same path in a container.
///
/// # Errors
/// [`CliError::Io`] if they can't be read; [`CliError::Engine`] if the engine refuses them.
pub(super) async fn send(engine: &Engine, id: &str, checkout: &Checkout) -> Result<()> {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let checkout = checkout.clone();
    let packing = spawn_blocking(move || pack(&checkout, Pieces { sender, piece: Vec::new() }));
    let pieces = unfold(pieces, async |mut pieces| Some((Ok(pieces.recv().await?), pieces)));
    let sent = engine.put_files(id, Box::pin(pieces)).await;
    let packed = packing.await.map_err(anyhow::Error::from)?;
    sent?;
    match packed {
        // The engine has answered, and takes no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        packed => packed.map_err(CliError::io(|| "read the sources".into())),
    }
}

/// Writes bytes into a channel.
struct Pieces {
    sender: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Packs the sources of a checkout, without the target folder and what `.dockerignore` leaves out; without that file,
/// without hidden files except cargo's configuration.
fn pack(checkout: &Checkout, pieces: impl Write) -> io::Result<()> {
    let ignore = Ignore::read(checkout.root())?;
    let is_left_out = |path: &Path, name: &[u8]| match &ignore {
        Some(ignore) => ignore.ignores(path),
        None => name.starts_with(b".") && name != b".cargo",
    };
    let may_keep_below =
        |path: &Path| ignore.as_ref().is_some_and(|ignore| ignore.may_keep_below(path));
    let mut archive = tar::Builder::new(pieces);
    let mut open = vec![checkout.root().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            let is_compiled =
                path == checkout.target() || (folder == checkout.root() && name == "target");
            if is_compiled {
                continue;
            }
            let kind = entry.file_type()?;
            let within = path.strip_prefix(checkout.root()).unwrap_or(&path);
            let is_left_out = is_left_out(within, name.as_encoded_bytes());
            if kind.is_dir() && (!is_left_out || may_keep_below(within)) {
                open.push(path);
            } else if !is_left_out && (kind.is_file() || kind.is_symlink()) {
                append(&mut archive, &path)?;
            }
        }
    }
    archive.into_inner()?.flush()
}

/// Adds a file with its time rounded up to a second: a tar has only seconds, and cargo ignores changes from before its
/// last compilation.
fn append(archive: &mut tar::Builder<impl Write>, path: &Path) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    header.set_mtime(changed.as_secs() + u64::from(changed.subsec_nanos() > 0));
    let within = path.strip_prefix("/").unwrap_or(path);
    if metadata.is_symlink() {
        return archive.append_link(&mut header, within, fs::read_link(path)?);
    }
    // A file that grows or shrinks meanwhile would spoil the archive.
    let content = fs::File::open(path)?.chain(io::repeat(0)).take(metadata.len());
    archive.append_data(&mut header, within, content)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::fs::symlink, time::Duration};

    use super::*;

    #[test]
    fn a_file_is_never_older_in_the_container_than_here() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("main.rs");
        fs::write(&file, "fn main() {}").unwrap();
        symlink("main.rs", folder.path().join("link.rs")).unwrap();
        for (nanoseconds, seconds) in [(0, 7), (1, 8), (999_999_999, 8)] {
            let changed = UNIX_EPOCH + Duration::new(7, nanoseconds);
            fs::File::options().write(true).open(&file).unwrap().set_modified(changed).unwrap();
            let mut archive = tar::Builder::new(Vec::new());
            append(&mut archive, &file).unwrap();
            append(&mut archive, &folder.path().join("link.rs")).unwrap();
            let archive = archive.into_inner().unwrap();
            let mut archive = tar::Archive::new(archive.as_slice());
            let mut entries = archive.entries().unwrap();
            let entry = entries.next().unwrap().unwrap();
            assert_eq!((entry.size(), entry.header().mtime().unwrap()), (12, seconds));
            let link = entries.next().unwrap().unwrap();
            assert_eq!(link.link_name().unwrap().unwrap(), Path::new("main.rs"));
        }
    }

    #[test]
    fn what_is_no_source_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "Cargo.toml",
            ".git/config",
            "containerfiles/a/x",
            "src/main.rs",
            "target/big",
            "secrets.env",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        // Nothing writes into it, so that to read it would take for ever.
        let made =
            std::process::Command::new("mkfifo").arg(folder.path().join("src/fifo")).status();
        assert!(made.unwrap().success());
        let checkout = Checkout::find_around(folder.path()).unwrap();
        let names = || -> BTreeSet<String> {
            let mut archive = Vec::new();
            pack(&checkout, &mut archive).unwrap();
            let mut archive = tar::Archive::new(archive.as_slice());
            let root = folder.path().strip_prefix("/").unwrap();
            let name = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
                let path = entry.unwrap().path().unwrap().into_owned();
                path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
            };
            archive.entries().unwrap().map(name).collect()
        };
        let all = ["Cargo.toml", "containerfiles/a/x", "secrets.env", "src/main.rs"];
        assert_eq!(names(), all.map(str::to_owned).into());
        fs::write(folder.path().join(".dockerignore"), "*\n!Cargo.toml\n!src\n").unwrap();
        assert_eq!(names(), ["Cargo.toml", "src/main.rs"].map(str::to_owned).into());
    }
}
