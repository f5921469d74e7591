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
        "services:\n  one:\n    image: i\n{yaml}\nvolumes: {{data: , other: }}\nnetworks: {{n: , m: }}\n"
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
        one("    deploy: {resources: {}}"),
        one("    command: \"it's\""),
        one("    image: ${IMAGE:?which one}"),
        refused("services:\n  one: {}"),
        refused("services: {one: {image: i}}\nsecrets: {}"),
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
