//! Checks for the compose runtime.

use std::{collections::BTreeSet, env};

use engine::{Engine, machine::Machine};
use manifests::{compose_file::Source, quantities::size};

use super::{Check, Verdict, check};
use crate::{
    config::Runtime,
    images::{Ability, ability, repository},
};

/// Several times the memory of all services and databases at rest.
const MEMORY_BYTES_GOOD: u64 = 2 * 1024 * 1024 * 1024;
/// The images, and some room for data.
const DISK_FREE_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// Below this it runs, but not for long under load.
const DISK_FREE_BYTES_GOOD: u64 = 4 * 1024 * 1024 * 1024;

/// Checks the engine, its machine, and the images on it.
pub(super) async fn checks() -> Vec<Check> {
    let engine = match Engine::connect().await {
        Ok(engine) => engine,
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            return vec![of("container engine", Verdict::Lacking, error.to_string(), &hint)];
        }
    };
    let found = format!("{} at {}, API {}", engine.version(), engine.host(), engine.api());
    let mut checks = vec![of("container engine", Verdict::Good, found, "")];
    match engine.machine().await {
        Ok(machine) => {
            checks.push(memory(&machine));
            checks.push(limits(&machine));
            checks.extend(engine.is_local().then(|| disk(&machine)).flatten());
        }
        Err(error) => checks.push(of("its machine", Verdict::Poor, error.to_string(), "")),
    }
    checks.push(images(&engine).await);
    checks.push(building(&engine).await);
    checks
}

fn of(what: &'static str, verdict: Verdict, found: impl Into<String>, hint: &str) -> Check {
    check(Runtime::Compose, what, verdict, found, hint)
}

fn memory(machine: &Machine) -> Check {
    let found = format!("{}, {} processors", size(machine.memory_bytes), machine.processors);
    let is_good = machine.memory_bytes >= MEMORY_BYTES_GOOD;
    let verdict = if is_good { Verdict::Good } else { Verdict::Poor };
    of("memory of the engine", verdict, found, "give the engine's machine 2 GiB or more")
}

fn limits(machine: &Machine) -> Check {
    let lacking: Vec<&str> =
        [(machine.limits_memory, "memory"), (machine.limits_processes, "processes")]
            .into_iter()
            .filter_map(|(can, what)| (!can).then_some(what))
            .collect();
    match lacking.is_empty() {
        true => of("limits", Verdict::Good, "memory and processes can be limited", ""),
        false => of(
            "limits",
            Verdict::Poor,
            format!("{} can't be limited", lacking.join(" and ")),
            "boot with `cgroup_enable=memory`; rootless, delegate the controllers to the user: \
             https://rootlesscontaine.rs/getting-started/common/cgroup2",
        ),
    }
}

/// Returns `None` if the folder is not visible here: then the engine runs on another machine.
fn disk(machine: &Machine) -> Option<Check> {
    let disk = rustix::fs::statvfs(&machine.folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let verdict = match free {
        0..DISK_FREE_BYTES_MIN => Verdict::Lacking,
        DISK_FREE_BYTES_MIN..DISK_FREE_BYTES_GOOD => Verdict::Poor,
        DISK_FREE_BYTES_GOOD.. => Verdict::Good,
    };
    let found = format!("{} free at {}", size(free), machine.folder.display());
    Some(of("disk of the engine", verdict, found, "`docker system df` shows what uses it"))
}

async fn images(engine: &Engine) -> Check {
    let what = "images";
    let source = env::current_dir()
        .map_err(|_| ())
        .and_then(|folder| Source::find(&folder).map_err(|_| ()))
        .and_then(|source| source.parse(&|name| env::var(name).ok()).map_err(|_| ()));
    let (Ok(compose_file), Ok(there)) = (source, engine.all_images().await) else {
        let hint = "`chefcito up --runtime compose --dry-run` says why";
        return of(what, Verdict::Poor, "the compose file or the engine can't be read", hint);
    };
    let names: BTreeSet<&String> = there.iter().flat_map(|image| &image.names).collect();
    let services = compose_file.default_services(&[]);
    let wanted: BTreeSet<&String> =
        services.iter().filter_map(|name| Some(&compose_file.services.get(name)?.image)).collect();
    let lacking: Vec<&str> =
        wanted.iter().filter(|image| !names.contains(*image)).map(|image| image.as_str()).collect();
    let ours = repository("");
    match (lacking.is_empty(), lacking.iter().any(|image| image.starts_with(&ours))) {
        (true, _) => of(what, Verdict::Good, format!("all {} exist", wanted.len()), ""),
        (false, true) => of(
            what,
            Verdict::Poor,
            format!("missing: {}", lacking.join(", ")),
            "`chefcito build` makes ours; `chefcito up` pulls the others",
        ),
        (false, false) => of(
            what,
            Verdict::Poor,
            format!("missing: {}", lacking.join(", ")),
            "`chefcito up --runtime compose` pulls them",
        ),
    }
}

/// Checks what `chefcito build` needs. Without building, none of it is needed.
async fn building(engine: &Engine) -> Check {
    const INSTALL: &str =
        "install Rust (https://rustup.rs) and a C compiler (Debian: `apt install gcc`)";
    let what = "building images";
    match ability(engine).await {
        Ok(Ability::Here { compiler, has_static_libc: true }) => {
            of(what, Verdict::Good, format!("compiled on this machine by {compiler}"), "")
        }
        Ok(Ability::Here { .. }) => of(
            what,
            Verdict::Poor,
            "libc.a is missing, which is linked into every binary",
            "install it (Debian: `apt install libc6-dev`, Fedora: `dnf install glibc-static`), or use \
             `chefcito build --in-container`",
        ),
        Ok(Ability::InContainer { image, is_there: true, why }) => {
            of(what, Verdict::Good, format!("compiled in a container of {image}: {why}"), "")
        }
        Ok(Ability::InContainer { image, is_there: false, why }) => of(
            what,
            Verdict::Poor,
            format!("{why}, and the engine has to pull {image} to compile in"),
            &format!("pull it with `docker pull {image}`, or {INSTALL}"),
        ),
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            of(what, Verdict::Poor, error.to_string(), &hint)
        }
    }
}
