//! The life of an environment in containers: up, up again, a change, single services, down; conflicts and interrupts.

use std::{fs, net::TcpListener, thread::sleep, time::Duration};

use contracts::services::{ALL, GATEWAY, KITCHEN, ORDERS};
use serde_json::Value;

use crate::{
    checkout::docker,
    chefcito::{Home, Ran, kill},
};

/// An environment with a name of its own on the engine.
struct Environment {
    home: Home,
    name: String,
}

impl Environment {
    /// Names one; `None`, with a printed line, if no engine answers.
    fn name(story: &str) -> Option<Self> {
        Some(Self { home: Home::with_engine()?, name: format!("{story}-{}", std::process::id()) })
    }

    fn open(story: &str) -> Option<Self> {
        let environment = Self::name(story)?;
        environment.must(&environment.up());
        Some(environment)
    }

    fn up(&self) -> [&'static str; 8] {
        ["up", "--runtime", "compose", "--port", "0", "--no-seed", "--timeout", "180s"]
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.home.run(&[&["--name", &self.name], args].concat())
    }

    fn must(&self, args: &[&str]) -> Ran {
        self.home.must(&[&["--name", &self.name], args].concat())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.must(&["status", "--json"]).stdout).unwrap()
    }

    fn wait_for_delivered(&self, count: u64) {
        self.home.wait_for_orders(&["--name", &self.name], "delivered", count);
    }

    /// The ids of its containers, by service.
    fn containers(&self) -> Vec<(String, String)> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let format = "{{.Label \"com.docker.compose.service\"}} {{.ID}}";
        let listed =
            docker(&["ps", "--all", "--no-trunc", "--filter", &project, "--format", format]);
        let mut containers: Vec<(String, String)> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(service, id)| (service.to_owned(), id.to_owned()))
            .collect();
        containers.sort();
        containers
    }

    fn container(&self, service: &str) -> String {
        self.containers().into_iter().find(|(name, _)| name == service).unwrap().1
    }

    /// Everything of its name on the engine: containers, networks, volumes.
    fn traces(&self) -> String {
        let project = format!("label=com.docker.compose.project={}", self.name);
        [["ps", "-aq"].as_slice(), &["network", "ls", "-q"], &["volume", "ls", "-q"]]
            .map(|list| docker(&[list, &["--filter", &project]].concat()))
            .concat()
    }
}

#[test]
fn up_again_changes_nothing_and_a_changed_line_replaces_one_service() {
    let Some(environment) = Environment::open("changed") else { return };
    let first = environment.containers();
    let again = environment.must(&environment.up());
    assert!(again.stderr.contains("nothing to change"), "{again}");
    assert_eq!(environment.containers(), first);

    // The file of a checkout, with one line changed.
    let checkout = environment.home.state().join("checkout");
    fs::create_dir_all(checkout.join("manifests")).unwrap();
    fs::create_dir_all(checkout.join("cli")).unwrap();
    fs::write(checkout.join("cli/Cargo.toml"), "").unwrap();
    let file = include_str!("../../../manifests/compose.yaml");
    let (before, after) = ("${CHEFCITO_STOVES:-8}", "\"3\"");
    assert!(file.contains(before));
    fs::write(checkout.join("manifests/compose.yaml"), file.replace(before, after)).unwrap();
    let up = [&["--name", &environment.name][..], &environment.up()].concat();
    let plan = environment
        .home
        .command(&[&up[..], &["--dry-run"]].concat())
        .current_dir(&checkout)
        .output()
        .unwrap();
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(plan.contains(KITCHEN) && plan.contains("CHEFCITO_STOVES"), "{plan}");
    assert!(!plan.contains(ORDERS), "{plan}");
    let changed = environment.home.command(&up).current_dir(&checkout).output().unwrap();
    assert_eq!(changed.status.code(), Some(0), "{}", String::from_utf8_lossy(&changed.stderr));
    let second = environment.containers();
    let replaced: Vec<&String> = first
        .iter()
        .zip(&second)
        .filter(|(before, after)| before != after)
        .map(|((service, _), _)| service)
        .collect();
    assert_eq!(replaced, [KITCHEN]);
}

#[test]
fn a_part_of_it_has_what_it_needs_and_no_address() {
    let Some(environment) = Environment::name("part") else { return };
    let part = ["up", KITCHEN, "--runtime", "compose", "--port", "0", "--timeout", "180s"];
    let ran = environment.must(&part);
    assert_eq!(ran.stdout, "", "nothing listens: {ran}");
    assert!(ran.stderr.contains("Gateway not started: no URL"), "{ran}");
    let services = |environment: &Environment| -> Vec<String> {
        environment.containers().into_iter().map(|(service, _)| service).collect()
    };
    let needed = services(&environment);
    assert!(needed.contains(&KITCHEN.into()) && needed.contains(&"postgres".into()), "{needed:?}");
    assert!(!needed.contains(&GATEWAY.into()), "{needed:?}");
    let again = environment.must(&part);
    assert!(again.stderr.contains("nothing to change") && again.stdout.is_empty(), "{again}");
    let ordered = environment.run(&["order"]);
    assert_eq!(ordered.code, Some(3), "{ordered}");
    assert!(ordered.stderr.contains("the gateway is not running"), "{ordered}");
    environment.must(&["stop"]);
    let started = environment.must(&["start"]);
    assert_eq!(started.stdout, "", "{started}");
    assert_eq!(services(&environment), needed);

    // The other services join it; from then on the environment has an address.
    let whole = environment.must(&environment.up());
    assert!(whole.stdout.starts_with("http://127.0.0.1:"), "{whole}");
    assert_eq!(environment.must(&part).stdout, whole.stdout);
}

#[test]
fn services_are_bound_hand_and_foot() {
    let Some(environment) = Environment::open("bound") else { return };
    for service in ALL {
        let inspected: Value =
            serde_json::from_str(&docker(&["inspect", &environment.container(service)])).unwrap();
        let (config, host) = (&inspected[0]["Config"], &inspected[0]["HostConfig"]);
        let user: u32 =
            config["User"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
        assert!(user >= 10_000, "{service} is user {user}");
        assert_eq!(host["ReadonlyRootfs"], true, "{service}");
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]), "{service}");
        assert!(host["CapAdd"].as_array().is_none_or(Vec::is_empty), "{service}");
        assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges:true"]), "{service}");
        assert_eq!(host["Privileged"], false, "{service}");
        assert!(host["Memory"].as_u64().unwrap() > 0, "{service}");
        let ports = host["PortBindings"].as_object().unwrap();
        for binding in ports.values() {
            assert_eq!(binding[0]["HostIp"], "127.0.0.1", "{service}");
        }
        assert_eq!(ports.len(), usize::from(service == GATEWAY), "{service}");
    }
}

#[test]
fn what_others_have_survives_down_with_volumes() {
    let Some(environment) = Environment::open("decoys") else { return };
    let decoy = format!("{}-decoy", environment.name);
    docker(&["network", "create", &decoy]);
    docker(&["volume", "create", &decoy]);
    docker(&["create", "--name", &decoy, "--volume", &format!("{decoy}:/data"), "redis:7.4.5"]);
    let down = environment.must(&["down", "--volumes"]);
    let left = [
        docker(&["ps", "-a", "--filter", &format!("name={decoy}"), "--format", "{{.Names}}"]),
        docker(&["network", "ls", "--filter", &format!("name={decoy}"), "--format", "{{.Name}}"]),
        docker(&["volume", "ls", "--filter", &format!("name={decoy}"), "--format", "{{.Name}}"]),
    ];
    docker(&["rm", "--force", &decoy]);
    docker(&["network", "rm", &decoy]);
    docker(&["volume", "rm", &decoy]);
    assert_eq!(left, [(); 3].map(|()| decoy.clone()), "{down}");
    assert_eq!(environment.traces(), "", "nothing of its own is left");
}

#[test]
fn a_taken_port_is_reported_before_anything_is_created() {
    let Some(environment) = Environment::name("taken") else { return };
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let ran = environment.run(&["up", "--runtime", "compose", "--port", &port]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains(&format!("port {port} is taken")), "{ran}");
    assert!(ran.stderr.contains(&std::process::id().to_string()), "the holder is named: {ran}");
    assert_eq!(environment.traces(), "");
}

#[test]
fn an_interrupted_up_leaves_nothing_and_the_next_one_finishes() {
    let Some(environment) = Environment::name("haste") else { return };
    let up = [&["--name", &environment.name][..], &environment.up()].concat();
    for delay_ms in [10, 50, 100, 200, 400, 700, 1_000, 1_500, 2_000, 3_000] {
        let child = environment.home.start(&up);
        let pid = i32::try_from(child.id()).unwrap();
        // Not to wait for a state, but to hit another moment each time.
        sleep(Duration::from_millis(delay_ms));
        kill("-INT", pid);
        let ran = environment.home.finish(&up, child);
        match ran.code {
            Some(0) => drop(environment.must(&["down", "--volumes"])),
            Some(130) | None => {}
            _ => panic!("{ran}"),
        }
        assert_eq!(environment.traces(), "", "after {delay_ms} ms: {ran}");
    }
    environment.must(&environment.up());
    assert_eq!(environment.status()["ready"], true);
}

#[test]
fn single_services_are_scaled_restarted_and_entered() {
    let Some(environment) = Environment::open("single") else { return };
    environment.must(&["scale", "kitchen=3"]);
    let kitchens = |environment: &Environment| {
        environment.containers().iter().filter(|(service, _)| service == KITCHEN).count()
    };
    assert_eq!(kitchens(&environment), 3);
    // The number is saved, and can be changed back.
    environment.must(&environment.up());
    assert_eq!(kitchens(&environment), 3);
    environment.must(&["scale", "kitchen=1"]);
    assert_eq!(kitchens(&environment), 1);
    let refused = environment.run(&["scale", "gateway=2"]);
    assert!(refused.code == Some(2) || refused.code == Some(1), "{refused}");
    for store in ["postgres=2", "redis=2"] {
        let refused = environment.run(&["scale", store]);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains("it can have only one container"), "{refused}");
    }

    let version = environment.must(&["exec", ORDERS, "--", "/orders", "--version"]);
    assert_eq!(version.stdout, concat!("orders ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(environment.run(&["exec", ORDERS, "--", "/orders", "--nonsense"]).code, Some(2));
    // Engines differ in which of the two it is.
    let nothing = environment.run(&["exec", ORDERS, "--", "/nothing"]);
    assert!(matches!(nothing.code, Some(126 | 127)), "{nothing}");

    let orders = environment.container(ORDERS);
    let started = |id: &str| docker(&["inspect", "--format", "{{.State.StartedAt}}", id]);
    let before = started(&orders);
    environment.must(&["restart", ORDERS]);
    assert_ne!(started(&environment.container(ORDERS)), before);
}

#[test]
fn two_environments_run_side_by_side() {
    let Some(one) = Environment::open("left") else { return };
    let Some(other) = Environment::open("right") else { return };
    one.must(&["seed"]);
    one.must(&["order", "--count", "3"]);
    other.must(&["seed"]);
    other.must(&["order", "--count", "1"]);
    one.must(&["stop"]);
    other.wait_for_delivered(1);
    one.must(&["start"]);
    one.wait_for_delivered(3);
    one.must(&["audit"]);
    one.must(&["down"]);
    other.must(&["audit"]);
    // The data in the volumes are still there.
    one.must(&one.up());
    one.wait_for_delivered(3);
}
