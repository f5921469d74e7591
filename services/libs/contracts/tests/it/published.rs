//! What was published is read for ever: `published/` has a sample of each event in each version that ever was.
//!
//! A sample is never edited and never removed; a new version of an event comes with a new sample, and with its line in
//! `published/CHECKSUMS`.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Write as _},
    fs,
    path::PathBuf,
};

use contracts::events::{
    CancellationRefused, CancellationRequested, CookingStarted, DishCancelled, DishPrepared,
    DishRefused, Envelope, Event, IngredientPurchased, IngredientsAwaited, IngredientsReleased,
    IngredientsRequested, IngredientsReserved, MenuChanged, OrderCancelled, OrderDelivered,
    OrderPlaced, OrderRejected,
    catalogue::{CATALOGUE, Entry, Key},
    source_of,
};
use contracts::{Ingredient, OrderId};
use serde_json::Value;

/// The name of an event, and what reads it.
type Reader = (&'static str, fn(&Envelope));

/// How each event of the catalogue is read into the type of today.
const READERS: [Reader; CATALOGUE.len()] = [
    reader::<CancellationRefused>(),
    reader::<CancellationRequested>(),
    reader::<CookingStarted>(),
    reader::<DishCancelled>(),
    reader::<DishPrepared>(),
    reader::<DishRefused>(),
    reader::<IngredientPurchased>(),
    reader::<IngredientsAwaited>(),
    reader::<IngredientsReleased>(),
    reader::<IngredientsRequested>(),
    reader::<IngredientsReserved>(),
    reader::<MenuChanged>(),
    reader::<OrderCancelled>(),
    reader::<OrderDelivered>(),
    reader::<OrderPlaced>(),
    reader::<OrderRejected>(),
];

const fn reader<E: Event + PartialEq + Debug>() -> Reader {
    (E::NAME, comes_back_as_it_went::<E>)
}

fn comes_back_as_it_went<E: Event + PartialEq + Debug>(envelope: &Envelope) {
    let event: E = envelope.read().unwrap();
    let service = envelope.service();
    let again = Envelope::new(service, &event, envelope.time, envelope.traceparent.clone());
    assert_eq!(again.read::<E>().unwrap(), event);
    assert_eq!((&again.source, &again.subject), (&envelope.source, &envelope.subject));
    if again.kind == envelope.kind {
        assert_eq!(json(again.data.get()), json(envelope.data.get()), "written otherwise today");
    }
}

#[test]
fn every_version_ever_published_is_still_read() {
    for (file, text) in samples() {
        let envelope: Envelope =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let entry = entry_of(&file, &envelope);
        let (_, read) = READERS.iter().find(|(name, _)| *name == entry.name).unwrap();
        read(&envelope);
    }
}

#[test]
fn every_sample_is_a_whole_envelope_of_its_writer() {
    for (file, text) in samples() {
        let envelope: Envelope = serde_json::from_str(&text).unwrap();
        let entry = entry_of(&file, &envelope);
        let (name, version) = envelope.name_and_version().unwrap();
        assert_eq!(file, format!("{name}.v{version}.json"));
        assert_eq!(envelope.source, source_of(entry.writer), "{file}");
        assert_eq!(envelope.id.get_version_num(), 7, "{file}");
        match entry.key {
            Key::Order => drop(envelope.subject.parse::<OrderId>().unwrap()),
            Key::Ingredient => drop(envelope.subject.parse::<Ingredient>().unwrap()),
            Key::Menu => assert_eq!(envelope.subject, "menu"),
        }
        assert_eq!(json(&serde_json::to_string(&envelope).unwrap()), json(&text), "{file}");
    }
}

#[test]
fn every_event_has_a_sample_of_every_version_from_the_first() {
    let samples = samples();
    for entry in CATALOGUE {
        for version in 1..=entry.version {
            let file = format!("{}.v{version}.json", entry.name);
            assert!(samples.contains_key(&file), "published/{file} is missing");
        }
    }
}

#[test]
fn a_sample_is_never_edited_and_never_removed() {
    let checksums = fs::read_to_string(folder().join("CHECKSUMS")).unwrap();
    let mut noted: BTreeMap<&str, &str> =
        checksums.lines().map(|line| line.split_once("  ").unwrap()).map(swap).collect();
    let mut new = String::new();
    for (file, text) in samples() {
        let found = blake3::hash(text.as_bytes()).to_hex();
        match noted.remove(file.as_str()) {
            Some(checksum) => assert_eq!(
                checksum,
                found.as_str(),
                "published/{file} was edited: a new shape is a new version with a file of its own"
            ),
            None => writeln!(new, "{found}  {file}").unwrap(),
        }
    }
    assert!(new.is_empty(), "published/CHECKSUMS lacks the lines of new samples:\n{new}");
    assert!(noted.is_empty(), "samples were removed: {:?}", noted.keys());
}

fn swap<A, B>((first, second): (A, B)) -> (B, A) {
    (second, first)
}

/// Returns the catalogue's entry for a sample, which is of a version that was published.
fn entry_of(file: &str, envelope: &Envelope) -> &'static Entry {
    let (name, version) = envelope.name_and_version().unwrap();
    let entry = CATALOGUE.iter().find(|entry| entry.name == name);
    let entry = entry.unwrap_or_else(|| panic!("{file}: `{name}` is not in the catalogue"));
    assert!((1..=entry.version).contains(&version), "{file}: never published");
    entry
}

/// Returns the text of each sample by the name of its file.
fn samples() -> BTreeMap<String, String> {
    let mut samples = BTreeMap::new();
    for found in fs::read_dir(folder()).unwrap() {
        let path = found.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if file != "CHECKSUMS" {
            samples.insert(file, fs::read_to_string(path).unwrap());
        }
    }
    assert!(!samples.is_empty());
    samples
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("published")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
