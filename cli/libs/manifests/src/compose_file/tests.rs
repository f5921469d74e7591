mod generated;

use std::fmt::Write;

use contracts::services::{GATEWAY, KITCHEN};
use proptest::prelude::*;

use super::*;

fn with<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
}

fn source(text: &str) -> Source {
    Source { file: Some("/checkout/manifests/compose.yaml".into()), text: text.into() }
}

fn service(yaml: &str) -> Service {
    let text = format!(
        "services:\n  one:\n    image: i\n{yaml}\nvolumes: {{data: , other: }}\nnetworks: {{n: , m: }}\n\
         secrets: {{key: {{file: ./key.txt}}}}\n"
    );
    let mut compose_file = source(&text).parse(&|_| None).unwrap_or_else(|error| panic!("{error}"));
    compose_file.services.remove("one").unwrap()
}

fn refused(text: &str) -> String {
    source(text).parse(&|_| None).map_or_else(|error| error.to_string(), |_| "fine".into())
}

#[test]
fn what_writes_to_a_folder_of_its_own_keeps_data_there() {
    let built_in = Source { file: None, text: BUILT_IN.into() };
    let compose_file = built_in.parse(&|_| None).unwrap();
    let stores = compose_file
        .services
        .iter()
        .filter_map(|(name, service)| Some((&**name, service.store()?)));
    let stores: Vec<(&str, &str)> = stores.collect();
    let expected =
        [("bootstrap", "/secrets"), ("postgres", "/var/lib/postgresql/data"), ("redis", "/data")];
    assert_eq!(stores, expected);
    assert_eq!(service("    tmpfs: [/tmp]\n    volumes: ['data:/data:ro']").store(), None);
}

#[test]
fn our_own_file_is_read_whole() {
    let built_in = Source { file: None, text: BUILT_IN.into() };
    let variables = [("CHEFCITO_STOVES", "4"), ("CHEFCITO_PORT", "7400"), ("CHEFCITO_TAG", "c-1")];
    let compose_file = built_in.parse(&with(&variables)).unwrap();
    assert_eq!(compose_file.name.as_deref(), Some("chefcito"));
    assert_eq!(compose_file.unset, BTreeSet::new(), "every variable has a default");
    let kitchen = &compose_file.services[KITCHEN];
    assert_eq!(kitchen.image, "chefcito-kitchen:c-1");
    assert_eq!(kitchen.environment["CHEFCITO_STOVES"], "4");
    assert_eq!(kitchen.environment["CHEFCITO_LOG"], "info", "taken over by `<<`");
    assert_eq!(compose_file.services[GATEWAY].ports[0].published, Some(7400));
    assert!(kitchen.read_only && kitchen.cap_drop == ["ALL"]);
    assert!(compose_file.is_first("bootstrap") && compose_file.is_job("roles"));
    assert!(!compose_file.is_first("roles") && !compose_file.is_job("postgres"));
    let unasked = compose_file.default_services(&[]);
    assert!(!unasked.contains("psql") && unasked.contains("roles"));
    assert!(compose_file.default_services(&["tools".into()]).contains("psql"));
    let kitchen_alone: Vec<_> = compose_file.with_needs([KITCHEN.into()]).into_iter().collect();
    assert_eq!(kitchen_alone, ["bootstrap", KITCHEN, "postgres", "roles"]);
}

#[test]
fn short_and_long_forms_mean_the_same() {
    let pairs = [
        (
            "    ports: ['127.0.0.1:80:8080/udp']",
            "    ports: [{target: 8080, published: 80, host_ip: 127.0.0.1, protocol: udp}]",
        ),
        (
            "    volumes: ['data:/d:ro']",
            "    volumes: [{type: volume, source: data, target: /d, read_only: true}]",
        ),
        (
            "    volumes: ['./seed/../x:/d']",
            "    volumes: [{type: bind, source: /checkout/manifests/x, target: /d}]",
        ),
        ("    environment: {A: 1, B: ''}", "    environment: [A=1, B=]"),
        ("    command: sh -c 'a b'", "    command: [sh, -c, a b]"),
        ("    networks: [n, m]", "    networks: {n: , m: {aliases: []}}"),
        ("    tmpfs: /t:size=1m", "    tmpfs: ['/t:size=1m']"),
        ("    extra_hosts: {h: 10.0.0.1}", "    extra_hosts: ['h:10.0.0.1']"),
        ("    labels: {a: b}", "    labels: [a=b]"),
        ("    scale: 3", "    deploy: {replicas: 3}"),
        ("    healthcheck: {test: a b}", "    healthcheck: {test: [CMD-SHELL, a b]}"),
        ("    healthcheck: {disable: true}", "    healthcheck: {test: [NONE]}"),
        ("    restart: on-failure", "    restart: on-failure:0"),
        ("    mem_limit: 1g", "    mem_limit: 1073741824"),
        ("    stop_grace_period: 1m30s", "    stop_grace_period: 90s"),
        ("    ulimits: {nofile: 10}", "    ulimits: {nofile: {soft: 10, hard: 10}}"),
        (
            "    deploy: {resources: {limits: {cpus: '0.5', memory: 50m, pids: 7}}}",
            "    cpus: 0.5\n    mem_limit: 50m\n    pids_limit: 7",
        ),
        ("    secrets: [{source: key, target: /run/secrets/key}]", "    secrets: [key]"),
        (
            "    secrets: [{source: key, target: other}]",
            "    volumes: [{type: bind, source: ./key.txt, target: /run/secrets/other, read_only: true}]",
        ),
    ];
    for (one, other) in pairs {
        assert_eq!(service(one), service(other), "{one} and {other}");
    }
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    let one = |yaml: &str| refused(&format!("services:\n  one:\n    image: i\n{yaml}\n"));
    let texts = [
        one("    privileged: true"),
        one("    build: ."),
        one("    healthcheck:\n      test: [a]"),
        one("    ports: ['80-90:80-90']"),
        one("    volumes: ['data:/d']"),
        one("    volumes: ['/a:/b:z']"),
        one("    networks: [nowhere]"),
        one("    network_mode: host"),
        one("    depends_on: [two]"),
        one("    depends_on: [one]"),
        one("    environment:\n      HOME:"),
        one("    environment: {A: [b]}"),
        one("    restart: sometimes"),
        one("    mem_limit: much"),
        one("    deploy: {resources: {reservations: {}}}"),
        one("    deploy: {resources: {limits: {memory: 1g}}}\n    mem_limit: 1g"),
        one("    env_file: .env"),
        one("    ulimits: {nofile: {soft: 1}}"),
        one("    container_name: -a"),
        one("    secrets: [key]"),
        one("    command: \"it's\""),
        one("    user: 1000"),
        one("    command: [sleep, 10]"),
        one("    stop_grace_period: 5"),
        one("    environment: {DAY: 2026-01-31}"),
        one("    environment: {LONG: 123456789012345678901}"),
        one("    environment: {9000: a}"),
        one("    image: ${IMAGE:?which one}"),
        refused("services:\n  one: {}"),
        refused("services: {one: {image: i}}\nconfigs: {}"),
        refused("services: {one: {image: i}}\nsecrets: {key: {environment: KEY}}"),
        refused("version: '3'\nservices: {}"),
        refused("name: x"),
        refused("- a\n"),
        refused("a: b: c"),
        refused(""),
        refused("services: {a: {image: i, <<: 7}}"),
    ];
    let mut reported = String::new();
    for text in texts {
        writeln!(reported, "{}", text.trim_start_matches("/checkout/manifests/compose.yaml: "))
            .unwrap();
    }
    insta::assert_snapshot!(reported);
}

#[test]
fn numbers_reach_the_container_as_docker_compose_passes_them() {
    let yaml = "    environment: {RELEASE: 24.10, SHA: 706798e8, UMASK: 022, ID: 1147053346671102335, BIG: 12345678901234567890, \
                HEX: 0x1F, OCT: 0o17, YES: yes, B2: True, ONE: 1.0, THOUSAND: 1e3, MILLION: 1_000_000, TIME: 12:30:45, SMALL: .00001}";
    let expected = [
        ("B2", "true"),
        ("BIG", "12345678901234567890"),
        ("HEX", "31"),
        ("ID", "1147053346671102335"),
        ("MILLION", "1000000"),
        ("OCT", "15"),
        ("ONE", "1"),
        ("RELEASE", "24.1"),
        ("SHA", "7.06798e+13"),
        ("SMALL", "1e-05"),
        ("THOUSAND", "1000"),
        ("TIME", "12:30:45"),
        ("UMASK", "18"),
        ("YES", "yes"),
    ];
    let found = service(yaml).environment;
    let found: Vec<_> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(found, expected);
}

#[test]
fn extensions_are_dropped_beside_keys_and_kept_among_names() {
    let text = "\
x-own: 1
services:
  x-ui:
    image: i
    x-own: 1
    environment: {x-a: b}
    networks: {x-n: {x-own: 1}}
    logging: {x-own: 1, options: {x-a: b}}
  web: {image: i, depends_on: [x-ui]}
networks: {x-n: {x-own: 1}}
volumes: {x-v: }
";
    let compose_file = source(text).parse(&|_| None).unwrap();
    assert_eq!(compose_file.services.keys().collect::<Vec<_>>(), ["web", "x-ui"]);
    let service = &compose_file.services["x-ui"];
    assert_eq!(service.environment["x-a"], "b");
    assert_eq!(service.logging.as_ref().unwrap().options["x-a"], "b");
    assert!(service.networks.contains_key("x-n") && compose_file.networks.contains_key("x-n"));
    assert!(compose_file.volumes.contains_key("x-v"));
}

#[test]
fn an_error_in_an_anchor_names_its_line() {
    let text = "x-all: &all\n  restart: sometimes\nservices:\n  a:\n    image: i\n    <<: *all\n";
    let expected = "line 2: services.a.restart: it should be no, always";
    assert!(refused(text).contains(expected), "{}", refused(text));
    let text = "x-limit: &limit lots\nservices:\n  a:\n    image: i\n    mem_limit: *limit\n";
    let expected = "line 5 (an alias of line 1): services.a.mem_limit: it should be a size";
    assert!(refused(text).contains(expected), "{}", refused(text));
}

#[test]
fn an_unset_variable_is_noted_once() {
    let text = "services:\n  a:\n    image: i\n    command: [$NO, $NO]\n    user: ${NEITHER}\n";
    let compose_file = source(text).parse(&|_| None).unwrap();
    assert_eq!(compose_file.unset.into_iter().collect::<Vec<_>>(), ["NEITHER", "NO"]);
}

#[test]
fn every_service_without_networks_is_on_the_default_one() {
    let compose_file =
        source("services: {a: {image: i}}\nnetworks: {unused: }").parse(&|_| None).unwrap();
    assert_eq!(compose_file.networks.keys().collect::<Vec<_>>(), ["default"]);
}

/// Texts that mostly look like the file.
fn any_yaml() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "services",
        "networks",
        "volumes",
        "one",
        "image",
        "ports",
        "environment",
        "depends_on",
        "healthcheck",
        "test",
        "restart",
        "mem_limit",
        "<<",
        "x-a",
        "${A:-b}",
        "$",
        "${",
        "80:8080",
        "a:/b:ro",
        "1m",
        "-1",
        "~",
        "[]",
        "{}",
        "&a",
        "*a",
        "\u{e9}",
        "9999999999999999999",
        "tmpfs",
        "deploy",
        "replicas",
        "command",
        "'",
        "logging",
        "interval",
        "1e300s",
    ]);
    let line =
        (0_usize..6, word.clone(), prop::sample::select(vec![": ", ":\n", "", "- ", ": - "]), word)
            .prop_map(|(depth, key, middle, value)| {
                format!("{}{key}{middle}{value}\n", "  ".repeat(depth))
            });
    prop::collection::vec(line, 0..20).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn no_text_at_all_makes_it_panic(text in ".{0,200}") {
        let _read = source(&text).parse(&|_| None);
    }

    #[test]
    fn no_yaml_makes_it_panic(text in any_yaml()) {
        let _read = source(&text).parse(&|_| Some("x".into()));
    }

    #[test]
    fn the_file_with_a_piece_cut_out_makes_it_no_panic(from in 0..BUILT_IN.len(), length in 0_usize..200) {
        let kept: String = BUILT_IN.char_indices().filter(|(at, _)| *at < from || *at >= from + length).map(|(_, letter)| letter).collect();
        let _read = source(&kept).parse(&|_| None);
    }
}
