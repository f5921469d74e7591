//! The CONTAINERFILEs, as text: one for every service, all alike.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use contracts::services::{Program, TABLE};

/// The end of the part that is the same in all of them.
const LAST_STAGE: &str = "\nFROM scratch\n";

#[test]
fn every_program_of_the_table_has_a_binary_and_an_image_and_no_other() {
    let folder = root().join("services");
    let with_binary: BTreeSet<String> = names_in(&folder)
        .into_iter()
        .filter(|service| folder.join(service).join("src/main.rs").is_file())
        .collect();
    assert_eq!(with_binary, TABLE.map(|program| program.name.to_owned()).into());
    let with_image: BTreeSet<String> = containerfiles().into_keys().collect();
    assert_eq!(with_image, with_binary);
}

#[test]
fn all_compile_in_the_same_stage_so_that_an_engine_compiles_once() {
    let stages: BTreeSet<String> = containerfiles()
        .into_values()
        .map(|text| {
            let stage = text.split(LAST_STAGE).next().unwrap();
            stage[stage.find("\nFROM ").unwrap()..].to_owned()
        })
        .collect();
    assert_eq!(stages.len(), 1, "{stages:#?}");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let rust_version = value(&manifest, "rust-version = ").unwrap();
    assert!(stages.first().unwrap().contains(&format!("FROM rust:{rust_version}.")), "{stages:#?}");
}

#[test]
fn all_have_labels_and_run_as_a_user_of_their_own() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = value(&manifest, "version = ").unwrap();
    for (service, text) in containerfiles() {
        let stage = text.split(LAST_STAGE).nth(1).unwrap();
        for line in [
            format!("COPY --from=compile /binaries/{service} /{service}\n"),
            format!("ENTRYPOINT [\"/{service}\"]\n"),
            format!("org.opencontainers.image.title=\"chefcito-{service}\""),
            format!("org.opencontainers.image.version=\"{version}\""),
            "org.opencontainers.image.description=\"".to_owned(),
            "org.opencontainers.image.licenses=\"Apache-2.0 OR MIT\"".to_owned(),
        ] {
            assert!(stage.contains(&line), "{service}: {line}\n{stage}");
        }
        let Program { uid, ports, .. } = Program::named(&service).unwrap();
        assert!(stage.contains(&format!("\nUSER {uid}:{uid}\n")), "{service} is {uid}:\n{stage}");
        let exposed: Vec<u16> = stage
            .lines()
            .filter_map(|line| line.strip_prefix("EXPOSE "))
            .flat_map(|line| line.split(' ').map(|port| port.parse().unwrap()))
            .collect();
        assert_eq!(exposed, *ports, "{service}");
    }
}

/// Returns the text after the name, without its quotes.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_matches('"'))
}

/// Returns the text of each service's CONTAINERFILE.
fn containerfiles() -> BTreeMap<String, String> {
    let folder = root().join("containerfiles");
    names_in(&folder)
        .into_iter()
        .map(|service| {
            let path = folder.join(&service).join("CONTAINERFILE");
            (service, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
