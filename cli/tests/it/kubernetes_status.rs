//! The status of pods on a real API server, and of the services behind the gateway's pod.

use contracts::services::{ALL, GATEWAY, KITCHEN};
use serde_json::Value;

use crate::{api_server::Pods, chefcito::wait_until, restaurant::Restaurant};

/// Returns a text in which no pod has its random name.
fn plain(text: &str, it: &Restaurant) -> String {
    let services = ALL.into_iter().chain(["redis"]);
    let mut text = text.to_owned();
    for service in services {
        for pod in it.cluster.pods_of(service) {
            text = text.replace(&pod, &format!("{service}-1"));
        }
    }
    text
}

/// Returns the states of the pods of a service.
fn rows<'t>(text: &'t str, service: &str) -> Vec<Vec<&'t str>> {
    let rows = text.lines().filter(|line| line.starts_with(&format!("{service}-")));
    rows.map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

#[test]
fn status_shows_pods_and_what_is_wrong_with_them() {
    let Some(it) = Restaurant::open("status") else { return };
    let well = it.must(&["status"]).stdout;
    assert!(well.contains("NAME is ready at http://127.0.0.1:"), "{well}");
    let well = plain(&well, &it);
    let kitchen = rows(&well, KITCHEN);
    assert_eq!(kitchen.len(), 1, "{well}");
    assert_eq!(kitchen[0][..5], ["kitchen-1", "running", "ready", "0", "up to 128 MiB"], "{well}");
    assert_eq!(kitchen[0][5], "player", "its node: {well}");

    it.cluster.ask(async |_| {
        let crashing = Pods::Crashing { exit_code: 1, restarts: 3 };
        it.cluster.pods_become(KITCHEN, crashing).await;
    });
    let ill = it.run(&["status"]);
    assert_eq!(ill.code, Some(1), "{ill}");
    assert!(ill.stderr.contains("kitchen (waiting (CrashLoopBackOff))"), "{ill}");
    let text = plain(&ill.stdout, &it);
    let kitchen = rows(&text, KITCHEN);
    assert_eq!(kitchen[0][..4], ["kitchen-1", "waiting (CrashLoopBackOff)", "not ready", "3"]);

    it.cluster.ask(async |_| {
        let gone = Pods::without_image("gateway:none");
        it.cluster.pods_become(GATEWAY, gone).await;
    });
    let shut = it.run(&["status", "--json"]);
    assert_eq!(shut.code, Some(1), "{shut}");
    assert!(shut.stderr.contains("gateway (waiting (ImagePullBackOff))"), "{shut}");
    let reported: Value = serde_json::from_str(&shut.stdout).unwrap();
    assert_eq!(reported["ready"], false);
    assert_eq!(reported["cluster"], "owner");
    let pods = reported["pods"].as_array().unwrap();
    let gateway = pods.iter().find(|pod| pod["service"] == GATEWAY).unwrap();
    assert_eq!(gateway["ready"], false);
    assert_eq!(gateway["memory_bytes"], Value::Null, "nothing is measured here");

    it.must(&["stop"]);
    wait_until("nothing runs", || it.run(&["status"]).code == Some(3));
}

#[test]
fn every_question_goes_through_the_door() {
    let Some(it) = Restaurant::open("door") else { return };
    let order = it.must(&["order", "--json"]).stdout;
    let order: Value = serde_json::from_str(&order).unwrap();
    assert_eq!(order["delivered"], 1, "{order}");
    it.must(&["seed", "--set", "lemon=50"]);
    let stock = it.must(&["status", "--json"]).stdout;
    let stock: Value = serde_json::from_str(&stock).unwrap();
    let lemon = stock["stock"].as_array().unwrap().iter().find(|one| one["ingredient"] == "lemon");
    assert_eq!(lemon.unwrap()["on_hand"], 50);
    it.must(&["market", "set", "--quantity", "7"]);
    let market_sim = it.must(&["market"]).stdout;
    assert!(market_sim.contains("7-7"), "{market_sim}");
    let key = it.must(&["keys", "add", "waiter", "--role", "viewer"]).stdout;
    assert!(key.contains("cfk_"), "{key}");
    it.must(&["audit"]);
}

#[test]
fn a_program_in_a_pod_ends_with_its_own_code() {
    let Some(it) = Restaurant::open("program-code") else { return };
    let three = it.run(&["exec", KITCHEN, "--", "sh", "-c", "echo hot; echo smoke >&2; exit 3"]);
    assert_eq!(
        (three.code, three.stdout.as_str(), three.stderr.as_str()),
        (Some(3), "hot\n", "smoke\n")
    );
    assert_eq!(it.run(&["exec", KITCHEN, "--", "true"]).code, Some(0));
    let nothing = it.run(&["exec", KITCHEN, "--", "/nowhere/oven"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(127), ""));
    assert!(nothing.stderr.starts_with("cannot run /nowhere/oven in kitchen-"), "{nothing}");
    assert!(nothing.stderr.contains("no such file or directory"), "{nothing}");
    let unknown = it.run(&["exec", "tea", "--", "true"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("there is no service `tea`"), "{unknown}");
    let third = it.run(&["exec", KITCHEN, "--index", "3", "--", "true"]);
    assert_eq!(third.code, Some(3), "{third}");
}
