//! Parses a service.

mod deploy;
mod mounts;
mod ports;

pub(super) use self::mounts::path_of;

use std::collections::BTreeMap;

use yaml::Node;

use super::{
    DEFAULT_NETWORK, Surroundings,
    model::{Attachment, Condition, Health, Logging, Mount, Need, Restart, Service, Ulimit},
    secrets,
    words::words,
};
use crate::at::{At, Fields, Result};

/// Parses a service.
pub(super) fn read(name: &str, at: &At<'_>, surroundings: &Surroundings<'_>) -> Result<Service> {
    let is_name = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(at.flaw("a name of a service has letters, digits, `-`, `_` and `.`"));
    }
    let mut fields = at.extensible_fields()?;
    fields
        .refuse("build", "the images are built by `chefcito build`: remove it, and set `image`")?;
    fields.refuse("env_file", "write the variables below `environment`")?;
    let image = fields.read("image", At::text)?.unwrap_or_default();
    if image.trim().is_empty() || image.contains(char::is_whitespace) {
        return Err(at.flaw("`image` is missing or invalid"));
    }
    let mut service = Service {
        image,
        entrypoint: fields.read("entrypoint", command)?,
        command: fields.read("command", command)?,
        environment: environment(&mut fields)?,
        mounts: mounts(&mut fields, surroundings)?,
        ports: fields.read("ports", ports::read)?.unwrap_or_default(),
        healthcheck: fields.read("healthcheck", health)?,
        restart: fields.read("restart", restart)?.unwrap_or_default(),
        logging: fields.read("logging", logging)?,
        needs: fields.read("depends_on", needs)?.unwrap_or_default(),
        ..Service::default()
    };
    plain_fields(&mut service, &mut fields)?;
    deploy::read(&mut service, &mut fields)?;
    service.tmpfs = fields.read("tmpfs", tmpfs)?.unwrap_or_default();
    networks(&mut service, &mut fields)?;
    fields.finish()?;
    Ok(service)
}

/// Fields without special syntax.
fn plain_fields(service: &mut Service, fields: &mut Fields<'_>) -> Result<()> {
    // For docker compose, an empty text and 0 are as nothing.
    let is_filled = |text: &String| !text.is_empty();
    service.user = fields.read("user", At::text)?.filter(is_filled);
    service.working_dir = fields.read("working_dir", At::text)?.filter(is_filled);
    service.container_name = fields.read("container_name", container_name)?;
    service.ulimits = fields.read("ulimits", ulimits)?.unwrap_or_default();
    service.hostname = fields.read("hostname", At::text)?.filter(is_filled);
    service.stop_signal = fields.read("stop_signal", At::text)?.filter(is_filled);
    service.stop_grace_period = fields.read("stop_grace_period", At::duration)?;
    service.read_only = fields.read("read_only", At::truth)?.unwrap_or_default();
    service.init = fields.read("init", At::truth)?.unwrap_or_default();
    service.cap_add = fields.read("cap_add", At::distinct_texts)?.unwrap_or_default();
    service.cap_drop = fields.read("cap_drop", At::distinct_texts)?.unwrap_or_default();
    service.security_opt = fields.read("security_opt", At::distinct_texts)?.unwrap_or_default();
    service.group_add = fields.read("group_add", At::distinct_scalars)?.unwrap_or_default();
    service.expose = fields.read("expose", At::distinct_scalars)?.unwrap_or_default();
    service.profiles = fields.read("profiles", At::distinct_texts)?.unwrap_or_default();
    service.mem_limit = fields.read("mem_limit", At::bytes)?.filter(|bytes| *bytes > 0);
    service.shm_size = fields.read("shm_size", At::bytes)?.filter(|bytes| *bytes > 0);
    service.pids_limit =
        fields.read("pids_limit", |at| at.parsed("a number"))?.filter(|pids| *pids != 0);
    service.nano_cpus = fields.read("cpus", cpus)?.filter(|nanos| *nanos > 0);
    service.labels = fields.read("labels", At::filled_pairs)?.unwrap_or_default();
    service.extra_hosts = fields.read("extra_hosts", extra_hosts)?.unwrap_or_default();
    Ok(())
}

/// Splits a text as a shell would; takes a list as it is.
fn command(at: &At<'_>) -> Result<Vec<String>> {
    match at.node() {
        Node::List(_) => at.texts(),
        _ => words(&at.text()?).ok_or_else(|| {
            at.flaw("it has an unclosed quote, or a character for a shell: write a list")
        }),
    }
}

/// Refuses a name without a value: a container must not depend on the shell's variables.
fn environment(fields: &mut Fields<'_>) -> Result<BTreeMap<String, String>> {
    let Some(at) = fields.take("environment") else { return Ok(BTreeMap::new()) };
    at.pairs()?
        .into_iter()
        .map(|(name, value)| match value {
            Some(value) => Ok((name, value)),
            None => Err(at.flaw(format!(
                "`{name}` has no value; write `{name}: ${{{name}}}` to pass on yours"
            ))),
        })
        .collect()
}

fn cpus(at: &At<'_>) -> Result<u64> {
    let cpus: f64 = at.parsed("a number of processors")?;
    let kept: f32 = at.parsed("a number of processors")?;
    if kept.to_string() != cpus.to_string() {
        return Err(at.flaw("docker compose keeps only seven digits of it"));
    }
    if cpus > 0.0 && cpus < 1e-9 {
        return Err(at.flaw("it is less than a billionth of a processor"));
    }
    let nanos = std::time::Duration::try_from_secs_f64(cpus).ok().map(|cpus| cpus.as_nanos());
    nanos
        .and_then(|nanos| u64::try_from(nanos).ok())
        .filter(|nanos| i64::try_from(*nanos).is_ok())
        .ok_or_else(|| at.flaw("it should be a number of processors, such as 0.5"))
}

fn extra_hosts(at: &At<'_>) -> Result<Vec<String>> {
    let host = |name: &str, address: &str| {
        let address =
            address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        format!("{name}:{address}")
    };
    match at.node() {
        Node::Map(_) => {
            let entries = at.entries()?.into_iter();
            entries.map(|(name, at)| Ok(host(&name, &at.text()?))).collect()
        }
        _ => {
            let one = |at: &At<'_>| {
                let text = at.text()?;
                let parts = text.split_once('=').or_else(|| text.split_once(':'));
                parts
                    .map(|(name, address)| host(name, address))
                    .ok_or_else(|| at.flaw("it should be like name:address"))
            };
            at.list()?.iter().map(one).collect()
        }
    }
}

/// One folder or several, each with its options after a colon.
fn tmpfs(at: &At<'_>) -> Result<BTreeMap<String, String>> {
    let texts = match at.node() {
        Node::List(_) => at.texts()?,
        _ => vec![at.text()?],
    };
    let split = |text: &String| match text.split_once(':') {
        Some((path, options)) => (path.to_owned(), options.to_owned()),
        None => (text.clone(), String::new()),
    };
    Ok(texts.iter().map(split).collect())
}

fn health(at: &At<'_>) -> Result<Health> {
    let mut fields = at.extensible_fields()?;
    let disabled = fields.read("disable", At::truth)?.unwrap_or_default();
    let test = fields.read("test", |at| match at.node() {
        Node::List(_) => {
            let test = at.texts()?;
            match test.first().map(String::as_str) {
                Some("NONE" | "CMD" | "CMD-SHELL") => Ok(test),
                _ => Err(at.flaw("a list begins with NONE, CMD or CMD-SHELL")),
            }
        }
        _ => Ok(vec!["CMD-SHELL".into(), at.text()?]),
    })?;
    let health = Health {
        test: if disabled { Some(vec!["NONE".into()]) } else { test },
        interval: fields.read("interval", At::duration)?,
        timeout: fields.read("timeout", At::duration)?,
        retries: fields.read("retries", |at| at.parsed("a number"))?,
        start_period: fields.read("start_period", At::duration)?,
        start_interval: fields.read("start_interval", At::duration)?,
    };
    fields.finish()?;
    Ok(health)
}

fn restart(at: &At<'_>) -> Result<Restart> {
    let text = at.text()?;
    let (policy, retries) = text.split_once(':').unwrap_or((&text, ""));
    match (policy, retries) {
        ("no" | "false", "") => Ok(Restart::No),
        ("always", "") => Ok(Restart::Always),
        ("unless-stopped", "") => Ok(Restart::UnlessStopped),
        ("on-failure", "") => Ok(Restart::OnFailure { retries_max: 0 }),
        ("on-failure", retries) if retries.parse::<u16>().is_ok() => {
            Ok(Restart::OnFailure { retries_max: retries.parse().unwrap_or_default() })
        }
        _ => Err(at.flaw("it should be no, always, unless-stopped, on-failure or on-failure:N")),
    }
}

fn logging(at: &At<'_>) -> Result<Logging> {
    let mut fields = at.extensible_fields()?;
    let driver = fields.read("driver", At::text)?.unwrap_or_else(|| "json-file".into());
    let options = fields.read("options", At::options)?.unwrap_or_default();
    fields.finish()?;
    Ok(Logging { driver, options })
}

fn needs(at: &At<'_>) -> Result<BTreeMap<String, Need>> {
    if let Node::List(_) = at.node() {
        let need = Need { condition: Condition::Started, restart: false };
        return Ok(at.distinct_texts()?.into_iter().map(|name| (name, need)).collect());
    }
    let need = |(name, at): (String, At<'_>)| {
        let mut fields = at.extensible_fields()?;
        let condition = fields.read("condition", |at| {
            let text = at.text()?;
            [Condition::Started, Condition::Healthy, Condition::Completed]
                .into_iter()
                .find(|condition| condition.name() == text)
                .ok_or_else(|| at.flaw("it should be service_started, service_healthy or service_completed_successfully"))
        })?;
        let restart = fields.read("restart", At::truth)?.unwrap_or_default();
        fields.finish()?;
        let condition = condition.ok_or_else(|| at.flaw("it has no `condition`"))?;
        Ok((name, Need { condition, restart }))
    };
    at.entries()?.into_iter().map(need).collect()
}

/// The mounts of `volumes` and of `secrets`.
fn mounts(fields: &mut Fields<'_>, surroundings: &Surroundings<'_>) -> Result<Vec<Mount>> {
    let volumes = fields.read("volumes", |at| mounts::read(at, surroundings.folder))?;
    let mut all = volumes.unwrap_or_default();
    let Some(at) = fields.take("secrets") else { return Ok(all) };
    for mount in secrets::mounts(&at, surroundings.secrets)? {
        if all.iter().any(|other| other.target == mount.target) {
            return Err(at.flaw(format!("`{}` is a duplicate", mount.target)));
        }
        all.push(mount);
    }
    Ok(all)
}

fn container_name(at: &At<'_>) -> Result<String> {
    let name = at.text()?;
    let is_name = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    match begins && name.len() > 1 && name.bytes().all(is_name) {
        true => Ok(name),
        false => {
            Err(at.flaw("a name of a container has two or more letters, digits, `-`, `_` and `.`"))
        }
    }
}

/// Limits, each a number, or a soft and a hard one.
fn ulimits(at: &At<'_>) -> Result<BTreeMap<String, Ulimit>> {
    let limit = |at: &At<'_>| at.parsed::<i64>("a number");
    let one = |(name, at): (String, At<'_>)| {
        let Node::Map(_) = at.node() else {
            let both = limit(&at)?;
            return Ok((name, Ulimit { soft: both, hard: both }));
        };
        let mut fields = at.extensible_fields()?;
        let (soft, hard) = (fields.read("soft", limit)?, fields.read("hard", limit)?);
        fields.finish()?;
        match (soft, hard) {
            (Some(soft), Some(hard)) => Ok((name, Ulimit { soft, hard })),
            _ => Err(at.flaw("it should have `soft` and `hard`")),
        }
    };
    at.entries()?.into_iter().map(one).collect()
}

fn networks(service: &mut Service, fields: &mut Fields<'_>) -> Result<()> {
    let alone = fields.read("network_mode", |at| match at.text()?.as_str() {
        "none" => Ok(()),
        _ => Err(at.flaw("chefcito supports only `none`")),
    })?;
    let named = fields.take("networks");
    match (alone, named) {
        (Some(()), Some(networks)) => {
            return Err(networks.flaw("it has `network_mode: none`, which excludes networks"));
        }
        (Some(()), None) => {}
        (None, None) => {
            service.networks.insert(DEFAULT_NETWORK.into(), Attachment::default());
        }
        (None, Some(networks)) => {
            service.networks = attachments(&networks)?;
            if service.networks.is_empty() {
                service.networks.insert(DEFAULT_NETWORK.into(), Attachment::default());
            }
        }
    }
    Ok(())
}

fn attachments(at: &At<'_>) -> Result<BTreeMap<String, Attachment>> {
    if let Node::List(_) = at.node() {
        return Ok(at
            .distinct_texts()?
            .into_iter()
            .map(|key| (key, Attachment::default()))
            .collect());
    }
    let attachment = |(key, at): (String, At<'_>)| {
        let mut fields = at.extensible_fields()?;
        let aliases = fields.read("aliases", At::texts)?.unwrap_or_default();
        fields.finish()?;
        Ok((key, Attachment { aliases }))
    };
    at.entries()?.into_iter().map(attachment).collect()
}
