//! Generated compose files, of what chefcito supports and of what is close to it: what chefcito reads, docker compose reads alike. The
//! same ones each time; `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more and for others.

use std::{cell::Cell, process::Command};

use proptest::{
    collection::vec,
    option,
    sample::{select, subsequence},
    test_runner::{TestCaseError, TestRunner},
};
use serde_json::Value;

use super::*;
use crate::tests::generated_cases;

/// A variable of the generated files; `UNSET` is another.
const SET: (&str, &str) = ("SET", "x y");

/// Reads each generated file with chefcito, and reads what docker compose makes of it. Of the cases, at least this many in a hundred must
/// not be refused.
fn compose_agrees(cases: impl Strategy<Value = String>, read_percent_min: u32) {
    let Some(compose) = std::env::var_os("CHEFCITO_TEST_COMPOSE") else {
        return test_support::lacking("docker compose; set CHEFCITO_TEST_COMPOSE to its path");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    let parse =
        |text: &str| Source { file: Some(file.clone()), text: text.into() }.parse(&with(&[SET]));
    let compare = |text: &str, ours: ComposeFile| {
        fs::write(&file, text).unwrap();
        let mut command = Command::new(&compose);
        command.env(SET.0, SET.1).arg("-f").arg(&file).args([
            "--profile",
            "*",
            "config",
            "--format",
            "json",
        ]);
        let ran = command.output().unwrap();
        if !ran.status.success() {
            return Ok(false);
        }
        let mut theirs: Value = serde_json::from_slice(&ran.stdout).unwrap();
        without_defaults(&mut theirs);
        let theirs = yaml::text_of(&theirs);
        match parse(&theirs) {
            Ok(read) if of_services(read.clone()) == of_services(ours.clone()) => Ok(true),
            Ok(read) => Err(format!("chefcito: {ours:#?}\ndocker compose: {read:#?}\n{theirs}")),
            Err(error) => Err(format!("{error}\n{theirs}")),
        }
    };
    let (tried, read, alone) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let check = |text: String| {
        tried.set(tried.get() + 1);
        let Ok(ours) = parse(&text) else { return Ok(()) };
        read.set(read.get() + 1);
        match compare(&text, ours) {
            Ok(true) => Ok(()),
            Ok(false) => {
                alone.set(alone.get() + 1);
                Ok(())
            }
            Err(what) => Err(TestCaseError::fail(format!("{what}\n{text}"))),
        }
    };
    if let Err(difference) = TestRunner::new(generated_cases()).run(&cases, check) {
        panic!("{difference}");
    }
    let (tried, read) = (tried.get(), read.get());
    assert!(read * 100 >= tried * read_percent_min, "{read} of {tried} were read");
    let alone = alone.get();
    assert!(alone * 25 <= read, "docker compose refuses {alone} of {read} that chefcito reads");
}

/// Drops what docker compose writes though it is the default.
fn without_defaults(value: &mut Value) {
    let project = value["name"].as_str().unwrap_or_default().to_owned();
    for part in ["networks", "volumes", "secrets"] {
        for (key, one) in value[part].as_object_mut().into_iter().flatten() {
            if one["name"] == format!("{project}_{key}") {
                one.as_object_mut().unwrap().remove("name");
            }
            drop_default(one, "ipam", &serde_json::json!({}));
        }
    }
    for service in
        value["services"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut)
    {
        for port in service["ports"].as_array_mut().into_iter().flatten() {
            drop_default(port, "mode", &"ingress".into());
        }
        for mount in service["volumes"].as_array_mut().into_iter().flatten() {
            drop_default(mount, "volume", &serde_json::json!({}));
            drop_default(mount, "bind", &serde_json::json!({ "create_host_path": true }));
        }
        for need in
            service["depends_on"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut)
        {
            drop_default(need, "required", &true.into());
        }
        for part in ["resources", "placement"] {
            if let Some(deploy) = service.get_mut("deploy") {
                drop_default(deploy, part, &serde_json::json!({}));
            }
        }
        if let Value::Object(fields) = service {
            fields.retain(|_, value| !value.is_null());
        }
    }
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
    }
}

fn drop_default(value: &mut Value, key: &str, default: &Value) {
    if value.get(key) == Some(default) {
        value.as_object_mut().unwrap().remove(key);
    }
}

/// Docker compose leaves out volumes that no service has.
fn of_services(mut compose_file: ComposeFile) -> ComposeFile {
    let used: BTreeSet<String> = (compose_file.services.values())
        .flat_map(|service| service.mounts.iter().filter_map(|mount| mount.source.clone()))
        .collect();
    compose_file.volumes.retain(|key, _| used.contains(key));
    compose_file.unset.clear();
    compose_file
}

#[test]
fn values_reach_containers_as_with_docker_compose() {
    let written = [
        "a",
        "b c",
        "0400",
        "0o17",
        "0x1F",
        "0b11",
        "+5",
        "-7",
        "1_000",
        "08",
        "1.10",
        "1e3",
        "706798e8",
        ".5",
        "1.",
        "1.5e300",
        "1e22",
        "24.10",
        "12345678901234567890",
        "123456789012345678901",
        "9007199254740993",
        "0.1000000000000000055",
        "1e400",
        "yes",
        "No",
        "on",
        "~",
        "null",
        "true",
        "False",
        "2026-01-31",
        "2026-01-31T10:00:00Z",
        "12:30:45",
        ".inf",
        "-",
        "''",
        "'it''s'",
        "\"a\\tb\\u00e9\"",
        "'0400'",
        "\"yes\"",
        "!!str 5",
        "a:b",
        "a#b",
        "-x",
        "?x",
        ":x",
        "é",
        "'two\n\n        lines'",
        "$SET",
        "${SET}",
        "${UNSET}",
        "${UNSET:-d}",
        "${SET:+o}",
        "$$x",
        "'$$$SET'",
        "${SET:-${UNSET}}",
        "$",
        "${",
        "${SET?}",
        "${UNSET?no}",
        "|\n        a\n\n          b\n",
        ">-\n        a\n        b",
        "[a]",
        "{a: b}",
        "*v",
        "&w x",
    ];
    let scalar = prop_oneof![
        4 => select(written.to_vec()).prop_map(str::to_owned),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        1 => any::<f32>().prop_map(|number| number.to_string()),
        1 => "[-+.0-9eExo_]{1,8}",
        1 => "[ -~]{1,6}",
    ];
    let field = select(vec![
        "environment",
        "labels",
        "command",
        "user",
        "mem_limit",
        "cpus",
        "stop_grace_period",
        "restart",
        "read_only",
        "pids_limit",
    ]);
    let entries = vec(scalar.clone(), 1..4);
    let cases =
        (field, entries, scalar, any::<bool>()).prop_map(|(field, entries, scalar, is_list)| {
            let mut text = "name: n\nx-v: &v v\nservices:\n  a:\n    image: i\n".to_owned();
            match (field, is_list) {
                ("environment" | "labels", true) => {
                    text += &format!("    {field}:\n");
                    entries
                        .iter()
                        .enumerate()
                        .for_each(|(at, value)| text += &format!("      - K{at}={value}\n"));
                }
                ("environment" | "labels", false) => {
                    text += &format!("    {field}:\n");
                    entries
                        .iter()
                        .enumerate()
                        .for_each(|(at, value)| text += &format!("      K{at}: {value}\n"));
                }
                ("command", true) => {
                    text += "    command:\n";
                    entries.iter().for_each(|value| text += &format!("      - {value}\n"));
                }
                _ => text += &format!("    {field}: {scalar}\n"),
            }
            text
        });
    compose_agrees(cases, 15);
}

/// A service of fields, each in one of its forms.
fn service_text() -> impl Strategy<Value = String> {
    let forms: Vec<Vec<&str>> = vec![
        vec![
            "command: sh -c 'a b'",
            "command: [sh, -c, \"a  b\"]",
            "command: ''",
            "command: []",
            "command: a \"b c\" \\d",
            "command: >\n      a\n        b",
        ],
        vec!["entrypoint: /x", "entrypoint: [/x, y]", "entrypoint: ''", "entrypoint: []"],
        vec![
            "environment: {A: b, C: 1.0}",
            "environment: [A=b, C=]",
            "environment: {A: }",
            "environment: [A]",
            "environment: ['A= b ']",
        ],
        vec!["user: '1000'", "user: a:b", "user: 1000"],
        vec!["group_add: [a, '5']", "group_add: [5]"],
        vec!["working_dir: /w"],
        vec!["hostname: h", "hostname: 5"],
        vec![
            "ports: ['80']",
            "ports: [80]",
            "ports: ['127.0.0.1:81:80', '82:80/udp']",
            "ports: ['80-82:80-82']",
            "ports: ['[::1]:83:80']",
            "ports: ['127.0.0.1::80']",
            "ports: [{target: 80, published: '84', host_ip: 127.0.0.1}]",
            "ports: [{target: 80, published: 85, protocol: udp}]",
            "ports: [{target: 80, mode: host}]",
            "ports: ['0:80']",
            "ports: ['80/sctp']",
            "ports: ['080:80']",
        ],
        vec!["expose: ['90']", "expose: [90]", "expose: [90/tcp]", "expose: ['90-91']"],
        vec![
            "volumes: ['data:/d']",
            "volumes: ['data:/d:ro']",
            "volumes: ['./x:/d', '../y:/e:rw']",
            "volumes: ['/x/../y:/d']",
            "volumes: ['/anonymous']",
            "volumes: [{type: volume, source: data, target: /d, read_only: true}]",
            "volumes: [{type: bind, source: ./x, target: /d}]",
            "volumes: [{type: tmpfs, target: /d}]",
            "volumes: ['~/x:/d']",
            "volumes: ['data:/d:z']",
            "volumes: ['data:/d/']",
            "volumes: [{type: volume, source: data, target: /d/}]",
            "volumes: ['data:/d', 'data:/d']",
            "volumes: [{type: volume, target: /d}]",
            "volumes: ['data:/d', 'other:/d']",
            "volumes: ['.:/d']",
            "volumes: ['./:/d']",
            "volumes: ['..:/d']",
        ],
        vec!["tmpfs: /t", "tmpfs: ['/t:size=1m', /u]"],
        vec![
            "networks: [n, m]",
            "networks: {n: {aliases: [x]}, m: }",
            "networks: {n: {x-a: 1}}",
            "networks: [default]",
            "network_mode: none",
            "network_mode: host",
            "networks: []",
            "networks: {}",
            "networks: [n, n]",
        ],
        vec![
            "extra_hosts: ['h:10.0.0.1']",
            "extra_hosts: {h: 10.0.0.1}",
            "extra_hosts: ['h=10.0.0.1']",
            "extra_hosts: ['h:::1']",
            "extra_hosts: ['h=::1']",
            "extra_hosts: ['h:[::1]']",
            "extra_hosts: ['h:host-gateway']",
        ],
        vec![
            "healthcheck: {test: a b, interval: 1m30s, retries: 3}",
            "healthcheck: {test: [CMD, a], timeout: 500ms, start_period: 1h}",
            "healthcheck: {disable: true}",
            "healthcheck: {test: [NONE]}",
            "healthcheck: {test: NONE}",
            "healthcheck: {start_interval: 2s, test: [CMD-SHELL, a]}",
            "healthcheck: {interval: 1.5s}",
            "healthcheck: {interval: 90}",
            "healthcheck: {retries: '3', test: a}",
            "healthcheck: {disable: false, test: a}",
            "healthcheck: {disable: true, test: a}",
        ],
        vec![
            "restart: always",
            "restart: no",
            "restart: 'no'",
            "restart: on-failure",
            "restart: on-failure:3",
            "restart: unless-stopped",
            "restart: false",
            "restart: on-failure:0",
        ],
        vec![
            "stop_grace_period: 5s",
            "stop_grace_period: 1m0.5s",
            "stop_grace_period: 5",
            "stop_grace_period: 0s",
            "stop_grace_period: 1d",
        ],
        vec!["stop_signal: SIGINT"],
        vec!["read_only: true", "read_only: yes", "read_only: 'false'", "read_only: 1"],
        vec!["init: true", "init: no"],
        vec!["cap_add: [A]", "cap_drop: [ALL, B]", "cap_add: [A, A]"],
        vec!["security_opt: ['no-new-privileges:true']"],
        vec![
            "mem_limit: 128m",
            "mem_limit: 1.5g",
            "mem_limit: 1073741824",
            "mem_limit: '64kb'",
            "mem_limit: 1e6",
            "mem_limit: 10 mb",
            "mem_limit: 1.0005k",
        ],
        vec!["shm_size: 64m", "shm_size: 1024"],
        vec!["pids_limit: 10", "pids_limit: '10'", "pids_limit: -1", "pids_limit: 1.5"],
        vec!["cpus: 0.5", "cpus: '1.5'", "cpus: 2", "cpus: 0.1234567891"],
        vec![
            "logging: {driver: json-file, options: {max-size: 10m, max-file: '3'}}",
            "logging: {options: {a: 1}}",
            "logging: {driver: none, options: {a: true}}",
            "logging: {driver: local}",
        ],
        vec!["labels: {a: b, c: 1.10}", "labels: [a=b, c]", "labels: {a: }", "labels: {a: true}"],
        vec![
            "depends_on: [other]",
            "depends_on: [other, other]",
            "depends_on: {other: {condition: service_healthy, restart: true}}",
            "depends_on: {other: {condition: service_completed_successfully, required: false}}",
            "depends_on: {other: {}}",
        ],
        vec![
            "scale: 2",
            "deploy: {replicas: 3}",
            "scale: '2'",
            "deploy: {resources: {limits: {cpus: '1'}}}",
            "deploy: {resources: {limits: {memory: 64m, pids: 9}}, replicas: 2}",
            "deploy: {resources: {limits: {cpus: 0.25, memory: '0'}}}",
            "deploy: {resources: {reservations: {memory: 1m}}}",
            "deploy: {mode: global}",
            "deploy: {}",
            "deploy: {replicas: 0}",
        ],
        vec![
            "container_name: c1",
            "container_name: a_b.c-d",
            "container_name: -a",
            "container_name: a",
            "container_name: ''",
        ],
        vec![
            "ulimits: {}",
            "ulimits: {nofile: 1024}",
            "ulimits: {nofile: '1024', nproc: -1}",
            "ulimits: {nofile: {soft: 1, hard: 2}}",
            "ulimits: {nofile: {soft: 1}}",
        ],
        vec![
            "secrets: []",
            "secrets: [key]",
            "secrets: [key, {source: word}]",
            "secrets: [{source: key, target: other}]",
            "secrets: [{source: key, target: /etc/key}]",
            "secrets: [{source: key, mode: 0400}]",
            "secrets: [none]",
            "secrets: [key, key]",
        ],
        vec!["profiles: [p]", "profiles: [1]", "profiles: []"],
        vec!["x-own: {a: b}", "<<: *all", "<<: [*all, *more]"],
        vec![
            "env_file: e",
            "privileged: true",
            "tty: true",
            "dns: 1.1.1.1",
            "platform: linux/amd64",
        ],
    ];
    let fields = forms.len();
    let some = subsequence(forms, 0..fields.min(7))
        .prop_flat_map(|forms| forms.into_iter().map(select).collect::<Vec<_>>());
    some.prop_map(|fields| {
        let lines =
            fields.iter().map(|field| format!("    {}\n", field.replace("\n      ", "\n        ")));
        lines.collect::<String>()
    })
}

#[test]
fn compose_files_are_read_as_docker_compose_reads_them() {
    let of_networks = select(vec![
        "",
        "{}",
        "{driver: bridge}",
        "{internal: true}",
        "{driver_opts: {a: 1}}",
        "{labels: [a=b]}",
        "{attachable: yes, x-a: 1}",
        "",
        "{}",
        "{driver: bridge}",
        "{internal: true}",
        "{driver_opts: {a: 1.5}}",
        "{external: true}",
        "{name: own}",
    ]);
    let of_volumes = select(vec![
        "",
        "{}",
        "{driver: local, driver_opts: {a: b}}",
        "{labels: {a: b}}",
        "{external: true}",
        "{x-a: 1}",
        "",
        "{}",
        "{driver: local}",
        "{labels: [a=b]}",
        "{driver_opts: {a: 1}}",
    ]);
    let names = select(vec!["a", "x-ui", "b_1.c"]);
    let twice = option::weighted(0.05, Just("    image: j\n"));
    let cases = (service_text(), service_text(), names, of_networks, of_volumes, twice).prop_map(|(one, other, name, network, volume, twice)| {
        let twice = twice.unwrap_or_default();
        format!(
            "name: p\nx-all: &all {{restart: always, labels: {{z: '1'}}}}\nx-more: &more {{working_dir: /m}}\n\
             services:\n  {name}:\n    image: i:1\n{one}{twice}  other:\n    image: ${{IMAGE:-j}}\n{}\
             networks:\n  n: {network}\n  m:\nvolumes:\n  data: {volume}\n  other:\n\
             secrets:\n  key: {{file: ./key}}\n  word: {{file: /etc/../word}}\n",
            other.replace("depends_on", "x-needs").replace("container_name", "x-name")
        )
    });
    compose_agrees(cases, 15);
}
