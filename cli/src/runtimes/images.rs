//! The images of an engine, and which of them is deployed.

use engine::images::Image;

use crate::images::DEV_TAG;

/// The prefix of content tags, which never move to another image.
const CONTENT: &str = "c-";
/// The prefix of the names of our images.
pub(super) const OURS: &str = "chefcito-";

/// Returns the service whose image `chefcito build` makes, if a name refers to its `dev` tag.
pub(super) fn built_here(image: &str) -> Option<&str> {
    image.strip_prefix(OURS)?.strip_suffix(DEV_TAG)?.strip_suffix(':')
}

/// Returns the tag of an image of ours; the whole name of any other image.
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

/// The image that a name refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deployed {
    /// The reference to deploy.
    pub(super) reference: String,
    /// Its id; `None` if the engine lacks it.
    pub(super) id: Option<String>,
}

impl Images {
    pub(super) const fn new(images: Vec<Image>) -> Self {
        Self(images)
    }

    /// Returns the image that a name refers to. `dev` is resolved to the content tag of the same image, which never
    /// moves, so that a container's configuration names exactly what it runs.
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

/// Podman prefixes local images with `localhost/`, too.
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
