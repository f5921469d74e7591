use std::process::Command;

use serde_json::Value as Json;

use super::*;

/// Files with the value of `A` that docker compose reads; `None` where it refuses the file.
const FILES: [(&str, Option<&str>); 26] = [
    ("A=1", Some("1")),
    ("# A=0\n\nA=1\n", Some("1")),
    ("export A=1", Some("1")),
    ("A = 1 ", Some("1")),
    ("A: 1", Some("1")),
    ("A=", Some("")),
    ("A=a b", Some("a b")),
    ("A=a#b", Some("a#b")),
    ("A=a # b", Some("a")),
    ("A='a # $B ${B}'", Some("a # $B ${B}")),
    ("A='a\\nb'", Some("a\\nb")),
    ("A=\"a # b\" # c", Some("a # b")),
    ("A=\"a\\nb\"", Some("a\nb")),
    ("A=\"a\\\"b\"", Some("a\"b")),
    ("A=\"a\nb\"", Some("a\nb")),
    ("A='a\nb'", Some("a\nb")),
    ("B=2\nA=${B}3", Some("23")),
    ("B=2\nA=\"$B\"", Some("2")),
    ("A=${C:-d}", Some("d")),
    ("A=${SHELL_SAYS}", Some("x")),
    ("SHELL_SAYS=y\nA=${SHELL_SAYS}", Some("x")),
    ("A=1\nA=2", Some("2")),
    ("A=1\r\nB=2\r\n", Some("1")),
    ("A=\"a", None),
    ("A B=1", None),
    ("=1", None),
];

fn shell(name: &str) -> Option<String> {
    (name == "SHELL_SAYS").then(|| "x".to_owned())
}

#[test]
fn values_are_those_of_the_table() {
    for (text, expected) in FILES {
        let read = parsed(text, &shell);
        assert_eq!(
            read.as_ref().ok().and_then(|values| values.get("A")).map(String::as_str),
            expected,
            "{text:?}: {read:?}"
        );
    }
}

#[test]
fn docker_compose_reads_the_same() {
    let Some(compose) = std::env::var_os("CHEFCITO_TEST_COMPOSE") else {
        return test_support::lacking("docker compose; set CHEFCITO_TEST_COMPOSE to its path");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    std::fs::write(&file, "services: {a: {image: i, environment: {A: \"${A-unset}\"}}}").unwrap();
    for (text, expected) in FILES {
        std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
        let mut command = Command::new(&compose);
        command.env("SHELL_SAYS", "x").arg("-f").arg(&file);
        let ran = command.args(["config", "--format", "json"]).output().unwrap();
        let theirs = ran.status.success().then(|| {
            let document: Json = serde_json::from_slice(&ran.stdout).unwrap();
            let value = document["services"]["a"]["environment"]["A"].as_str().unwrap();
            // What it prints can be read again.
            value.replace("$$", "$")
        });
        assert_eq!(theirs.as_deref(), expected, "{text:?}");
    }
}

#[test]
fn a_mistake_is_named_with_its_line() {
    let error = |text: &str| parsed(text, &shell).unwrap_err();
    assert_eq!(error("A=1\nB C=2"), "line 2: ` ` can't be in the name of a variable");
    assert!(error("\n\nA='b").starts_with("line 3: the value of A begins with a quote"));
    assert!(error("A=${B").starts_with("line 1: "));
}
