//! A simulated engine for behaviour that a real one does not show.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use contracts::services::TABLE;
use tempfile::TempDir;

use crate::chefcito::{Home, Ran};

/// Its answer to one request.
pub(crate) enum Says {
    /// An answer.
    Json(u16, String),
    /// None: it closes the connection.
    HangsUp,
    /// None yet: the connection stays open for a while.
    IsSilent,
}

pub(crate) fn json(status: u16, body: &str) -> Says {
    Says::Json(status, body.into())
}

type Script = dyn Fn(&str) -> Option<Says> + Send + Sync;

/// An engine on a socket of its own.
pub(crate) struct FakeDocker {
    folder: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeDocker {
    /// Starts one with a script for `METHOD /path?query`; for other requests it answers as an empty engine.
    pub(crate) fn start(script: impl Fn(&str) -> Option<Says> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, script): (_, Arc<Script>) = (Arc::clone(&asked), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, script) = (Arc::clone(&noted), Arc::clone(&script));
                thread::spawn(move || serve(stream, &noted, &*script));
            }
        });
        Self { folder, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Runs a command of a home against it.
    pub(crate) fn run(&self, home: &Home, args: &[&str]) -> Ran {
        let mut command = home.command(args);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        // Images that the test does not build: it is not about building.
        command.env("CHEFCITO_TAG", "elsewhere");
        let mut ran = home.finish(args, command.spawn().unwrap());
        let folder = self.folder.path().to_str().unwrap();
        ran.stderr = ran.stderr.replace(folder, "ENGINE");
        ran
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, noted: &Mutex<Vec<String>>, script: &Script) {
    let mut request = Vec::new();
    let mut bytes = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => request.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    noted.lock().unwrap().push(line.clone());
    match script(&line).unwrap_or_else(|| of_an_empty_engine(&line)) {
        Says::Json(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // The client may be gone.
            let _gone =
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            let _gone = stream.shutdown(std::net::Shutdown::Write);
            let _rest = stream.read_to_end(&mut Vec::new());
        }
        Says::HangsUp => {}
        Says::IsSilent => {
            let _until_it_leaves = stream.read_to_end(&mut Vec::new());
        }
    }
}

fn of_an_empty_engine(line: &str) -> Says {
    let (method, path) = line.split_once(' ').unwrap();
    let path = path.split('?').next().unwrap();
    match (method, path) {
        ("GET", "/version") => json(200, r#"{"Version":"20.10.0","ApiVersion":"1.41"}"#),
        ("GET", "/info") => json(200, r#"{"ID":"the simulated engine"}"#),
        ("GET", "/events") => Says::IsSilent,
        ("GET", "/volumes") => json(200, r#"{"Volumes":[]}"#),
        ("GET", "/images/json") => json(200, &images()),
        ("GET", _) => json(200, "[]"),
        ("POST", "/networks/create") => json(201, r#"{"Id":"n","Warning":""}"#),
        ("POST", "/volumes/create") => json(
            201,
            r#"{"Name":"v","Driver":"local","Mountpoint":"/","Labels":{},"Scope":"local","Options":{}}"#,
        ),
        ("POST", "/containers/create") => json(201, r#"{"Id":"c","Warnings":[]}"#),
        _ => json(204, ""),
    }
}

/// All images of the environment, so that none has to be built.
fn images() -> String {
    let ours = TABLE.map(|program| format!("chefcito-{}:elsewhere", program.name));
    let names = ours.into_iter().chain(["postgres:17.6".into(), "redis:7.4.5".into()]);
    let images: Vec<String> = names
        .map(|name| {
            format!(
                r#"{{"Id":"{name}","ParentId":"","RepoTags":["{name}"],"RepoDigests":[],"Created":0,"Size":1,"SharedSize":0,"Labels":{{}},"Containers":0}}"#
            )
        })
        .collect();
    format!("[{}]", images.join(","))
}
