//! Which images an engine has, and which of them is deployed.

use crate::{docker::images::Image, images::DEV_TAG};

/// What the tags begin with that never move: they are made of what is in the image.
const CONTENT: &str = "c-";
/// What the names of our images begin with.
pub(super) const OURS: &str = "chefcito-";

/// Returns the service whose image is made by `chefcito build`, if a name means the last one made.
pub(super) fn built_here(image: &str) -> Option<&str> {
    image.strip_prefix(OURS)?.strip_suffix(DEV_TAG)?.strip_suffix(':')
}

/// Returns the tag of an image of ours, which is what tells one from another; the whole name of one that others made.
pub(crate) fn short_image(image: &str) -> &str {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    match name.rsplit_once(':') {
        Some((_, tag)) if name.starts_with(OURS) => tag,
        _ => image,
    }
}

/// The images of the engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Images(Vec<Image>);

/// The image that is meant by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deployed {
    /// The name that is deployed.
    pub(super) reference: String,
    /// Its id, if it is there.
    pub(super) id: Option<String>,
}

impl Images {
    pub(super) const fn new(images: Vec<Image>) -> Self {
        Self(images)
    }

    /// Returns the image that a name means. For what `chefcito build` tagged `dev`, that is the tag made of its content: it
    /// never moves, so that a container says exactly what it runs.
    pub(super) fn deployed(&self, name: &str) -> Deployed {
        let name = if name.contains('@') || has_tag(name) {
            name.into()
        } else {
            format!("{name}:latest")
        };
        let Some((image, tag)) = self.find(&name) else {
            return Deployed { reference: name, id: None };
        };
        let repository =
            name.strip_suffix(&format!(":{DEV_TAG}")).filter(|name| name.starts_with(OURS));
        let content = repository.and_then(|repository| {
            let begin = format!("{repository}:{CONTENT}");
            image.names.iter().filter(|tag| without_host(tag).starts_with(&begin)).min()
        });
        Deployed { reference: content.unwrap_or(tag).clone(), id: Some(image.id.clone()) }
    }

    fn find(&self, name: &str) -> Option<(&Image, &String)> {
        self.0.iter().find_map(|image| {
            let tag = image.names.iter().find(|tag| *tag == name || without_host(tag) == name)?;
            Some((image, tag))
        })
    }
}

/// Podman says where an image is from, even if it is from here.
fn without_host(tag: &str) -> &str {
    ["localhost/", "docker.io/library/"]
        .iter()
        .find_map(|host| tag.strip_prefix(host))
        .unwrap_or(tag)
}

fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_that_never_moves_is_deployed() {
        let image = |id: &str, tags: &[&str]| Image {
            id: id.into(),
            size_bytes: 1,
            names: tags.iter().map(ToString::to_string).collect(),
        };
        let images = Images::new(vec![
            image("1", &["chefcito-kitchen:c-old"]),
            image("2", &["chefcito-kitchen:dev", "chefcito-kitchen:c-new"]),
            image("3", &["postgres:17.6", "x:c-1"]),
            image("4", &["localhost/chefcito-orders:dev", "localhost/chefcito-orders:c-2"]),
            image("5", &["redis:latest"]),
        ]);
        let deployed = |name| {
            let deployed = images.deployed(name);
            (deployed.reference, deployed.id.unwrap_or_default())
        };
        let pair = |reference: &str, id: &str| (reference.to_owned(), id.to_owned());
        assert_eq!(deployed("chefcito-kitchen:dev"), pair("chefcito-kitchen:c-new", "2"));
        assert_eq!(deployed("chefcito-kitchen:c-old"), pair("chefcito-kitchen:c-old", "1"));
        assert_eq!(deployed("postgres:17.6"), pair("postgres:17.6", "3"));
        assert_eq!(deployed("chefcito-orders:dev"), pair("localhost/chefcito-orders:c-2", "4"));
        assert_eq!(deployed("redis"), pair("redis:latest", "5"));
        assert_eq!(deployed("chefcito-board:dev"), pair("chefcito-board:dev", ""));
    }
}
