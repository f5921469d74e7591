//! Compiling in a container, where this machine can't: it has no cargo, or the engine runs something else.
//!
//! The container is made of the image that the CONTAINERFILEs compile in. What was compiled stays in volumes, so that the next
//! time only what changed is compiled.

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use cargo_metadata::Metadata;
use tokio::task::spawn_blocking;

use super::{
    cargo::said::{Listener, Said, Step},
    checkout::Checkout,
    order::{self, Order},
};
use crate::{
    docker::{Engine, errors::EngineError, workshops::Workshop},
    error::{CliError, Result},
    output::Output,
    progress::Progress,
};

/// What everything is labelled with that is made to compile in.
const LABEL: &str = "chefcito.build";
/// Where cargo compiles into, within the container.
const TARGET: &str = "/target";
/// Where cargo keeps the crates that it fetched, in every image of Rust.
const CRATES: &str = "/usr/local/cargo/registry";

/// A container to compile in. It goes when dropped, whatever runs in it; its volumes stay.
#[derive(Debug)]
pub(super) struct Builder {
    engine: Engine,
    id: String,
    root: PathBuf,
}

impl Builder {
    /// Makes the container, and copies the sources of a checkout into it, to the same folder as here. An image that the engine
    /// lacks is pulled.
    ///
    /// # Errors
    /// [`CliError::Lacking`] if the engine has no such image and can't get it, with `why` it is needed.
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

    /// Returns the workspace with everything that its packages depend on for a target.
    ///
    /// # Errors
    /// [`CliError::Failed`] with cargo's words, if the workspace can't be read.
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

    /// Compiles what was ordered. Returns whether it compiled, and what cargo said.
    ///
    /// # Errors
    /// [`CliError::Engine`] if cargo can't be run.
    pub(super) async fn compile(
        &self,
        order: &Order<'_>,
        tell: impl Fn(Step),
    ) -> Result<(bool, Said)> {
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

    /// Returns what is in a file of the container.
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
        // If it can't be removed, the next build does, or it ends by itself.
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
            what: format!("the services can't be compiled: {why}, and the engine can't get {image} to compile in ({words})"),
            hint: "install Rust (https://rustup.rs) and a C compiler (Debian: `apt install gcc`), or give the engine that image".into(),
        }
    })
}

/// Packs the sources of a checkout. What is hidden is left out, but for what configures cargo; so is what was compiled.
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

/// Adds a file, as changed at the next whole second: an archive knows no others, and cargo takes what changed before it last
/// compiled as compiled.
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
