//! Logs of pods on a real API server: of all of them in the order of time, and followed through restarts, rotations and
//! outages.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use contracts::services::{KITCHEN, ORDERS};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::DeleteParams};

use crate::{
    api_server::Pods,
    chefcito::{PATIENCE, kill, wait_until},
    restaurant::{Restaurant, UP},
    road::Road,
};

/// Returns a time of a day on which nothing else happens.
fn at(second: &str) -> Timestamp {
    format!("2030-01-31T12:00:{second}Z").parse().unwrap()
}

/// Returns the only pod of a service.
fn pod(it: &Restaurant, service: &str) -> String {
    let pods = it.cluster.pods_of(service);
    assert_eq!(pods.len(), 1, "{pods:?}");
    pods[0].clone()
}

#[test]
fn lines_of_all_pods_are_shown_in_the_order_of_time() {
    let Some(it) = Restaurant::open("lines") else { return };
    let (kitchen, orders, redis) = (pod(&it, KITCHEN), pod(&it, ORDERS), pod(&it, "redis"));
    let says = |pod: &str, second: &str, line: &str| it.cluster.pod_says(pod, at(second), line);
    says(&kitchen, "01.5", r#"{"level":"INFO","message":"Lit the stoves","stoves":8}"#);
    says(&kitchen, "04", "thread 'main' panicked at the oven:");
    says(
        &orders,
        "02",
        r#"{"level":"INFO","message":"Placed","order_id":"0192f3c4-5a6b-7c8d-9e0f-112233445566"}"#,
    );
    says(&redis, "03", "1:M 31 Jan 2030 12:00:03.000 # WARNING Memory overcommit must be enabled!");
    it.cluster.ask(async |_| it.cluster.container_restarts(&kitchen, 101).await);
    says(&kitchen, "06.25", r#"{"level":"INFO","message":"Lit the stoves again"}"#);
    says(&orders, "05", r#"{"level":"WARN","message":"The kitchen does not answer"}"#);

    let all = it.must(&["logs", "--tail", "all"]);
    insta::assert_snapshot!(all.stdout, @r"
    2030-01-31 12:00:01.500 kitchen    Lit the stoves stoves=8
    2030-01-31 12:00:02.000 orders     Placed order_id=0192f3c4-5a6b-7c8d-9e0f-112233445566
    2030-01-31 12:00:03.000 redis      WARN 1:M 31 Jan 2030 12:00:03.000 # WARNING Memory overcommit must be enabled!
    2030-01-31 12:00:04.000 kitchen    ERROR thread 'main' panicked at the oven:
    2030-01-31 12:00:05.000 orders     WARN The kitchen does not answer
    2030-01-31 12:00:06.250 kitchen    Lit the stoves again
    ");
    assert_eq!(it.must(&["logs"]).stdout, all.stdout);

    let chosen = |args: &[&str]| it.must(&[&["logs"], args].concat()).stdout;
    assert_eq!(chosen(&["--tail", "2"]), last(&all.stdout, 2));
    assert_eq!(chosen(&["--since", "2030-01-31T12:00:05.5Z"]), last(&all.stdout, 1));
    let until = chosen(&["--until", "2030-01-31T12:00:05Z", "-n", "1"]);
    assert!(until.contains("panicked") && until.lines().count() == 1, "{until}");
    assert_eq!(chosen(&[ORDERS, "--level", "warn"]).lines().count(), 1);
    assert_eq!(chosen(&["--order", "0192f3c4-5a6b-7c8d-9e0f-112233445566"]).lines().count(), 1);
    let json = chosen(&[KITCHEN, "--tail", "1", "--json"]);
    insta::assert_snapshot!(json.trim(), @r#"{"schema_version":1,"time":"2030-01-31T12:00:06.250000Z","level":"INFO","service":"kitchen","message":"Lit the stoves again"}"#);

    let unknown = it.run(&["logs", "tea"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
    insta::assert_snapshot!(unknown.stderr, @r"
    error: there is no service `tea`
    hint: there are board, gateway, inventory, kitchen, market, market-sim, orders, postgres, redis, roles
    ");
}

/// Returns the last lines of a text.
fn last(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len() - count..].iter().flat_map(|line| [line, "\n"]).collect()
}

/// A kitchen that prints numbers, and a command that follows its logs.
struct Counting {
    it: Restaurant,
    listener: Child,
    heard: PathBuf,
    said: u32,
}

impl Counting {
    fn begin(story: &str) -> Option<Self> {
        Self::open(story).map(Self::listen)
    }

    fn open(story: &str) -> Option<Restaurant> {
        let it = Restaurant::prepare(story)?;
        it.cluster.new_pods_say(KITCHEN, &["opens"]);
        it.must(&[&UP[..], &["--port", "0"]].concat());
        Some(it)
    }

    fn listen(it: Restaurant) -> Self {
        let heard = it.cluster.home.path().join("heard.txt");
        let args = ["logs", "-f", KITCHEN, "--tail", "1", "--name", &it.cluster.name];
        let mut command = it.cluster.home.command(&args);
        let file = File::create(&heard).unwrap();
        command.stderr(file.try_clone().unwrap());
        let listener = command.stdout(file).spawn().unwrap();
        let counting = Self { it, listener, heard, said: 0 };
        counting.hears("ERROR opens", 1);
        counting
    }

    /// Lets a pod print further numbers, all at the same time.
    fn count(&mut self, pod: &str, count: u32) {
        let now = Timestamp::now();
        for _ in 0..count {
            self.said += 1;
            self.it.cluster.pod_says(pod, now, &format!("number {}.", self.said));
        }
    }

    fn heard(&self) -> String {
        fs::read_to_string(&self.heard).unwrap()
    }

    /// Waits until a line is printed so many times.
    fn hears(&self, line: &str, times: usize) {
        let since = Instant::now();
        while self.heard().matches(line).count() < times {
            let heard = self.heard();
            assert!(since.elapsed() < PATIENCE, "not {times} times `{line}`:\n{heard}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the last number is printed, and expects all of them, each once.
    fn has_heard_each_once(&self) {
        self.hears(&format!("number {}.", self.said), 1);
        let heard = self.heard();
        for number in 1..=self.said {
            let count = heard.matches(&format!("number {number}.")).count();
            assert_eq!(count, 1, "number {number} of {}:\n{heard}", self.said);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has reported then.
        let _killed = self.listener.kill();
        let _ended = self.listener.wait();
    }
}

#[test]
fn lines_are_followed_through_restarts_and_rotation_each_once() {
    let Some(mut counting) = Counting::begin("followed") else { return };
    let kitchen = pod(&counting.it, KITCHEN);
    for _ in 0..3 {
        counting.count(&kitchen, 5);
        let cluster = &counting.it.cluster;
        cluster.ask(async |_| cluster.container_restarts(&kitchen, 137).await);
        counting.count(&kitchen, 5);
        counting.has_heard_each_once();
        counting.count(&kitchen, 5);
        counting.it.cluster.log_rotates(&kitchen);
        counting.count(&kitchen, 5);
        counting.has_heard_each_once();
    }
}

#[test]
fn lines_are_followed_into_other_pods_each_once() {
    let Some(mut counting) = Counting::begin("replaced") else { return };
    let kitchen = pod(&counting.it, KITCHEN);
    counting.count(&kitchen, 5);
    let name = counting.it.cluster.name.clone();
    counting.it.cluster.ask(async |client| {
        let pods = Api::<Pod>::namespaced(client, &name);
        pods.delete(&kitchen, &DeleteParams::default()).await.unwrap();
    });
    counting.hears("ERROR opens", 2);
    let next = pod(&counting.it, KITCHEN);
    assert_ne!(next, kitchen);
    counting.count(&next, 5);
    counting.has_heard_each_once();

    counting.it.must(&["scale", "kitchen=2"]);
    counting.hears("ERROR opens", 3);
    for kitchen in counting.it.cluster.pods_of(KITCHEN) {
        counting.count(&kitchen, 1);
        let line = format!("ERROR number {}. pod={kitchen}\n", counting.said);
        // The line names the pod.
        counting.hears(&line, 1);
    }
    counting.has_heard_each_once();

    // All pods are replaced.
    counting.it.must(&["stop"]);
    counting.it.must(&["start"]);
    counting.hears("ERROR opens", 5);
    assert_eq!(counting.heard().matches("ERROR opens").count(), 5, "{}", counting.heard());
    counting.it.must(&["down"]);
    wait_until("it ends with the environment", || counting.listener.try_wait().unwrap().is_some());
    assert_eq!(counting.listener.wait().unwrap().code(), Some(3));
}

#[test]
fn lines_from_an_outage_of_the_cluster_are_shown() {
    let Some(it) = Counting::open("away") else { return };
    let kubeconfig = it.cluster.home.path().join(".kube/config");
    let text = fs::read_to_string(&kubeconfig).unwrap();
    let (before, after) = text.split_once("https://").unwrap();
    let (address, after) = after.split_once('\'').unwrap();
    let road = Road::to(address.parse().unwrap());
    fs::write(&kubeconfig, format!("{before}https://127.0.0.1:{}'{after}", road.port)).unwrap();

    let mut counting = Counting::listen(it);
    let kitchen = pod(&counting.it, KITCHEN);
    for _ in 0..3 {
        counting.count(&kitchen, 5);
        road.cut();
        counting.count(&kitchen, 5);
        let cluster = &counting.it.cluster;
        cluster.ask(async |_| cluster.container_restarts(&kitchen, 137).await);
        counting.count(&kitchen, 5);
        road.repair();
        counting.has_heard_each_once();
    }
}

#[test]
fn what_never_ran_has_no_lines_and_hides_none() {
    let Some(it) = Restaurant::open("silent") else { return };
    it.cluster.ask(async |_| {
        it.cluster.pods_become(KITCHEN, Pods::without_image("kitchen:none")).await;
    });
    it.cluster.pod_says(&pod(&it, ORDERS), at("01"), r#"{"level":"INFO","message":"Placed"}"#);
    let reported = it.must(&["logs"]).stdout;
    assert!(reported.ends_with("orders     Placed\n"), "{reported}");
}

#[test]
fn an_environment_in_the_foreground_shows_its_lines_and_stops_with_them() {
    let Some(it) = Restaurant::prepare("foreground") else { return };
    let heard = it.cluster.home.path().join("heard.txt");
    let args = [&UP[..], &["--port", "0", "--foreground", "--name", &it.cluster.name]].concat();
    let mut command = it.cluster.home.command(&args);
    let file = File::create(&heard).unwrap();
    let mut up = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let says = |text: &str| {
        wait_until(text, || fs::read_to_string(&heard).unwrap().contains(text));
    };
    says("Up in ");
    let kitchen = pod(&it, KITCHEN);
    wait_until("a line is shown", || {
        // Whether it listens already shows only in what it prints.
        it.cluster.pod_says(&kitchen, Timestamp::now(), "it is warm");
        fs::read_to_string(&heard).unwrap().contains("kitchen    ERROR it is warm")
    });
    kill("-INT", up.id().try_into().unwrap());
    assert_eq!(up.wait().unwrap().code(), Some(130));
    says("is stopped");
}
