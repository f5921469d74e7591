//! Connections into an environment on a cluster, and out of it.

use std::net::{TcpListener, TcpStream};

use contracts::services::GATEWAY;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Pod},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::Api;

use crate::{
    api_server::free_port,
    chefcito::{kill, lives, wait_until},
    cluster::wait_for_absence,
    restaurant::{Restaurant, UP},
};

#[test]
fn the_way_to_the_gateway_outlives_its_pods_and_itself() {
    let Some(it) = Restaurant::open("way") else { return };
    let guests = it.start(&["order", "--count", "200", "--rate", "100"]);
    for _ in 0..3 {
        let pods = it.cluster.pods_of(GATEWAY);
        it.cluster.ask(async |client| {
            let all: Api<Pod> = Api::namespaced(client, &it.cluster.name);
            for pod in &pods {
                all.delete(pod, &Default::default()).await.unwrap();
            }
        });
        wait_until("another pod is there", || {
            it.cluster.pods_of(GATEWAY).iter().any(|pod| !pods.contains(pod))
        });
    }
    let ran = it.cluster.home.finish(&["order"], guests);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("200 accepted, 200 delivered"), "{ran}");

    let first = forwarder(&it);
    it.loses_its_forwarder();
    it.must(&["order"]);
    let second = forwarder(&it);
    assert_ne!(second, first, "another takes its place");
    it.must(&["down"]);
    wait_until("it ends with the environment", || !lives(second));
}

/// The process id in the forwarder's lock file.
fn forwarder(it: &Restaurant) -> i32 {
    let text = std::fs::read_to_string(it.folder().join("forward.lock")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

#[test]
fn the_way_moves_to_another_port_when_asked() {
    let Some(it) = Restaurant::open("port") else { return };
    let first = forwarder(&it);
    let port = free_port();
    let moved = it.must(&[&UP[..], &["--port", &port.to_string()]].concat());
    assert_eq!(moved.stdout, format!("http://127.0.0.1:{port}\n"));
    assert!(!lives(first), "nothing listens on the former port");
    it.must(&["order", "--count", "3"]);
    let second = forwarder(&it);
    assert!(it.must(&UP).stderr.contains("Already up"));
    assert_eq!(forwarder(&it), second, "what leads there already stays");

    // An `up` that ended before it had restarted the forwarder leaves that to the next command.
    let record = it.folder().join("cluster.json");
    let next = free_port();
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(record, text.replace(&port.to_string(), &next.to_string())).unwrap();
    it.must(&["order"]);
    assert!(!lives(second));
    assert!(TcpStream::connect(("127.0.0.1", next)).is_ok());
}

#[test]
fn what_leads_to_a_former_cluster_of_the_same_address_is_ended() {
    let Some(it) = Restaurant::open("reset") else { return };
    let first = forwarder(&it);
    it.cluster.ask(async |client| {
        let all: Api<Namespace> = Api::all(client);
        all.delete(&it.cluster.name, &Default::default()).await.unwrap();
        wait_for_absence(&all, &it.cluster.name).await;
    });
    it.must(&UP);
    assert!(!lives(first));
    it.must(&["order"]);
}

#[test]
fn a_first_up_that_is_interrupted_ends_the_way_to_the_gateway() {
    let Some(it) = Restaurant::prepare("way-ended") else { return };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    it.cluster.put_behind(&it.cluster.name, GATEWAY, nobody);
    let child = it.start(&UP);
    let log = it.folder().join("logs/forward.log");
    let port = || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.split_once("Forwarding port ")?.1.split_once(' ')?.0.parse::<u16>().ok()
    };
    wait_until("the way is there", || port().is_some());
    let port = port().unwrap();
    kill("-INT", i32::try_from(child.id()).unwrap());
    let ran = it.cluster.home.finish(&UP, child);
    assert_eq!(ran.code, Some(130), "{ran}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "something listens on {port}");
}

#[test]
fn the_market_may_go_out_while_it_buys_outside() {
    let Some(it) = Restaurant::open("outside") else { return };
    let policy = || {
        it.cluster.ask(async |client| {
            let all: Api<NetworkPolicy> = Api::namespaced(client, &it.cluster.name);
            all.get_opt("to-the-farmers").await.unwrap()
        })
    };
    assert!(policy().is_none(), "the simulated market is next door");
    let farmers = ["--market-url", "https://market.example:8443"];
    it.must(&[&UP[..], &farmers].concat());
    let rule = policy().unwrap().spec.unwrap().egress.unwrap().remove(0);
    let ports: Vec<_> = rule.ports.into_iter().flatten().map(|port| port.port).collect();
    assert_eq!(ports, [Some(IntOrString::Int(8443))]);
    let outside = rule.to.unwrap().remove(0).ip_block.unwrap();
    assert_eq!(outside.cidr, "0.0.0.0/0");
    assert!(outside.except.unwrap().contains(&"10.0.0.0/8".to_owned()), "no private address");
    assert!(it.must(&[&UP[..], &farmers].concat()).stderr.contains("Already up"));

    let simulated = [&UP[..], &["--reset=market-url"]].concat();
    let plan = it.must(&[&simulated[..], &["--dry-run"]].concat());
    assert!(plan.stdout.contains("remove networkpolicy/to-the-farmers"), "{plan}");
    it.must(&simulated);
    assert!(policy().is_none());
}
