//! An embedded environment and one in containers give the same answers.

use std::fs;

use serde_json::Value;
use test_support::{Guest, converse};

use crate::chefcito::{Home, Ran};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_containers_and_in_one_process_the_answers_are_the_same() {
    let Some(home) = Home::with_engine() else { return };
    let near = open(&home, "embedded");
    let far = open(&home, "compose");
    answer_alike(&near, &far).await;
}

/// Prepares two empty environments, sends the same requests to both, and compares the answers.
pub(crate) async fn answer_alike(near: &Guest, far: &Guest) {
    near.furnish().await;
    far.furnish().await;
    let (near, far) = tokio::join!(converse(near), converse(far));
    assert_eq!(near.len(), far.len());
    for (near, far) in near.iter().zip(&far) {
        assert_eq!((&near.question, &near.answer), (&far.question, &far.answer));
    }
}

/// Starts an empty environment with one of the runtimes, and returns a client with the admin key.
pub(crate) fn open(home: &Home, runtime: &str) -> Guest {
    let name = format!("answers-{runtime}-{}", std::process::id());
    let up = ["up", "--runtime", runtime, "--name", &name, "--port", "0", "--no-seed"];
    home.must(&[&up[..], &["--cooking-time", "0s", "--timeout", "180s"]].concat());
    let status = home.must(&["status", "--json", "--name", &name]);
    guest(home, &name, &status)
}

/// Returns a client with the admin key for the address in a status.
pub(crate) fn guest(home: &Home, name: &str, status: &Ran) -> Guest {
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let key = fs::read_to_string(home.state().join(name).join("admin.key")).unwrap();
    Guest::new(status["address"].as_str().unwrap(), key.trim())
}
