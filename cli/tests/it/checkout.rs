//! A made-up checkout: a workspace of two tiny services that share a crate, so that compiling is fast. Its services
//! have unique names, and their images are removed with it.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::chefcito::{Home, Ran};

/// Returns whether there is a Docker engine and its command line, with which tests inspect images; prints a line if
/// not.
pub(crate) fn engine_is_there() -> bool {
    let there = engine_answers();
    if !there {
        test_support::lacking("a Docker engine and the command `docker`");
    }
    there
}

fn engine_answers() -> bool {
    let asked =
        Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    asked.is_ok_and(|said| said.status.success())
}

/// Returns whether the engine has the image to compile in; prints a line if not.
pub(crate) fn compile_image_is_there() -> bool {
    let there = engine_is_there()
        && Command::new("docker")
            .args(["image", "inspect", COMPILE_IMAGE])
            .output()
            .unwrap()
            .status
            .success();
    if !there {
        test_support::lacking(&format!("the image {COMPILE_IMAGE}"));
    }
    there
}

/// Runs `docker`, and returns its output.
pub(crate) fn docker(args: &[&str]) -> String {
    let said = Command::new("docker").args(args).output().unwrap();
    assert!(said.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// A checkout of its own, in a home of its own.
pub(crate) struct Checkout {
    pub(crate) home: Home,
    folder: TempDir,
    tools: TempDir,
    pub(crate) tea: String,
    pub(crate) soup: String,
}

impl Checkout {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = ["tea", "soup"].map(|name| format!("test{}x{n}-{name}", std::process::id()));
        Self::with_services(names)
    }

    pub(crate) fn with_services([tea, soup]: [String; 2]) -> Self {
        let temporary = || tempfile::Builder::new().prefix("chefcito checkout ").tempdir().unwrap();
        let checkout =
            Self { home: Home::new(), folder: temporary(), tools: temporary(), tea, soup };
        checkout.write("Cargo.toml", MANIFEST);
        for service in checkout.services() {
            let uid = if *service == checkout.tea { 10_901 } else { 10_902 };
            checkout.write(
                &format!("containerfiles/{service}/CONTAINERFILE"),
                &containerfile(service, uid),
            );
            checkout.write(&format!("services/{service}/Cargo.toml"), &manifest(service, POT));
            checkout.write(&format!("services/{service}/src/main.rs"), MAIN);
            checkout.write(&format!("services/{service}/tests/it.rs"), "");
        }
        checkout.write("services/pot/Cargo.toml", &manifest("pot", ""));
        checkout.write(
            "services/pot/src/lib.rs",
            "/// Tells.\npub fn tell() -> &'static str {\n    \"hot\"\n}\n",
        );
        checkout.write("Cargo.lock", &checkout.lock());
        checkout.write_tool(
            "cargo",
            &format!(
                "#!/bin/sh\necho \"$*\" >> \"{}\"\nexec \"{}\" \"$@\"\n",
                checkout.calls_file().display(),
                tool("cargo").display()
            ),
        );
        checkout
    }

    pub(crate) fn services(&self) -> [&String; 2] {
        [&self.soup, &self.tea]
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of `chefcito build`.
    pub(crate) fn images(&self) -> PathBuf {
        self.root().join("target/chefcito/images")
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The source of a service's `main`.
    pub(crate) fn main_of(&self, service: &str) -> PathBuf {
        self.root().join(format!("services/{service}/src/main.rs"))
    }

    /// Changes the source of a service.
    pub(crate) fn change(&self, service: &str, word: &str) {
        fs::write(self.main_of(service), MAIN.replace("is", word)).unwrap();
    }

    pub(crate) fn change_back(&self, service: &str) {
        fs::write(self.main_of(service), MAIN).unwrap();
    }

    fn lock(&self) -> String {
        let mut packages: Vec<(&str, &str)> = vec![
            (&self.tea, "dependencies = [\n \"pot\",\n]\n"),
            (&self.soup, "dependencies = [\n \"pot\",\n]\n"),
            ("pot", ""),
        ];
        packages.sort();
        let blocks = packages.iter().map(|(name, dependencies)| {
            format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n{dependencies}")
        });
        format!("version = 4\n{}", blocks.collect::<String>())
    }

    /// Puts a program first on the path.
    pub(crate) fn write_tool(&self, name: &str, script: &str) {
        let path = self.tools.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls_file(&self) -> PathBuf {
        self.tools.path().join("calls")
    }

    /// Returns how cargo was called since the last time.
    pub(crate) fn calls_of_cargo(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.calls_file()).unwrap_or_default();
        let _none = fs::remove_file(self.calls_file());
        calls.lines().map(str::to_owned).collect()
    }

    /// A command in the checkout, with the tools of the user who runs the tests.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        let path = env::join_paths(
            [self.tools.path().to_owned()]
                .into_iter()
                .chain(env::split_paths(&env::var_os("PATH").unwrap())),
        );
        let home = PathBuf::from(env::var_os("HOME").unwrap());
        let of_home =
            |variable, folder| env::var_os(variable).unwrap_or_else(|| home.join(folder).into());
        command
            .env("PATH", path.unwrap())
            .env("RUSTUP_HOME", of_home("RUSTUP_HOME", ".rustup"))
            .env("CARGO_HOME", of_home("CARGO_HOME", ".cargo"))
            .envs(env::var_os("RUSTUP_TOOLCHAIN").map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)))
            .env_remove("DOCKER_HOST")
            .envs(env::var_os("DOCKER_HOST").map(|host| ("DOCKER_HOST", host)))
            .current_dir(self.root().join("services"));
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.home.finish(args, self.start(args))
    }

    pub(crate) fn must(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    /// Builds, and returns the line of each image, in the order of the services' names.
    pub(crate) fn build(&self, services: &[&str]) -> Vec<Value> {
        let args: Vec<&str> =
            ["build", "--json"].into_iter().chain(services.iter().copied()).collect();
        let said: Value = serde_json::from_str(&self.must(&args).stdout).unwrap();
        said["images"].as_array().unwrap().clone()
    }

    /// Returns the name of the container to compile in, and the prefix of its volumes.
    pub(crate) fn builder(&self) -> String {
        let hash = blake3::hash(self.root().as_os_str().as_encoded_bytes()).to_hex();
        format!("chefcito-build-{}", &hash[..8])
    }

    /// Returns the ids of a service's image by tag.
    pub(crate) fn tags(&self, service: &str) -> Vec<(String, String)> {
        let listed = docker(&[
            "images",
            "--no-trunc",
            "--format",
            "{{.Tag}} {{.ID}}",
            &format!("chefcito-{service}"),
        ]);
        let mut tags: Vec<_> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(tag, id)| (tag.to_owned(), id.to_owned()))
            .collect();
        tags.sort();
        tags
    }

    /// Returns the engine's events about the images of this checkout's services since a time.
    pub(crate) fn events_since(&self, since: f64) -> Vec<String> {
        let reported = docker(&[
            "events",
            "--filter=type=image",
            &format!("--since={since:.6}"),
            &format!("--until={:.6}", now()),
            "--format={{.Action}} {{.Actor.Attributes.name}}",
        ]);
        let ours =
            |line: &&str| self.services().iter().any(|service| line.contains(service.as_str()));
        reported.lines().filter(ours).map(str::to_owned).collect()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if !engine_answers() {
            return;
        }
        let volume = format!("{}-target", self.builder());
        let _gone = Command::new("docker").args(["volume", "rm", "--force", &volume]).output();
        for service in self.services() {
            for (tag, _) in self.tags(service) {
                let _gone = Command::new("docker")
                    .args(["rmi", "--force", &format!("chefcito-{service}:{tag}")])
                    .output();
            }
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn tool(name: &str) -> PathBuf {
    env::split_paths(&env::var_os("PATH").unwrap())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap()
}

/// The image to compile in.
pub(crate) const COMPILE_IMAGE: &str = "rust:1.95.0-bookworm";
const MANIFEST: &str = "\
[workspace]
resolver = \"3\"
members = [\"services/*\"]

[profile.image]
inherits = \"release\"
opt-level = 0
strip = \"symbols\"
";
const POT: &str = "[dependencies]\npot = { path = \"../pot\" }\n";
const MAIN: &str =
    "//! Says how it is.\n\nfn main() {\n    println!(\"It is {}\", pot::tell());\n}\n";

fn manifest(name: &str, more: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"MIT\"\n\n{more}"
    )
}

fn containerfile(service: &str, uid: u32) -> String {
    format!(
        "\
FROM {COMPILE_IMAGE} AS compile
WORKDIR /checkout
COPY . .
RUN cargo build --locked --profile image && mkdir /binaries && cp target/image/{service} /binaries/

FROM scratch
LABEL org.opencontainers.image.title=\"chefcito-{service}\" \\
      org.opencontainers.image.version=\"0.1.0\"
COPY --from=compile /binaries/{service} /{service}
USER {uid}:{uid}
EXPOSE 8080
HEALTHCHECK --interval=10s CMD [\"/{service}\", \"--health\"]
ENTRYPOINT [\"/{service}\"]
"
    )
}
