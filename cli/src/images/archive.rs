//! An image in the format of `docker load`: one layer with one file, its configuration, and a list of both.
//!
//! An engine loads it in a tenth of a second, and needs a second to build the same few instructions. Any container
//! runtime can load it.

use std::{fmt, io};

use engine::images::Platform;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::containerfile::{Config, Containerfile};

/// The prefix of the names of our images.
const REPOSITORY_PREFIX: &str = "chefcito-";
/// The prefix of content tags.
const CONTENT_TAG_PREFIX: &str = "c-";
/// The number of hex digits of the hash in a content tag.
const CONTENT_DIGITS: usize = 12;
/// The tag of the newest build.
pub(crate) const DEV_TAG: &str = "dev";
/// Readable and executable by all, writable by its owner only, who never runs it.
const BINARY_MODE: u32 = 0o755;

/// Returns the name of a service's image, without a tag.
pub(crate) fn repository(service: &str) -> String {
    format!("{REPOSITORY_PREFIX}{service}")
}

/// A content tag: `c-` and 12 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ContentTag(String);

impl ContentTag {
    /// Returns the tag of a hash in hex; `None` if that is too short.
    pub(crate) fn of_hash(hex: &str) -> Option<Self> {
        Self::parse(&format!("{CONTENT_TAG_PREFIX}{}", hex.get(..CONTENT_DIGITS)?))
    }

    /// Parses a tag; `None` if it is not a content tag.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        let digits = tag.strip_prefix(CONTENT_TAG_PREFIX)?;
        let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        (digits.len() == CONTENT_DIGITS && digits.bytes().all(is_hex)).then(|| Self(tag.to_owned()))
    }

    /// Returns the tag as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContentTag {
    type Error = &'static str;

    fn try_from(tag: String) -> Result<Self, Self::Error> {
        Self::parse(&tag).ok_or("it should be c- and 12 hex digits")
    }
}

impl From<ContentTag> for String {
    fn from(tag: ContentTag) -> Self {
        tag.0
    }
}

impl fmt::Display for ContentTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// A packed image.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Its content tag.
    pub(crate) content: ContentTag,
    /// The tar to load. It gives the image its content tag only.
    pub(crate) tar: Vec<u8>,
}

#[derive(Serialize)]
struct Image<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    architecture: &'a str,
    os: &'a str,
    config: &'a Config,
    rootfs: RootFs<'a>,
    history: [History<'a>; 1],
}

#[derive(Serialize)]
struct RootFs<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    diff_ids: [&'a str; 1],
}

#[derive(Serialize)]
struct History<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
    created_by: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    config: &'a str,
    repo_tags: [String; 1],
    layers: [&'a str; 1],
}

/// Packs a service's binary into an image as its CONTAINERFILE says. `created` is a time of RFC 3339, and not part of
/// the content.
///
/// # Errors
/// If the path in the image is too long for a tar.
pub(crate) fn pack(
    service: &str,
    binary: &[u8],
    file: &Containerfile,
    platform: &Platform,
    created: &str,
) -> io::Result<Archive> {
    const LAYER: &str = "layer.tar";
    let layer = tar(&[(file.path.trim_start_matches('/'), binary, BINARY_MODE)])?;
    let diff_id = format!("sha256:{}", sha256(&layer));
    let image = |created| {
        serde_json::to_vec(&Image {
            created,
            architecture: &platform.architecture,
            os: &platform.os,
            config: &file.config,
            rootfs: RootFs { kind: "layers", diff_ids: [&diff_id] },
            history: [History { created, created_by: "chefcito build" }],
        })
    };
    let hash = blake3::hash(&image(None)?).to_hex();
    let content =
        ContentTag::of_hash(&hash).ok_or_else(|| io::Error::other("a hash without digits"))?;
    let config = image(Some(created))?;
    let config_name = format!("{}.json", sha256(&config));
    let manifest = serde_json::to_vec(&[Manifest {
        config: &config_name,
        repo_tags: [format!("{}:{content}", repository(service))],
        layers: [LAYER],
    }])?;
    let tar = tar(&[
        (LAYER, &layer, 0o644),
        (&config_name, &config, 0o644),
        ("manifest.json", &manifest, 0o644),
    ])?;
    Ok(Archive { content, tar })
}

/// Returns a tar of files with user 0, group 0 and time 0.
fn tar(files: &[(&str, &[u8], u32)]) -> io::Result<Vec<u8>> {
    let mut builder =
        tar::Builder::new(Vec::with_capacity(files.iter().map(|file| file.1.len() + 2048).sum()));
    for (path, bytes, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).map_err(io::Error::other)?);
        header.set_mode(*mode);
        header.set_mtime(0);
        builder.append_data(&mut header, path, *bytes)?;
    }
    builder.into_inner()
}

/// Returns the SHA-256 of some bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    const FILE: &str = "FROM rust:1 AS compile\nFROM scratch\nCOPY --from=compile /binaries/tea /tea\nUSER 10:10\n";

    fn platform() -> Platform {
        Platform { architecture: "amd64".into(), os: "linux".into() }
    }

    fn packed(binary: &[u8], file: &str, created: &str) -> Archive {
        pack("tea", binary, &Containerfile::parse(file).unwrap(), &platform(), created).unwrap()
    }

    fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        let read = |entry: io::Result<tar::Entry<'_, _>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            let _length = Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn an_image_is_one_layer_with_one_file() {
        let archive = packed(b"binary", FILE, "2026-01-01T00:00:00Z");
        let outer = files(&archive.tar);
        let manifest: serde_json::Value = serde_json::from_slice(&outer["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], format!("chefcito-tea:{}", archive.content));
        assert_eq!(
            files(&outer["layer.tar"]),
            BTreeMap::from([("tea".to_owned(), b"binary".to_vec())])
        );
        let config: serde_json::Value =
            serde_json::from_slice(&outer[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(config["config"]["User"], "10:10");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            format!("sha256:{}", sha256(&outer["layer.tar"]))
        );
    }

    #[test]
    fn the_content_is_the_binary_and_the_stage_but_no_time() {
        let content =
            |binary: &[u8], file: &str, created: &str| packed(binary, file, created).content;
        let first = content(b"binary", FILE, "2026-01-01T00:00:00Z");
        assert_eq!(content(b"binary", FILE, "2027-01-01T00:00:00Z"), first);
        assert_eq!(content(b"binary", &FILE.replace("rust:1", "rust:2"), ""), first);
        assert_ne!(content(b"binari", FILE, ""), first);
        assert_ne!(content(b"binary", &FILE.replace("10:10", "11:11"), ""), first);
    }

    #[test]
    fn a_content_tag_is_c_and_twelve_digits() {
        assert_eq!(ContentTag::parse("c-0123456789ab").unwrap().as_str(), "c-0123456789ab");
        for other in ["dev", "c-", "c-0123456789AB", "c-0123456789abc", "0123456789ab"] {
            assert_eq!(ContentTag::parse(other), None, "{other}");
        }
    }

    #[test]
    fn hashes_are_those_of_everyone_else() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
