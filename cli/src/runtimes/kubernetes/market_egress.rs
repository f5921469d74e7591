//! Egress from an environment's market service to a market outside the environment.

use std::net::IpAddr;

use http::Uri;
use serde_json::{Value, json};

use cluster::objects::Object;

/// The component of the manifests with the policy.
pub(super) const COMPONENT: &str = "components/farmers-market";
/// The network policy in it.
const POLICY: &str = "to-the-farmers";
/// Suffixes of host names that resolve inside a cluster or a private network only.
const PRIVATE: [&str; 4] = [".svc", ".local", ".internal", ".home.arpa"];

/// Narrows the policy to the market at a URL: to its port; to its host if that is an address; to any address, private ones
/// included, if its name resolves inside.
pub(super) fn narrow(url: &str, object: &mut Object) {
    if object.kind() != "NetworkPolicy" || object.name() != POLICY {
        return;
    }
    // The command line has parsed it before.
    let Ok(uri) = url.parse::<Uri>() else { return };
    let rule = object.data_mut().pointer_mut("/spec/egress/0");
    let Some(rule) = rule.and_then(Value::as_object_mut) else { return };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    rule.insert("ports".into(), json!([{"port": port, "protocol": "TCP"}]));
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        rule.insert("to".into(), json!([{"ipBlock": {"cidr": format!("{address}/{bits}")}}]));
    } else if !host.contains('.') || PRIVATE.iter().any(|end| host.ends_with(end)) {
        rule.remove("to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(url: &str) -> Value {
        let mut object = Object::from_value(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": POLICY},
            "spec": {"egress": [{"to": "outside", "ports": []}]},
        }))
        .unwrap();
        narrow(url, &mut object);
        object.data()["spec"]["egress"][0].clone()
    }

    fn at(port: u16) -> Value {
        json!([{"port": port, "protocol": "TCP"}])
    }

    #[test]
    fn a_public_market_is_reached_at_the_port_of_its_url() {
        for (url, port) in [
            ("https://market.example", 443),
            ("http://market.example/fruit", 80),
            ("https://market.example:8443", 8443),
        ] {
            assert_eq!(narrowed(url), json!({"to": "outside", "ports": at(port)}), "{url}");
        }
    }

    #[test]
    fn an_address_is_the_only_one_that_is_reached() {
        for (url, cidr) in [
            ("http://192.168.1.5:9000", "192.168.1.5/32"),
            ("http://[fd00::1]:9000", "fd00::1/128"),
        ] {
            let to = json!([{"ipBlock": {"cidr": cidr}}]);
            assert_eq!(narrowed(url), json!({"to": to, "ports": at(9000)}), "{url}");
        }
    }

    #[test]
    fn private_names_may_resolve_to_any_address() {
        for url in [
            "http://market.other.svc:9000",
            "http://host.docker.internal:9000",
            "http://stall:9000",
        ] {
            assert_eq!(narrowed(url), json!({"ports": at(9000)}), "{url}");
        }
    }
}
