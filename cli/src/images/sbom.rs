//! The bill of materials of a binary: a CycloneDX document beside its image.

use serde::Serialize;

use super::graph::{Origin, Part, Parts};

/// The version of the format.
const SPEC_VERSION: &str = "1.5";

/// A bill of materials.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sbom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependencies>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    tools: Tools,
    component: Component,
    properties: Vec<Property>,
}

#[derive(Debug, Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Debug, Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    purl: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
}

#[derive(Debug, Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Debug, Serialize)]
struct License {
    expression: String,
}

#[derive(Debug, Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependencies {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

/// Returns the bill of materials of an image's content. It has no time, so that the same content has the same document.
pub(crate) fn sbom(parts: &Parts, image: &str, binary_sha256: &str, target: &str) -> Sbom {
    let mut root = component(parts.root(), "application");
    root.hashes = vec![Hash { alg: "SHA-256", content: binary_sha256.to_owned() }];
    let others = parts.all.iter().enumerate().filter(|(place, _)| *place != parts.root);
    Sbom {
        schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
        bom_format: "CycloneDX",
        spec_version: SPEC_VERSION,
        serial_number: serial_number(image, binary_sha256),
        version: 1,
        metadata: Metadata {
            tools: Tools {
                components: [Tool {
                    kind: "application",
                    name: "chefcito",
                    version: env!("CARGO_PKG_VERSION"),
                }],
            },
            component: root,
            properties: vec![
                Property { name: "chefcito:image", value: image.to_owned() },
                Property { name: "chefcito:target", value: target.to_owned() },
            ],
        },
        components: others.map(|(_, part)| component(part, "library")).collect(),
        dependencies: parts
            .all
            .iter()
            .map(|part| Dependencies {
                reference: purl(part),
                depends_on: part
                    .dependencies
                    .iter()
                    .map(|place| purl(&parts.all[*place]))
                    .collect(),
            })
            .collect(),
    }
}

fn component(part: &Part, kind: &'static str) -> Component {
    let hash = part.checksum.clone().map(|content| Hash { alg: "SHA-256", content });
    // Licences were once separated by a slash, which is not valid SPDX.
    let license =
        part.license.as_ref().map(|license| License { expression: license.replace('/', " OR ") });
    let reference = part.repository.clone().map(|url| Reference { kind: "vcs", url });
    Component {
        kind,
        reference: purl(part),
        name: part.name.clone(),
        version: part.version.to_string(),
        description: part.description.clone(),
        scope: if part.at_run_time { "required" } else { "excluded" },
        hashes: hash.into_iter().collect(),
        licenses: license.into_iter().collect(),
        purl: purl(part),
        external_references: reference.into_iter().collect(),
    }
}

fn purl(part: &Part) -> String {
    let plain = format!("pkg:cargo/{}@{}", part.name, encoded(&part.version.to_string()));
    match &part.origin {
        Origin::Checkout | Origin::CratesIo => plain,
        Origin::Registry(address) => format!("{plain}?repository_url={}", encoded(address)),
        Origin::Git(address) => format!("{plain}?vcs_url={}", encoded(&format!("git+{address}"))),
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(byte);
    text.bytes()
        .map(
            |byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") },
        )
        .collect()
}

/// Returns a UUID derived from the content, so that the same image has the same number.
fn serial_number(image: &str, binary_sha256: &str) -> String {
    let hash = blake3::hash(format!("{image} {binary_sha256}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    format!("urn:uuid:{}", uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::graph::tests::tea;

    #[test]
    fn a_bill_names_every_part_with_its_licence_and_origin() {
        let sbom = sbom(&tea(), "chefcito-tea:c-0123456789ab", "abcd", "x86_64-unknown-linux-gnu");
        let json = serde_json::to_string_pretty(&sbom).unwrap();
        let own_version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
        insta::assert_snapshot!(json.replacen(&own_version, "\"version\": \"OURS\"", 1));
    }

    #[test]
    fn an_address_in_a_package_url_is_encoded() {
        let mut leaf = tea().all.remove(1);
        leaf.origin = Origin::Git("https://git.example/leaf?branch=a#1a2b".into());
        assert_eq!(
            purl(&leaf),
            "pkg:cargo/leaf@1.2.3%2Bfine?vcs_url=git%2Bhttps://git.example/leaf%3Fbranch%3Da%231a2b"
        );
    }
}
