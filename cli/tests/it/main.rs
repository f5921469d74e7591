//! The real binary, in an empty home.

#![expect(clippy::unwrap_used, reason = "in a test, what can't be is a failure")]

mod api_server;
mod board;
mod build;
mod build_failures;
mod build_in_container;
mod checkout;
mod chefcito;
mod cluster;
mod colors;
mod completing;
mod compose;
mod compose_answers;
mod compose_environments;
mod compose_faults;
mod compose_gateways;
mod confirming;
mod containerfiles;
mod containers;
mod crash;
mod deploying;
mod diagnosing;
mod doctor;
mod embedded;
mod env_example;
mod environments;
mod errors;
mod fake_docker;
mod feeding;
mod guest;
mod help;
mod histories;
mod hostile;
mod identities;
mod interrupts;
mod kind;
mod kubernetes;
mod kubernetes_faults;
mod kubernetes_logs;
mod kubernetes_status;
mod kubernetes_ways;
mod loading;
mod logs;
mod nodes;
mod odd_engines;
mod orders;
mod outside_text;
mod overlays;
mod page;
mod plans;
mod pushing;
mod readmes;
mod real_cluster;
mod registry;
mod render;
mod reports;
mod restaurant;
mod road;
mod settings;
mod spoiled;
mod strangers;
mod watching;

#[test]
fn every_file_beside_this_one_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let listed = include_str!("main.rs").contains(&format!("mod {module};"));
        assert!(listed || path.is_dir() || module == "main", "`{module}` is not listed in main.rs");
    }
}
