//! `.env.example` names every variable that the code reads, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::chefcito::Home;

const PREFIX: &str = "CHEFCITO_";
/// What only tests read.
const OF_TESTS: &str = "CHEFCITO_TEST_";

#[test]
fn every_variable_that_the_code_reads_is_in_the_example() {
    let documented = documented();
    let lacking: Vec<_> =
        read_by_code().into_iter().filter(|(name, _)| !documented.contains(name)).collect();
    assert!(lacking.is_empty(), ".env.example lacks {lacking:#?}");
}

#[test]
fn every_variable_of_the_example_is_read_by_the_code() {
    let read = read_by_code();
    let unread: Vec<_> =
        documented().into_iter().filter(|name| !read.contains_key(name.as_str())).collect();
    assert!(unread.is_empty(), ".env.example has what no code reads: {unread:?}");
}

#[test]
fn a_copy_of_the_example_changes_nothing() {
    let set: Vec<String> =
        example().lines().filter(|line| !is_comment(line)).map(Into::into).collect();
    assert!(set.is_empty(), "these lines of .env.example should be comments: {set:?}");
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let home = Home::new();
    let ran = |args: &[&str]| {
        let mut command = home.command(args);
        command.envs(documented().into_iter().map(|name| (name, "")));
        let ran = home.finish(args, command.spawn().unwrap());
        assert_eq!(ran.code, Some(0), "{ran}");
    };
    ran(&["up", "--port", "0"]);
    ran(&["order", "--count", "2"]);
    ran(&["audit"]);
    ran(&["up", "--dry-run"]);
    ran(&["down", "--volumes"]);
    ran(&["build", "--help"]);
}

/// Returns the variables of `# CHEFCITO_NAME=value` lines.
fn documented() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in example().lines() {
        let Some(line) = line.strip_prefix("# ").filter(|line| line.starts_with(PREFIX)) else {
            continue;
        };
        let Some((name, _)) = line.split_once('=') else { continue };
        assert!(names.insert(name.to_owned()), "{name} is in .env.example twice");
    }
    names
}

/// Returns the variables that are whole string literals in the sources, or filled in by the compose file, each with the
/// files that name it.
fn read_by_code() -> BTreeMap<String, BTreeSet<PathBuf>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    let folders = ["services", "services/libs"].map(|folder| fs::read_dir(root().join(folder)));
    let inside = folders.into_iter().flat_map(Result::unwrap).map(|entry| entry.unwrap().path());
    let crates =
        inside.filter(|path| path.join("Cargo.toml").is_file()).chain([root().join("cli")]);
    for file in crates.flat_map(|one| sources(&one.join("src"))) {
        for name in literals(&fs::read_to_string(&file).unwrap()) {
            found.entry(name).or_default().insert(file.strip_prefix(root()).unwrap().to_owned());
        }
    }
    assert!(found.contains_key("CHEFCITO_NAME"), "the sources were not found");
    let manifest = Path::new("manifests/compose.yaml");
    for name in filled_in(&fs::read_to_string(root().join(manifest)).unwrap()) {
        found.entry(name).or_default().insert(manifest.to_owned());
    }
    found
}

fn literals(text: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.starts_with(PREFIX)
            && !text.starts_with(OF_TESTS)
            && text.len() > PREFIX.len()
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    text.split('"').filter(is_name).map(str::to_owned).collect()
}

/// Returns the variables that a manifest fills in: `${CHEFCITO_NAME…}`.
fn filled_in(text: &str) -> BTreeSet<String> {
    let is_in =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let names =
        text.split("${").skip(1).map(|rest| rest.split(|letter| !is_in(letter)).next().unwrap());
    names.filter(|name| name.starts_with(PREFIX)).map(Into::into).collect()
}

/// Returns every Rust file of a folder and of those in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

fn example() -> String {
    fs::read_to_string(root().join(".env.example")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
