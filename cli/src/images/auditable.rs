//! Lists the packages of a binary in the binary itself: the section `.dep-v0`, as `cargo auditable` writes it, for
//! `cargo audit bin`, Trivy and Grype.

use std::io::Write;

use auditable_serde::{DependencyKind, Package, Source, VersionInfo};
use flate2::{Compression, write::ZlibEncoder};
use object::{
    build::elf::{Builder, SectionData},
    elf,
};

use super::graph::{Origin, Part, Parts};

/// The name of the section.
const SECTION: &str = ".dep-v0";
/// The format in which macros count as build dependencies.
const FORMAT: u32 = 1;

/// Returns the binary with the section added.
///
/// # Errors
/// If the binary is not an ELF file, or has the section already.
pub(crate) fn with_parts(binary: &[u8], parts: &Parts) -> anyhow::Result<Vec<u8>> {
    let mut builder = Builder::read(binary)?;
    let present =
        builder.sections.iter().any(|section| section.name.as_slice() == SECTION.as_bytes());
    anyhow::ensure!(!present, "it has a section {SECTION} already");
    let data = compressed(parts)?;
    let section = builder.sections.add();
    section.name = SECTION.as_bytes().into();
    section.sh_type = elf::SHT_PROGBITS;
    section.sh_addralign = 1;
    section.data = SectionData::Data(data.into());
    builder.set_section_sizes();
    let mut written = Vec::with_capacity(binary.len() + binary.len() / 8);
    builder.write(&mut written)?;
    Ok(written)
}

fn compressed(parts: &Parts) -> anyhow::Result<Vec<u8>> {
    let packages = parts
        .all
        .iter()
        .enumerate()
        .map(|(place, part)| package(part, place == parts.root))
        .collect();
    let json = serde_json::to_vec(&VersionInfo { packages, format: FORMAT })?;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&json)?;
    Ok(encoder.finish()?)
}

fn package(part: &Part, root: bool) -> Package {
    Package {
        name: part.name.clone(),
        version: part.version.clone(),
        source: match part.origin {
            Origin::Checkout => Source::Local,
            Origin::CratesIo => Source::CratesIo,
            Origin::Registry(_) => Source::Registry,
            Origin::Git(_) => Source::Git,
        },
        kind: if part.at_run_time { DependencyKind::Runtime } else { DependencyKind::Build },
        dependencies: part.dependencies.clone(),
        root,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::PermissionsExt, process::Command};

    use flate2::read::ZlibDecoder;
    use object::{Object, ObjectSection};

    use super::*;
    use crate::images::graph::tests::tea;

    fn read_back(binary: &[u8]) -> VersionInfo {
        let file = object::File::parse(binary).unwrap();
        let section = file.section_by_name(SECTION).unwrap();
        let mut json = String::new();
        let _length = ZlibDecoder::new(section.data().unwrap()).read_to_string(&mut json).unwrap();
        json.parse().unwrap()
    }

    #[test]
    fn a_binary_still_runs_and_lists_its_packages() {
        let plain = fs::read("/bin/true").unwrap();
        let audited = with_parts(&plain, &tea()).unwrap();
        let reported = read_back(&audited);
        let root = reported.packages.iter().find(|package| package.root).unwrap();
        assert_eq!((root.name.as_str(), reported.packages.len()), ("tea", tea().all.len()));
        assert_eq!(
            with_parts(&plain, &tea()).unwrap(),
            audited,
            "the same parts give the same binary"
        );
        assert!(with_parts(&audited, &tea()).unwrap_err().to_string().contains("already"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("true");
        fs::write(&path, &audited).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new(&path).status().unwrap().success());
    }

    #[test]
    fn what_is_no_binary_is_refused() {
        for spoiled in [&b""[..], b"#!/bin/sh\n", b"\x7fELF"] {
            assert!(with_parts(spoiled, &tea()).is_err());
        }
    }
}
