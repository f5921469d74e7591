//! The plan for each image, from the saved content of its sources and the images of the engine.

use std::{collections::BTreeMap, fmt};

use engine::images::Image;

use super::archive::{ContentTag, DEV_TAG, repository};

/// The step for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: the engine has the image under both tags.
    Keep(ContentTag),
    /// The engine has the image; tag it as `dev`.
    Tag(ContentTag),
    /// The binary is cached; pack it and load it into the engine.
    Pack(ContentTag),
    /// Compile the sources.
    Compile,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(content) => write!(formatter, "up to date, {content}"),
            Self::Tag(content) => {
                write!(formatter, "the engine has {content}, which becomes {DEV_TAG}")
            }
            Self::Pack(content) => {
                write!(formatter, "the engine lacks {content}, which is compiled already")
            }
            Self::Compile => formatter.write_str("these sources were not compiled before"),
        }
    }
}

/// The ids of the services' images on an engine, by name with tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnEngine(BTreeMap<String, (String, u64)>);

impl OnEngine {
    /// Sorts an engine's list.
    pub(crate) fn new(images: &[Image]) -> Self {
        let names = images.iter().flat_map(|image| {
            image.names.iter().map(|name| (name.clone(), (image.id.clone(), image.size_bytes)))
        });
        Self(names.collect())
    }

    /// Returns the id and the size of a service's image.
    pub(crate) fn image(&self, service: &str, tag: &str) -> Option<(&str, u64)> {
        self.0.get(&format!("{}:{tag}", repository(service))).map(|(id, size)| (id.as_str(), *size))
    }

    /// Returns whether `dev` is that content.
    fn is_dev(&self, service: &str, content: &ContentTag) -> bool {
        let id = |tag| self.image(service, tag).map(|(id, _)| id);
        id(DEV_TAG).is_some() && id(DEV_TAG) == id(content.as_str())
    }

    /// Returns the content of `dev`; `None` if there is no such image, or it has no content tag.
    pub(crate) fn dev(&self, service: &str) -> Option<ContentTag> {
        self.contents(service).into_iter().find(|content| self.is_dev(service, content))
    }

    /// Returns all contents of a service that have a tag.
    pub(crate) fn contents(&self, service: &str) -> Vec<ContentTag> {
        let start = format!("{}:", repository(service));
        self.0.keys().filter_map(|name| ContentTag::parse(name.strip_prefix(&start)?)).collect()
    }
}

/// Returns the step for a service's image. `known` is the saved content of its sources; `saved` says whether its binary
/// is cached.
pub(crate) fn step(
    service: &str,
    known: Option<&ContentTag>,
    saved: bool,
    engine: &OnEngine,
) -> Step {
    let Some(content) = known else { return Step::Compile };
    match engine.image(service, content.as_str()) {
        Some(_) if engine.is_dev(service, content) => Step::Keep(content.clone()),
        Some(_) => Step::Tag(content.clone()),
        None if saved => Step::Pack(content.clone()),
        None => Step::Compile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(digit: char) -> ContentTag {
        ContentTag::of_hash(&digit.to_string().repeat(12)).unwrap()
    }

    fn engine(images: &[(&str, &[&str])]) -> OnEngine {
        let image = |(id, tags): &(&str, &[&str])| Image {
            id: (*id).into(),
            names: tags.iter().map(|tag| format!("chefcito-tea:{tag}")).collect(),
            size_bytes: 1,
        };
        OnEngine::new(&images.iter().map(image).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_lacks_is_done() {
        let (a, b) = (content('a'), content('b'));
        let (tag_a, tag_b) = (a.as_str(), b.as_str());
        let both = engine(&[("1", &["dev", tag_a]), ("2", &[tag_b])]);
        assert_eq!(step("tea", None, true, &both), Step::Compile);
        assert_eq!(step("tea", Some(&a), false, &both), Step::Keep(a.clone()));
        assert_eq!(
            step("tea", Some(&b), false, &both),
            Step::Tag(b.clone()),
            "back to another branch"
        );
        let untagged = engine(&[("1", &[tag_a])]);
        assert_eq!(step("tea", Some(&a), false, &untagged), Step::Tag(a.clone()));
        assert_eq!(
            step("tea", Some(&a), true, &engine(&[])),
            Step::Pack(a.clone()),
            "another engine"
        );
        assert_eq!(step("tea", Some(&a), false, &engine(&[])), Step::Compile);
    }

    #[test]
    fn dev_stands_for_the_content_of_the_same_image() {
        let a = content('a');
        let engine =
            engine(&[("1", &["dev", a.as_str()]), ("2", &[content('b').as_str(), "c-odd"])]);
        assert_eq!(engine.dev("tea"), Some(a));
        assert_eq!(engine.dev("coffee"), None);
        assert_eq!(engine.contents("tea").len(), 2);
    }
}
