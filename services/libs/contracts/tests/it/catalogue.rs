//! The catalogue names each event once, with who writes and who reads it.

use std::collections::BTreeSet;

use contracts::{
    events::catalogue::{CATALOGUE, readers_of},
    services,
};

#[test]
fn each_event_is_named_once() {
    let names: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
}

#[test]
fn writers_and_readers_are_services_and_nobody_reads_twice() {
    for entry in CATALOGUE {
        assert!(services::ALL.contains(&entry.writer), "{}", entry.name);
        let readers: BTreeSet<&str> = entry.readers.iter().copied().collect();
        assert_eq!(readers.len(), entry.readers.len(), "{}", entry.name);
        assert!(!readers.is_empty(), "nobody reads {}", entry.name);
        assert!(readers.iter().all(|reader| services::ALL.contains(reader)), "{}", entry.name);
        assert!(!readers.contains(entry.writer), "{} comes back to its writer", entry.name);
    }
}

#[test]
fn every_event_has_a_name_that_can_be_a_type_and_a_file() {
    for entry in CATALOGUE {
        let (thing, what) = entry.name.split_once('.').unwrap();
        for word in [thing, what] {
            assert!(!word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        }
        assert!(entry.version >= 1, "{}", entry.name);
    }
}

#[test]
fn readers_are_found_by_the_name_of_an_event() {
    for entry in CATALOGUE {
        assert_eq!(readers_of(entry.name), entry.readers);
    }
    assert!(readers_of("soup.spilled").is_empty());
}
