//! `deploy`, as far as it is about one engine, and the keys that mean the same.

use super::{Service, cpus};
use crate::at::{At, Fields, Result};

/// The most containers of a service: each takes memory and connections to the database.
const REPLICAS_MAX: u32 = 64;

/// What `deploy` says.
#[derive(Default)]
struct Deploy {
    replicas: Option<u32>,
    limits: Limits,
}

#[derive(Default)]
struct Limits {
    nano_cpus: Option<u64>,
    mem: Option<u64>,
    pids: Option<i64>,
}

/// Reads `scale` and `deploy`, which has the limits of the service, too.
pub(super) fn read(service: &mut Service, fields: &mut Fields<'_>) -> Result<()> {
    let scale = fields.read("scale", replicas)?;
    let Some(at) = fields.take("deploy") else {
        service.replicas = scale.unwrap_or(1);
        return Ok(());
    };
    let Deploy { replicas, limits } = deploy(&at)?;
    service.replicas = scale.or(replicas).unwrap_or(1);
    let two = |name: &str| at.flaw(format!("`{name}` says the same: remove one of them"));
    let Limits { nano_cpus, mem, pids } = limits;
    service.nano_cpus = either(service.nano_cpus, nano_cpus).ok_or_else(|| two("cpus"))?;
    service.mem_limit = either(service.mem_limit, mem).ok_or_else(|| two("mem_limit"))?;
    service.pids_limit = either(service.pids_limit, pids).ok_or_else(|| two("pids_limit"))?;
    Ok(())
}

/// Returns the one that is set, if any is; `None` if both are.
fn either<T>(one: Option<T>, other: Option<T>) -> Option<Option<T>> {
    match (one, other) {
        (Some(_), Some(_)) => None,
        (one, other) => Some(one.or(other)),
    }
}

fn deploy(at: &At<'_>) -> Result<Deploy> {
    let mut fields = at.extensible_fields()?;
    let replicas = fields.read("replicas", replicas)?;
    let limits = fields.read("resources", |at| {
        let mut fields = at.extensible_fields()?;
        let limits = fields.read("limits", limits)?;
        fields.finish()?;
        Ok(limits)
    })?;
    fields.finish()?;
    Ok(Deploy { replicas, limits: limits.flatten().unwrap_or_default() })
}

fn limits(at: &At<'_>) -> Result<Limits> {
    let mut fields = at.extensible_fields()?;
    let limits = Limits {
        nano_cpus: fields.read("cpus", cpus)?.filter(|nanos| *nanos > 0),
        mem: fields.read("memory", At::bytes)?.filter(|bytes| *bytes > 0),
        pids: fields.read("pids", |at| at.parsed("a number"))?.filter(|pids| *pids != 0),
    };
    fields.finish()?;
    Ok(limits)
}

fn replicas(at: &At<'_>) -> Result<u32> {
    let replicas = at.parsed("a number")?;
    match replicas {
        0..=REPLICAS_MAX => Ok(replicas),
        _ => Err(at.flaw(format!("more than {REPLICAS_MAX} are not supported"))),
    }
}
