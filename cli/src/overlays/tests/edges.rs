//! The same connections between programs in the manifests, in `compose.yaml` and in the network policies.

use std::collections::{BTreeMap, BTreeSet};

use contracts::services::{Border, Call, Program, TABLE};
use k8s_openapi::{
    ByteString,
    api::{core::v1::Pod, networking::v1::NetworkPolicy},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use manifests::{compose_file::Source, kustomize::Object};
use serde_json::{Value, json};

use super::{Overlay, objects, pods, root, table::ROLES};

/// Connections: a client, a server and its port.
type Edges = BTreeSet<(String, String, u16)>;

/// Returns the hosts and ports of all URLs in a variable: those without a port are outside.
fn targets(value: &str) -> Vec<(String, u16)> {
    let of_url = |url: &str| {
        let (_, rest) = url.trim().split_once("://")?;
        let authority = rest.split('/').next()?.rsplit('@').next()?;
        let (host, port) = authority.split_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    };
    value.split(',').filter_map(of_url).collect()
}

/// Returns the connections of the services in containers.
fn of_compose() -> Edges {
    let compose_file = Source::find(root()).unwrap().parse(&|_| None).unwrap();
    let mut edges = Edges::new();
    for (name, service) in &compose_file.services {
        for (variable, value) in &service.environment {
            // The name of a secret's file shows its content.
            let of_secret = match variable.as_str() {
                name if name.ends_with("REDIS_URL_FILE") => Some(("redis", 6379)),
                name if name.ends_with("DATABASE_URL_FILE") => Some(("postgres", 5432)),
                _ => None,
            };
            edges.extend(of_secret.map(|(host, port)| (name.clone(), host.into(), port)));
            edges.extend(targets(value).into_iter().map(|(host, port)| (name.clone(), host, port)));
        }
    }
    edges
}

/// Returns the connections in the table of programs: all of them with the databases for development, else those within
/// the environment.
fn of_table(development: bool) -> Edges {
    let edge = |program: &Program, to: &str, port| {
        let job = if program.is_service() { program.name } else { ROLES };
        (job.to_owned(), to.to_owned(), port)
    };
    let mut edges = Edges::new();
    for program in TABLE.iter().filter(|program| development || !program.development_only) {
        let is_there = |call: &&Call| {
            development || !Program::named(call.to).is_some_and(|called| called.development_only)
        };
        let calls = program.calls.iter().filter(is_there);
        edges.extend(calls.map(|call| edge(program, call.to, call.port)));
        if development && program.uses_bus() {
            edges.insert(edge(program, "redis", 6379));
        }
        if development {
            // The job for the roles connects there, too.
            edges.insert(edge(program, "postgres", 5432));
        }
    }
    edges
}

/// Returns the content of a pod's variables, and of the files that they name.
fn variables(pod: &Value, objects: &[Object]) -> Vec<String> {
    let data = |kind: &str, name: &Value| {
        let found = objects.iter().find(|one| one.kind() == kind && *name == one.name());
        found.map(|one| one.value()["data"].clone()).unwrap_or_default()
    };
    let container = &pod["containers"][0];
    let mut all: Vec<Value> =
        container["env"].as_array().into_iter().flatten().map(|one| one["value"].clone()).collect();
    for from in container["envFrom"].as_array().into_iter().flatten() {
        let map = data("ConfigMap", &from["configMapRef"]["name"]);
        all.extend(map.as_object().unwrap().values().cloned());
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let secret = data("Secret", &volume["secret"]["secretName"]);
        for item in volume["secret"]["items"].as_array().into_iter().flatten() {
            let value = &secret[item["key"].as_str().unwrap()];
            let text: Option<ByteString> = serde_json::from_value(value.clone()).ok();
            all.extend(text.map(|ByteString(bytes)| String::from_utf8(bytes).unwrap().into()));
        }
    }
    all.into_iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// Returns the connections of the pods, to services by their names, which must exist.
fn of_settings(objects: &[Object]) -> Edges {
    let mut edges = Edges::new();
    for (object, template) in pods(objects) {
        for value in variables(&template["spec"], objects) {
            for (host, port) in targets(&value) {
                let service =
                    objects.iter().find(|one| one.kind() == "Service" && one.name() == host);
                let service = service.unwrap_or_else(|| panic!("there is no service {host}"));
                let has = |one: &Value| one["port"] == port;
                let ports = service.value()["spec"]["ports"].as_array().unwrap();
                assert!(ports.iter().any(has), "{host} has no port {port}");
                let to = service.value()["spec"]["selector"]["app.kubernetes.io/name"].as_str();
                edges.insert((object.name().to_owned(), to.unwrap().to_owned(), port));
            }
        }
    }
    edges
}

fn is_selected(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal =
        selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let within = selector.match_expressions.iter().flatten().all(|one| {
        assert_eq!(one.operator, "In");
        let values = one.values.as_deref().unwrap_or_default();
        labels.get(&one.key).is_some_and(|value| values.contains(value))
    });
    equal && within
}

pub(super) struct Policies(Vec<NetworkPolicy>);

impl Policies {
    fn of(objects: &[Object]) -> Self {
        let policies = objects.iter().filter(|one| one.kind() == "NetworkPolicy");
        Self(policies.map(|one| serde_json::from_value(one.value().clone()).unwrap()).collect())
    }

    /// The policies of a pod for a direction.
    fn for_pod(&self, labels: &BTreeMap<String, String>, direction: &str) -> Vec<&NetworkPolicy> {
        let is_meant = |policy: &&NetworkPolicy| {
            let spec = policy.spec.as_ref().unwrap();
            let selector = spec.pod_selector.clone().unwrap_or_default();
            let types = spec.policy_types.as_deref().unwrap();
            types.iter().any(|one| one == direction) && is_selected(&selector, labels)
        };
        self.0.iter().filter(is_meant).collect()
    }

    fn may(
        &self,
        from: &BTreeMap<String, String>,
        to: &BTreeMap<String, String>,
        port: u16,
    ) -> bool {
        let (out, into) = (self.for_pod(from, "Egress"), self.for_pod(to, "Ingress"));
        assert!(!out.is_empty() && !into.is_empty(), "nothing is allowed by default");
        let is_port = |ports: Option<&Vec<_>>| {
            ports.unwrap().iter().any(
                |one: &k8s_openapi::api::networking::v1::NetworkPolicyPort| {
                    one.port == Some(IntOrString::Int(port.into()))
                },
            )
        };
        let is_peer = |peers: Option<&Vec<_>>, labels: &BTreeMap<String, String>| match peers {
            None => true,
            Some(peers) => {
                peers.iter().any(|one: &k8s_openapi::api::networking::v1::NetworkPolicyPeer| {
                    let here = one.namespace_selector.is_none() && one.ip_block.is_none();
                    here && one.pod_selector.as_ref().is_some_and(|one| is_selected(one, labels))
                })
            }
        };
        let rules = |policy: &&NetworkPolicy| policy.spec.clone().unwrap();
        let leaves = out.iter().map(rules).flat_map(|spec| spec.egress.unwrap_or_default());
        let enters = into.iter().map(rules).flat_map(|spec| spec.ingress.unwrap_or_default());
        leaves.into_iter().any(|rule| is_port(rule.ports.as_ref()) && is_peer(rule.to.as_ref(), to))
            && enters
                .into_iter()
                .any(|rule| is_port(rule.ports.as_ref()) && is_peer(rule.from.as_ref(), from))
    }
}

/// Returns the connections that the policies allow.
fn of_policies(objects: &[Object]) -> Edges {
    let policies = Policies::of(objects);
    let all: Vec<(String, Pod)> = pods(objects)
        .into_iter()
        .map(|(object, template)| {
            (object.name().to_owned(), serde_json::from_value(template.clone()).unwrap())
        })
        .collect();
    let mut edges = Edges::new();
    for (from, calling) in &all {
        for (to, called) in &all {
            let container = &called.spec.as_ref().unwrap().containers[0];
            for port in container.ports.iter().flatten() {
                let port = u16::try_from(port.container_port).unwrap();
                let labels = |pod: &Pod| pod.metadata.labels.clone().unwrap();
                // Guests come from anywhere, the gateway's own pod not excepted.
                if policies.may(&labels(calling), &labels(called), port) {
                    edges.insert((from.clone(), to.clone(), port));
                }
            }
        }
    }
    edges
}

#[test]
fn policies_allow_exactly_the_connections_that_exist() {
    let local = objects(Overlay::Local);
    let settings = of_settings(&local);
    assert_eq!(of_compose(), of_table(true), "in containers, as the table says");
    assert_eq!(settings, of_table(true), "in pods, as the table says");
    assert_eq!(of_policies(&local), settings, "as the policies allow");
}

#[test]
fn elsewhere_the_same_is_allowed_but_for_what_is_not_there() {
    let expected = of_table(false);
    for overlay in [Overlay::Staging, Overlay::Production] {
        assert_eq!(of_policies(&objects(overlay)), expected, "{overlay:?}");
    }
}

/// Returns the destinations outside the environment that the policies allow, with ports: one line each.
fn of_the_outside(objects: &[Object]) -> String {
    let policies = Policies::of(objects);
    let mut ways: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (object, template) in pods(objects) {
        let pod: Pod = serde_json::from_value(template.clone()).unwrap();
        for policy in policies.for_pod(&pod.metadata.labels.unwrap(), "Egress") {
            for rule in policy.spec.clone().unwrap().egress.unwrap_or_default() {
                let ports = json!(rule.ports.expect("the policy limits the ports"));
                for peer in rule.to.expect("the policy limits the destinations") {
                    if peer.namespace_selector.is_some() || peer.ip_block.is_some() {
                        let way = format!("{} at {ports}", json!(peer));
                        ways.entry(way).or_default().push(object.name().to_owned());
                    }
                }
            }
        }
    }
    ways.iter().map(|(way, who)| format!("{}: {way}\n", who.join(", "))).collect()
}

#[test]
fn egress_of_every_pod() {
    for overlay in super::OVERLAYS {
        insta::assert_snapshot!(
            format!("egress_{}", overlay.folder().rsplit('/').next().unwrap()),
            of_the_outside(&objects(overlay))
        );
    }
}

#[test]
fn only_services_at_the_edge_have_connections_to_the_outside() {
    let of_table = |border| -> BTreeSet<&str> {
        let programs = TABLE.iter().filter(|program| program.border == Some(border));
        programs.map(|program| program.name).collect()
    };
    for overlay in super::OVERLAYS {
        let objects = objects(overlay);
        let policies = Policies::of(&objects);
        let (mut reached, mut reaching) = (BTreeSet::new(), BTreeSet::new());
        for (object, template) in pods(&objects) {
            let pod: Pod = serde_json::from_value(template.clone()).unwrap();
            let labels = pod.metadata.labels.unwrap();
            let specs = |direction| {
                policies
                    .for_pod(&labels, direction)
                    .into_iter()
                    .map(|one| one.spec.clone().unwrap())
            };
            let mut enters = specs("Ingress").flat_map(|spec| spec.ingress.unwrap_or_default());
            if enters.any(|rule| rule.from.is_none()) {
                reached.insert(object.name());
            }
            let leaves = specs("Egress").flat_map(|spec| spec.egress.unwrap_or_default());
            let mut peers = leaves.flat_map(|rule| rule.to.unwrap_or_default());
            if peers.any(|peer| peer.ip_block.is_some_and(|block| block.cidr == "0.0.0.0/0")) {
                reaching.insert(object.name());
            }
        }
        assert_eq!(reached, of_table(Border::In), "{overlay:?}");
        // With the simulated market, no other market is needed.
        let farmers =
            if overlay == Overlay::Local { BTreeSet::new() } else { of_table(Border::Out) };
        assert_eq!(reaching, farmers, "{overlay:?}");
    }
}
