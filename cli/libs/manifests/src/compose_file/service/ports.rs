//! `ports`, in the short form `127.0.0.1:80:8080/tcp` or the long one.

use std::net::IpAddr;

use yaml::Node;

use crate::{
    at::{At, Result},
    compose_file::model::{Port, Protocol},
};

pub(super) fn read(at: &At<'_>) -> Result<Vec<Port>> {
    at.list()?.iter().map(port).collect()
}

fn port(at: &At<'_>) -> Result<Port> {
    match at.node() {
        Node::Map(_) => long(at),
        _ => short(&at.scalar()?).ok_or_else(|| {
            at.flaw(
                "it should be like 8080, 80:8080 or 127.0.0.1:80:8080; ranges are not supported",
            )
        }),
    }
}

fn short(text: &str) -> Option<Port> {
    let (text, protocol) = match text.rsplit_once('/') {
        Some((text, "tcp")) => (text, Protocol::Tcp),
        Some((text, "udp")) => (text, Protocol::Udp),
        Some(_) => return None,
        None => (text, Protocol::Tcp),
    };
    let (host, target) = match text.rsplit_once(':') {
        Some((host, target)) => (Some(host), target),
        None => (None, text),
    };
    let (host_ip, published) = match host {
        None => (None, None),
        Some(host) => match host.rsplit_once(':') {
            None => (None, Some(host.parse().ok()?)),
            Some((ip, published)) => {
                let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
                let published =
                    if published.is_empty() { None } else { Some(published.parse().ok()?) };
                (Some(ip), published)
            }
        },
    };
    Some(Port {
        host_ip,
        published: published.filter(|port| *port != 0),
        target: target.parse().ok()?,
        protocol,
    })
}

fn long(at: &At<'_>) -> Result<Port> {
    let mut fields = at.extensible_fields()?;
    let target = fields.read("target", |at| at.parsed("a port"))?;
    let published: Option<u16> = fields.read("published", |at| at.parsed("a port"))?;
    let host_ip = fields.read("host_ip", |at| at.parsed("an address"))?;
    let protocol = fields.read("protocol", |at| match at.text()?.as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(at.flaw("it should be tcp or udp")),
    })?;
    fields.finish()?;
    Ok(Port {
        host_ip,
        published: published.filter(|port| *port != 0),
        target: target.ok_or_else(|| at.flaw("it has no `target`"))?,
        protocol: protocol.unwrap_or(Protocol::Tcp),
    })
}
