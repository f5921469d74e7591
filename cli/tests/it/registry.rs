//! A registry of images on this machine, for one test.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{api_server::free_port, chefcito::wait_until};

/// The variable with the program, which `.ci/registry` prints.
const PROGRAM: &str = "CHEFCITO_TEST_REGISTRY";
/// The credentials of a registry with authentication: `chef` with the password `salt`.
const USERS: &str = "chef:$2b$05$hNU6b8c/gMPqeseyHV.lPOg/GHH8/M3A.JHAC/.KGmcQWX5/4ufpW\n";

/// A real registry; engines speak plain HTTP to its port.
pub(crate) struct Registry {
    folder: TempDir,
    process: Child,
    /// `host:port`.
    pub(crate) address: String,
}

impl Registry {
    /// Starts one; `None`, with a printed line, without the program.
    pub(crate) fn start(with_login: bool) -> Option<Self> {
        let Ok(program) = std::env::var(PROGRAM) else {
            test_support::lacking(&format!("a registry of images: {PROGRAM}"));
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let users = folder.path().join("users");
        fs::write(&users, USERS).unwrap();
        let login = format!("auth: {{htpasswd: {{realm: test, path: '{}'}}}}", users.display());
        let config = format!(
            "version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: '{}'}}}}
http: {{addr: '{address}'}}
{}
",
            folder.path().join("images").display(),
            if with_login { login.as_str() } else { "" },
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let registry = Self { process: command.spawn().unwrap(), folder, address };
        wait_until("the registry", || TcpStream::connect(&registry.address).is_ok());
        Some(registry)
    }

    /// Returns the services whose images it has, and how many.
    pub(crate) fn repositories(&self, path: &str) -> Vec<String> {
        let folder = self.folder.path().join("images/docker/registry/v2/repositories").join(path);
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Removes a repository, as an administrator would.
    pub(crate) fn forget(&self, path: &str) {
        let folder = self.folder.path().join("images/docker/registry/v2/repositories").join(path);
        fs::remove_dir_all(folder).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _buried = self.process.wait();
    }
}
