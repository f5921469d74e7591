//! The packages that a service's binary is compiled from, and which of them are in the checkout.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use cargo_metadata::{DependencyKind, Metadata, PackageId, Resolve, semver::Version};

/// A package of a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: Version,
    /// Its origin.
    pub(crate) origin: Origin,
    /// Its licence, as an SPDX expression.
    pub(crate) license: Option<String>,
    /// Its description.
    pub(crate) description: Option<String>,
    /// Its repository.
    pub(crate) repository: Option<String>,
    /// The SHA-256 of its archive, in hex, if the lock file has it.
    pub(crate) checksum: Option<String>,
    /// Whether it is in the binary; else it is only a build dependency.
    pub(crate) at_run_time: bool,
    /// The indices in [`Parts::all`] of its dependencies.
    pub(crate) dependencies: Vec<usize>,
}

/// The origin of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The checkout.
    Checkout,
    /// crates.io.
    CratesIo,
    /// Another registry, by its address.
    Registry(String),
    /// A Git repository, by its address and revision.
    Git(String),
}

/// The packages of a binary, sorted by name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The packages.
    pub(crate) all: Vec<Part>,
    /// The index of the package with the binary.
    pub(crate) root: usize,
}

impl Parts {
    /// Returns the package with the binary.
    pub(crate) fn root(&self) -> &Part {
        &self.all[self.root]
    }
}

/// Returns the packages of a package of the workspace, without those of its tests; `None` if there is no such package.
pub(crate) fn parts(metadata: &Metadata, package: &str, checksums: &Checksums) -> Option<Parts> {
    let root = member(metadata, package)?;
    let resolve = metadata.resolve.as_ref()?;
    let used = used(metadata, resolve, root);
    // By name and version, so that the same sources have the same list on every machine.
    let mut order: Vec<&PackageId> = used.keys().copied().collect();
    order.sort_by_key(|id| (metadata[*id].name.to_string(), metadata[*id].version.clone()));
    let place: BTreeMap<&PackageId, usize> = order.iter().copied().zip(0..).collect();
    let dependencies = |id: &PackageId| {
        let found = needed(resolve, id).filter_map(|(id, _)| place.get(id).copied());
        found.collect::<BTreeSet<_>>().into_iter().collect()
    };
    let all = order
        .iter()
        .map(|id| {
            let package = &metadata[*id];
            let source = package.source.as_ref().map(|source| source.repr.as_str());
            Part {
                name: package.name.to_string(),
                version: package.version.clone(),
                origin: origin(source),
                license: package.license.clone(),
                description: package.description.as_deref().map(one_line),
                repository: package.repository.clone(),
                checksum: source
                    .and_then(|_| checksums.of(&package.name, &package.version.to_string())),
                at_run_time: used[*id],
                dependencies: dependencies(id),
            }
        })
        .collect();
    Some(Parts { all, root: place[root] })
}

/// Returns the folders of the checkout's packages that a package is compiled from, with its own.
pub(crate) fn folders(metadata: &Metadata, package: &str) -> Option<BTreeSet<PathBuf>> {
    let root = member(metadata, package)?;
    let used = used(metadata, metadata.resolve.as_ref()?, root);
    let local = used.keys().map(|id| &metadata[*id]).filter(|package| package.source.is_none());
    Some(
        local
            .filter_map(|package| Some(package.manifest_path.parent()?.as_std_path().to_owned()))
            .collect(),
    )
}

fn member<'a>(metadata: &'a Metadata, package: &str) -> Option<&'a PackageId> {
    metadata.workspace_members.iter().find(|id| metadata[*id].name.as_str() == package)
}

/// Returns the packages of a package, each with whether it is in the binary. Procedural macros and build dependencies
/// are not.
fn used<'a>(
    metadata: &'a Metadata,
    resolve: &'a Resolve,
    root: &'a PackageId,
) -> BTreeMap<&'a PackageId, bool> {
    let mut used = BTreeMap::from([(root, true)]);
    let mut open = vec![(root, true)];
    while let Some((id, at_run_time)) = open.pop() {
        for (needed, built_in) in needed(resolve, id) {
            let is_macro =
                metadata[needed].targets.iter().any(cargo_metadata::Target::is_proc_macro);
            let now = at_run_time && built_in && !is_macro;
            let before = used.get(needed).copied();
            if before.is_none_or(|before| now && !before) {
                let _weaker = used.insert(needed, now);
                open.push((needed, now));
            }
        }
    }
    used
}

/// Returns the dependencies of a package, each with whether it is compiled in.
fn needed<'a>(resolve: &'a Resolve, id: &PackageId) -> impl Iterator<Item = (&'a PackageId, bool)> {
    let node = resolve.nodes.iter().find(|node| node.id == *id);
    node.into_iter().flat_map(|node| &node.deps).filter_map(|dependency| {
        let has = |wanted| dependency.dep_kinds.iter().any(|kind| kind.kind == wanted);
        let built_in = has(DependencyKind::Normal);
        (built_in || has(DependencyKind::Build)).then_some((&dependency.pkg, built_in))
    })
}

fn origin(source: Option<&str>) -> Origin {
    const CRATES_IO: [&str; 2] = [
        "registry+https://github.com/rust-lang/crates.io-index",
        "sparse+https://index.crates.io/",
    ];
    match source {
        None => Origin::Checkout,
        Some(source) if CRATES_IO.contains(&source) => Origin::CratesIo,
        Some(source) => match source.split_once('+') {
            Some(("git", address)) => Origin::Git(address.to_owned()),
            Some((_, address)) => Origin::Registry(address.to_owned()),
            None => Origin::Registry(source.to_owned()),
        },
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The checksums of a `Cargo.lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checksums(BTreeMap<(String, String), String>);

impl Checksums {
    /// Parses a `Cargo.lock`, which cargo always writes with one field a line.
    pub(crate) fn parse(lock: &str) -> Self {
        let package = |block: &str| {
            let field = |name: &str| {
                let line = block
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
                line.strip_suffix('"').map(str::to_owned)
            };
            Some(((field("name")?, field("version")?), field("checksum")?))
        };
        Self(lock.split("[[package]]").filter_map(package).collect())
    }

    fn of(&self, name: &str, version: &str) -> Option<String> {
        self.0.get(&(name.to_owned(), version.to_owned())).cloned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A service with a crate of the checkout, one from elsewhere, a macro, and a crate for its tests.
    pub(crate) fn metadata() -> Metadata {
        serde_json::from_str(include_str!("graph/metadata.json")).unwrap()
    }

    pub(crate) fn tea() -> Parts {
        let checksums = Checksums::parse(
            "version = 4\n\n[[package]]\nname = \"leaf\"\nversion = \"1.2.3+fine\"\nsource = \"registry+x\"\nchecksum = \"c0ffee\"\n",
        );
        parts(&metadata(), "tea", &checksums).unwrap()
    }

    #[test]
    fn a_service_is_made_of_what_it_is_compiled_from() {
        let tea = tea();
        let reported: Vec<String> = tea
            .all
            .iter()
            .map(|part| {
                let kind = if part.at_run_time { "in" } else { "helps" };
                format!("{} {} {kind} {:?}", part.name, part.version, part.dependencies)
            })
            .collect();
        assert_eq!(
            reported,
            [
                "gen 2.0.0 helps []",
                "leaf 1.2.3+fine in []",
                "pot 0.1.0 in [1]",
                "stir 0.3.0 helps [0]",
                "tea 0.1.0 in [0, 1, 2, 3]",
            ],
            "`cup` is only for its tests"
        );
        assert_eq!(
            (tea.root().name.as_str(), tea.root().origin.clone()),
            ("tea", Origin::Checkout)
        );
        let leaf = tea.all.iter().find(|part| part.name == "leaf").unwrap();
        assert_eq!((&leaf.origin, leaf.checksum.as_deref()), (&Origin::CratesIo, Some("c0ffee")));
    }

    #[test]
    fn its_folders_are_those_of_the_checkout() {
        let folders = folders(&metadata(), "tea").unwrap();
        let folders: Vec<_> = folders.iter().map(|folder| folder.to_str().unwrap()).collect();
        assert_eq!(folders, ["/checkout/services/pot", "/checkout/services/tea"]);
        assert_eq!(super::folders(&metadata(), "coffee"), None);
    }
}
