//! Compiles in a container, if this machine has no cargo, or the engine has another architecture.
//!
//! The container uses the image of the CONTAINERFILEs' first stage. Volumes keep the results, so that the next build
//! compiles only changes.

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use cargo_metadata::Metadata;
use tokio::task::spawn_blocking;

use super::{
    cargo::output::{CargoOutput, Listener, Step},
    checkout::Checkout,
    order::{self, Order},
};
use crate::{
    docker::{Engine, errors::EngineError, workshops::Workshop},
    error::{CliError, Result},
    output::Output,
    progress::Progress,
};

/// The label of everything that is created for compiling.
const LABEL: &str = "chefcito.build";
/// cargo's target folder in the container.
const TARGET: &str = "/target";
/// cargo's registry in every image of Rust.
const CRATES: &str = "/usr/local/cargo/registry";

/// A container to compile in. Removed when dropped, even while cargo runs; its volumes stay.
#[derive(Debug)]
pub(super) struct Builder {
    engine: Engine,
    id: String,
    root: PathBuf,
}

impl Builder {
    /// Creates the container, and copies the sources of a checkout to the same path in it. Pulls an image that the
    /// engine lacks.
    ///
    /// # Errors
    /// [`CliError::Lacking`] with `why` the image is needed, if the engine lacks it and can't pull it.
    pub(super) async fn open(
        engine: &Engine,
        checkout: &Checkout,
        image: &str,
        why: &str,
        output: &Output,
    ) -> Result<Self> {
        let sources = checkout.clone();
        let archive =
            spawn_blocking(move || archive(&sources)).await.map_err(anyhow::Error::from)?;
        let archive = archive.map_err(CliError::io(|| "read the sources".into()))?;
        let digest = blake3::hash(checkout.root().as_os_str().as_encoded_bytes()).to_hex();
        let own = digest.get(..8).unwrap_or_default();
        let (name, target) =
            (format!("chefcito-build-{own}"), format!("chefcito-build-{own}-target"));
        let workshop = Workshop {
            name: &name,
            image,
            volumes: &[("chefcito-build-crates", CRATES), (&target, TARGET)],
            label: LABEL,
        };
        let id = match engine.open_workshop(&workshop).await {
            Err(error) if error.is_not_found() => {
                pull(engine, image, why, output).await?;
                engine.open_workshop(&workshop).await?
            }
            answer => answer?,
        };
        let builder = Self { engine: engine.clone(), id, root: checkout.root().to_owned() };
        builder.engine.put_files(&builder.id, archive).await?;
        Ok(builder)
    }

    /// Returns the metadata of the workspace for a target.
    ///
    /// # Errors
    /// [`CliError::Failed`] with cargo's output, if the workspace is invalid.
    pub(super) async fn metadata(&self, target: &str) -> Result<Metadata> {
        let (mut json, mut words) = (Vec::new(), Vec::new());
        let code = self
            .run(
                order::metadata_arguments(target).map(str::to_owned).into(),
                Vec::new(),
                |bytes| json.extend_from_slice(bytes),
                |bytes| words.extend_from_slice(bytes),
            )
            .await?;
        if code != 0 {
            let words = String::from_utf8_lossy(&words);
            return Err(order::refused("cargo can't read the workspace", words.trim(), None));
        }
        serde_json::from_slice(&json).map_err(|error| CliError::Other(error.into()))
    }

    /// Compiles an order. Returns whether it compiled, with cargo's output.
    ///
    /// # Errors
    /// [`CliError::Engine`] if cargo can't be run.
    pub(super) async fn compile(
        &self,
        order: &Order<'_>,
        tell: impl Fn(Step),
    ) -> Result<(bool, CargoOutput)> {
        let homes = [
            (self.root.clone(), "/chefcito".to_owned()),
            (Path::new(CRATES).join("src"), "/registry".to_owned()),
        ];
        let listener = RefCell::new(Listener::new(tell));
        let code = self
            .run(
                order.arguments(),
                order.variables(&homes).into(),
                |bytes| listener.borrow_mut().hear_stdout(bytes),
                |bytes| listener.borrow_mut().hear_stderr(bytes),
            )
            .await?;
        Ok((code == 0, listener.into_inner().end()))
    }

    /// Returns the content of a file of the container.
    ///
    /// # Errors
    /// [`CliError::Engine`] if there is no such file.
    pub(super) async fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let archive = self.engine.take_file(&self.id, &path.to_string_lossy()).await?;
        let read = || -> io::Result<Vec<u8>> {
            let mut archive = tar::Archive::new(archive.as_slice());
            let mut file = archive.entries()?.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            let mut content = Vec::new();
            let _length = io::Read::read_to_end(&mut file, &mut content)?;
            Ok(content)
        };
        read().map_err(CliError::io(|| format!("read {} of the container", path.display())))
    }

    async fn run(
        &self,
        arguments: Vec<String>,
        mut variables: Vec<(&'static str, String)>,
        hear_stdout: impl FnMut(&[u8]),
        hear_stderr: impl FnMut(&[u8]),
    ) -> Result<i64, EngineError> {
        let command: Vec<String> = ["cargo".to_owned()].into_iter().chain(arguments).collect();
        variables.push(("CARGO_TARGET_DIR", TARGET.into()));
        let folder = self.root.to_string_lossy();
        self.engine
            .run_heard(&self.id, &folder, &command, &variables, hear_stdout, hear_stderr)
            .await
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        let id = self.id.clone();
        // If that fails, the next build removes it, or it ends by itself.
        self.engine.at_last(async move |engine| engine.remove_container(&id).await);
    }
}

async fn pull(engine: &Engine, image: &str, why: &str, output: &Output) -> Result<()> {
    output.status(format_args!("Pulling {image} to compile in, because {why}"));
    let mut progress = Progress::new(output, "Pulling", 0);
    let tell = |done, all| {
        progress.set_total(all);
        progress.set(done);
    };
    engine.pull(image, tell).await.map_err(|error| {
        let words = error.message().map_or_else(|| error.to_string(), str::to_owned);
        CliError::Lacking {
            what: format!("the services can't be compiled: {why}, and the engine can't pull {image} to compile in ({words})"),
            hint: "install Rust (https://rustup.rs) and a C compiler (Debian: `apt install gcc`), or load that image into the engine".into(),
        }
    })
}

/// Packs the sources of a checkout, without hidden files except cargo's configuration, and without the target folder.
fn archive(checkout: &Checkout) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut open = vec![checkout.root().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), entry.path());
            let is_hidden = name.as_encoded_bytes().starts_with(b".") && name != ".cargo";
            let is_compiled =
                path == checkout.target() || (folder == checkout.root() && name == "target");
            if is_hidden || is_compiled {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else {
                append(&mut builder, &path)?;
            }
        }
    }
    builder.into_inner()
}

/// Adds a file with its time rounded up to a second: a tar has only seconds, and cargo ignores changes from before its
/// last compilation.
fn append(archive: &mut tar::Builder<Vec<u8>>, path: &Path) -> io::Result<()> {
    let metadata = path.symlink_metadata()?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    header.set_mtime(changed.as_secs() + u64::from(changed.subsec_nanos() > 0));
    let within = path.strip_prefix("/").unwrap_or(path);
    if metadata.is_symlink() {
        archive.append_link(&mut header, within, fs::read_link(path)?)
    } else {
        archive.append_data(&mut header, within, fs::File::open(path)?)
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, time::Duration};

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
}
