//! Collects the objects of a kustomization and of those that it refers to.

use std::collections::BTreeMap;

use super::{
    generators,
    kustomization::{self, Behavior, Entry, FILE_NAME, Kustomization, PatchSource},
    object::{Id, Object},
    patch, transform,
    tree::{Tree, joined},
};
use crate::{
    at::Flaw,
    error::{Error, Result},
};

/// Objects in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Accumulated {
    pub(super) objects: Vec<Gathered>,
}

/// A collected object.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) object: Object,
    /// Whether its name gets a suffix with the hash of its content.
    pub(super) has_hash: bool,
    /// Its identity when it was found.
    found_as: Id,
}

impl Gathered {
    pub(super) fn new(object: Object, has_hash: bool) -> Self {
        Self { found_as: object.id(), object, has_hash }
    }
}

impl Accumulated {
    /// Adds an object; an error if it exists already.
    fn add(&mut self, gathered: Gathered) -> Result<(), String> {
        let id = gathered.object.id();
        if self.position(&id).is_some() {
            return Err(format!("{id} is a duplicate"));
        }
        self.objects.push(gathered);
        Ok(())
    }

    /// Adds a generated object, or changes an existing one, as the generator says.
    pub(super) fn generate(
        &mut self,
        generated: Gathered,
        behavior: Behavior,
    ) -> Result<(), String> {
        let id = generated.object.id();
        match (behavior, self.position(&id)) {
            // Kustomize remembers it, though it may be in another namespace by now.
            (Behavior::Create, _) if self.objects.iter().any(|one| one.found_as == id) => {
                Err(format!("{id} is a duplicate"))
            }
            (Behavior::Create, _) => self.add(generated),
            (Behavior::Merge | Behavior::Replace, None) => {
                Err(format!("there is no {id} to change"))
            }
            (Behavior::Merge | Behavior::Replace, Some(at)) => {
                // Whether its name gets a suffix is up to the generator that made it.
                generators::change(&mut self.objects[at].object, generated.object, behavior)
            }
        }
    }

    fn position(&self, id: &Id) -> Option<usize> {
        self.objects.iter().position(|one| one.object.id() == *id)
    }

    /// Returns the objects, mutable.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Object> {
        self.objects.iter_mut().map(|one| &mut one.object)
    }
}

/// Collects the objects of a folder, as if it listed these components, too.
///
/// # Errors
/// [`Error::BadFile`] for the first file that is missing or invalid.
pub(super) fn accumulate(tree: &Tree, folder: &str, components: &[&str]) -> Result<Accumulated> {
    let mut all = Accumulated::default();
    let mut walk = Walk { tree, components, under_way: Vec::new() };
    for folder in components.iter().chain([&folder]) {
        if !tree.has(&file_in(folder)) {
            return Err(Error::BadFile {
                path: tree.path(folder),
                detail: format!("there is no {FILE_NAME} in it"),
            });
        }
    }
    walk.enter(folder, false, &mut all)?;
    Ok(all)
}

fn file_in(folder: &str) -> String {
    if folder.is_empty() { FILE_NAME.into() } else { format!("{folder}/{FILE_NAME}") }
}

struct Walk<'a> {
    tree: &'a Tree,
    /// Additional components of the first folder.
    components: &'a [&'a str],
    /// The folders from the first to this one.
    under_way: Vec<String>,
}

/// A file that is being read, for errors about it.
struct Reading<'a> {
    tree: &'a Tree,
    file: String,
    text: String,
}

impl Reading<'_> {
    fn bad(&self, flaw: &Flaw) -> Error {
        Error::BadFile { path: self.tree.path(&self.file), detail: flaw.in_text(&self.text) }
    }

    fn bad_at(&self, at: &str, what: impl Into<String>) -> Error {
        self.bad(&Flaw::new(at, what))
    }
}

impl<'a> Walk<'a> {
    /// Reads a file that has to exist.
    fn read(&self, file: String) -> Result<Option<Reading<'a>>> {
        let text = self.tree.read(&file)?;
        Ok(text.map(|text| Reading { tree: self.tree, file, text }))
    }

    /// Collects the objects of a folder with a kustomization, and applies its changes to them.
    fn enter(&mut self, folder: &str, is_component: bool, all: &mut Accumulated) -> Result<()> {
        let Some(reading) = self.read(file_in(folder))? else { return Ok(()) };
        let it = kustomization::read(&reading.text).map_err(|flaw| reading.bad(&flaw))?;
        if it.is_component != is_component {
            let what = if is_component {
                "it is listed below `components`, but its kind is not Component"
            } else {
                "a Component has to be listed below `components`"
            };
            return Err(reading.bad_at("kind", what));
        }
        self.under_way.push(folder.to_owned());
        for entry in &it.resources {
            self.add_resource(folder, entry, &reading, all)?;
        }
        for generator in &it.generators {
            let mut read = |entry: &Entry| self.source(folder, entry, &reading);
            let generated =
                generators::generate(generator, &mut read, &|at, what| reading.bad_at(at, what))?;
            all.generate(generated, generator.behavior)
                .map_err(|what| reading.bad_at(&generator.at, what))?;
        }
        let listed = it.components.iter().map(|entry| self.folder_at(folder, entry, &reading));
        let mut components = listed.collect::<Result<Vec<_>>>()?;
        if self.under_way.len() == 1 {
            let more = self.components.iter().map(|component| (*component).to_owned());
            let more: Vec<String> = more.filter(|one| !components.contains(one)).collect();
            components.extend(more);
        }
        for component in components {
            self.enter(&component, true, all)?;
        }
        self.transform(folder, &it, &reading, all)?;
        self.under_way.pop();
        Ok(())
    }

    fn add_resource(
        &mut self,
        folder: &str,
        entry: &Entry,
        reading: &Reading<'_>,
        all: &mut Accumulated,
    ) -> Result<()> {
        let path = path_of(folder, entry, reading)?;
        let Some(file) = self.read(path.clone())? else {
            let below = self.folder_at(folder, entry, reading)?;
            let mut more = Accumulated::default();
            self.enter(&below, false, &mut more)?;
            return more
                .objects
                .into_iter()
                .try_for_each(|one| all.add(one).map_err(|what| reading.bad_at(&entry.at, what)));
        };
        for value in kustomization::values(&file.text).map_err(|flaw| file.bad(&flaw))? {
            let object = Object::new(value).map_err(|what| file.bad_at("", what))?;
            all.add(Gathered::new(object, false)).map_err(|what| file.bad_at("", what))?;
        }
        Ok(())
    }

    /// Returns the folder that an entry names, which has a kustomization in it.
    fn folder_at(&self, folder: &str, entry: &Entry, reading: &Reading<'_>) -> Result<String> {
        let path = path_of(folder, entry, reading)?;
        let what = if self.under_way.contains(&path) {
            format!("`{}` refers back to a folder that refers to it", entry.text)
        } else if self.tree.has(&file_in(&path)) {
            return Ok(path);
        } else if self.tree.has_folder(&path) {
            format!("there is no {FILE_NAME} in `{}`", entry.text)
        } else {
            format!("there is no `{}`", entry.text)
        };
        Err(reading.bad_at(&entry.at, what))
    }

    /// Reads a file that a kustomization names.
    fn source(&self, folder: &str, entry: &Entry, reading: &Reading<'_>) -> Result<String> {
        let path = path_of(folder, entry, reading)?;
        match self.tree.read(&path)? {
            Some(text) => Ok(text),
            None => Err(reading.bad_at(&entry.at, format!("there is no `{}`", entry.text))),
        }
    }

    fn transform(
        &self,
        folder: &str,
        it: &Kustomization,
        reading: &Reading<'_>,
        all: &mut Accumulated,
    ) -> Result<()> {
        for one in &it.patches {
            // An error in a patch file is an error of that file.
            let (file, text) = match &one.source {
                PatchSource::Text(text) => (None, text.clone()),
                PatchSource::File(entry) => {
                    (Some(path_of(folder, entry, reading)?), self.source(folder, entry, reading)?)
                }
            };
            patch::apply(&text, one.target.as_ref(), all).map_err(|flaw| match file {
                Some(file) => Reading { tree: self.tree, file, text }.bad(&flaw),
                None => reading.bad_at(&one.at, flaw.to_string()),
            })?;
        }
        if let Some(namespace) = &it.namespace {
            all.iter_mut().for_each(|object| transform::set_namespace(object, namespace));
        }
        all.iter_mut().for_each(|object| transform::add_labels(object, &it.labels));
        for replicas in &it.replicas {
            let mut found = false;
            for object in all.iter_mut() {
                found |= transform::set_replicas(object, &replicas.name, replicas.count);
            }
            if !found {
                let what = format!("there is no Deployment or StatefulSet `{}`", replicas.name);
                return Err(reading.bad_at(&replicas.at, what));
            }
        }
        for image in &it.images {
            let images = BTreeMap::from([(image.name.clone(), image.new.clone())]);
            all.iter_mut().for_each(|object| transform::set_images(object, &images));
        }
        for object in all.iter_mut() {
            let id = object.id();
            object
                .check_metadata()
                .map_err(|what| reading.bad_at("patches", format!("{id}: {what}")))?;
        }
        let ids: Vec<Id> = all.objects.iter().map(|one| one.object.id()).collect();
        match ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id)) {
            Some((_, id)) => Err(reading.bad_at("namespace", format!("{id} is there twice then"))),
            None => Ok(()),
        }
    }
}

fn path_of(folder: &str, entry: &Entry, reading: &Reading<'_>) -> Result<String> {
    joined(folder, &entry.text).ok_or_else(|| {
        let what = format!(
            "`{}` is outside of {}, and chefcito reads only files below it",
            entry.text,
            reading.tree.path("").display()
        );
        reading.bad_at(&entry.at, what)
    })
}
