//! One build, from the checkout to the engine.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cargo_metadata::Metadata;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use tokio::task::spawn_blocking;

use super::{
    Built, Options,
    archive::{self, Archive, ContentTag, DEV_TAG, repository},
    auditable,
    cargo::{self, Done},
    checkout::Checkout,
    containerfile::Containerfile,
    graph::{self, Checksums, Parts},
    host,
    lock::Lock,
    memory::{Memory, Workspace},
    on_engine,
    plan::{OnEngine, Step, step},
    sbom,
    sources::{self, Circumstances},
};
use crate::{
    docker::{Engine, images::Platform},
    error::{CliError, Result},
    output::Output,
    progress::Progress,
    state::write_private,
};

/// How many images are packed or loaded at a time: enough to keep an engine's disk busy, few enough to fit into memory.
const AT_A_TIME_MAX: usize = 4;

/// Builds images: compiles what was not compiled before, packs what the engine lacks, and puts `dev` on each. Whatever ends it
/// early, `dev` stands for what it stood for before, or for the new image.
///
/// # Errors
/// [`CliError::Lacking`] outside of a checkout, or if this machine can't compile; [`CliError::Failed`] if the sources do not
/// compile; [`CliError::BadFile`] for a CONTAINERFILE that is not understood; [`CliError::Engine`] if the engine refuses.
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
    let target = host::target(&platform.architecture);
    let site = Site { checkout: &checkout, files: &files, engine, platform, target, output };
    site.build(options, &mut memory, &on_engine).await
}

/// Where a build takes place, and for whom.
struct Site<'a> {
    checkout: &'a Checkout,
    files: &'a BTreeMap<String, Containerfile>,
    engine: &'a Engine,
    platform: Platform,
    target: String,
    output: &'a Output,
}

/// An image that is packed, and how long that took.
struct Packed {
    service: String,
    archive: Archive,
    took: Duration,
}

impl Site<'_> {
    async fn build(
        &self,
        options: &Options,
        memory: &mut Memory,
        on_engine: &OnEngine,
    ) -> Result<Vec<Built>> {
        let since = Instant::now();
        if let Some(toolchain) = host::toolchain(self.checkout, memory.toolchain()).await? {
            memory.remember_toolchain(toolchain);
        }
        let mut metadata = None;
        let workspace = match sources::remembered(self.checkout, self.files, memory)? {
            Some(workspace) => workspace,
            None => {
                let read = metadata.insert(self.metadata(memory).await?);
                sources::learn(self.checkout, self.files, read, memory)?
            }
        };
        let wanted = self.wanted(options, &workspace)?;
        let circumstances = self.circumstances(memory);
        let keys = sources::keys(self.checkout, self.files, &workspace, &circumstances, memory)?;

        let (mut steps, mut packed) = (BTreeMap::new(), Vec::new());
        for service in &wanted {
            let known = memory.content(service, &keys[service]).cloned();
            let saved = self.saved(service, known.as_ref(), on_engine).await;
            let step = step(service, known.as_ref(), saved.is_some(), on_engine);
            self.output.detail(format_args!("{service}: {step}"));
            packed.extend(saved);
            let _none = steps.insert(service.clone(), step);
        }
        let uncompiled: Vec<String> = steps
            .iter()
            .filter(|(_, step)| **step == Step::Compile)
            .map(|(service, _)| service.clone())
            .collect();
        if !uncompiled.is_empty() {
            packed.extend(
                self.compile(&uncompiled, &workspace, &circumstances, &keys, metadata, memory)
                    .await?,
            );
        }
        self.keep(memory);
        let built = self.deliver(steps, packed, on_engine).await?;
        self.tell(&built, since.elapsed());
        for service in &wanted {
            self.remove_old(service, memory).await;
        }
        self.keep(memory);
        Ok(built)
    }

    /// Returns the services to build: those asked for, or all that have a package.
    fn wanted(&self, options: &Options, workspace: &Workspace) -> Result<Vec<String>> {
        let (with, without): (Vec<&String>, Vec<&String>) =
            self.files.keys().partition(|service| workspace.folders.contains_key(*service));
        if options.services.is_empty() {
            for service in without {
                self.output.warn(format_args!(
                    "{} is left out: the workspace has no package `{service}`",
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
            Some(service) => {
                let known: Vec<&str> = with.iter().map(|service| service.as_str()).collect();
                Err(CliError::Failed {
                    what: format!("there is no service `{service}` to build"),
                    hint: format!("these can be built: {}", known.join(", ")),
                    source: None,
                })
            }
        }
    }

    fn circumstances(&self, memory: &Memory) -> Circumstances {
        let compiler =
            memory.toolchain().map(|toolchain| toolchain.version.clone()).unwrap_or_default();
        Circumstances { target: self.target.clone(), compiler }
    }

    /// Fails if this machine can't compile for the engine.
    fn check_host(&self, memory: &Memory) -> Result<()> {
        match host::obstacle(memory.toolchain(), &self.target) {
            None => Ok(()),
            Some(obstacle) => Err(CliError::Lacking {
                what: format!("the services can't be compiled on this machine: {obstacle}"),
                hint:
                    "install Rust (https://rustup.rs) and a C compiler (Debian: `apt install gcc`)"
                        .into(),
            }),
        }
    }

    async fn metadata(&self, memory: &Memory) -> Result<Metadata> {
        self.check_host(memory)?;
        host::metadata(self.checkout, &self.target).await
    }

    /// Packs the binary of an earlier build, if the engine lacks what these sources became and the binary is still that one.
    async fn saved(
        &self,
        service: &str,
        known: Option<&ContentTag>,
        on_engine: &OnEngine,
    ) -> Option<Packed> {
        let known = known?;
        if on_engine.image(service, known.as_str()).is_some() {
            return None;
        }
        let binary = fs::read(self.checkout.binary(service)).ok()?;
        let packed = self.pack(service, binary).await.ok()?;
        (packed.archive.content == *known).then_some(packed)
    }

    /// Compiles services together, and packs each; remembers what their sources became.
    async fn compile(
        &self,
        services: &[String],
        workspace: &Workspace,
        circumstances: &Circumstances,
        keys: &BTreeMap<String, String>,
        metadata: Option<Metadata>,
        memory: &mut Memory,
    ) -> Result<Vec<Packed>> {
        let (metadata, done) = tokio::try_join!(
            async {
                match metadata {
                    Some(metadata) => Ok(metadata),
                    None => self.metadata(memory).await,
                }
            },
            self.run_cargo(services, workspace, memory)
        )?;
        let lock = fs::read_to_string(self.checkout.root().join("Cargo.lock")).unwrap_or_default();
        let checksums = Checksums::parse(&lock);
        let pack = async |service: &String| {
            let program = self.program(service, &done)?;
            let parts = graph::parts(&metadata, service, &checksums).ok_or_else(|| {
                CliError::failed(format!("cargo does not know the package `{service}`"))
            })?;
            self.finish(service, program, parts).await
        };
        let packed: Vec<Packed> =
            stream::iter(services).map(pack).buffered(AT_A_TIME_MAX).try_collect().await?;

        // What was saved while cargo ran may or may not be in the binary: then the next build compiles again.
        let keys_after =
            sources::keys(self.checkout, self.files, workspace, circumstances, memory)?;
        for service in services {
            let listed = fs::read_to_string(self.program(service, &done)?.with_extension("d"))
                .unwrap_or_default();
            let sources = cargo::sources(&listed, self.checkout.root());
            let outside = sources::outside(&sources, self.checkout, &workspace.folders[service]);
            memory.remember_outside(service, outside);
        }
        let keys_now = sources::keys(self.checkout, self.files, workspace, circumstances, memory)?;
        for packed in &packed {
            let service = packed.service.as_str();
            if keys_after.get(service) == keys.get(service) {
                memory.remember(service, keys_now[service].clone(), packed.archive.content.clone());
            }
        }
        Ok(packed)
    }

    async fn run_cargo(
        &self,
        services: &[String],
        workspace: &Workspace,
        memory: &Memory,
    ) -> Result<Done> {
        self.check_host(memory)?;
        let since = Instant::now();
        let packages: Vec<String> = workspace.folders.keys().cloned().collect();
        let binaries: Vec<String> =
            services.iter().map(|service| self.files[service].binary.clone()).collect();
        let toolchain =
            memory.toolchain().ok_or_else(|| CliError::failed("there is no compiler"))?;
        self.output.status(format_args!("Compiling {}", services.join(", ")));
        let done = {
            let progress = RefCell::new(Progress::new(self.output, "Compiling", 0));
            let tell = |step: cargo::Step| {
                let mut progress = progress.borrow_mut();
                progress.set_total(step.total);
                progress.set(step.done);
            };
            let colors = self.output.stderr_has_colors();
            host::compile(
                self.checkout,
                toolchain,
                &self.target,
                &packages,
                &binaries,
                colors,
                tell,
            )
            .await?
        };
        if !done.succeeded {
            let they = if services.len() == 1 { "the service does" } else { "the services do" };
            return Err(host::refused(&format!("{they} not compile"), &done.words));
        }
        done.words.lines().for_each(|line| self.output.status(format_args!("{line}")));
        self.output.status(format_args!("Compiled in {}", seconds(since.elapsed())));
        Ok(done)
    }

    fn program<'a>(&self, service: &str, done: &'a Done) -> Result<&'a PathBuf> {
        let binary = &self.files[service].binary;
        done.programs.get(binary).ok_or_else(|| {
            CliError::failed(format!("cargo compiled `{service}` and made no program `{binary}`"))
        })
    }

    /// Makes a fresh binary auditable, packs it, and writes down what is in it.
    async fn finish(&self, service: &str, program: &Path, parts: Parts) -> Result<Packed> {
        let since = Instant::now();
        let read =
            fs::read(program).map_err(CliError::io(|| format!("read {}", program.display())))?;
        let (binary, parts) =
            blocking(move || Ok((auditable::with_parts(&read, &parts)?, parts))).await?;
        let path = self.checkout.binary(service);
        write_private(&path, &binary)?;
        let hash = archive::sha256(&binary);
        let packed = self.pack(service, binary).await?;
        let image = format!("{}:{}", repository(service), packed.archive.content);
        let sbom = sbom::sbom(&parts, &image, &hash, &self.target);
        let json = serde_json::to_vec_pretty(&sbom).map_err(anyhow::Error::from)?;
        let path = self.checkout.sbom(service);
        fs::write(&path, json).map_err(CliError::io(|| format!("write {}", path.display())))?;
        Ok(Packed { took: since.elapsed(), ..packed })
    }

    async fn pack(&self, service: &str, binary: Vec<u8>) -> Result<Packed> {
        let since = Instant::now();
        let (name, file, platform) =
            (service.to_owned(), self.files[service].clone(), self.platform.clone());
        let archive =
            blocking(move || Ok(archive::pack(&name, &binary, &file, &platform, &created())?))
                .await?;
        Ok(Packed { service: service.to_owned(), archive, took: since.elapsed() })
    }

    /// Gives the engine what it lacks, then puts `dev` on everything at once.
    async fn deliver(
        &self,
        steps: BTreeMap<String, Step>,
        packed: Vec<Packed>,
        on_engine: &OnEngine,
    ) -> Result<Vec<Built>> {
        let mut contents: BTreeMap<String, (ContentTag, Duration)> = steps
            .into_iter()
            .filter_map(|(service, step)| match step {
                Step::Keep(content) | Step::Tag(content) => {
                    Some((service, (content, Duration::ZERO)))
                }
                Step::Pack(_) | Step::Compile => None,
            })
            .collect();
        let load = async |packed: Packed| {
            let since = Instant::now();
            let Archive { content, tar } = packed.archive;
            let there = on_engine.image(&packed.service, content.as_str()).is_some();
            if !there {
                let name = format!("{}:{content}", repository(&packed.service));
                self.engine.load_image(&name, tar).await?;
            }
            Ok::<_, CliError>((packed.service, content, packed.took + since.elapsed(), there))
        };
        let loaded: Vec<_> =
            stream::iter(packed).map(load).buffer_unordered(AT_A_TIME_MAX).try_collect().await?;
        let mut anew = Vec::new();
        for (service, content, took, there) in loaded {
            if !there {
                anew.push(service.clone());
            }
            let _none =
                contents.insert(service, (content, if there { Duration::ZERO } else { took }));
        }
        let untagged = contents
            .iter()
            .filter(|(service, (content, _))| on_engine.dev(service).as_ref() != Some(content));
        let tag = async |(service, (content, _)): (&String, &(ContentTag, Duration))| {
            let repository = repository(service);
            self.engine.tag_image(&format!("{repository}:{content}"), &repository, DEV_TAG).await
        };
        let tagged: Vec<()> = future::try_join_all(untagged.map(tag)).await?;
        let now = if tagged.is_empty() { None } else { Some(self::on_engine(self.engine).await?) };
        let now = now.as_ref().unwrap_or(on_engine);
        contents
            .into_iter()
            .map(|(service, (content, took))| {
                let (id, size_bytes) = now.image(&service, content.as_str()).ok_or_else(|| {
                    CliError::failed(format!(
                        "the engine lost the image {}:{content}",
                        repository(&service)
                    ))
                })?;
                Ok(Built {
                    id: id.to_owned(),
                    size_bytes,
                    took,
                    cached: !anew.contains(&service),
                    sbom: self.checkout.sbom(&service),
                    content,
                    service,
                })
            })
            .collect()
    }

    /// Writes down what was learned: it is of use even if something fails or is interrupted after it.
    fn keep(&self, memory: &mut Memory) {
        if let Err(error) = memory.write(&self.checkout.memory()) {
            self.output.warn(format_args!("the next build has to start over: {error}"));
        }
    }

    fn tell(&self, built: &[Built], took: Duration) {
        let anew = built.iter().filter(|image| !image.cached).count();
        match (anew, built.len()) {
            (0, 1) => self.output.status(format_args!("The image is up to date")),
            (0, all) => self.output.status(format_args!("All {all} images are up to date")),
            (anew, all) => {
                self.output
                    .status(format_args!("Built {anew} of {all} images in {}", seconds(took)));
            }
        }
    }

    /// Removes the images of contents that are older than those that are kept. One that a container has stays.
    async fn remove_old(&self, service: &str, memory: &mut Memory) {
        for content in memory.forget_old(service) {
            let name = format!("{}:{content}", repository(service));
            match self.engine.remove_image(&name).await {
                Ok(()) => self.output.detail(format_args!("{name}: removed, there are newer ones")),
                Err(error) => self.output.detail(format_args!("{name}: kept: {error}")),
            }
        }
    }
}

/// Returns when an image is said to be created: now, or when `SOURCE_DATE_EPOCH` says.
fn created() -> String {
    let fixed = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    let fixed = fixed.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    fixed.unwrap_or_else(jiff::Timestamp::now).to_string()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await.map_err(anyhow::Error::from)?;
    Ok(done?)
}
