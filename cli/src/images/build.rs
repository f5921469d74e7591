//! One build, from the checkout to the engine.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use cargo_metadata::Metadata;
use engine::{Engine, images::Platform};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::{
    Built, Options,
    cargo::output::{CargoOutput, Step as CargoStep, sources as listed_sources},
    checkout::Checkout,
    compiler::{CompileLocation, Compiler},
    containerfile::Containerfile,
    graph::{self, Checksums},
    host,
    lock::Lock,
    memory::{Memory, Workspace},
    on_engine,
    order::{self, Order},
    pack::Packed,
    plan::{OnEngine, Step, step},
    sources::{self, Circumstances, Keys},
};
use crate::{
    error::{CliError, Result},
    output::Output,
    progress::{Progress, Waiting},
};

/// The most images that are packed or loaded at a time: enough to use an engine's disk, few enough to fit into memory.
pub(super) const AT_A_TIME_MAX: usize = 4;

/// Builds images: compiles changed sources, packs what the engine lacks, and tags each as `dev`. If it ends early, each
/// `dev` is still the old or already the new image.
///
/// # Errors
/// [`CliError::Lacking`] outside of a checkout or without a compiler; [`CliError::Failed`] if the sources do not
/// compile; [`CliError::BadFile`] for an unsupported CONTAINERFILE; [`CliError::Engine`] if the engine refuses.
pub(crate) async fn build(
    engine: &Engine,
    options: &Options,
    output: &Output,
) -> Result<Vec<Built>> {
    let checkout = Checkout::find()?;
    let files = checkout.services()?;
    let _lock = Lock::take(&checkout, output).await?;
    let mut memory = Memory::read(&checkout.memory());
    let platform = async { engine.platform().await.map_err(CliError::from) };
    let (platform, on_engine) = tokio::try_join!(platform, on_engine(engine))?;
    if let Some(toolchain) = host::toolchain(&checkout, memory.toolchain()).await? {
        memory.remember_toolchain(toolchain);
    }
    let target = order::target(&platform.architecture);
    let image = files.values().next().map(|file| file.compile_image.as_str()).unwrap_or_default();
    let location =
        CompileLocation::choose(options.in_container, memory.toolchain(), &target, image);
    let job = BuildJob {
        checkout: &checkout,
        files: &files,
        engine,
        platform,
        target,
        location,
        compiler: OnceCell::new(),
        output,
    };
    job.build(options, &mut memory, &on_engine).await
}

/// One build: its checkout, engine, target and compiler.
pub(super) struct BuildJob<'a> {
    pub(super) checkout: &'a Checkout,
    pub(super) files: &'a BTreeMap<String, Containerfile>,
    pub(super) engine: &'a Engine,
    pub(super) platform: Platform,
    pub(super) target: String,
    location: CompileLocation,
    compiler: OnceCell<Compiler>,
    pub(super) output: &'a Output,
}

impl BuildJob<'_> {
    async fn build(
        &self,
        options: &Options,
        memory: &mut Memory,
        on_engine: &OnEngine,
    ) -> Result<Vec<Built>> {
        let since = Instant::now();
        let mut metadata = None;
        let workspace = match sources::remembered(self.checkout, self.files, memory)? {
            Some(workspace) => workspace,
            None => {
                let read = metadata.insert(self.compiler().await?.metadata(&self.target).await?);
                sources::learn(self.checkout, self.files, read, memory)?
            }
        };
        let wanted = self.wanted(options, &workspace)?;
        let keys = self.keys(&workspace, &self.circumstances(memory), memory)?;
        let former = match self.former_circumstances(memory) {
            Some(former) => self.keys(&workspace, &former, memory)?,
            None => Keys::new(),
        };

        let (mut steps, mut packed) = (BTreeMap::new(), Vec::new());
        for service in &wanted {
            let key_of = |keys: &Keys| keys.get(service).cloned().unwrap_or_default();
            let known = memory.content(service, &key_of(&keys));
            let known = known.or_else(|| memory.content(service, &key_of(&former)));
            let saved = self.saved(service, known, on_engine).await;
            let step = step(service, known, saved.is_some(), on_engine);
            self.output.detail(format_args!("{service}: {step}"));
            packed.extend(saved);
            let _none = steps.insert(service.clone(), step);
        }
        let is_uncompiled = |service: &&String| steps.get(*service) == Some(&Step::Compile);
        let uncompiled: Vec<String> = wanted.iter().filter(is_uncompiled).cloned().collect();
        if !uncompiled.is_empty() {
            packed.extend(self.compile(&uncompiled, &workspace, &keys, metadata, memory).await?);
        }
        self.keep(memory);
        let built = self.deliver(steps, packed, on_engine).await?;
        self.tell(&built, since.elapsed());
        for one in &built {
            memory.remember_newest(&one.service, &one.content);
        }
        for service in &wanted {
            self.remove_old(service, memory).await;
        }
        self.keep(memory);
        Ok(built)
    }

    /// Returns the services to build: the given ones, or all that have a package.
    fn wanted(&self, options: &Options, workspace: &Workspace) -> Result<Vec<String>> {
        let (with, without): (Vec<&String>, Vec<&String>) =
            self.files.keys().partition(|service| workspace.folders.contains_key(*service));
        if options.services.is_empty() {
            for service in without {
                self.output.warn(format_args!(
                    "skipping {}: the workspace has no package `{service}`",
                    self.checkout.containerfile(service).display()
                ));
            }
            return Ok(with.into_iter().cloned().collect());
        }
        let mut wanted = options.services.clone();
        wanted.sort();
        wanted.dedup();
        match wanted.iter().find(|service| !with.contains(service)) {
            None => Ok(wanted),
            Some(service) => Err(CliError::unknown_service(service, with.iter().copied())),
        }
    }

    fn keys(
        &self,
        workspace: &Workspace,
        how: &Circumstances,
        memory: &mut Memory,
    ) -> Result<Keys> {
        sources::keys(self.checkout, self.files, workspace, how, memory)
    }

    /// Returns the circumstances in which the sources would be compiled now.
    fn circumstances(&self, memory: &Memory) -> Circumstances {
        let compiler = match &self.location {
            CompileLocation::Here { .. } => {
                memory.toolchain().map(|toolchain| toolchain.version.clone())
            }
            CompileLocation::Container { image, .. } => Some(image.clone()),
        };
        Circumstances { target: self.target.clone(), compiler: compiler.unwrap_or_default() }
    }

    /// Returns the circumstances from when this machine could compile: those results are still valid.
    fn former_circumstances(&self, memory: &Memory) -> Option<Circumstances> {
        let gone = matches!(self.location, CompileLocation::Container { asked: false, .. });
        let toolchain = memory.toolchain().filter(|_| gone)?;
        Some(Circumstances { target: self.target.clone(), compiler: toolchain.version.clone() })
    }

    /// Returns the compiler, opened at the first call.
    async fn compiler(&self) -> Result<&Compiler> {
        self.compiler
            .get_or_try_init(|| self.location.open(self.engine, self.checkout, self.output))
            .await
    }

    /// Compiles services together, packs each, and saves the contents of their sources.
    async fn compile(
        &self,
        services: &[String],
        workspace: &Workspace,
        keys: &Keys,
        metadata: Option<Metadata>,
        memory: &mut Memory,
    ) -> Result<Vec<Packed>> {
        let compiler = self.compiler().await?;
        let metadata = async {
            match metadata {
                Some(metadata) => Ok(metadata),
                None => compiler.metadata(&self.target).await,
            }
        };
        let (metadata, said) =
            tokio::try_join!(metadata, self.run_cargo(compiler, services, workspace))?;
        let lock = fs::read_to_string(self.checkout.root().join("Cargo.lock")).unwrap_or_default();
        let checksums = Checksums::parse(&lock);
        let pack = async |service: &String| {
            let since = Instant::now();
            let _shown = Waiting::new(self.output, format_args!("Packing {service}"));
            let binary = compiler.read(self.program(service, &said)?).await?;
            let parts = graph::parts(&metadata, service, &checksums)
                .ok_or_else(|| CliError::failed(format!("cargo has no package `{service}`")))?;
            let packed = self.finish(service, binary, parts).await?;
            Ok::<_, CliError>(Packed { took: since.elapsed(), ..packed })
        };
        let packed: Vec<Packed> =
            stream::iter(services).map(pack).buffered(AT_A_TIME_MAX).try_collect().await?;
        self.remember(&packed, &said, compiler, workspace, keys, memory).await?;
        Ok(packed)
    }

    /// Saves the contents of sources. If a source was changed while cargo ran, it may or may not be in the binary:
    /// nothing is saved, so that the next build compiles it again.
    async fn remember(
        &self,
        packed: &[Packed],
        said: &CargoOutput,
        compiler: &Compiler,
        workspace: &Workspace,
        keys: &Keys,
        memory: &mut Memory,
    ) -> Result<()> {
        let how = self.circumstances(memory);
        let after = self.keys(workspace, &how, memory)?;
        for Packed { service, .. } in packed {
            let list = self.program(service, said)?.with_extension("d");
            let list = compiler.read(&list).await.unwrap_or_default();
            let sources = listed_sources(&String::from_utf8_lossy(&list), self.checkout.root());
            let folders = workspace.folders.get(service).cloned().unwrap_or_default();
            memory.remember_outside(service, sources::outside(&sources, self.checkout, &folders));
        }
        let mut now = self.keys(workspace, &how, memory)?;
        for Packed { service, archive, .. } in packed {
            if let Some(key) =
                now.remove(service).filter(|_| after.get(service) == keys.get(service))
            {
                memory.remember(service, key, archive.content.clone());
            }
        }
        Ok(())
    }

    async fn run_cargo(
        &self,
        compiler: &Compiler,
        services: &[String],
        workspace: &Workspace,
    ) -> Result<CargoOutput> {
        let since = Instant::now();
        let packages: Vec<String> = workspace.folders.keys().cloned().collect();
        let files = services.iter().filter_map(|service| self.files.get(service));
        let binaries: Vec<String> = files.map(|file| file.binary.clone()).collect();
        let order = Order {
            target: &self.target,
            packages: &packages,
            binaries: &binaries,
            colors: self.output.stderr_has_colors(),
        };
        self.output.progress(format_args!("Compiling {}", services.join(", ")));
        let (compiled, said) = {
            let progress = RefCell::new(Progress::new(self.output, "Compiling", 0));
            let tell = |step: CargoStep| {
                let mut progress = progress.borrow_mut();
                progress.set_total(step.total);
                progress.set(step.done);
            };
            compiler.compile(&order, tell).await?
        };
        if !compiled {
            let they = if services.len() == 1 { "the service does" } else { "the services do" };
            let what = format!("{they} not compile");
            let free =
                self.checkout.free_bytes().filter(|_| matches!(compiler, Compiler::Here { .. }));
            return Err(order::refused(&what, &said.about_the_code, free));
        }
        said.about_the_code.lines().for_each(|line| self.output.status(format_args!("{line}")));
        self.output.progress(format_args!("Compiled in {}", seconds(since.elapsed())));
        Ok(said)
    }

    /// Returns the path of the program of a service.
    fn program<'s>(&self, service: &str, said: &'s CargoOutput) -> Result<&'s Path> {
        let program = self.files.get(service).and_then(|file| said.programs.get(&file.binary));
        program.map(AsRef::as_ref).ok_or_else(|| {
            CliError::failed(format!("cargo compiled `{service}`, but reported no program"))
        })
    }

    /// Saves what was found out, even if the build fails or is interrupted later.
    fn keep(&self, memory: &mut Memory) {
        if let Err(error) = memory.write(&self.checkout.memory()) {
            self.output.warn(format_args!("the next build has to start from scratch: {error}"));
        }
    }

    fn tell(&self, built: &[Built], took: Duration) {
        let new = built.iter().filter(|image| !image.cached).count();
        match (new, built.len()) {
            (0, 1) => self.output.status(format_args!("The image is up to date")),
            (0, all) => self.output.status(format_args!("All {all} images are up to date")),
            (new, all) => {
                self.output
                    .status(format_args!("Built {new} of {all} images in {}", seconds(took)));
            }
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
