//! The checkout: the workspace with `containerfiles/`, in which images are built.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::containerfile::{Containerfile, FILE_NAME};
use crate::error::{CliError, Result};

/// The folder of the CONTAINERFILEs: one folder a service.
const FOLDER: &str = "containerfiles";

/// A checkout of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    root: PathBuf,
    target: PathBuf,
}

impl Checkout {
    /// Finds the checkout around the current folder.
    ///
    /// # Errors
    /// [`CliError::Lacking`], exit code 7, outside of one.
    pub(crate) fn find() -> Result<Self> {
        let current =
            env::current_dir().map_err(CliError::io(|| "read the current folder".into()))?;
        let target = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
            .into_iter()
            .find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
        Self::around(&current, target).ok_or_else(|| CliError::Lacking {
            what: format!("there is nothing to build in {}: no folder around it holds {FOLDER}/", current.display()),
            hint: "go to a checkout of Chefcito; without one, `chefcito up --runtime embedded` needs no images".into(),
        })
    }

    /// Finds the checkout around a folder. The target folder is cargo's.
    fn around(folder: &Path, target: Option<OsString>) -> Option<Self> {
        let is_root =
            |folder: &&Path| folder.join(FOLDER).is_dir() && folder.join("Cargo.toml").is_file();
        let root = folder.ancestors().find(is_root)?.to_owned();
        let target = target.map_or_else(|| root.join("target"), |target| folder.join(target));
        Some(Self { root, target })
    }

    /// Finds the checkout around a folder, with the target folder in it.
    #[cfg(test)]
    pub(super) fn find_around(folder: &Path) -> Option<Self> {
        Self::around(folder, None)
    }

    /// Returns the folder of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the free space in the target folder, if it is known.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.target).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Returns the folder of `chefcito build`: its memory, the binaries of images, and bills of materials.
    pub(crate) fn images(&self) -> PathBuf {
        self.target.join("chefcito").join("images")
    }

    /// Returns the file of the memory.
    pub(crate) fn memory(&self) -> PathBuf {
        self.images().join("memory.json")
    }

    /// Returns the binary of a service's image.
    pub(crate) fn binary(&self, service: &str) -> PathBuf {
        self.images().join(service)
    }

    /// Returns the bill of materials of a service's image.
    pub(crate) fn sbom(&self, service: &str) -> PathBuf {
        self.images().join(format!("{service}.cdx.json"))
    }

    /// Returns the CONTAINERFILE of a service.
    pub(crate) fn containerfile(&self, service: &str) -> PathBuf {
        self.root.join(FOLDER).join(service).join(FILE_NAME)
    }

    /// Reads the CONTAINERFILE of every service that has one, by service.
    ///
    /// # Errors
    /// [`CliError::BadFile`] if one is invalid, or its folder's name can't be that of an image.
    pub(crate) fn services(&self) -> Result<BTreeMap<String, Containerfile>> {
        let folder = self.root.join(FOLDER);
        let unreadable = || format!("read {}", folder.display());
        let mut services = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(CliError::io(unreadable))? {
            let service = entry.map_err(CliError::io(unreadable))?.file_name();
            let service = service.to_string_lossy().into_owned();
            let path = self.containerfile(&service);
            if !path.is_file() {
                continue;
            }
            let bad = |detail: String| CliError::BadFile { path: path.clone(), detail };
            if !can_name_an_image(&service) {
                return Err(bad(format!(
                    "`{service}` can't name an image: lower-case letters, digits and hyphens can"
                )));
            }
            let text = fs::read_to_string(&path)
                .map_err(CliError::io(|| format!("read {}", path.display())))?;
            let file = Containerfile::parse(&text).map_err(|unusable| bad(unusable.to_string()))?;
            let _none = services.insert(service, file);
        }
        Ok(services)
    }
}

fn can_name_an_image(service: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    service.split('-').all(|part| !part.is_empty() && part.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("containerfiles/tea")).unwrap();
        fs::create_dir_all(folder.path().join("services/tea/src")).unwrap();
        fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        fs::write(folder.path().join("services/tea/Cargo.toml"), "").unwrap();
        folder
    }

    #[test]
    fn a_checkout_is_found_from_within() {
        let folder = checkout();
        let within = folder.path().join("services/tea/src");
        let found = Checkout::around(&within, None).unwrap();
        assert_eq!(
            (found.root(), found.target()),
            (folder.path(), folder.path().join("target").as_path())
        );
        let elsewhere = Checkout::around(&within, Some("/elsewhere".into())).unwrap();
        assert_eq!(elsewhere.target(), Path::new("/elsewhere"));
        let relative = Checkout::around(&within, Some("out".into())).unwrap();
        assert_eq!(relative.target(), within.join("out"), "as cargo has it");
        assert!(Checkout::around(folder.path().parent().unwrap(), None).is_none());
    }

    #[test]
    fn every_folder_with_a_containerfile_is_a_service() {
        let folder = checkout();
        let found = Checkout::around(folder.path(), None).unwrap();
        assert!(found.services().unwrap().is_empty());
        let text = "FROM rust:1 AS compile\nFROM scratch\nCOPY --from=compile /binaries/tea /tea\n";
        fs::write(found.containerfile("tea"), text).unwrap();
        assert_eq!(found.services().unwrap().into_keys().collect::<Vec<_>>(), ["tea"]);
        fs::write(found.containerfile("tea"), "FROM scratch\n").unwrap();
        assert!(found.services().unwrap_err().to_string().contains("tea/CONTAINERFILE: line 1"));
        fs::create_dir(folder.path().join("containerfiles/Tea")).unwrap();
        fs::write(found.containerfile("tea"), text).unwrap();
        fs::write(found.containerfile("Tea"), text).unwrap();
        assert!(found.services().unwrap_err().to_string().contains("can't name an image"));
    }
}
