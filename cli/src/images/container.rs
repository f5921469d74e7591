//! Compiles in a container, if this machine has no cargo, or the engine has another architecture.
//!
//! The container uses the image of the CONTAINERFILEs' first stage. Volumes keep the results, so that the next build
//! compiles only changes.

mod archive;
mod ignore;

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
};

use cargo_metadata::Metadata;
use engine::{Engine, errors::EngineError, workshops::Workshop};

use super::{
    cargo::output::{CargoOutput, Listener, Step},
    checkout::Checkout,
    order::{self, Order},
};
use crate::{
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
        archive::send(engine, &builder.id, checkout).await?;
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
    output.progress(format_args!("Pulling {image} to compile in, because {why}"));
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
